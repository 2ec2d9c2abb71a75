from __future__ import annotations

import re
from pathlib import Path

from orchestrator.records.firing import FIRING_MOVES
from orchestrator.records.lifecycle import markdown_table

ARCHITECTURE = Path(__file__).parents[2] / "ARCHITECTURE.md"


def test_the_state_table_of_the_document_is_the_one_of_the_code() -> None:
    text = ARCHITECTURE.read_text()
    shown = text.split("<!-- states -->\n")[1].split("\n<!-- /states -->")[0]
    assert shown == markdown_table()


def test_the_moves_of_a_firing_in_the_document_are_those_of_the_code() -> None:
    text = ARCHITECTURE.read_text()
    drawn = text.split("<!-- firings -->\n")[1].split("\n<!-- /firings -->")[0]
    edges = set(re.findall(r"^    (\w+) --> (\w+)", drawn, flags=re.MULTILINE))
    assert edges == {(before.value, after.value) for before, moves in FIRING_MOVES.items() for after in moves}
