"""The graph of descent of dataset versions, for people: as SVG, as Mermaid, and as a tree for the terminal.

What goes in is what `GET /datasets/{id}/lineage` answers. The standard library alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchestrator.errors import InvalidRequest
from orchestrator.sdk.lineage.svg import drawing
from orchestrator.sdk.lineage.text import files_text, size_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    Lineage = Mapping[str, Any]
    Node = Mapping[str, Any]

_MERMAID = str.maketrans({letter: f"#{ord(letter)};" for letter in "#&<>\"'`\\|"})
_STATES = {"open": "draft", "published": "published"}


def as_svg(lineage: Lineage, focus: str | None = None) -> str:
    """Return a drawing, parents above children.

    Args:
        lineage: the answer of the server.
        focus: id of the version that stands out; None for none.

    Raises:
        InvalidRequest: the version is not in the graph.
    """
    return drawing(lineage["nodes"], _edges(lineage, focus), focus=focus)


def as_mermaid(lineage: Lineage, focus: str | None = None) -> str:
    """Return the graph as Mermaid text, as READMEs and wikis show it; arguments and errors are those of `as_svg`."""
    edges = _edges(lineage, focus)
    lines = ["flowchart TD"]
    for node in lineage["nodes"]:
        kind = "deleted" if node["deleted"] else "focus" if node["id"] == focus else _STATES.get(node["state"], "")
        lines.append(f'    v{node["id"]}["{_mermaid_label(node)}"]' + (f":::{kind}" if kind else ""))
        if node["deleted"] and node["id"] == focus:
            lines.append(f"    style v{focus} stroke:#3b6fe0,stroke-width:3px")
    lines += [f"    v{parent} --> v{child}" for parent, child in edges]
    lines.append("    classDef focus stroke:#3b6fe0,stroke-width:3px")
    lines.append("    classDef draft stroke-dasharray:2 3")
    lines.append("    classDef published stroke:#17803d")
    lines.append("    classDef deleted stroke-dasharray:6 4,opacity:0.6")
    return "\n".join(lines) + "\n"


def as_tree(lineage: Lineage, focus: str | None = None) -> Iterator[str]:
    """Yield lines for a terminal, the newest first, as `git log --graph` draws commits.

    `●` is a version, `◉` the one asked for, `◌` a draft, `○` one whose files are deleted. Arguments and errors are
    those of `as_svg`.
    """
    parents: dict[str, list[str]] = {node["id"]: [] for node in lineage["nodes"]}
    for parent, child in _edges(lineage, focus):
        parents[child].append(parent)
    lanes: list[str | None] = []
    ended = -1  # the lane that the row before closed with a version without parents
    for node in reversed(lineage["nodes"]):
        key = node["id"]
        mine = [at for at, awaited in enumerate(lanes) if awaited == key] or [_free(lanes)]
        column = mine[0]
        if column == ended:  # one below the other would look like child and parent
            yield _row(lanes, column, " ")
        lanes[column] = key
        for other in reversed(mine[1:]):  # children in several lanes: these end here
            lanes[other] = None
            yield _joint(lanes, column, other, corner="╯")
        yield f"{_row(lanes, column, _mark(node, focus=focus))}  {_tree_label(node, is_focus=key == focus)}"
        first = next(iter(parents[key]), None)
        lanes[column] = first
        ended = column if first is None else -1
        for parent in parents[key][1:]:
            known = lanes.index(parent) if parent in lanes else None
            target = _free(lanes, beside=column) if known is None else known
            lanes[target] = parent
            corner = "╮" if target > column else "╭"
            passing = "┤" if target > column else "├"
            yield _joint(lanes, column, target, corner=corner if known is None else passing)
        if first is not None and lanes.index(first) < column:  # awaited further left already
            lanes[column] = None
            yield _joint(lanes, lanes.index(first), column, corner="╯")
        while lanes and lanes[-1] is None:
            lanes.pop()


def _edges(lineage: Lineage, focus: str | None) -> list[tuple[str, str]]:
    """Return the edges; those to versions that the asker may not see are not drawn."""
    known = {node["id"] for node in lineage["nodes"]}
    if focus is not None and focus not in known:
        raise InvalidRequest(f"The version {focus} is not in this graph.", hint="Ask for the lineage of that version.")
    return [(parent, child) for parent, child in lineage["edges"] if parent in known and child in known]


def _mermaid_label(node: Node) -> str:
    title = f"{node['name']}@{node['version']}".translate(_MERMAID)
    lines = [f"<b>{title}</b>"]
    if node["tags"]:
        lines.append(", ".join(node["tags"]).translate(_MERMAID))
    lines.append(f"{files_text(node['file_count'])}, {size_text(node['size_bytes'])}")
    if node["deleted"]:
        lines.append("deleted")
    elif state := _STATES.get(node["state"]):
        lines.append(state)
    return "<br/>".join(lines)


def _mark(node: Node, *, focus: str | None) -> str:
    if node["id"] == focus:
        return "◉"
    if node["deleted"]:
        return "○"
    return "◌" if node["state"] == "open" else "●"


def _tree_label(node: Node, *, is_focus: bool) -> str:
    parts = [f"{node['name']}@{node['version']}"]
    if node["tags"]:
        parts.append(f"[{', '.join(node['tags'])}]")
    parts.append(f"{files_text(node['file_count'])}, {size_text(node['size_bytes'])}")
    state = "deleted" if node["deleted"] else _STATES.get(node["state"])
    parts += [f"({state})"] if state else []
    parts += ["<- this one"] if is_focus else []
    return "  ".join(parts)


def _free(lanes: list[str | None], *, beside: int = -1) -> int:
    """Return a lane that nothing runs in, right of another; make one where there is none."""
    for at in range(beside + 1, len(lanes)):
        if lanes[at] is None:
            return at
    lanes.append(None)
    return len(lanes) - 1


def _row(lanes: Sequence[str | None], column: int, mark: str) -> str:
    cells = ["│" if lane is not None else " " for lane in lanes]
    cells[column] = mark
    return " ".join(cells).rstrip()


def _joint(lanes: Sequence[str | None], column: int, target: int, *, corner: str) -> str:
    """Return the line between two rows in which a lane leaves a column for another, or comes to it."""
    left, right = sorted((column, target))
    text = []
    for at in range(max(len(lanes), right + 1)):
        lane = lanes[at] if at < len(lanes) else None
        if at == column:
            text.append("├" if column < target else "┤")
        elif at == target:
            text.append(corner)
        elif left < at < right:
            text.append("┼" if lane is not None else "─")
        else:
            text.append("│" if lane is not None else " ")
        text.append("─" if left <= at < right else " ")
    return "".join(text).rstrip()
