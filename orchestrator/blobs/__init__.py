"""Stores of bytes: objects in a directory or elsewhere, and blobs named by their digest in them.

The standard library and BLAKE3 are enough for a directory; fsspec is imported when another store is opened.
"""

from __future__ import annotations

from orchestrator.blobs.objects import CHUNK_BYTES, Listed, Objects
from orchestrator.blobs.opening import open_objects
from orchestrator.blobs.pack_index import Packed, read_index
from orchestrator.blobs.packs import Pack, PackWriter
from orchestrator.blobs.spans import Span, Stored
from orchestrator.blobs.store import BlobStore
from orchestrator.blobs.writer import BlobWriter

__all__ = [
    "CHUNK_BYTES",
    "BlobStore",
    "BlobWriter",
    "Listed",
    "Objects",
    "Pack",
    "PackWriter",
    "Packed",
    "Span",
    "Stored",
    "open_objects",
    "read_index",
]
