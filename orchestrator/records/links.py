"""Which addresses of external files and storages may stand in records. The standard library alone: scripts use it."""

from __future__ import annotations

import os
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from orchestrator.errors import Forbidden, InvalidRequest

LINK_SCHEMES = frozenset({"s3", "gs", "az", "abfs", "https"})
"""Of external files; `http` only where `ALLOW_HTTP` is set."""
ALLOW_HTTP = "RETRAIN_ALLOW_HTTP_LINKS"
"""Variable that is 1 where links may go over `http://`, which anybody on the way can change: in closed networks."""
_SECRET_PARAMETERS = frozenset(
    {
        "access_token",
        "awsaccesskeyid",
        "sig",
        "signature",
        "token",
        "x-amz-credential",
        "x-amz-security-token",
        "x-amz-signature",
        "x-goog-credential",
        "x-goog-signature",
    }
)
"""What signed addresses of S3, GCS and Azure, and those of web services, carry."""
LINKS_HINT = "Whoever runs it can allow that: RETRAIN_LINK_PREFIXES (see `retrain agent --help`)."
"""Where an agent does not follow a link."""


class LinkPolicy(NamedTuple):
    """Which links a machine follows. By hand a person's network and credentials are their own; an agent's are not.

    Attributes:
        public_only: only what everybody can reach: `https://` at addresses of the public internet.
        prefixes: beginnings of addresses that are followed all the same, such as `s3://bucket/` or
            `https://files.example/`; then with the machine's own network and credentials.
    """

    public_only: bool = False
    prefixes: tuple[str, ...] = ()

    def trusts(self, url: str) -> bool:
        """Tell whether an address may be asked whatever it resolves to.

        Raises:
            Forbidden: it may not be asked at all.
        """
        if not self.public_only or (url.startswith(self.prefixes) and not _climbs(url)):
            return True
        if url.partition("://")[0].lower() == "https":
            return False
        raise Forbidden(
            f"This agent does not follow {_shown(url)}.",
            hint=LINKS_HINT,
        )


def check_link(url: str) -> str:
    """Return the address of an external file when it is one that can be fetched and holds no credentials.

    Raises:
        InvalidRequest: it is not; the message names it without what may be secret.
    """
    scheme, separator, rest = url.partition("://")
    if separator and scheme.lower() == "http" and os.environ.get(ALLOW_HTTP) != "1":
        raise InvalidRequest(
            f"{_shown(url)} is not linked: whoever is on the way of http:// can read and change the file.",
            hint=f"Use https://, or set {ALLOW_HTTP}=1 here and on the server if the network is closed.",
        )
    if not separator or scheme.lower() not in LINK_SCHEMES | {"http"} or not rest.strip("/") or not url.isprintable():
        raise InvalidRequest(
            f"{_shown(url)} is no address of an external file.",
            hint=f"It begins with {', '.join(f'{each}://' for each in sorted(LINK_SCHEMES))}.",
        )
    return check_no_credentials(url)


def check_no_credentials(url: str) -> str:
    """Return an address when there are no credentials in it: everybody who may read sees it.

    Raises:
        InvalidRequest: there are, or it cannot be read.
    """
    try:
        parts = urlsplit(url)
        signed = {name.lower() for name, _ in parse_qsl(parts.query, keep_blank_values=True)} & _SECRET_PARAMETERS
        has_user = "@" in parts.netloc and parts.scheme not in {"abfs", "abfss"}  # there it is container@account
        has_password = parts.password is not None
    except ValueError:
        raise InvalidRequest(f"{_shown(url)} is no address.", hint="See that it is typed right.") from None
    if has_user or has_password or signed:
        raise InvalidRequest(
            f"{_shown(url)} holds credentials.",
            hint="Leave them out: whoever fetches uses those of their own environment.",
        )
    return url


def _climbs(url: str) -> bool:
    """Tell whether a server may take an address for one of another folder than it begins with."""
    return not {".", ".."}.isdisjoint(unquote(url).replace("\\", "/").split("/"))


def _shown(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    return repr(f"{scheme}{separator}{rest.partition('?')[0].rpartition('@')[2]}"[:200])
