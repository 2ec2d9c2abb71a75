from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.records.manifest import NO_DIGEST, Entry, Kind, order
from orchestrator.sdk.ingest import changes as module
from orchestrator.sdk.ingest import spool
from orchestrator.sdk.ingest.changes import Changes, Run, batches, is_removal, removal

NAMES = st.text("abc/", min_size=1, max_size=5).filter(
    lambda name: not name.startswith("/") and not name.endswith("/") and "//" not in name
)
STEPS = st.lists(st.dictionaries(NAMES, st.one_of(st.none(), st.integers(0, 255)), max_size=12), max_size=8)


def entry(name: str, number: int) -> Entry:
    return Entry(name, Kind.FILE, number, bytes([number]) * 32)


def run(step: dict[str, int | None]) -> Run:
    ordered = sorted(step, key=order)
    return Run(removal(name) if (number := step[name]) is None else entry(name, number) for name in ordered)


@pytest.fixture(params=["in memory", "in a file"], scope="module", autouse=True)
def _small(request: pytest.FixtureRequest) -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_CHUNK_ENTRIES", 3)
        if request.param == "in a file":
            patch.setattr(spool, "_IN_MEMORY_BYTES", 0)
        yield


@given(before=st.dictionaries(NAMES, st.integers(0, 255), max_size=20), steps=STEPS, below=st.one_of(st.none(), NAMES))
def test_entries_with_changes_over_them_are_as_in_a_dictionary(
    before: dict[str, int], steps: list[dict[str, int | None]], below: str | None
) -> None:
    pending = Changes()
    model: dict[str, int | None] = dict(before)
    for step in steps:
        pending.note(run(step))
        model |= step
    wanted = sorted(
        (
            (name, number)
            for name, number in model.items()
            if number is not None and (below is None or name == below or name.startswith(f"{below}/"))
        ),
        key=lambda pair: order(pair[0]),
    )
    entries = (
        entry(name, before[name])
        for name in sorted(before, key=order)
        if below is None or name == below or name.startswith(f"{below}/")
    )
    assert [(each.path, each.size_bytes) for each in pending.over(entries, below=below)] == wanted
    noted = {name: number for step in steps for name, number in step.items()}
    assert {each.path: None if is_removal(each) else each.size_bytes for each in pending.changes()} == noted
    assert bool(pending) == bool(noted)
    assert pending.count >= len(noted)
    for name in (*noted, "nowhere"):
        found = pending.at(name)
        assert (found is None) == (name not in noted)
        assert found is None or found.path == name


def test_runs_stay_few_however_often_something_is_added() -> None:
    pending = Changes()
    for number in range(300):
        pending.note(run({f"f{number:04}": number % 256}))
    assert len(pending._runs) < 10
    assert pending.count == 300


def test_a_folder_that_was_empty_gives_way_to_what_is_put_into_it() -> None:
    pending = Changes()
    pending.note(run({"a/b": 1, "c": 2}))
    folders = [Entry(name, Kind.DIRECTORY, 0, NO_DIGEST) for name in ("a", "b", "z")]
    assert [each.path for each in pending.over(iter(folders))] == ["a/b", "b", "c", "z"]


def test_batches_are_no_longer_than_asked() -> None:
    pending = Changes()
    pending.note(run({f"f{number}": 1 for number in range(10)}))
    assert [len(batch) for batch in batches(pending.changes(), 4)] == [4, 4, 2]
    pending.clear()
    assert not pending
