"""Dataset versions: time, memory and manifests, beside DVC and beside what the disk itself needs, all in one run.

    python bench/datasets.py [--quick] [--dir DIR] [--only first,next,…] [--rounds 3] [--without-dvc] [--caches both]

DVC is installed from the package index into a virtual environment below the directory. Everything stands on one disk:
data, stores, caches, remotes. Each step runs in a process of its own; retrain's are timed after `import orchestrator`,
as in a script, DVC's are commands. Before each step everything is written back, and the kernel's caches are filled with
what the step reads (warm) or emptied (cold, which needs root). On ext4, delete no large trees in the five minutes
before: see `datasets_aside`.

first, next, copy, fetch are the steps of a version's life, `million` very many small files, `chain` many versions. What
runs shows its memory, too; `memory` runs the four steps once, without DVC and floors; `commands` runs them once as
commands, for information.
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from datasets_aside import Aside, Place
from datasets_dvc import install_dvc
from datasets_figures import say, show_verdicts
from datasets_many import run_chain, run_million
from datasets_processes import Caches, may_drop_caches
from datasets_rounds import STEPS, run_commands, run_rounds, verdicts
from datasets_trees import FULL, QUICK, make_mixed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from datasets_figures import Figures, Verdict

PARTS = (*STEPS, "million", "chain", "memory", "commands")


def main() -> None:
    """Measure and print."""
    options = _options()
    sizes = QUICK if options.quick else FULL
    all_figures: list[Figures] = []
    found: list[Verdict] = []
    with _place(options) as place:
        wanted = set(options.only) & set(STEPS)
        source = place.root / "source"
        if not source.exists() and set(options.only) - {"million", "chain"}:
            make_mixed(source, sizes=sizes)
        for caches in _modes(options.caches) if wanted else ():
            figures = run_rounds(place, source=source, rounds=options.rounds, wanted=wanted, caches=caches)
            all_figures.append(figures)
            found += verdicts(figures) + figures.memory_verdicts()
        if "memory" in options.only and wanted != set(STEPS):
            figures = run_rounds(place, source=source, rounds=1, wanted=set(STEPS), peer=False, floors=False)
            all_figures.append(figures)
            found += figures.memory_verdicts()
        for part, run in (
            ("commands", partial(run_commands, source=source)),
            ("million", partial(run_million, count=sizes.many, count_of_peer=sizes.many_of_peer)),
            ("chain", partial(run_chain, versions=sizes.chain)),
        ):
            if part in options.only:
                figures, further = run(place)
                all_figures.append(figures)
                found += further
        for figures in all_figures:
            figures.show()
        show_verdicts(found)  # in here: deleting what was put aside takes long


def _modes(asked: str) -> list[Caches]:
    modes: list[Caches] = [mode for mode in get_args(Caches) if asked in {mode, "both"}]
    if "cold" in modes and not may_drop_caches():
        say("only root may empty the kernel's caches: warm ones alone")
        return ["warm"]
    return modes


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small sizes, for trying; the goals are for the full ones")
    parser.add_argument("--dir", type=Path, help="where; kept afterwards: data and DVC serve again. Else temporary")
    parser.add_argument("--only", type=_parts, default=list(PARTS), metavar=",".join(PARTS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--without-dvc", action="store_true")
    parser.add_argument("--caches", choices=["warm", "cold", "both"], default="both")
    return parser.parse_args()


def _parts(text: str) -> list[str]:
    parts = text.split(",")
    if unknown := set(parts) - set(PARTS):
        raise argparse.ArgumentTypeError(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    return parts


@contextlib.contextmanager
def _place(options: argparse.Namespace) -> Iterator[Place]:
    with contextlib.ExitStack() as stack:
        root = options.dir
        if root is None:
            root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="retrain-datasets-")))
        root = root.absolute()
        root.mkdir(parents=True, exist_ok=True)
        aside = Aside(root / "aside")
        stack.callback(aside.delete)
        programs = None if options.without_dvc else install_dvc(root / "dvc-environment")
        yield Place(root, aside, programs)


if __name__ == "__main__":
    main()
