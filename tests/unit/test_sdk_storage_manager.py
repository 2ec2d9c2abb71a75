from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from orchestrator import StorageManager
from orchestrator.errors import InvalidRequest

if TYPE_CHECKING:
    from pathlib import Path


def test_a_file_of_this_machine_stays_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("a\n")
    assert StorageManager.get_local_copy(str(tmp_path / "table.csv")) == tmp_path / "table.csv"


@pytest.mark.parametrize(
    "address",
    [
        "https://example.com/table.csv",
        "http://server:8420/api/v1/blobs/../tokens",
        "http://server:8420/api/v1/tasks/" + "a" * 32,
        "s3://bucket/table.csv",
        "no such file",
        "",
    ],
)
def test_what_is_no_address_of_the_server_is_refused(address: str) -> None:
    with pytest.raises(InvalidRequest, match="no address of an artifact or a model"):
        StorageManager.get_local_copy(address)
