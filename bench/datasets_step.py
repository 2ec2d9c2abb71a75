"""One step of `bench/datasets.py`: does it in this process, which is new, and prints what it took as a line of JSON.

    python bench/datasets_step.py NAME '{"argument": …}'

Steps of retrain are what a script would do after `import orchestrator`, through nothing but the public `Dataset`.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from datasets_clock import PROJECT, timed
from datasets_figures import Pace

if TYPE_CHECKING:
    from collections.abc import Callable

    from datasets_clock import Timed

    from orchestrator import Dataset


def walk(*, source: str) -> Timed:
    """Floor: walk and stat."""
    import datasets_floors as floors  # noqa: PLC0415  steps of retrain shall not find its imports done

    with timed(source) as clock:
        floors.walk_and_stat(Path(source))
    return clock


def write_one_to_one(*, source: str, target: str) -> Timed:
    """Floor: read, hash, write, each file into one."""
    import datasets_floors as floors  # noqa: PLC0415  likewise

    names = _names(source)
    with timed(source) as clock:
        floors.write_one_to_one(Path(source), Path(target), names=names)
    return clock


def write_into_one(*, source: str, target: str) -> Timed:
    """Floor: read, hash, write, all into one."""
    import datasets_floors as floors  # noqa: PLC0415  likewise

    names = _names(source)
    with timed(source) as clock:
        floors.write_into_one(Path(source), Path(target), names=names)
    return clock


def make_links(*, source: str, store: str, target: str) -> Timed:
    """Floor: make the links."""
    import datasets_floors as floors  # noqa: PLC0415  likewise

    names = _names(source)
    with timed(store) as clock:
        floors.make_links(Path(store), Path(target), names=names)
    return clock


def copy_tree(*, source: str, target: str) -> Timed:
    """Floor: `cp -r`."""
    import datasets_floors as floors  # noqa: PLC0415  likewise

    with timed(source) as clock:
        floors.copy_tree(Path(source), Path(target))
    return clock


def first(*, name: str, source: str) -> Timed:
    """Store the first version."""
    from orchestrator import Dataset  # noqa: PLC0415  floors shall not pay for it

    with timed(source) as clock:
        dataset = Dataset.create(name, PROJECT)
        clock.lap("create")
        dataset.add_files(source, progress=Pace(f"{name}, adding"))
        clock.lap("add_files")
        dataset.finalize(auto_upload=True, progress=Pace(f"{name}, sending"))
        clock.lap("finalize")
    return clock


def following(*, name: str, source: str) -> Timed:
    """Store the next version."""
    from orchestrator import Dataset  # noqa: PLC0415  likewise

    with timed(source) as clock:
        dataset = Dataset.get(dataset_project=PROJECT, dataset_name=name, writable_copy=True)
        clock.lap("get")
        counted = dataset.sync_folder(source, progress=Pace(f"{name}, comparing"))
        clock.lap("sync_folder")
        dataset.finalize(auto_upload=True, progress=Pace(f"{name}, sending"))
        clock.lap("finalize")
    assert counted == (0, 0, 10), f"removed, added, modified: {counted}"
    return clock


def local_copy(*, name: str, source: str) -> Timed:
    """Make a local copy of the newest version."""
    from orchestrator import Dataset  # noqa: PLC0415  likewise

    with timed(source) as clock:
        dataset = Dataset.get(dataset_project=PROJECT, dataset_name=name)
        clock.lap("get")
        copy = dataset.get_local_copy(progress=Pace(f"{name}, fetching"))
        clock.lap("get_local_copy")
    assert _names(source) == _names(str(copy)), "the copy has other files than the source"
    return clock


def entry(*, name: str, paths: list[str], folder: str) -> Timed:
    """Look up the entries of single files: by the server, and from the parts of the manifest that the SDK reads."""
    from orchestrator import Dataset  # noqa: PLC0415  likewise
    from orchestrator.records.manifest import Manifest  # noqa: PLC0415  likewise
    from orchestrator.sdk.datasets.version_files import VersionFiles  # noqa: PLC0415  likewise
    from orchestrator.sdk.session import session  # noqa: PLC0415  likewise

    version = Dataset.get(dataset_project=PROJECT, dataset_name=name).id
    client = session.client()
    with timed(folder) as clock:
        asked = []
        for path in paths:
            begun = time.perf_counter()
            assert client.get(f"/datasets/{version}/entry?{urlencode({'path': path})}")["path"] == path
            asked.append(time.perf_counter() - begun)
        list_bytes = client.get_bytes(f"/datasets/{version}/manifest")
        manifest, read = Manifest.decode(list_bytes), []
        files = VersionFiles(client, version)
        for path in paths:

            def load(digests: Any) -> list[bytes]:  # noqa: ANN401  digests, however many
                blocks = list(files.load(digests))
                read.append(sum(map(len, blocks)))
                return blocks

            found = manifest.entry(path, load=load)
            assert found is not None
            assert found.path == path
    clock.details = {
        "first lookup ms": asked[0] * 1000,
        "lookup ms": statistics.median(asked) * 1000,
        "list bytes": len(list_bytes),
        "block bytes": statistics.median(read),
        "most block bytes": max(read),
    }
    return clock


def entry_of_list(*, list_file: str, paths: list[str]) -> Timed:
    """Look up the entries of single files as a list in JSON allows it: read it whole."""
    took = []
    with timed(list_file) as clock:
        for path in paths[:3]:
            begun = time.perf_counter()
            listed = json.loads(Path(list_file).read_bytes())
            assert any(each["relpath"] == path for each in listed)
            took.append(time.perf_counter() - begun)
    clock.details = {"lookup ms": statistics.median(took) * 1000, "bytes read": Path(list_file).stat().st_size}
    return clock


def grow(*, name: str, source: str, changed: str, versions: int) -> Timed:
    """Make a chain of versions, each with one file of its parent's changed and one added."""
    from orchestrator import Dataset  # noqa: PLC0415  likewise

    took: list[float] = []
    pace = Pace(f"{name}, versions")
    size_bytes = 0
    with timed(source) as clock:
        dataset = Dataset.create(name, PROJECT)
        dataset.add_files(source)
        dataset.finalize(auto_upload=True)
        for number in range(2, versions + 1):
            begun = time.perf_counter()
            content = f"version {number}\n".encode()
            Path(changed, "changed.txt").write_bytes(content)
            Path(changed, f"added-{number:05}.txt").write_bytes(content)
            dataset = Dataset.get(dataset_project=PROJECT, dataset_name=name, writable_copy=True)
            dataset.add_files(Path(changed, "changed.txt"), dataset_path="chain")
            dataset.add_files(Path(changed, f"added-{number:05}.txt"), dataset_path="chain")
            dataset.finalize(auto_upload=True)
            took.append(time.perf_counter() - begun)
            size_bytes += 2 * len(content)
            pace(size_bytes, 0, number)
    some = max(1, len(took) // 10)
    clock.details = {
        "first tenth ms a version": statistics.median(took[:some]) * 1000,
        "last tenth ms a version": statistics.median(took[-some:]) * 1000,
    }
    return clock


def open_version(*, name: str, number: int, folder: str, file: str) -> Timed:
    """Open a version as one would who sees it the first time: list a folder, fetch a file."""
    from orchestrator import Dataset  # noqa: PLC0415  likewise

    with timed(folder) as clock:
        dataset = _numbered(Dataset, name, number)
        clock.lap("get")
        listed = dataset.list_files(str(Path(file).parent))
        clock.lap("list a folder")
        copy = dataset.get_local_copy(files=file)
        clock.lap("copy one file")
    assert file in listed
    assert (copy / file).stat().st_size
    return clock


def _numbered(datasets: type[Dataset], name: str, number: int) -> Dataset:
    return datasets.get(dataset_project=PROJECT, dataset_name=name, dataset_version=f"1.0.{number - 1}")


def _names(root: str) -> list[str]:
    """Return the files of a tree, relative to it, sorted."""
    base = len(root.rstrip("/")) + 1
    return sorted(f"{folder}/{name}"[base:] for folder, _, names in os.walk(root) for name in names)


STEPS: dict[str, Callable[..., Timed]] = {
    step.__name__: step
    for step in (
        walk,
        write_one_to_one,
        write_into_one,
        make_links,
        copy_tree,
        first,
        following,
        local_copy,
        entry,
        entry_of_list,
        grow,
        open_version,
    )
}


if __name__ == "__main__":
    print(json.dumps(STEPS[sys.argv[1]](**json.loads(sys.argv[2])).answer()))
