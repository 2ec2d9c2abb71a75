from __future__ import annotations

from pathlib import Path

from orchestrator.records.lifecycle import markdown_table

ARCHITECTURE = Path(__file__).parents[2] / "ARCHITECTURE.md"


def test_the_state_table_of_the_document_is_the_one_of_the_code() -> None:
    text = ARCHITECTURE.read_text()
    shown = text.split("<!-- states -->\n")[1].split("\n<!-- /states -->")[0]
    assert shown == markdown_table()
