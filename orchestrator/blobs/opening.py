"""From a URL to a store of bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.blobs.directory import DirectoryObjects
from orchestrator.blobs.remote import FsspecObjects

if TYPE_CHECKING:
    from orchestrator.blobs.objects import Objects


def open_objects(url: str) -> Objects:
    """Return the store at a URL. Nothing is made and nobody is asked yet.

    Args:
        url: a directory, `file://` and a directory, or what fsspec knows: `s3://bucket/prefix`, `gs://bucket/prefix`,
            `az://container/prefix` and others. Credentials and endpoints come from the environment of each library.

    Raises:
        InvalidRequest: it names no store, holds credentials, or needs a package that is not installed.
        Forbidden: the environment has no credentials for it.
    """
    scheme, separator, _ = url.partition("://")
    if not separator or scheme == "file":
        return DirectoryObjects(url.removeprefix("file://"))
    return FsspecObjects(url)
