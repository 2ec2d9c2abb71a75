"""Profiles of single files: every kind, every dialect, every damage."""

from __future__ import annotations

import base64
import io
import json
import random
import wave
import zlib
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from orchestrator.profiles.files import Limits, profile_file
from orchestrator.profiles.merge import merge
from orchestrator.profiles.tables import MAX_COLUMNS
from orchestrator.profiles.window import Window
from orchestrator.records.profile import FileKind, FileProfile, TableSketch

if TYPE_CHECKING:
    from orchestrator.records.profile import Column


def profiled(data: bytes, *, name: str, limits: Limits | None = None) -> FileProfile:
    """Profile bytes that stand among others, which must not be seen."""
    source = io.BytesIO(b"before\n" + data + b"\nafter,1,2\n")
    return profile_file(source, name=name, size_bytes=len(data), offset=7, limits=limits or Limits())


def table(data: bytes | str, *, name: str = "a.csv") -> TableSketch:
    profile = profiled(data.encode() if isinstance(data, str) else data, name=name)
    assert profile.error is None
    assert profile.table is not None
    return profile.table


def columns(data: bytes | str, *, name: str = "a.csv") -> dict[str, Column]:
    profile = profiled(data.encode() if isinstance(data, str) else data, name=name)
    assert profile.error is None, profile.error
    return {column.name: column for column in merge([(name, profile)]).tables[0].columns}


def parquet(content: pa.Table, **options: Any) -> bytes:  # noqa: ANN401  whatever the writer takes
    target = io.BytesIO()
    pq.write_table(content, target, **options)
    return target.getvalue()


def sound(seconds: float = 0.5) -> bytes:
    target = io.BytesIO()
    with wave.open(target, "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(int(seconds * 8000) * 4))
    return target.getvalue()


def picture(mode: str = "RGB", size: tuple[int, int] = (320, 200), kind: str = "PNG") -> bytes:
    target = io.BytesIO()
    Image.new(mode, size, 64 if mode in {"L", "I;16"} else None).save(target, kind)
    return target.getvalue()


class TestCsv:
    def test_columns_have_types_counts_and_statistics(self) -> None:
        found = columns("n,x,t,ok,word\n1,0.5,2015-02-02 14:19:00,true,a\n2,,2015-02-03,false,b\n3,2.5,,TRUE,a\n")
        assert [column.type for column in found.values()] == ["integer", "float", "time", "boolean", "string"]
        assert [column.missing for column in found.values()] == [0, 1, 1, 0, 0]
        assert (found["x"].min, found["x"].max, found["x"].mean) == (0.5, 2.5, 1.5)
        assert found["n"].std == pytest.approx(1)
        assert found["t"].min == 1_422_886_740
        assert [(item.value, item.count) for item in found["word"].top] == [("a", 2), ("b", 1)]
        assert [(item.value, item.count) for item in found["ok"].top] == [("true", 2), ("false", 1)]

    @pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
    def test_the_delimiter_is_found_out(self, delimiter: str) -> None:
        rows = [["name", "value, with comma"], ["a", "1"], ["b", "2"]]
        text = "\r\n".join(delimiter.join(f'"{cell}"' for cell in row) for row in rows)
        assert table(text).delimiter == delimiter
        assert list(columns(text)) == ["name", "value, with comma"]

    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
    def test_the_encoding_is_found_out(self, encoding: str) -> None:
        found = columns("größe,n\nklein,1\nübergroß,2\n".encode(encoding))
        assert list(found) == ["größe", "n"]
        assert {item.value for item in found["größe"].top} == {"klein", "übergroß"}

    def test_a_byte_that_is_no_utf_8_far_behind_the_beginning_is_found(self) -> None:
        data = b"a,b\n" + b"x,1\n" * 600_000 + b"\xe4,2\n"
        assert table(data).encoding == "latin-1"

    def test_rows_of_another_length_are_counted_and_passed_over(self) -> None:
        found = table("a,b\n1,2\n3\n4,5,6\n7,8\n")
        assert (found.rows, found.skipped_rows) == (2, 2)

    def test_quoted_line_breaks_stay_in_their_cell(self) -> None:
        found = table('a,b\n"one\ntwo",1\n"three ""quoted""",2\n')
        assert found.rows == 2
        assert found.head[0] == ("one\ntwo", "1")

    def test_a_stray_quote_does_not_eat_the_rest(self) -> None:
        found = table('a,b\n"broken,1\n' + "x,1\n" * 1_000_000)
        assert found.rows > 900_000

    def test_a_file_without_header_gets_numbered_columns(self) -> None:
        assert list(columns("1,2\n3,4\n")) == ["column_1", "column_2"]

    def test_a_header_alone_is_a_table_without_rows(self) -> None:
        found = columns("a,b\n")
        assert [column.type for column in found.values()] == ["null", "null"]

    def test_a_name_that_occurs_twice_is_two_columns(self) -> None:
        assert list(columns("a,a,,a.1\n1,2,3,4\n")) == ["a", "a.2", "column_3", "a.1"]

    def test_infinities_are_counted_apart_and_nan_is_missing(self) -> None:
        found = columns("x\n1.5\ninf\n-inf\nnan\nNaN\n2.5\n")["x"]
        assert (found.count, found.infinite, found.measured, found.missing) == (4, 2, 2, 2)
        assert (found.min, found.max, found.mean) == (1.5, 2.5, 2.0)

    def test_a_column_of_several_kinds_has_the_statistics_of_each(self) -> None:
        found = columns("x\n1\n2.5\nabc\n2015-02-02\ntrue\n 7 \n")["x"]
        assert found.type == "mixed"
        assert found.types == {"integer": 2, "float": 1, "boolean": 1, "time": 1, "string": 1}
        assert (found.min, found.max, found.measured) == (1, 7, 3)

    def test_times_with_zones_fractions_and_impossible_days(self) -> None:
        found = columns("t\n2015-02-02T10:00:00Z\n2015-02-02T11:00:00+01:00\n2015-02-02 10:00:00.123456789\n")["t"]
        assert found.type == "time"
        assert found.min == found.quantiles["q01"] == 1_422_871_200
        assert columns("t\n2015-02-30\n2015-13-01\n")["t"].type == "string"

    def test_whole_numbers_beyond_doubles_are_exact(self) -> None:
        first = 2**62
        found = columns("id\n" + "\n".join(str(first + place) for place in range(100)))["id"]
        assert (found.min, found.max) == (first, first + 99)
        assert found.distinct == pytest.approx(100, abs=2)
        assert columns("id\n123456789012345678901234567890\n")["id"].type == "float"

    def test_numbers_near_the_greatest_double_have_no_deviation(self) -> None:
        found = columns("x\n1.7e308\n-1.7e308\n1.6e308\n")["x"]
        assert (found.max, found.std) == (1.7e308, None)
        assert found.histogram is not None
        assert sum(found.histogram.counts) == 3

    def test_thousands_of_columns_stay_bounded(self) -> None:
        head = ",".join(f"column {place}" for place in range(2000))
        row = ",".join(str(place / 7) for place in range(2000))
        profile = profiled(f"{head}\n{f'{row}{chr(10)}' * 50}".encode(), name="wide.csv")
        assert profile.table is not None
        assert (len(profile.table.columns), profile.table.columns_left_out) == (MAX_COLUMNS, 2000 - MAX_COLUMNS)
        assert len(profile.model_dump_json()) < 1_000_000
        merged = merge([("wide.csv", profile)])
        assert merged.partial
        assert len(merged.tables[0].columns) == MAX_COLUMNS

    def test_cells_are_cut_and_no_more_than_ten_rows_shown(self) -> None:
        found = table("a,b\n" + f"{'x' * 1000},1\n" * 100)
        assert len(found.head) == 10
        assert len(str(found.head[0][0])) == 200

    def test_a_row_larger_than_a_block_is_read(self) -> None:
        assert table("a,b\n1,2\n" + "x" * (5 << 20) + ",3\n4,5\n").rows == 3

    def test_what_is_behind_the_limit_is_not_read_and_no_row_is_half(self) -> None:
        data = b"a,b\n" + b"100,200\n" * 1000
        profile = profiled(data, name="a.csv", limits=Limits(size_bytes=805))
        assert profile.partial
        assert profile.table is not None
        assert (profile.table.rows, profile.table.skipped_rows) == (100, 0)

    def test_a_table_that_takes_long_is_read_in_part(self) -> None:
        profile = profiled(b"a,b\n" + b"1,2\n" * 2_000_000, name="a.csv", limits=Limits(seconds=0))
        assert profile.partial
        assert profile.table is not None
        assert 0 < profile.table.rows < 2_000_000


class TestParquet:
    def test_types_of_every_kind_are_read(self) -> None:
        from datetime import UTC, date, datetime, time, timedelta  # noqa: PLC0415  only here
        from decimal import Decimal  # noqa: PLC0415  only here

        content = pa.table(
            {
                "i": pa.array([1, None, 2**63], pa.uint64()),
                "f": pa.array([1.5, float("nan"), float("inf")], pa.float32()),
                "d": pa.array([Decimal("1.10"), Decimal("2.20"), None]),
                "t": pa.array([datetime(2015, 2, 2, tzinfo=UTC)] * 3),
                "day": pa.array([date(2015, 2, 2)] * 3),
                "clock": pa.array([time(1)] * 3),
                "span": pa.array([timedelta(seconds=2)] * 3),
                "b": [True, False, None],
                "s": pa.array(["a", "b", None]).dictionary_encode(),
                "raw": [b"\xff", b"", None],
                "list": [[1], [], None],
                "map": pa.array([{"x": {"y": 1}}, {"x": {"y": 2}}, None]),
                "none": pa.nulls(3),
            }
        )
        found = columns(parquet(content), name="a.parquet")
        assert {name: column.type for name, column in found.items()} == {
            "i": "integer", "f": "float", "d": "float", "t": "time", "day": "time", "clock": "duration",
            "span": "duration", "b": "boolean", "s": "string", "raw": "binary", "list": "list", "map.x.y": "integer",
            "none": "null",
        }  # fmt: skip
        assert (found["i"].max, found["i"].missing) == (2**63, 1)
        assert (found["f"].missing, found["f"].infinite, found["f"].measured) == (1, 1, 1)
        assert (found["clock"].mean, found["span"].mean) == (3600, 2)
        assert found["none"].missing_share == 1

    def test_a_file_without_rows_has_its_columns(self) -> None:
        found = table(parquet(pa.table({"a": pa.array([], pa.int64())})), name="a.parquet")
        assert (found.rows, [column.name for column in found.columns]) == (0, ["a"])

    def test_row_groups_behind_the_limit_are_not_read(self) -> None:
        data = parquet(pa.table({"a": list(range(10_000))}), row_group_size=1000)
        profile = profiled(data, name="a.parquet", limits=Limits(size_bytes=len(data) // 2))
        assert profile.partial
        assert profile.table is not None
        assert 1000 <= profile.table.rows < 10_000

    def test_it_is_known_by_its_bytes_where_the_name_tells_nothing(self) -> None:
        assert profiled(parquet(pa.table({"a": [1]})), name="part-0").table is not None


class TestJsonLines:
    def test_fields_that_lines_lack_are_missing_there(self) -> None:
        found = columns('{"a": 1}\n{"b": "x", "a": null}\n\n{"c": {"d": 2.5}}\n', name="a.jsonl")
        assert {name: (column.type, column.count, column.missing) for name, column in found.items()} == {
            "a": ("integer", 1, 2),
            "b": ("string", 1, 2),
            "c.d": ("float", 1, 2),
        }

    def test_values_of_several_types_and_lines_that_are_no_objects(self) -> None:
        lines = ['{"a": 1, "n": {"x": 1}}', '{"a": "1"}', "[1]", "{broken", '{"a": [1]}', '{"a": 99999999999999999999}']
        data = "\n".join(lines).encode() + b'\n{"a": "\xff"}\n'
        found = table(data, name="a.ndjson")
        assert (found.rows, found.skipped_rows) == (4, 3)
        assert {column.name: column.types for column in found.columns} == {
            "a": {"integer": 1, "string": 1, "list": 1, "float": 1},
            "n.x": {"integer": 1},
        }
        assert found.head == ((1, 1), ("1", None), ("[1]", None), (99999999999999999999, None))

    def test_times_are_times_and_texts_of_digits_are_texts(self) -> None:
        found = columns('{"t": "2015-02-02T10:00:00", "id": "007"}\n', name="a.jsonl")
        assert (found["t"].type, found["id"].type) == ("time", "string")

    def test_fields_that_first_come_in_a_later_block_are_missing_before(self) -> None:
        data = b'{"a": "' + b"x" * 100 + b'"}\n'
        data = data * 60_000 + b'{"late": 1}\n'
        found = columns(data, name="a.jsonl")
        assert (found["late"].count, found["late"].missing) == (1, 60_000)
        assert found["a"].missing == 1

    def test_more_fields_than_are_kept_are_counted(self) -> None:
        data = "\n".join(json.dumps({f"f{place}": 1}) for place in range(MAX_COLUMNS + 5))
        found = table(data, name="a.jsonl")
        assert (len(found.columns), found.columns_left_out) == (MAX_COLUMNS, 5)


class TestMedia:
    @pytest.mark.parametrize(
        ("mode", "kind"),
        [
            ("RGB", "PNG"),
            ("RGB", "JPEG"),
            ("RGBA", "PNG"),
            ("L", "PNG"),
            ("I;16", "PNG"),
            ("P", "GIF"),
            ("CMYK", "TIFF"),
        ],
    )
    def test_images_of_every_mode_have_sizes_and_a_thumbnail(self, mode: str, kind: str) -> None:
        image = profiled(picture(mode, kind=kind), name=f"a.{kind.lower()}").image
        assert image is not None
        assert (image.width, image.height, image.mode, image.format) == (320, 200, mode, kind)
        head, _, data = (image.thumbnail or "").partition(",")
        assert head in {"data:image/png;base64", "data:image/jpeg;base64"}
        with Image.open(io.BytesIO(base64.b64decode(data))) as small:
            assert small.size == (96, 60)

    def test_noise_with_an_alpha_channel_stays_small(self) -> None:
        noise = Image.frombytes("RGBA", (200, 200), random.Random(1).randbytes(160_000))  # noqa: S311  the same data every time, no secret
        target = io.BytesIO()
        noise.save(target, "PNG")
        image = profiled(target.getvalue(), name="a.png").image
        assert image is not None
        assert len(image.thumbnail or "") < 20_000

    def test_brightness_is_that_of_the_grey_values(self) -> None:
        image = profiled(picture("L"), name="a.png").image
        assert image is not None
        assert image.brightness == pytest.approx(64 / 255, abs=0.01)

    def test_an_image_that_would_fill_the_memory_is_measured_only(self) -> None:
        def chunk(kind: bytes, data: bytes) -> bytes:
            return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

        header = (60_000).to_bytes(4, "big") * 2 + bytes([1, 0, 0, 0, 0])
        bomb = (
            b"\x89PNG\r\n\x1a\n"
            + chunk(b"IHDR", header)
            + chunk(b"IDAT", zlib.compress(bytes(100)))
            + chunk(b"IEND", b"")
        )
        profile = profiled(bomb, name="bomb.png")
        assert profile.image is not None
        assert (profile.image.width, profile.image.thumbnail, profile.partial) == (60_000, None, True)

    def test_sound_has_a_length_and_rates(self) -> None:
        audio = profiled(sound(), name="a.wav").audio
        assert audio is not None
        assert (audio.format, audio.duration_seconds, audio.sample_rate, audio.channels) == ("wav", 0.5, 8000, 2)

    def test_texts_are_counted_across_pieces(self) -> None:
        text = profiled(("wörd " * 400_000 + "\nlast line").encode(), name="a.txt").text
        assert text is not None
        assert (text.lines, text.words, text.characters) == (2, 400_002, 2_000_010)
        assert text.encoding == "utf-8"

    def test_bytes_that_are_no_text_have_no_encoding(self) -> None:
        text = profiled(b"caf\xe9\nx", name="a.txt").text
        assert text is not None
        assert (text.encoding, text.lines, text.head) == (None, 2, ("caf\ufffd", "x"))

    def test_an_empty_text_is_one(self) -> None:
        text = profiled(b"", name="a.txt").text
        assert text is not None
        assert (text.lines, text.words, text.characters, text.head) == (0, 0, 0, ())

    def test_a_file_without_suffix_that_reads_as_text_is_one(self) -> None:
        assert profiled(b"Licence\n", name="LICENSE").kind is FileKind.TEXT
        assert profiled(b"\0\1\2", name="weights.pt") == FileProfile(kind=FileKind.OTHER, size_bytes=3)


GOOD = {
    "a.csv": b"a,b\n1,2\n3,4\n",
    "a.parquet": parquet(pa.table({"a": [1, 2, 3]})),
    "a.jsonl": b'{"a": 1}\n{"a": 2}\n',
    "a.png": picture(),
    "a.jpg": picture(kind="JPEG"),
    "a.wav": sound(),
}


class TestDamage:
    @pytest.mark.parametrize("name", GOOD)
    def test_an_empty_file_says_so(self, name: str) -> None:
        assert profiled(b"", name=name).error == "it is empty"

    @pytest.mark.parametrize("name", [name for name in GOOD if name not in {"a.csv", "a.jsonl"}])
    @pytest.mark.parametrize("kept", [0.3, 0.6, 0.9])
    def test_a_file_that_was_cut_off_says_so(self, name: str, kept: float) -> None:
        data = GOOD[name]
        profile = profiled(data[: int(len(data) * kept)], name=name)
        assert profile.error
        assert not profile.transient
        assert profile.table is profile.image is profile.audio is None

    @pytest.mark.parametrize("name", GOOD)
    def test_random_bytes_say_why_they_are_none(self, name: str) -> None:
        profile = profiled(random.Random(3).randbytes(5000), name=name)  # noqa: S311  the same data every time, no secret
        assert profile.error

    @pytest.mark.parametrize("name", GOOD)
    def test_flipped_bytes_never_raise(self, name: str) -> None:
        source = random.Random(5)  # noqa: S311  the same data every time, no secret
        for _ in range(30):
            data = bytearray(GOOD[name])
            for _ in range(3):
                data[source.randrange(len(data))] = source.randrange(256)
            profile = profiled(bytes(data), name=name)
            assert (profile.error is None) == any((profile.table, profile.image, profile.audio))

    def test_another_kind_than_the_name_says_is_named(self) -> None:
        assert (
            profiled(GOOD["a.png"], name="a.csv").error
            == "its name is that of a table, its bytes are those of an image"
        )
        assert (
            profiled(GOOD["a.parquet"], name="a.jpg").error
            == "its name is that of an image, its bytes are those of a table"
        )

    def test_bytes_with_nul_are_no_csv(self) -> None:
        assert "NUL" in (profiled(b"a,b\n\0\0,1\n", name="a.csv").error or "")

    def test_a_picture_that_would_start_a_program_stays_closed(self) -> None:
        script = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n"
        assert "cannot identify" in (profiled(script, name="a.png").error or "")

    def test_a_source_that_is_shorter_than_it_should_be_says_why(self) -> None:
        profile = profile_file(io.BytesIO(GOOD["a.parquet"][:50]), name="a.parquet", size_bytes=5000)
        assert profile.error


def test_a_window_shows_its_bytes_alone() -> None:
    window = Window(io.BytesIO(b"0123456789"), offset=2, size_bytes=5)
    assert window.read() == b"23456"
    assert window.seek(-2, io.SEEK_END) == 3
    assert window.read(10) == b"56"
    window.seek(100)
    assert window.read() == b""
    with pytest.raises(ValueError, match="no byte"):
        window.seek(-1)


@pytest.mark.parametrize("name", GOOD)
def test_a_profile_survives_json(name: str) -> None:
    profile = profiled(GOOD[name], name=name)
    assert profile.error is None
    assert FileProfile.model_validate_json(profile.model_dump_json()) == profile
