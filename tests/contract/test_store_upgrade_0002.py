"""A database of the first release becomes one of manifests in blocks, and everything reads as before."""

from __future__ import annotations

import json
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

import pytest
from blake3 import blake3
from sqlalchemy import create_engine, inspect, make_url, text

from orchestrator.records.blob import BlobPlace, PlacedAt
from orchestrator.records.dataset import DatasetState
from orchestrator.records.manifest import Entry, Kind, named, order, raw
from orchestrator.store.migrations import upgrading
from orchestrator.store.sql import open_store
from orchestrator.store.testing.records import THEN, a_task, digest, moment, new_id

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

    from orchestrator.store.protocol import Store

_FILES = 3000
_AWKWARD = ("a.b", "a/b/c", "a/b!", "a b", "B", "é/日本", "é", "z/run.sh", "a/", "%41")


class _Old(NamedTuple):
    url: str
    draft: str
    empty: str
    final: str
    child: str
    entries: dict[str, list[Entry]]


def _entry(number: int, path: str, mode: int = 0o644) -> Entry:
    kind = Kind.EXECUTABLE if mode == 0o755 else Kind.FILE
    return Entry(path, kind, number, raw(digest(number)))


def _insert(connection: Connection, table: str, rows: list[dict[str, object]]) -> None:
    names = list(rows[0])
    columns, values = ", ".join(f'"{name}"' for name in names), ", ".join(f":{name}" for name in names)
    connection.execute(text(f"INSERT INTO {table} ({columns}) VALUES ({values})"), rows)  # noqa: S608  names from below


def _version(identity: str, version: str, state: str, **fields: object) -> dict[str, object]:
    at = "2015-02-04 17:51:00.000000+00:00"
    major, minor, patch = map(int, version.split("."))
    row = {"id": identity, "project": "occupancy", "name": "sensors", "version": version, "state": state}
    row |= {"major": major, "minor": minor, "patch": patch, "parents": "[]", "base": None, "tags": "[]"}
    row |= {"description": "d", "file_count": 3, "size_bytes": 6, "added_count": 1, "modified_count": 0}
    row |= {"removed_count": 0, "task": None, "created_at": at, "created_by": "f" * 32, "changed_at": at}
    return row | {"finalized_at": None, "final_version": None if state == "open" else version} | fields


def _filled(connection: Connection, url: str) -> _Old:
    empty, final, child, draft = (new_id() for _ in range(4))
    at = "2015-02-04 18:00:00.000000+00:00"
    _insert(
        connection,
        "dataset_versions",
        [
            _version(empty, "0.9.0", "final"),
            _version(final, "1.0.0", "published", tags='["b","a"]', finalized_at=at),
            _version(child, "1.0.1", "final", parents=json.dumps([final, empty]), base=final),
            _version(draft, "1.0.2", "open", parents=json.dumps([child])),
            _version(new_id(), "1.0.3", "open"),
        ],
    )
    _insert(connection, "dataset_tags", [{"owner": final, "tag": tag} for tag in ("a", "b")])
    _insert(connection, "dataset_heads", [{"project": "occupancy", "name": "sensors", "version_id": child}])
    event: dict[str, object] = {"type": "dataset.published", "subject": final, "project": "p", "actor": "f" * 32}
    _insert(connection, "events", [event | {"data": "{}", "at": "2015-02-04 17:51:05.000000+00:00"}])
    paths = [f"d{number % 7}/f{number}" for number in range(_FILES)]
    paths += [path for path in _AWKWARD if path not in {"é", "a/"}]
    whole = [_entry(number, path, 0o755 if path.endswith(".sh") else 0o644) for number, path in enumerate(paths)]
    entries = {final: whole, child: [*whole[:-1], _entry(7, "new")], draft: whole[:2]}
    for version_id, those in entries.items():
        rows: list[dict[str, object]] = [
            {
                "version_id": version_id,
                "path": entry.path,
                "size_bytes": entry.size_bytes,
                "digest": named(entry.digest),
            }
            | {"mode": 0o755 if entry.kind == Kind.EXECUTABLE else 0o644}
            for entry in those
        ]
        _insert(connection, "manifest_entries", rows)
    blobs: list[dict[str, object]] = [
        {"digest": digest(number), "size_bytes": number, "store": "main", "offset": 0}
        | {"location": f"blake3/00/{number:062x}"}
        for number in range(_FILES * 2)
    ]
    blobs[2] |= {"location": blobs[1]["location"], "offset": 1}
    _insert(connection, "blobs", blobs)
    return _Old(url, draft, empty, final, child, entries)


@pytest.fixture
def old(empty_url: str) -> _Old:
    """A database that the first release made and filled."""
    url = make_url(empty_url)
    engine = create_engine(url.set(drivername="postgresql+psycopg") if url.get_backend_name() != "sqlite" else url)
    with engine.begin() as connection:
        upgrading.run(connection, target="0001")
        made = _filled(connection, empty_url)
    engine.dispose()
    return made


@pytest.fixture
def upgraded(old: _Old) -> Iterator[Store]:
    """The same database opened by this release."""
    with closing(open_store(old.url)) as store:
        yield store


def test_every_version_has_the_files_that_it_had(old: _Old, upgraded: Store) -> None:
    for version_id, expected in old.entries.items():
        manifest = upgraded.read(lambda tx, it=version_id: tx.datasets.manifest(it))  # type: ignore[misc]
        found = upgraded.read(lambda tx, it=manifest: list(it.entries(load=tx.datasets.blocks)))  # type: ignore[misc]
        assert found == sorted(expected, key=lambda entry: order(entry.path))
    assert upgraded.read(lambda tx: tx.datasets.manifest(old.empty)).blocks == ()
    assert upgraded.read(lambda tx: tx.datasets.manifests()) == sorted([old.empty, *old.entries])


def test_versions_share_blocks(old: _Old, upgraded: Store) -> None:
    one, other = upgraded.read(lambda tx: [tx.datasets.manifest(it).blocks for it in (old.final, old.child)])
    assert len(set(one) & set(other)) >= len(one) - 3 > 0


def test_final_versions_name_their_manifest(old: _Old, upgraded: Store) -> None:
    for version_id in (old.empty, old.final, old.child):
        version = upgraded.read(lambda tx, it=version_id: tx.datasets.get(it))  # type: ignore[misc]
        manifest = upgraded.read(lambda tx, it=version_id: tx.datasets.manifest(it))  # type: ignore[misc]
        assert version.manifest == named(blake3(manifest.encode()).digest())
    assert upgraded.read(lambda tx: tx.datasets.get(old.draft)).manifest is None


def test_versions_are_what_they_were(old: _Old, upgraded: Store) -> None:
    version = upgraded.read(lambda tx: tx.datasets.get(old.final))
    assert version.state is DatasetState.PUBLISHED
    assert (version.tags, version.description, version.numbered, version.storage) == (("b", "a"), "d", False, None)
    assert (version.created_at, version.finalized_at, version.published_at) == (THEN, moment(540), moment(5))
    assert upgraded.read(lambda tx: tx.datasets.get(old.child)).published_at is None
    assert upgraded.read(lambda tx: tx.datasets.find(tags=["a"])) == [version]
    assert upgraded.read(lambda tx: tx.datasets.head(project="occupancy", name="sensors")) == old.child
    assert upgraded.read(lambda tx: tx.datasets.children([old.final])) == [old.child]
    assert upgraded.read(lambda tx: tx.datasets.children([old.child, old.empty])) == [old.child, old.draft]
    assert len(upgraded.read(lambda tx: tx.datasets.find())) == 5


def test_blobs_lie_where_they_lay(upgraded: Store) -> None:
    wanted = [raw(digest(number)) for number in range(_FILES * 2)]
    places = upgraded.read(lambda tx: tx.blobs.places(wanted))
    assert len(places) == len(wanted)
    assert places[wanted[9]] == BlobPlace("default", f"blake3/00/{9:062x}", 0, 0, 9)
    assert places[wanted[2]] == BlobPlace("default", f"blake3/00/{1:062x}", 0, 1, 2)
    objects, size_bytes = upgraded.read(lambda tx: tx.blobs.usage())["default"]
    assert objects == _FILES * 2 - 1
    assert size_bytes == sum(range(_FILES * 2)) - 2 + 2
    assert upgraded.read(lambda tx: tx.blobs.in_object(2)) == [PlacedAt(wanted[1], 0, 1), PlacedAt(wanted[2], 1, 2)]


def test_nothing_old_stays(old: _Old, upgraded: Store) -> None:
    upgraded.write(lambda tx: tx.tasks.add(a_task()))
    url = make_url(old.url)
    engine = create_engine(url.set(drivername="postgresql+psycopg") if url.get_backend_name() != "sqlite" else url)
    assert not [name for name in inspect(engine).get_table_names() if "old" in name or name == "manifest_entries"]
    engine.dispose()
