"""The data for `bench/datasets.py`: random bytes, the same for the same seed."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from datasets_figures import MIB, Pace

if TYPE_CHECKING:
    from collections.abc import Callable

CHANGED = 10


class Sizes(NamedTuple):
    """How much of everything.

    Attributes:
        files: of 10 to 50 KiB.
        large_bytes: of the one large file.
        many: files of 1 KiB for retrain.
        many_of_peer: files of 1 KiB for DVC, whose figures are extrapolated to `many`.
        chain: versions, each the child of the one before.
    """

    files: int
    large_bytes: int
    many: int
    many_of_peer: int
    chain: int


FULL = Sizes(files=10_000, large_bytes=1024 * MIB, many=1_000_000, many_of_peer=100_000, chain=1000)
QUICK = Sizes(files=1000, large_bytes=64 * MIB, many=20_000, many_of_peer=5000, chain=50)


def make_mixed(root: Path, *, sizes: Sizes) -> None:
    """Make the small files, in 100 folders, and the large one."""
    source = random.Random(1)  # noqa: S311  bytes that do not compress, no secrets
    _make_small(root, count=sizes.files, folders=100, size=lambda: source.randint(10 * 1024, 50 * 1024), source=source)
    with (root / "large.bin").open("wb") as file:
        for _ in range(sizes.large_bytes // MIB):
            file.write(source.randbytes(MIB))


def make_many(root: Path, *, count: int) -> None:
    """Make files of 1 KiB, a thousand in each folder."""
    source = random.Random(2)  # noqa: S311  likewise
    _make_small(root, count=count, folders=max(1, count // 1000), size=lambda: 1024, source=source)


def change(root: Path, *, seed: int) -> list[Path]:
    """Overwrite ten of the small files with other bytes, of other sizes, and return them."""
    source = random.Random(seed)  # noqa: S311  likewise
    folders = sorted(path for path in root.iterdir() if path.is_dir())
    changed: list[Path] = []
    while len(changed) < CHANGED:
        folder = source.choice(folders)
        file = source.choice(sorted(folder.iterdir()))
        if file not in changed:
            file.write_bytes(source.randbytes(file.stat().st_size + 1))
            changed.append(file)
    return changed


def tree_size(root: Path) -> tuple[int, int]:
    """Return how many files and bytes are below a folder."""
    files = size_bytes = 0
    for folder, _, names in os.walk(root):
        files += len(names)
        size_bytes += sum(Path(folder, name).stat().st_size for name in names)
    return files, size_bytes


def _make_small(root: Path, *, count: int, folders: int, size: Callable[[], int], source: random.Random) -> None:
    pace, done = Pace(f"making {count:,} files"), 0
    for index in range(count):
        folder = root / f"{index % folders:04}"
        if index < folders:
            folder.mkdir(parents=True)
        content = source.randbytes(size())
        (folder / f"{index:07}.bin").write_bytes(content)
        done += len(content)
        pace(done, 0, index + 1)
