"""Which addresses are of the public internet: an agent asks no others for its attempts. The standard library alone."""

from __future__ import annotations

import ipaddress
import socket

from orchestrator.errors import Forbidden, Unavailable
from orchestrator.records.links import LINKS_HINT

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
"""A gateway passes on what is sent there to the IPv4 address in the last four bytes."""


def is_public(address: str) -> bool:
    """Tell whether an address is one of a single machine on the public internet."""
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour
        if found in _NAT64:
            inner = ipaddress.IPv4Address(found.packed[-4:])
        if inner is not None:
            return is_public(str(inner))
        if found.is_site_local:
            return False
    return found.is_global and not found.is_multicast and not found.is_reserved


def public_addresses(host: str, port: int, *, url: str) -> list[str]:
    """Return the addresses that a name stands for.

    Args:
        host: a name, or an address.
        port: that is to be connected to.
        url: of the link, for messages.

    Raises:
        Forbidden: one of them is none of the public internet.
        Unavailable: the name stands for nothing.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise Unavailable(f"{url} does not answer: {error}.", hint="Try again later.") from error
    addresses = [str(each[4][0]) for each in found]
    if not all(map(is_public, addresses)):
        raise Forbidden(f"This agent does not follow {url}: it is not on the public internet.", hint=LINKS_HINT)
    return addresses


def connect_to_any(addresses: list[str], port: int, *, timeout: float, source: tuple[str, int] | None) -> socket.socket:
    """Connect to the first of the addresses that answers; no name is looked up.

    Raises:
        OSError: none of them does; why the last one did not.
    """
    *others, last = addresses
    for address in others:
        try:
            return socket.create_connection((address, port), timeout, source)
        except OSError:  # such as IPv6 where there is no way out: the next one is tried
            continue
    return socket.create_connection((last, port), timeout, source)
