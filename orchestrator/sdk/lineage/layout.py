"""Where the versions of a graph of descent stand in a drawing: layers, their order, and how far to the side.

The method is that of Sugiyama, Tagawa and Toda (Methods for visual understanding of hierarchical system structures,
1981): longest-path layers, at most so wide; barycentres against crossings; then each layer is placed as near to its
neighbours as distances allow, which is a regression under an order (pool adjacent violators). What leads from one
version past other layers is one trunk, however many children hang on it.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_SWEEPS = 8
_STRAIGHT = 3.0
"""How much more a trunk pulls than a version does: bends in long lines are what eyes stumble over."""


@dataclass(kw_only=True)
class Place:
    """A version in the drawing, or a point at which a trunk passes a layer.

    Attributes:
        key: of the version; the key of the trunk's root where it passes.
        layer: counted from the top.
        width: of what is drawn there, with the distance to the next.
        is_trunk: whether it only passes.
        x: of its middle.
    """

    key: str
    layer: int
    width: float
    is_trunk: bool = False
    x: float = 0.0
    above: list[Place] = field(default_factory=list)
    below: list[Place] = field(default_factory=list)


@dataclass(kw_only=True)
class Layout:
    """All places, layer by layer, from left to right."""

    layers: list[list[Place]]

    def versions(self) -> dict[str, Place]:
        """Return the places of versions by their keys."""
        return {place.key: place for layer in self.layers for place in layer if not place.is_trunk}


def laid_out(
    keys: Sequence[str],
    edges: Iterable[tuple[str, str]],
    *,
    widths: Mapping[str, float],
    trunk_width: float,
    most_in_layer: int,
) -> Layout:
    """Return where versions stand.

    Args:
        keys: of the versions, parents before children.
        edges: parent and child; both are among the keys.
        widths: of each version, with the distance to the next.
        trunk_width: of a line that passes.
        most_in_layer: versions side by side.
    """
    parents: dict[str, list[str]] = {key: [] for key in keys}
    children: dict[str, list[str]] = {key: [] for key in keys}
    for parent, child in dict.fromkeys(edges):
        parents[child].append(parent)
        children[parent].append(child)
    depths = _depths(keys, parents=parents, children=children, most=most_in_layer)
    layers = _placed(keys, depths=depths, children=children, widths=widths, trunk_width=trunk_width)
    _untangle(layers)
    _spread(layers)
    return Layout(layers=layers)


def _depths(
    keys: Sequence[str], *, parents: Mapping[str, list[str]], children: Mapping[str, list[str]], most: int
) -> dict[str, int]:
    depths: dict[str, int] = {}
    counts: dict[int, int] = {}
    for key in keys:
        depth = max((depths[parent] + 1 for parent in parents[key]), default=0)
        while counts.get(depth, 0) >= most:
            depth += 1
        depths[key] = depth
        counts[depth] = counts.get(depth, 0) + 1
    for key in reversed(keys):  # what has no parents stands right above its first child
        if parents[key] or not children[key]:
            continue
        wanted = min(depths[child] for child in children[key]) - 1
        while counts.get(wanted, 0) >= most and wanted > depths[key]:
            wanted -= 1
        if wanted > depths[key]:
            counts[depths[key]] -= 1
            counts[wanted] = counts.get(wanted, 0) + 1
            depths[key] = wanted
    levels = {depth: level for level, depth in enumerate(sorted(set(depths.values())))}
    return {key: levels[depth] for key, depth in depths.items()}


def _placed(
    keys: Sequence[str],
    *,
    depths: Mapping[str, int],
    children: Mapping[str, list[str]],
    widths: Mapping[str, float],
    trunk_width: float,
) -> list[list[Place]]:
    layers: list[list[Place]] = [[] for _ in range(max(depths.values(), default=-1) + 1)]
    places = {key: Place(key=key, layer=depths[key], width=widths[key]) for key in keys}
    for key in keys:
        layers[depths[key]].append(places[key])
    for key in keys:
        last = max((depths[child] for child in children[key]), default=0)
        trunk = [places[key]]
        for depth in range(depths[key] + 1, last):
            passing = Place(key=key, layer=depth, width=trunk_width, is_trunk=True)
            layers[depth].insert(len(layers[depth]) // 2, passing)
            _join(trunk[-1], passing)
            trunk.append(passing)
        for child in children[key]:
            _join(trunk[depths[child] - depths[key] - 1], places[child])
    return layers


def _join(upper: Place, lower: Place) -> None:
    upper.below.append(lower)
    lower.above.append(upper)


def _untangle(layers: list[list[Place]]) -> None:
    best = [list(layer) for layer in layers]
    fewest = _crossings(layers)
    for sweep in range(_SWEEPS):
        if not fewest:
            break
        down = sweep % 2 == 0
        for depth in range(1, len(layers)) if down else range(len(layers) - 2, -1, -1):
            fixed = {id(place): at for at, place in enumerate(layers[depth - 1 if down else depth + 1])}
            layer = layers[depth]
            wanted = {}
            for at, place in enumerate(layer):
                seen = [fixed[id(each)] for each in (place.above if down else place.below)]
                wanted[id(place)] = sum(seen) / len(seen) if seen else float(at)
            layer.sort(key=lambda place: wanted[id(place)])
        crossings = _crossings(layers)
        if crossings < fewest:
            fewest, best = crossings, [list(layer) for layer in layers]
    layers[:] = best


def _crossings(layers: list[list[Place]]) -> int:
    total = 0
    for upper, lower in pairwise(layers):
        order = {id(place): at for at, place in enumerate(lower)}
        seen: list[int] = []
        for place in upper:
            ends = sorted(order[id(each)] for each in place.below)
            total += sum(len(seen) - bisect_left(seen, end + 1) for end in ends)
            for end in ends:
                insort(seen, end)
    return total


def _spread(layers: list[list[Place]]) -> None:
    for layer in layers:
        left = -sum(place.width for place in layer) / 2
        for place in layer:
            place.x = left + place.width / 2
            left += place.width
    for sweep in range(_SWEEPS):
        down = sweep % 2 == 0
        for layer in layers if down else reversed(layers):
            _settle(layer, down=down)
    for layer in layers:
        _settle(layer, down=None)
    leftmost = min((place.x - place.width / 2 for layer in layers for place in layer), default=0.0)
    for layer in layers:
        for place in layer:
            place.x -= leftmost


def _settle(layer: list[Place], *, down: bool | None) -> None:
    """Move a layer's places to where their neighbours are, as far as order and distances allow.

    With offsets that hold the distances taken off, what is sought is the non-decreasing sequence nearest to the wanted
    one: neighbours that want to pass each other are pooled at their weighted mean.
    """
    pools: list[tuple[float, float, int]] = []  # mean, weight, places in it
    offset, offsets = 0.0, []
    for at, place in enumerate(layer):
        if at:
            offset += (layer[at - 1].width + place.width) / 2
        offsets.append(offset)
        wanted, weight = _wanted(place, down=down)
        mean, count = wanted - offset, 1
        while pools and pools[-1][0] >= mean:
            other, other_weight, others = pools.pop()
            mean = (mean * weight + other * other_weight) / (weight + other_weight)
            weight, count = weight + other_weight, count + others
        pools.append((mean, weight, count))
    means = [mean for mean, _, count in pools for _ in range(count)]
    for place, mean, shift in zip(layer, means, offsets, strict=True):
        place.x = mean + shift


def _wanted(place: Place, *, down: bool | None) -> tuple[float, float]:
    neighbours = [*(place.above if down is not False else ()), *(place.below if down is not True else ())]
    if not neighbours:
        return place.x, 0.25
    pulls = [_STRAIGHT ** (place.is_trunk + each.is_trunk) for each in neighbours]
    mean = sum(each.x * pull for each, pull in zip(neighbours, pulls, strict=True)) / sum(pulls)
    return mean, _STRAIGHT if place.is_trunk else 1.0
