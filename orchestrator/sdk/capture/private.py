"""Files that hold secrets and therefore stay where they are."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_NAMES = re.compile(
    r"""
      \.env(\..+)? | .+\.env              # values for the environment
    | \.netrc | _netrc | \.git-credentials | \.pgpass | \.pypirc | \.htpasswd
    | id_(rsa|dsa|ecdsa|ed25519)(_sk)?    # what ssh-keygen writes; the `.pub` beside it is public
    | .+\.(key|p12|pfx|ppk|jks|keystore)
    """,
    re.VERBOSE | re.IGNORECASE,
)
_EXAMPLES = re.compile(r".*\.(example|sample|template|dist|defaults)", re.IGNORECASE)
_PEM = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----")
_PEM_BEGINS = (b"-----BEGIN ", b"Bag Attributes")
_PUTTY = b"PuTTY-User-Key-File"
_SERVICE_ACCOUNT = re.compile(rb'"private_key"\s*:\s*"-----BEGIN [A-Z ]*PRIVATE KEY-----')
_SNIFFED_BYTES = 64 * 1024


def is_private(path: Path) -> bool:
    """Tell whether a file looks like a secret: `.env`, `.netrc`, a private key, by its name or by what it holds.

    Keys are small: no more than the first 64 KiB are read. A link is judged by its name alone, because only the name
    of its target would travel.
    """
    name = path.name
    if _NAMES.fullmatch(name):
        return not _EXAMPLES.fullmatch(name)
    if path.is_symlink() or not path.is_file():
        return False
    with path.open("rb") as file:
        head = file.read(_SNIFFED_BYTES)
    if head.startswith(_PUTTY) or (path.suffix == ".json" and _SERVICE_ACCOUNT.search(head)):
        return True
    suffix = path.suffix.lower()
    kinds = _PEM.findall(head) if suffix == ".pem" or head.lstrip().startswith(_PEM_BEGINS) else []
    # A .pem without a readable label may hold anything; certificates and public keys say what they are.
    return any(kind.endswith(b"PRIVATE KEY") for kind in kinds) or (suffix == ".pem" and not kinds)
