"""What was started, said relative to the source tree."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any


def capture_script(root: Path) -> dict[str, Any] | None:
    """Return the running script in the shape of `orchestrator.records.source.Script`.

    Args:
        root: top of the captured source tree.

    Returns:
        Entry point, working directory and arguments; None in a notebook, at a prompt, for `-c`, and for programs that
        do not lie in the tree: there is no file that could be started again.
    """
    main = sys.modules["__main__"]
    file = getattr(main, "__file__", None)
    if file is None or not Path(file).is_file():  # `<stdin>` is the name of no file
        return None
    path, top = Path(file).absolute(), root.resolve()
    inside = _inside(path, top)
    if inside is None or _is_installed(path.resolve(), top):
        return None
    name = _module_name(main)
    directory = _inside(Path.cwd(), top)
    if directory is None:
        # A module is found from where its package lies; a script finds its own folder wherever it is started.
        levels = name.count(".") + (path.name == "__main__.py") if name else 0
        directory = inside.parents[levels] if name else Path()
    return {
        "entry_point": f"-m {name}" if name else inside.as_posix(),
        "working_directory": directory.as_posix(),
        "arguments": sys.argv[1:],
    }


def _inside(path: Path, root: Path) -> Path | None:
    """Return a path relative to the root, with links on the way there followed but the last name kept."""
    real = path.parent.resolve() / path.name
    for candidate in (real, path.resolve()):
        if candidate.is_relative_to(root):
            return candidate.relative_to(root)
    return None


def _is_installed(path: Path, root: Path) -> bool:
    """Tell whether a file belongs to an environment that lies in the tree, such as a launcher in `.venv/bin`."""
    prefix = Path(sys.prefix).resolve()
    return prefix.is_relative_to(root) and prefix != root and path.is_relative_to(prefix)


def _module_name(main: object) -> str | None:
    """Return the name behind `python -m`; None for a script, and for a folder that was started as one."""
    spec = getattr(main, "__spec__", None)
    if spec is None or spec.name == "__main__":
        return None
    name: str = spec.name
    return name.removesuffix(".__main__")
