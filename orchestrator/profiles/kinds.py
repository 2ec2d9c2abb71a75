"""What a file is: by the end of its name, else by its first bytes."""

from __future__ import annotations

from typing import Final

from orchestrator.records.profile import FileKind, suffix_of

TABLES: Final = {
    ".csv": "csv",
    ".tsv": "csv",
    ".tab": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
}
_IMAGES = {".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".pbm", ".ico", ".avif"}
_AUDIO = {".wav", ".mp3", ".flac", ".ogg", ".oga", ".opus", ".m4a", ".aac", ".aif", ".aiff", ".wma"}
_TEXTS = {
    ".txt", ".text", ".md", ".rst", ".log", ".json", ".geojson", ".yaml", ".yml", ".toml", ".ini", ".cfg", ".xml",
    ".html", ".htm", ".svg", ".py", ".js", ".ts", ".css", ".sh", ".sql", ".r", ".c", ".h", ".cpp", ".java", ".go",
    ".rs", ".tex", ".srt", ".vtt", ".conll", ".ipynb",
}  # fmt: skip

PARQUET = b"PAR1"
_MAGIC: Final = (
    (PARQUET, FileKind.TABLE),
    (b"\x89PNG\r\n\x1a\n", FileKind.IMAGE),
    (b"\xff\xd8\xff", FileKind.IMAGE),
    (b"GIF87a", FileKind.IMAGE),
    (b"GIF89a", FileKind.IMAGE),
    (b"II*\0", FileKind.IMAGE),
    (b"MM\0*", FileKind.IMAGE),
    (b"fLaC", FileKind.AUDIO),
    (b"OggS", FileKind.AUDIO),
    (b"ID3", FileKind.AUDIO),
)
_RIFF: Final = {b"WAVE": FileKind.AUDIO, b"WEBP": FileKind.IMAGE}
MAGIC_BYTES = 4096
"""How many first bytes tell."""
_CONTROL = frozenset(range(32)) - frozenset(b"\t\n\r\f\v\x1b") | {127}


def kind_of(name: str, *, first: bytes) -> tuple[FileKind, str | None]:
    """Return as what a file is read.

    Args:
        name: of the file.
        first: up to `MAGIC_BYTES` of its first bytes.

    Returns:
        The kind, and for tables how they are written.
    """
    suffix = suffix_of(name)
    if suffix in TABLES:
        return FileKind.TABLE, TABLES[suffix]
    for suffixes, kind in ((_IMAGES, FileKind.IMAGE), (_AUDIO, FileKind.AUDIO), (_TEXTS, FileKind.TEXT)):
        if suffix in suffixes:
            return kind, None
    found = magic_of(first)
    if found is not None:
        return found, "parquet" if found is FileKind.TABLE else None
    return FileKind.TEXT if _reads_as_text(first) else FileKind.OTHER, None


def magic_of(first: bytes) -> FileKind | None:
    """Return the kind that a file's first bytes are the mark of, if they are one."""
    if first.startswith(b"RIFF"):
        return _RIFF.get(first[8:12])
    return next((kind for mark, kind in _MAGIC if first.startswith(mark)), None)


def _reads_as_text(first: bytes) -> bool:
    """Tell whether bytes are UTF-8 without control characters; the last character may be cut."""
    if not first or _CONTROL & set(first):
        return False
    try:
        first.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.reason == "unexpected end of data" and len(first) == MAGIC_BYTES
    return True


__all__ = ["MAGIC_BYTES", "PARQUET", "TABLES", "kind_of", "magic_of"]
