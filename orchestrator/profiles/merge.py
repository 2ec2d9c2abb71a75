"""The profile of a version from those of its files, whatever their order, one file in memory at a time."""

from __future__ import annotations

import hashlib
import heapq
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from orchestrator.profiles.columns import ColumnState
from orchestrator.profiles.sketches import Numbers
from orchestrator.records.profile import (
    AudioProfile,
    DatasetProfile,
    FileError,
    FileKind,
    ImagesProfile,
    TableProfile,
    TextsProfile,
    Thumbnail,
    suffix_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from orchestrator.records.profile import AudioFacts, Cell, FileProfile, ImageFacts, TableSketch, TextFacts

MAX_COLUMNS = 2000
"""Columns of all tables of different columns in one profile; files with yet other columns make it partial."""
MAX_ERRORS = 100
MAX_THUMBNAILS = 12
MAX_KINDS = 50
"""Suffixes, formats and so on that are told apart."""


def merge(profiles: Iterable[tuple[str, FileProfile]], *, files: int | None = None) -> DatasetProfile:
    """Merge the profiles of a version's files.

    Args:
        profiles: paths and profiles, in any order.
        files: how many files the version has, where not all of them were profiled.
    """
    merger = Merger()
    for path, profile in profiles:
        merger.add(path, profile)
    return merger.profile(files=files)


class Merger:
    """What is known of a version so far."""

    def __init__(self) -> None:
        self._files = self._size = self._profiled = self._error_count = 0
        self._partial = False
        self._columns = 0
        self._tables: dict[tuple[str, ...], _Table] = {}
        self._images = _Images()
        self._audio = _Audio()
        self._texts = _Texts()
        self._other: Counter[str] = Counter()
        self._errors: list[tuple[str, str]] = []

    def add(self, path: str, profile: FileProfile) -> None:
        """Take in a file."""
        self._files += 1
        self._size += profile.size_bytes
        self._partial |= profile.partial
        if profile.error is not None:
            self._error_count += 1
            self._errors.append((path, profile.error))
            if len(self._errors) > 2 * MAX_ERRORS:
                self._errors = sorted(self._errors)[:MAX_ERRORS]
            return
        if profile.kind is FileKind.OTHER:
            self._other[suffix_of(path)] += 1
            return
        self._profiled += 1
        if profile.table:
            self._add_table(path, profile.table)
        if profile.image:
            self._images.add(path, profile.image)
        if profile.audio:
            self._audio.add(profile.audio)
        if profile.text:
            self._texts.add(path, profile.text)

    def _add_table(self, path: str, sketch: TableSketch) -> None:
        names = tuple(column.name for column in sketch.columns)
        table = self._tables.get(names)
        if table is None:
            if self._tables and self._columns + len(names) > MAX_COLUMNS:
                self._partial = True
                return
            self._columns += len(names)
            table = self._tables[names] = _Table(names)
        table.add(path, sketch)
        self._partial |= bool(sketch.columns_left_out)

    def profile(self, *, files: int | None = None) -> DatasetProfile:
        """Return what people read.

        Args:
            files: how many files the version has, where that is more than were taken in.
        """
        tables = [table.profile() for table in self._tables.values()]
        total = max(files or 0, self._files)
        return DatasetProfile(
            files=total,
            size_bytes=self._size,
            profiled_files=self._profiled,
            partial=self._partial or total > self._files,
            tables=tuple(sorted(tables, key=lambda table: (-table.rows, table.first_path))),
            images=self._images.profile(),
            audio=self._audio.profile(),
            texts=self._texts.profile(),
            other=_most(self._other),
            error_count=self._error_count,
            errors=tuple(FileError(path=path, why=why) for path, why in sorted(self._errors)[:MAX_ERRORS]),
        )


class _Table:
    def __init__(self, names: tuple[str, ...]) -> None:
        self._columns = [ColumnState(name) for name in names]
        self._files = self._rows = self._skipped = self._left_out = 0
        self._formats: Counter[str] = Counter()
        self._first: tuple[str, tuple[tuple[Cell, ...], ...]] | None = None

    def add(self, path: str, sketch: TableSketch) -> None:
        self._files += 1
        self._rows += sketch.rows
        self._skipped += sketch.skipped_rows
        self._left_out = max(self._left_out, sketch.columns_left_out)
        self._formats[sketch.format] += 1
        if self._first is None or path < self._first[0]:
            self._first = (path, sketch.head)
        for state, column in zip(self._columns, sketch.columns, strict=True):
            state.merge(column)

    def profile(self) -> TableProfile:
        path, head = self._first or ("", ())
        return TableProfile(
            columns=tuple(state.column() for state in self._columns),
            files=self._files,
            rows=self._rows,
            skipped_rows=self._skipped,
            columns_left_out=self._left_out,
            formats=dict(sorted(self._formats.items())),
            first_path=path,
            head=head,
        )


class _Images:
    def __init__(self) -> None:
        self._files = 0
        self._formats: Counter[str] = Counter()
        self._modes: Counter[str] = Counter()
        self._width, self._height, self._brightness = _Measure(), _Measure(), _Measure()
        self._thumbnails: list[tuple[bytes, str, str]] = []

    def add(self, path: str, image: ImageFacts) -> None:
        self._files += 1
        self._formats[image.format] += 1
        self._modes[image.mode] += 1
        self._width.add(image.width)
        self._height.add(image.height)
        if image.brightness is not None:
            self._brightness.add(image.brightness)
        if image.thumbnail:
            drawn = (hashlib.sha256(path.encode("utf-8", "surrogatepass")).digest(), path, image.thumbnail)
            self._thumbnails = heapq.nsmallest(MAX_THUMBNAILS, [*self._thumbnails, drawn])

    def profile(self) -> ImagesProfile | None:
        if not self._files:
            return None
        return ImagesProfile(
            files=self._files,
            formats=_most(self._formats),
            modes=_most(self._modes),
            width=self._width.numbers().distribution(),
            height=self._height.numbers().distribution(),
            brightness=self._brightness.numbers().distribution(),
            thumbnails=tuple(
                Thumbnail(path=path, uri=uri) for path, uri in sorted((path, uri) for _, path, uri in self._thumbnails)
            ),
        )


class _Audio:
    def __init__(self) -> None:
        self._files = 0
        self._seconds = 0.0
        self._formats: Counter[str] = Counter()
        self._rates: Counter[str] = Counter()
        self._channels: Counter[str] = Counter()
        self._duration = _Measure()

    def add(self, audio: AudioFacts) -> None:
        self._files += 1
        self._seconds += audio.duration_seconds
        self._formats[audio.format] += 1
        if audio.sample_rate is not None:
            self._rates[str(audio.sample_rate)] += 1
        if audio.channels is not None:
            self._channels[str(audio.channels)] += 1
        self._duration.add(audio.duration_seconds)

    def profile(self) -> AudioProfile | None:
        if not self._files:
            return None
        return AudioProfile(
            files=self._files,
            formats=_most(self._formats),
            sample_rates=_most(self._rates),
            channels=_most(self._channels),
            duration_seconds=self._seconds,
            duration=self._duration.numbers().distribution(),
        )


class _Texts:
    def __init__(self) -> None:
        self._files = self._lines = self._words = self._characters = 0
        self._encodings: Counter[str] = Counter()
        self._per_file = _Measure()
        self._first: tuple[str, tuple[str, ...]] | None = None

    def add(self, path: str, text: TextFacts) -> None:
        self._files += 1
        self._lines += text.lines
        self._words += text.words
        self._characters += text.characters
        self._encodings[text.encoding or "unknown"] += 1
        self._per_file.add(text.words)
        if self._first is None or path < self._first[0]:
            self._first = (path, text.head)

    def profile(self) -> TextsProfile | None:
        if self._first is None:
            return None
        path, head = self._first
        return TextsProfile(
            files=self._files,
            encodings=_most(self._encodings),
            lines=self._lines,
            words=self._words,
            characters=self._characters,
            words_per_file=self._per_file.numbers().distribution(),
            first_path=path,
            head=head,
        )


class _Measure:
    """One number a file; they go into the sketch many at a time."""

    _AT_ONCE = 4096

    def __init__(self) -> None:
        self._numbers = Numbers()
        self._pending: list[float] = []

    def add(self, value: float) -> None:
        self._pending.append(value)
        if len(self._pending) >= self._AT_ONCE:
            self.numbers()

    def numbers(self) -> Numbers:
        if self._pending:
            self._numbers.update(np.array(self._pending, dtype=np.float64))
            self._pending = []
        return self._numbers


def _most(counts: Counter[str]) -> dict[str, int]:
    """Return the greatest counts, the greatest first."""
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:MAX_KINDS])


__all__ = ["Merger", "merge"]
