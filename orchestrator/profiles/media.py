"""Images, sound and text."""

from __future__ import annotations

import base64
import codecs
import contextlib
import io
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageOps, ImageStat
from tinytag import TinyTag

from orchestrator.profiles.encodings import UTF_16, decodes
from orchestrator.profiles.tables import Damaged
from orchestrator.records.profile import HEAD_ROWS, AudioFacts, ImageFacts, TextFacts, cut

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

MOST_PIXELS = 100_000_000
"""Larger images are measured, not decoded."""
_FORMATS = ("PNG", "JPEG", "MPO", "GIF", "BMP", "TIFF", "WEBP", "PPM", "ICO", "AVIF")
"""No others that Pillow reads, above all no EPS, for which it starts Ghostscript."""
_THUMBNAIL = (96, 96)
_THUMBNAIL_BYTES = 12 << 10
_CHUNK_BYTES = 1 << 20


def read_image(source: BinaryIO) -> tuple[ImageFacts, bool]:
    """Profile an image that Pillow can read.

    Returns:
        What is kept, and whether the image was too large to be decoded.
    """
    Image.init()
    formats = [name for name in _FORMATS if name in Image.OPEN]
    with _measured_only(), Image.open(source, formats=formats) as image:
        facts = ImageFacts(format=image.format or "", mode=image.mode, width=image.width, height=image.height)
        if image.width * image.height > MOST_PIXELS:
            return facts, True
        image.draft(None, (_THUMBNAIL[0] * 2, _THUMBNAIL[1] * 2))  # JPEG is decoded no larger than is needed
        small = _small(image)
    grey = small.convert("RGBA").convert("L")
    brightness = ImageStat.Stat(grey).mean[0] / 255
    return facts.changed(brightness=brightness, thumbnail=_data_uri(small)), False


@contextlib.contextmanager
def _measured_only() -> Iterator[None]:
    """Let Pillow open what it takes for a bomb: only then is its size known, and large ones are not decoded."""
    before = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = None
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


def _small(image: Image.Image) -> Image.Image:
    """Return a thumbnail in a mode that a browser shows."""
    if image.mode.startswith(("I", "F")):  # 16 and 32 bits a pixel: spread over the 256 greys that there are
        image.thumbnail(_THUMBNAIL, resample=Image.Resampling.NEAREST)
        return _spread(image.convert("F"))
    image.thumbnail(_THUMBNAIL)
    image = ImageOps.exif_transpose(image)
    return image.convert("RGBA" if image.has_transparency_data else "RGB")


def _spread(image: Image.Image) -> Image.Image:
    """Return an image of any range of numbers with the least of them black, the greatest white."""
    values = np.asarray(image, dtype=np.float64)
    finite = np.where(np.isfinite(values), values, 0.0)
    least, span = finite.min(), np.ptp(finite)
    return Image.fromarray(((finite - least) * (255 / span if span else 0.0)).astype(np.uint8))


def _data_uri(image: Image.Image) -> str:
    if image.mode == "RGBA":
        data = _encoded(image, kind="PNG", optimize=True, icc_profile=None)
        if len(data) <= _THUMBNAIL_BYTES:
            return f"data:image/png;base64,{base64.b64encode(data).decode()}"
        flat = Image.new("RGB", image.size, "white")
        flat.paste(image, mask=image.getchannel("A"))
        image = flat
    data = _encoded(image, kind="JPEG", quality=70)
    return f"data:image/jpeg;base64,{base64.b64encode(data).decode()}"


def _encoded(image: Image.Image, *, kind: str, **options: object) -> bytes:
    target = io.BytesIO()
    image.save(target, kind, **options)
    return target.getvalue()


def read_audio(source: BinaryIO, *, size_bytes: int) -> AudioFacts:
    """Profile sound from its headers.

    tinytag reads WAV, FLAC, Ogg, Opus, MP3, M4A, AIFF and WMA in pure Python under the MIT licence. mutagen is under
    the GPL; soundfile brings a library in C that decodes, which lengths and rates do not need.

    Raises:
        Damaged: there is no sound in it, or less than its header says.
    """
    tag = TinyTag.get(file_obj=source, tags=False)
    kind = type(tag).__name__.strip("_").lower()
    if tag.duration is None or not tag.samplerate:
        raise Damaged("no sound was found in it")
    if kind == "wave" and tag.bitdepth and tag.channels:
        said = tag.duration * tag.samplerate * tag.channels * tag.bitdepth / 8
        if said > size_bytes:
            raise Damaged(f"it is cut off: its header tells of {said:.0f} bytes of sound, it has {size_bytes} in all")
    return AudioFacts(
        format="wav" if kind == "wave" else kind,
        duration_seconds=tag.duration,
        sample_rate=int(tag.samplerate),
        channels=tag.channels,
    )


def read_text(source: BinaryIO, *, whole: bool = True) -> TextFacts:
    """Profile a text of any length of line.

    Args:
        source: read from its start.
        whole: false where the text goes on behind the source's end.
    """
    chunk = source.read(_CHUNK_BYTES)
    encoding = "utf-16" if chunk.startswith(UTF_16) else "utf-8"
    counter = _Counter()
    decoder = codecs.getincrementaldecoder("utf-8-sig" if encoding == "utf-8" else encoding)("replace")
    strict = codecs.getincrementaldecoder(encoding)()
    valid = True
    while chunk:
        valid = valid and decodes(strict, chunk)
        counter.take(decoder.decode(chunk))
        chunk = source.read(_CHUNK_BYTES)
    if whole:
        valid = valid and decodes(strict, b"", final=True)
        counter.take(decoder.decode(b"", final=True))
    return counter.facts(encoding if valid else None)


class _Counter:
    """Lines, words and characters of a text that comes in pieces."""

    def __init__(self) -> None:
        self._lines = self._words = self._characters = 0
        self._in_word = False
        self._open_line = False
        self._head = ""

    def take(self, text: str) -> None:
        """Take in the text that follows."""
        if not text:
            return
        self._characters += len(text)
        self._lines += text.count("\n")
        self._words += len(text.split()) - (self._in_word and not text[0].isspace())
        self._in_word = not text[-1].isspace()
        self._open_line = text[-1] != "\n"
        if not self._head:
            self._head = text[: _CHUNK_BYTES >> 4]

    def facts(self, encoding: str | None) -> TextFacts:
        """Return what was counted; a last line without a line break is one."""
        lines = self._head.splitlines()[:HEAD_ROWS]
        return TextFacts(
            encoding=encoding,
            lines=self._lines + self._open_line,
            words=self._words,
            characters=self._characters,
            head=tuple(map(cut, lines)),
        )


__all__ = ["MOST_PIXELS", "read_audio", "read_image", "read_text"]
