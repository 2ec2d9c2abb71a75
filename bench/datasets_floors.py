# ruff: noqa: PTH103, PTH116, PTH118, PTH120, PTH123
# Plain functions of `os`: floors shall not pay for objects.
"""What the disk and the processor need at least, as plain as possible. Each function is timed whole."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

from blake3 import blake3

if TYPE_CHECKING:
    from pathlib import Path

_PART_BYTES = 1 << 20


def walk_and_stat(source: Path) -> list[str]:
    """Walk a tree and stat every file; return their paths."""
    found = []
    for folder, _, names in os.walk(source):
        for name in names:
            path = os.path.join(folder, name)
            os.stat(path)
            found.append(path)
    return found


def write_one_to_one(source: Path, target: Path, *, names: list[str]) -> None:
    """Read, hash and write each byte once, each file into one of its own."""
    for folder in {os.path.dirname(name) for name in names}:
        os.makedirs(os.path.join(target, folder), exist_ok=True)
    for name in names:
        hasher = blake3()
        with (
            open(os.path.join(source, name), "rb", buffering=0) as read,
            open(os.path.join(target, name), "wb", buffering=0) as written,
        ):
            while part := read.read(_PART_BYTES):
                hasher.update(part)
                written.write(part)
        hasher.digest()


def write_into_one(source: Path, target: Path, *, names: list[str]) -> None:
    """Read, hash and write each byte once, all files into a single one."""
    with open(target, "wb", buffering=0) as written:
        for name in names:
            hasher = blake3()
            with open(os.path.join(source, name), "rb", buffering=0) as read:
                while part := read.read(_PART_BYTES):
                    hasher.update(part)
                    written.write(part)
            hasher.digest()


def make_links(store: Path, target: Path, *, names: list[str]) -> None:
    """Make a tree of hard links to files that lie flat in a store under their number."""
    for folder in {os.path.dirname(name) for name in names}:
        os.makedirs(os.path.join(target, folder), exist_ok=True)
    for number, name in enumerate(names):
        os.link(os.path.join(store, str(number)), os.path.join(target, name))


def copy_tree(source: Path, target: Path) -> None:
    """Copy with `cp -r`."""
    subprocess.run(["cp", "-r", source, target], check=True)
