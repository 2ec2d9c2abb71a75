"""The SDK as a directory that every attempt finds last on its `sys.path`, made once for each state of its files."""

from __future__ import annotations

import compileall
import logging
import os
import py_compile
import secrets
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from blake3 import blake3

import orchestrator
import triggers

if TYPE_CHECKING:
    from collections.abc import Iterator

logger = logging.getLogger(__name__)

_PARTS = (
    (
        orchestrator,
        ("__init__.py", "errors.py", "settings.py", "wire", "py.typed", "holes.py", "records", "blobs", "sdk"),
    ),
    (triggers, (".",)),
)
"""What a script needs of our packages. `agent` stays out: a user may well have an `agent.py` of his own."""


def sdk_directory(root: Path) -> Path:
    """Return a directory that holds `orchestrator` and `triggers` as a script imports them, made when missing.

    It is a copy of what is installed here, from a wheel or from a working tree, so it works where no index offers
    the distribution, and the attempt that began with one state of a working tree ends with it. It is compiled for
    the agent's own minor version of Python.

    Args:
        root: a folder for such directories; each is named after the digest of its files.

    Raises:
        OSError: it cannot be written.
    """
    files = dict(sorted(_files()))
    digest = blake3(str(sys.implementation.cache_tag).encode())
    for name, content in files.items():
        digest.update(f"\0{name}\0{len(content)}\0".encode())
        digest.update(content)
    directory = root.resolve() / digest.hexdigest(length=16)
    if not directory.is_dir():
        _make(directory, files=files)
    return directory


def _files() -> Iterator[tuple[str, bytes]]:
    for package, parts in _PARTS:
        home = Path(package.__path__[0])
        for part in parts:
            found = (home / part).rglob("*") if (home / part).is_dir() else (home / part,)
            for path in found:
                if path.is_file() and path.suffix != ".pyc":
                    yield str(path.relative_to(home.parent)), path.read_bytes()


def _make(directory: Path, *, files: dict[str, bytes]) -> None:
    directory.parent.mkdir(parents=True, exist_ok=True)
    temporary = directory.with_name(f".{directory.name}.{secrets.token_hex(4)}")
    try:
        for name, content in files.items():
            copy = temporary / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(content)
        # The content is named by the directory, so nobody needs to look whether a source is newer.
        mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
        compileall.compile_dir(temporary, quiet=2, invalidation_mode=mode, stripdir=temporary, prependdir=directory)
        temporary.rename(directory)
    except OSError:
        if not directory.is_dir():  # otherwise another process was faster, and its copy is as good
            raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    logger.info("SDK laid out", extra={"action": "sdk_laid_out", "path": os.fspath(directory)})
