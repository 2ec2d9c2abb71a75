"""Which file names may stand in a manifest. The standard library alone: scripts use it too."""

from __future__ import annotations

from orchestrator.errors import InvalidPath

NAME_MAX_BYTES = 255
"""Of one part of a path, on every file system in use."""


PATH_MAX_BYTES = 3072
"""Of all of it: systems take 4,096, and it has to stand below some root."""


def check_path(path: str) -> str:
    """Return a manifest path when it is safe to write below a root, on the way in as on the way out.

    Raises:
        InvalidPath: the path is absolute, holds `..`, `.`, an empty part or NUL, a part has over 255 bytes or all of it
            over 3,072.
    """
    try:
        encoded = path.encode()
    except UnicodeEncodeError:
        raise InvalidPath(f"{path!r} is not valid UTF-8.", hint="Rename the file.") from None
    parts = encoded.split(b"/")
    if not path or b"\0" in encoded:
        raise InvalidPath(f"{path!r} is no file name.")
    if encoded.startswith(b"/") or b".." in parts:
        raise InvalidPath(f"{path!r} leaves the dataset.", hint="Paths are relative to the root, without '..'.")
    if b"" in parts or b"." in parts:
        raise InvalidPath(f"{path!r} has an empty part.", hint="Write it without '//' and './'.")
    if any(len(part) > NAME_MAX_BYTES for part in parts):
        raise InvalidPath(f"{path!r} has a name of more than {NAME_MAX_BYTES} bytes.", hint="Shorten it.")
    if len(encoded) > PATH_MAX_BYTES:
        shown = f"{path[:64]!r}… ({len(encoded)} bytes)"
        raise InvalidPath(f"{shown} is longer than {PATH_MAX_BYTES} bytes.", hint="Move the file further up.")
    return path
