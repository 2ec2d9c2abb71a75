"""Which addresses of external files and storages may stand in records. The standard library alone: scripts use it."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import parse_qsl, urlsplit

from orchestrator.errors import Forbidden, InvalidRequest

LINK_SCHEMES = frozenset({"s3", "gs", "az", "abfs", "https", "http"})
"""Of external files."""
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
        if not self.public_only or any(url.startswith(prefix) for prefix in self.prefixes):
            return True
        if url.partition("://")[0].lower() == "https":
            return False
        raise Forbidden(
            f"This agent does not follow {_shown(url)}.",
            hint="Whoever runs it can allow that: RETRAIN_LINK_PREFIXES, the beginnings of addresses.",
        )


def check_link(url: str) -> str:
    """Return the address of an external file when it is one that can be fetched and holds no credentials.

    Raises:
        InvalidRequest: it is not; the message names it without what may be secret.
    """
    scheme, separator, rest = url.partition("://")
    if not separator or scheme.lower() not in LINK_SCHEMES or not rest.strip("/") or not url.isprintable():
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


def _shown(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    return repr(f"{scheme}{separator}{rest.partition('?')[0].rpartition('@')[2]}"[:200])
