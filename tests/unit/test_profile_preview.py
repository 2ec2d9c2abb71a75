"""What the command prints of profiles and comparisons."""

from __future__ import annotations

import io

from orchestrator.cli.dataset_preview import comparison_lines, profile_lines, sparkline
from orchestrator.profiles.files import profile_file
from orchestrator.profiles.merge import merge
from orchestrator.records.drift import compare_profiles
from orchestrator.records.profile import (
    AudioFacts,
    DatasetProfile,
    FileKind,
    FileProfile,
    ImageFacts,
    TextFacts,
)


def dataset(text: str) -> DatasetProfile:
    data = text.encode()
    return merge([("day.csv", profile_file(io.BytesIO(data), name="day.csv", size_bytes=len(data)))])


def shown(profile: DatasetProfile) -> str:
    return "\n".join(profile_lines(profile.model_dump(mode="json")))


def test_a_sparkline_shows_what_is_little_and_leaves_out_what_is_nothing() -> None:
    assert sparkline([0, 1, 4, 8, 1000]) == " ▁▁▁█"
    assert sparkline([1, 2, 3, 4, 5, 6, 7, 8]) == "▂▃▄▅▅▆▇█"
    assert sparkline([]) == sparkline([0, 0]).strip() == ""


def test_a_table_is_shown_with_a_line_for_every_column() -> None:
    rows = "\n".join(
        f"2015-02-0{1 + place % 7} 10:00:00,{place},{place / 4},{'yes' if place % 3 else ''}" for place in range(100)
    )
    text = shown(dataset(f"t,n,x,word\n{rows}\n"))
    assert "Table of 100 rows in 1 file (csv)" in text
    assert "2015-02-01 10:00" in text
    assert "yes (66)" in text
    assert "34.0 %" in text
    assert "█" in text
    assert "First rows of day.csv" in text
    assert "None" not in text


def test_control_characters_do_not_reach_the_terminal() -> None:
    text = shown(dataset('"na\x1bme",x\n"a\x1b[2J",1\n"b",2\n'))
    assert "\x1b" not in text


def test_a_wide_table_is_cut() -> None:
    text = shown(dataset(",".join(f"c{place}" for place in range(1200)) + "\n" + ",".join(["1"] * 1200)))
    assert "… and 950 more columns" in text
    assert "200 further columns have no statistics" in text


def test_images_sound_texts_others_and_errors_are_shown() -> None:
    image = ImageFacts(format="PNG", mode="RGB", width=640, height=480, brightness=0.25)
    audio = AudioFacts(format="wav", duration_seconds=7200, sample_rate=16_000, channels=1)
    text = TextFacts(encoding="utf-8", lines=2, words=3, characters=10)
    merged = merge(
        [
            ("a.png", FileProfile(kind=FileKind.IMAGE, size_bytes=1, image=image)),
            ("a.wav", FileProfile(kind=FileKind.AUDIO, size_bytes=1, audio=audio)),
            ("a.txt", FileProfile(kind=FileKind.TEXT, size_bytes=1, text=text)),
            ("a.bin", FileProfile(kind=FileKind.OTHER, size_bytes=1)),
            ("b.png", FileProfile(kind=FileKind.IMAGE, size_bytes=0, error="it is empty")),
        ]
    )
    lines = shown(merged)
    for part in ("1 image: PNG 1; modes RGB 1", "640", "2.0 h", "2 lines, 3 words", ".bin 1", "b.png: it is empty"):
        assert part in lines


def test_a_comparison_shows_the_worst_first() -> None:
    before = dataset("same,moved,gone\n" + "\n".join(f"{place},{place},{place}" for place in range(200)))
    after = dataset("same,moved,new\n" + "\n".join(f"{place},{place + 150},{place}" for place in range(200)))
    lines = list(comparison_lines(compare_profiles(after, before).model_dump(mode="json")))
    assert lines[0].startswith("Change: large. 1 file, 1 in the reference")
    order = [line.split()[0] for line in lines if line.startswith("  ")]
    assert order == ["column", "moved", "new", "gone", "same"]
    assert any("new, integer" in line for line in lines)
    assert any("gone, was integer" in line for line in lines)


def test_nothing_is_shown_of_nothing() -> None:
    assert shown(DatasetProfile()) == "0 files, 0 with statistics"
    empty = compare_profiles(DatasetProfile(), DatasetProfile()).model_dump(mode="json")
    assert list(comparison_lines(empty)) == ["Change: same. 0 files, 0 in the reference"]
