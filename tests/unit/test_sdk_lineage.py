"""Graphs of descent as pictures and trees."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.errors import InvalidRequest
from orchestrator.sdk.lineage.layout import laid_out
from orchestrator.sdk.lineage.pictures import as_mermaid, as_svg, as_tree

SVG = "{http://www.w3.org/2000/svg}"


def key(number: int) -> str:
    return f"{number:032x}"


def node(number: int, **fields: Any) -> dict[str, Any]:  # noqa: ANN401  JSON
    return {
        "id": key(number),
        "project": "room",
        "name": "sensors",
        "version": f"1.0.{number}",
        "state": "final",
        "tags": [],
        "file_count": 12,
        "size_bytes": 3_400_000,
        "deleted": False,
    } | fields


def graph(nodes: list[dict[str, Any]], *edges: tuple[int, int]) -> dict[str, Any]:
    return {"nodes": nodes, "edges": [[key(parent), key(child)] for parent, child in edges]}


def chain(length: int) -> dict[str, Any]:
    return graph([node(number) for number in range(length)], *((at, at + 1) for at in range(length - 1)))


def parsed(svg: str) -> ET.Element:
    return ET.fromstring(svg)  # noqa: S314  we wrote it


def groups(svg: str, kind: str) -> list[ET.Element]:
    root = parsed(svg)
    return [each for each in root.iter(f"{SVG}g") if kind in each.get("class", "").split()]


def texts(element: ET.Element) -> list[str]:
    return [each.text or "" for each in element.iter(f"{SVG}text")]


FAMILY = graph(
    [
        node(0, tags=["Baseline"]),
        node(1, name="labels", project="annotation"),
        node(2, tags=["Production", 'a < b & "c"'], state="published"),
        node(3, state="open"),
        node(4, deleted=True),
    ],
    (0, 2),
    (1, 2),
    (2, 3),
    (0, 4),
)


def test_a_drawing_says_name_version_tags_files_and_size() -> None:
    (focus,) = groups(as_svg(FAMILY, key(2)), "focus")
    assert texts(focus) == ["sensors@1.0.2", "12 files · 3.2 MiB", "published", "Production", 'a < b & "c"']
    assert focus.findtext(f"{SVG}title", "").startswith("room/sensors@1.0.2\n12 files")


def test_drafts_and_deleted_versions_look_different() -> None:
    svg = as_svg(FAMILY, key(2))
    assert [texts(each)[0] for each in groups(svg, "deleted")] == ["sensors@1.0.4"]
    assert [texts(each)[0] for each in groups(svg, "open")] == ["sensors@1.0.3"]


def test_colours_are_explained_where_there_are_several_datasets() -> None:
    assert {"room/sensors", "annotation/labels"} <= set(texts(parsed(as_svg(FAMILY))))
    assert "room/sensors" not in texts(parsed(as_svg(chain(3))))


def test_a_long_chain_is_drawn_compactly_and_hides_no_version() -> None:
    svg = as_svg(chain(200), key(100))
    root = parsed(svg)
    assert float(root.get("height", "0")) < 1300
    assert len(groups(svg, "version")) == 7  # both ends, two stacks, and around the focus
    titles = "\n".join(each.text or "" for each in root.iter(f"{SVG}title"))
    assert all(re.search(rf"@1\.0\.{number}$", titles, re.MULTILINE) for number in range(200))


def test_a_tagged_version_of_a_short_chain_keeps_its_card() -> None:
    lineage = chain(20)
    lineage["nodes"][10]["tags"] = ["Production"]
    assert "Production" in texts(parsed(as_svg(lineage, key(19))))


def test_many_children_of_one_version_stay_within_a_page() -> None:
    lineage = graph([node(number) for number in range(200)], *((0, number) for number in range(1, 200)))
    root = parsed(as_svg(lineage, key(7)))
    assert float(root.get("width", "0")) < 2200
    assert len(groups(as_svg(lineage), "version")) == 200


def test_a_name_that_is_too_long_is_cut_and_the_version_stays() -> None:
    svg = as_svg(graph([node(0, name="\uffff" + "ü" * 254, tags=["t" * 128, "second"])]))
    (version,) = groups(svg, "version")
    title, _, tag, more = texts(version)
    assert title.startswith("\ufffdü")
    assert title.endswith("…@1.0.0")
    assert tag.endswith("…")
    assert more == "+1"


def test_a_graph_without_versions_is_an_empty_drawing() -> None:
    parsed(as_svg(graph([])))
    assert list(as_tree(graph([]))) == []


def test_a_focus_that_is_not_there_is_refused() -> None:
    for draw in (as_svg, as_mermaid, lambda *both: list(as_tree(*both))):
        with pytest.raises(InvalidRequest, match="not in this graph"):
            draw(FAMILY, key(9))


def test_edges_to_versions_that_may_not_be_seen_are_not_drawn() -> None:
    lineage = graph([node(1)], (0, 1))
    assert "-->" not in as_mermaid(lineage)
    assert len(groups(as_svg(lineage), "version")) == 1


def test_mermaid_has_every_version_and_edge_and_no_unescaped_text() -> None:
    text = as_mermaid(FAMILY, key(2))
    assert text.startswith("flowchart TD\n")
    assert f"v{key(0)} --> v{key(2)}" in text
    assert text.count("-->") == 4
    assert "Production, a #60; b #38; #34;c#34;<br/>" in text
    assert re.search(rf"v{key(2)}\[.*\]:::focus", text)
    assert re.search(rf"v{key(4)}\[.*\]:::deleted", text)


def test_a_tree_shows_merges_and_branches() -> None:
    assert list(as_tree(FAMILY, key(2))) == [
        "○  sensors@1.0.4  12 files, 3.2 MiB  (deleted)",
        "│ ◌  sensors@1.0.3  12 files, 3.2 MiB  (draft)",
        '│ ◉  sensors@1.0.2  [Production, a < b & "c"]  12 files, 3.2 MiB  (published)  <- this one',
        "│ ├─╮",
        "├─╯ │",
        "│   ●  labels@1.0.1  12 files, 3.2 MiB",
        "●  sensors@1.0.0  [Baseline]  12 files, 3.2 MiB",
    ]


def test_versions_that_are_not_related_do_not_look_it() -> None:
    lines = list(as_tree(graph([node(0), node(1)])))
    assert lines == ["●  sensors@1.0.1  12 files, 3.2 MiB", "", "●  sensors@1.0.0  12 files, 3.2 MiB"]


@st.composite
def lineages(draw: st.DrawFn) -> dict[str, Any]:
    count = draw(st.integers(1, 40))
    edges = draw(
        st.lists(st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)), max_size=80).map(
            lambda pairs: sorted({(min(pair), max(pair)) for pair in pairs if pair[0] != pair[1]})
        )
    )
    label = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12)
    nodes = [
        node(number, name=draw(label), tags=draw(st.lists(label, max_size=3)), deleted=draw(st.booleans()))
        for number in range(count)
    ]
    return graph(nodes, *edges)


@settings(max_examples=40, deadline=None)
@given(lineages())
def test_every_graph_can_be_drawn_with_all_its_versions(lineage: dict[str, Any]) -> None:
    svg = as_svg(lineage, key(0))
    titles = "\n".join(each.text or "" for each in parsed(svg).iter(f"{SVG}title"))
    assert all(one["id"] in titles for one in lineage["nodes"])
    assert as_mermaid(lineage).count("-->") == len(lineage["edges"])
    lines = list(as_tree(lineage))
    for one in lineage["nodes"]:
        assert sum(f"{one['name']}@{one['version']}" in line for line in lines) >= 1


@settings(max_examples=40, deadline=None)
@given(lineages(), st.integers(1, 6))
def test_no_two_places_overlap_and_children_are_below(lineage: dict[str, Any], most: int) -> None:
    keys = [one["id"] for one in lineage["nodes"]]
    edges = [(parent, child) for parent, child in lineage["edges"]]
    layout = laid_out(keys, edges, widths=dict.fromkeys(keys, 100.0), trunk_width=20, most_in_layer=most)
    places = layout.versions()
    assert places.keys() == set(keys)
    assert all(places[parent].layer < places[child].layer for parent, child in lineage["edges"])
    for layer in layout.layers:
        assert sum(not place.is_trunk for place in layer) <= most
        for left, right in pairwise(layer):
            assert right.x - left.x >= (left.width + right.width) / 2 - 1e-6
