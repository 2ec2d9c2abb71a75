"""A graph of descent as a drawing that stands for itself: light and dark, texts as tooltips, nothing loaded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orchestrator.sdk.lineage.layout import laid_out
from orchestrator.sdk.lineage.text import SMALL, TAG, TITLE, cut, escaped, files_text, length_of, size_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from orchestrator.sdk.lineage.layout import Layout, Place

    Node = Mapping[str, Any]

_MARGIN = 28.0
_NARROWEST, _WIDEST = 148.0, 268.0
_GAP_ACROSS, _GAP_DOWN = 26.0, 46.0
_TRUNK = 22.0
_MOST_ACROSS = 8
_PADDING, _STRIPE = 14.0, 4.0
_CARD, _TAG_ROW = 50.0, 22.0
_STACK_HEAD, _DOT, _DOTS_A_ROW = 46.0, 14.0, 12
_FOLDED = 4
"""So many plain versions in a row become one card."""
_MANY = 40
"""From so many versions on tagged ones are folded, too; their dots are filled."""
_COLOURS = 8

_STYLE = """
.lineage { color-scheme: light dark; font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue",
  "DejaVu Sans", sans-serif; }
.lineage .ground { fill: #ffffff; }
.lineage .edge { fill: none; stroke: #b4bcc8; stroke-width: 1.6; stroke-linecap: round; }
.lineage .edge.lead { stroke: #3b6fe0; stroke-width: 2.2; }
.lineage .card { fill: #ffffff; stroke: #d3d9e2; stroke-width: 1; }
.lineage .back { fill: #f4f6f9; stroke: #d3d9e2; stroke-width: 1; }
.lineage .focus .card { fill: #eef4ff; stroke: #3b6fe0; stroke-width: 2; }
.lineage .halo { fill: none; stroke: #3b6fe0; stroke-opacity: 0.16; stroke-width: 7; }
.lineage .deleted .card { fill: none; stroke: #a3adba; stroke-dasharray: 5 4; }
.lineage .open .card { stroke: #c99a2e; stroke-dasharray: 2 3; }
.lineage .title { fill: #1b2430; font-size: 13px; font-weight: 600; }
.lineage .deleted .title { fill: #7d8896; text-decoration: line-through; }
.lineage .small { fill: #667284; font-size: 11px; }
.lineage .state { fill: #667284; font-size: 10px; font-weight: 600; }
.lineage .published .state { fill: #17803d; }
.lineage .open .state { fill: #946a0b; }
.lineage .tag { fill: #eaeef4; }
.lineage .tag-text { fill: #3d4957; font-size: 10px; }
.lineage .focus .tag { fill: #d9e5fd; }
.lineage .dot { fill: #c3cad5; }
.lineage .dot.tagged { fill: #3b6fe0; }
.lineage .dot.gone { fill: none; stroke: #a3adba; stroke-dasharray: 2 1.5; }
.lineage .c0 { fill: #3b6fe0; } .lineage .c1 { fill: #d9730d; } .lineage .c2 { fill: #17935c; }
.lineage .c3 { fill: #8b5cd6; } .lineage .c4 { fill: #c93b76; } .lineage .c5 { fill: #0e8f9e; }
.lineage .c6 { fill: #94811a; } .lineage .c7 { fill: #6b7785; }
@media (prefers-color-scheme: dark) {
.lineage .ground { fill: #12161c; }
.lineage .edge { stroke: #465160; }
.lineage .edge.lead { stroke: #6d9bff; }
.lineage .card { fill: #1b212a; stroke: #343d4a; }
.lineage .back { fill: #161b22; stroke: #343d4a; }
.lineage .focus .card { fill: #1a2740; stroke: #6d9bff; }
.lineage .halo { stroke: #6d9bff; stroke-opacity: 0.2; }
.lineage .deleted .card { stroke: #5b6675; }
.lineage .open .card { stroke: #b08a35; }
.lineage .title { fill: #e8edf4; }
.lineage .deleted .title { fill: #8793a3; }
.lineage .small, .lineage .state { fill: #97a3b4; }
.lineage .published .state { fill: #4cc27c; }
.lineage .open .state { fill: #dcb455; }
.lineage .tag { fill: #2a323e; }
.lineage .tag-text { fill: #c6d0dd; }
.lineage .focus .tag { fill: #26395f; }
.lineage .dot { fill: #4a5565; }
.lineage .dot.tagged { fill: #6d9bff; }
.lineage .dot.gone { stroke: #5b6675; }
.lineage .c0 { fill: #6d9bff; } .lineage .c1 { fill: #f09a4a; } .lineage .c2 { fill: #45c08a; }
.lineage .c3 { fill: #b08cf0; } .lineage .c4 { fill: #ee79a8; } .lineage .c5 { fill: #45c1cf; }
.lineage .c6 { fill: #cdb945; } .lineage .c7 { fill: #98a4b3; }
}
"""


def drawing(nodes: Sequence[Node], edges: Sequence[tuple[str, str]], *, focus: str | None) -> str:
    """Return an SVG document.

    Args:
        nodes: versions, parents before children, as `GET /datasets/{id}/lineage` tells of them.
        edges: ids of parent and child.
        focus: id of the version that stands out.
    """
    cards = _folded(nodes, edges, focus=focus)
    card_of = {node["id"]: card for card in cards for node in card.nodes}
    joined = dict.fromkeys((card_of[parent].key, card_of[child].key) for parent, child in edges)
    links = [(parent, child) for parent, child in joined if parent != child]
    width = _width(cards)
    layout = laid_out(
        [card.key for card in cards],
        links,
        widths=dict.fromkeys((card.key for card in cards), width + _GAP_ACROSS),
        trunk_width=_TRUNK,
        most_in_layer=_MOST_ACROSS,
    )
    painter = _Painter(cards, width=width, focus=None if focus is None else card_of[focus].key)
    return painter.paint(layout, links)


@dataclass(frozen=True, kw_only=True)
class _Card:
    """What is drawn as one: a version, or a run of them."""

    nodes: tuple[Node, ...]

    @property
    def key(self) -> str:
        return str(self.nodes[0]["id"])

    @property
    def is_stack(self) -> bool:
        return len(self.nodes) > 1

    @property
    def height(self) -> float:
        if self.is_stack:
            return _STACK_HEAD + _DOT * -(-len(self.nodes) // _DOTS_A_ROW) + 8
        return _CARD + (_TAG_ROW if self.nodes[0]["tags"] else 0)

    @property
    def title(self) -> str:
        first, last = self.nodes[0], self.nodes[-1]
        return f"{first['name']}@{first['version']}" + (f" … {last['version']}" if self.is_stack else "")


def _folded(nodes: Sequence[Node], edges: Sequence[tuple[str, str]], *, focus: str | None) -> list[_Card]:
    """Return the cards, parents before children: runs of versions about which there is little to say are one."""
    parents: dict[str, list[str]] = {node["id"]: [] for node in nodes}
    children: dict[str, list[str]] = {node["id"]: [] for node in nodes}
    for parent, child in edges:
        parents[child].append(parent)
        children[parent].append(child)
    near = {focus, *parents.get(focus or "", ()), *children.get(focus or "", ())}

    def is_plain(node: Node) -> bool:
        key = node["id"]
        alone = len(parents[key]) == 1 and len(children[key]) == 1
        return alone and key not in near and not (node["tags"] and len(nodes) < _MANY)

    runs: dict[str, list[Node]] = {}
    for node in nodes:
        run = runs.get(parents[node["id"]][0]) if is_plain(node) else None
        if run is None or (run[0]["project"], run[0]["name"]) != (node["project"], node["name"]):
            run = []
        run.append(node)
        if is_plain(node):
            runs[node["id"]] = run
    cards = []
    for node in nodes:
        run = runs.get(node["id"], [node])
        if len(run) < _FOLDED:
            cards.append(_Card(nodes=(node,)))
        elif run[0] is node:
            cards.append(_Card(nodes=tuple(run)))
    return cards


class _Painter:
    """Writes the elements of one drawing."""

    def __init__(self, cards: Sequence[_Card], *, width: float, focus: str | None) -> None:
        self._cards = {card.key: card for card in cards}
        self._width = width
        self._focus = focus
        names = dict.fromkeys((card.nodes[0]["project"], card.nodes[0]["name"]) for card in cards)
        self._colours = {name: number % _COLOURS for number, name in enumerate(names)}
        self._tops: list[float] = []
        self._bottoms: list[float] = []

    def paint(self, layout: Layout, links: Sequence[tuple[str, str]]) -> str:
        legend, legend_width, top = self._legend()
        for layer in layout.layers:
            height = max((self._height(place) for place in layer), default=0.0)
            self._tops.append(top)
            self._bottoms.append(top + height)
            top += height + _GAP_DOWN
        bottom = (self._bottoms[-1] if self._bottoms else top) + _MARGIN
        places = layout.versions()
        right = max((place.x + place.width / 2 for layer in layout.layers for place in layer), default=0.0)
        width = max(right - _GAP_ACROSS + 2 * _MARGIN, legend_width + 2 * _MARGIN)
        shift = (width - right) / 2
        size = f"{width:.0f} {bottom:.0f}"
        box = f'width="{width:.0f}" height="{bottom:.0f}"'
        count = sum(len(card.nodes) for card in self._cards.values())
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" class="lineage" role="img" {box} viewBox="0 0 {size}">',
            f"<title>Descent of {count} dataset {'version' if count == 1 else 'versions'}</title>",
            f"<style>{_STYLE}</style>",
            f'<rect class="ground" {box}/>',
            *legend,
            f'<g transform="translate({shift:.1f} 0)">',
            *self._edges(layout, links),
            *(line for key, place in places.items() for line in self._card(self._cards[key], place)),
            "</g>",
            "</svg>",
        ]
        return "\n".join(parts) + "\n"

    def _height(self, place: Place) -> float:
        return 0.0 if place.is_trunk else self._cards[place.key].height

    def _legend(self) -> tuple[list[str], float, float]:
        """Return what says which colour is which dataset, its width, and where the drawing begins below it."""
        if len(self._colours) < 2:  # noqa: PLR2004  one colour needs no explanation
            return [], 0.0, _MARGIN
        parts, x, y, widest = [], _MARGIN, _MARGIN, 0.0
        for (project, name), colour in self._colours.items():
            label = cut(f"{project}/{name}", width=360, size=SMALL)
            needed = 18 + length_of(label, size=SMALL)
            if x > _MARGIN and x + needed > 900:  # noqa: PLR2004  a line of some 150 characters
                x, y = _MARGIN, y + 20
            parts.append(f'<circle class="c{colour}" cx="{x + 5:.1f}" cy="{y - 4:.1f}" r="4.5"/>')
            parts.append(f'<text class="small" x="{x + 15:.1f}" y="{y:.1f}">{escaped(label)}</text>')
            x += needed + 16
            widest = max(widest, x - 16 - _MARGIN)
        return parts, widest, y + 24

    def _edges(self, layout: Layout, links: Sequence[tuple[str, str]]) -> Iterator[str]:
        leading = {(parent, child) for parent, child in links if self._focus in {parent, child}}
        drawn: list[tuple[bool, str]] = []
        for layer in layout.layers:
            for place in layer:
                for lower in place.below:
                    targets = {lower.key} if not lower.is_trunk else _reached(lower)
                    lead = any((place.key, target) in leading for target in targets)
                    drawn.append((lead, self._edge(place, lower)))
        yield from (
            f'<path class="edge{" lead" if lead else ""}" d="{path}"/>'
            for lead, path in sorted(drawn, key=lambda one: one[0])
        )

    def _edge(self, upper: Place, lower: Place) -> str:
        top, bottom = self._bottoms[upper.layer], self._tops[lower.layer]
        start = top if upper.is_trunk else self._tops[upper.layer] + self._height(upper)
        middle = (top + bottom) / 2
        path = f"M{upper.x:.1f} {start:.1f}V{top:.1f}" if start < top else f"M{upper.x:.1f} {top:.1f}"
        if abs(upper.x - lower.x) < 0.5:  # noqa: PLR2004  half a pixel
            path += f"V{bottom:.1f}"
        else:
            path += f"C{upper.x:.1f} {middle:.1f} {lower.x:.1f} {middle:.1f} {lower.x:.1f} {bottom:.1f}"
        if lower.is_trunk:
            path += f"V{self._bottoms[lower.layer]:.1f}"
        return path

    def _card(self, card: _Card, place: Place) -> Iterator[str]:
        node = card.nodes[0]
        x, y = place.x - self._width / 2, self._tops[place.layer]
        box = f'width="{self._width:.1f}" height="{card.height:.1f}" rx="8"'
        colour = self._colours[node["project"], node["name"]]
        classes = " ".join(self._classes(card))
        yield f'<g class="{classes}" transform="translate({x:.1f} {y:.1f})">'
        yield f"<title>{escaped(_tooltip(card))}</title>"
        if card.key == self._focus:
            yield f'<rect class="halo" {box}/>'
        if card.is_stack:
            yield f'<rect class="back" x="6" y="6" {box}/>'
            yield f'<rect class="back" x="3" y="3" {box}/>'
        yield f'<rect class="card" {box}/>'
        stripe = card.height - 16
        yield f'<rect class="c{colour}" x="0" y="8" width="{_STRIPE}" height="{stripe:.1f}" rx="2"/>'
        inner = self._width - 2 * _PADDING
        state = _state(card)
        taken = length_of(state, size=TAG) + 10 if state else 0.0
        yield f'<text class="title" x="{_PADDING}" y="22">{escaped(_title(card, width=inner))}</text>'
        yield f'<text class="small" x="{_PADDING}" y="39">{escaped(cut(_facts(card), width=inner - taken))}</text>'
        if state:
            yield f'<text class="state" x="{self._width - _PADDING:.1f}" y="39" text-anchor="end">{state}</text>'
        yield from _dots(card) if card.is_stack else _tags(node["tags"], width=inner)
        yield "</g>"

    def _classes(self, card: _Card) -> Iterator[str]:
        yield "version"
        if card.key == self._focus:
            yield "focus"
        if not card.is_stack:
            node = card.nodes[0]
            yield "deleted" if node["deleted"] else str(node["state"])


def _reached(trunk: Place) -> set[str]:
    found: set[str] = set()
    while True:
        found |= {each.key for each in trunk.below if not each.is_trunk}
        further = [each for each in trunk.below if each.is_trunk]
        if not further:
            return found
        trunk = further[0]


def _dots(card: _Card) -> Iterator[str]:
    rows = -(-len(card.nodes) // _DOTS_A_ROW)
    across = -(-len(card.nodes) // rows)
    for number, node in enumerate(card.nodes):
        x = _PADDING + 4 + _DOT * (number % across)
        y = _STACK_HEAD + 7 + _DOT * (number // across)
        kind = " gone" if node["deleted"] else " tagged" if node["tags"] else ""
        title = escaped(_tooltip(_Card(nodes=(node,))))
        yield f'<circle class="dot{kind}" cx="{x:.1f}" cy="{y:.1f}" r="4"><title>{title}</title></circle>'


def _tags(tags: Sequence[str], *, width: float) -> Iterator[str]:
    x = _PADDING
    end = _PADDING + width
    for number, tag in enumerate(tags):
        left = len(tags) - number - 1
        rest = f"+{left}" if left else ""
        room = end - x - (length_of(rest, size=TAG) + 6 if rest else 0)
        label = tag if length_of(tag, size=TAG) + 12 <= room else ""
        if not label and not number:
            label = cut(tag, width=room - 12, size=TAG)
        if not label:
            yield f'<text class="tag-text" x="{x:.1f}" y="59">+{left + 1}</text>'
            return
        length = length_of(label, size=TAG) + 12
        yield f'<rect class="tag" x="{x:.1f}" y="48" width="{length:.1f}" height="16" rx="8"/>'
        middle = x + length / 2
        yield f'<text class="tag-text" x="{middle:.1f}" y="59.5" text-anchor="middle">{escaped(label)}</text>'
        x += length + 5


def _width(cards: Sequence[_Card]) -> float:
    """Return how wide all cards are: as the longest title needs, within bounds."""
    needed = [length_of(card.title, size=TITLE, bold=True) for card in cards]
    needed += [length_of(f"{_facts(card)}  {_state(card)}", size=SMALL) + 8 for card in cards]
    needed += [_DOT * min(len(card.nodes), _DOTS_A_ROW) for card in cards if card.is_stack]
    return min(_WIDEST, max([_NARROWEST - 2 * _PADDING, *needed]) + 2 * _PADDING)


def _title(card: _Card, *, width: float) -> str:
    """Return the title; where it is too long the name is cut and the version stays."""
    if length_of(card.title, size=TITLE, bold=True) <= width:
        return card.title
    name, _, version = card.title.rpartition("@")
    room = width - length_of(f"@{version}", size=TITLE, bold=True)
    return f"{cut(name, width=room, size=TITLE, bold=True)}@{version}"


def _facts(card: _Card) -> str:
    if card.is_stack:
        return f"{len(card.nodes)} versions"
    node = card.nodes[0]
    return f"{files_text(node['file_count'])} · {size_text(node['size_bytes'])}"


def _state(card: _Card) -> str:
    node = card.nodes[0]
    if card.is_stack:
        return ""
    if node["deleted"]:
        return "deleted"
    return {"open": "draft", "published": "published"}.get(str(node["state"]), "")


def _tooltip(card: _Card) -> str:
    node = card.nodes[0]
    if card.is_stack:
        lines = [f"{len(card.nodes)} versions of {node['project']}/{node['name']}"]
        shown = card.nodes if len(card.nodes) <= 2 * _DOTS_A_ROW else (*card.nodes[:12], None, *card.nodes[-3:])
        lines += ["…" if one is None else f"{one['version']}  {', '.join(one['tags'])}".rstrip() for one in shown]
        return "\n".join(lines)
    lines = [f"{node['project']}/{node['name']}@{node['version']}", _facts(card)]
    lines += [f"tags: {', '.join(node['tags'])}"] if node["tags"] else []
    lines += [_state(card)] if _state(card) else []
    return "\n".join([*lines, str(node["id"])])
