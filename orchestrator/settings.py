"""One frozen settings object, read at main, never at import. The standard library alone: scripts use it, too.

State lives in one home directory (`RETRAIN_HOME`, default `~/.retrain`).
"""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.errors import InvalidRequest, ServerUnreachable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

DEFAULT_PORT = 8420
CACHE_BYTES = 50 << 30
"""Of copies of dataset versions on one machine, where `RETRAIN_CACHE_BYTES` says nothing."""
CREDENTIAL_FILES = ("credentials.json", "up.json")
"""Where `retrain login` and `retrain up` write URL and token, in the order in which they are asked."""


@dataclass(frozen=True, kw_only=True)
class Server:
    """Where the server is and the token to speak to it with."""

    url: str
    token: str = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a server needs to know. Every field can be set in the environment as `RETRAIN_` and its name in capitals.

    Raises:
        InvalidRequest: a number is out of its range; the message names the variable.
    """

    home: Path
    database_url: str = ""
    """SQLAlchemy URL; the file `database.sqlite` in the home directory where there is none."""
    blobs_url: str = ""
    """fsspec URL or directory; the directory `blobs` in the home directory where there is none."""
    redis_url: str | None = field(default=None, repr=False)
    """Also `REDIS_URL`."""
    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    """0 takes any free one."""
    admin_token_file: Path = Path()
    """Holds URL and token of the first administrator, mode 0600; `up.json` in the home directory where there is none.

    Whoever deletes it gets a new one at the next start: who can write here can write the database, too.
    """
    lease_seconds: float = 60.0
    """An attempt that is silent for this long is lost."""
    heartbeat_seconds: float = 15.0
    """How often an attempt extends its lease and an agent says that it is there."""
    sweep_seconds: float = 5.0
    """How often expired leases and missing tickets are looked for."""
    max_lost_attempts: int = 3
    """A task that lost this many attempts since someone enqueued it fails."""
    agent_seen_seconds: float = 60.0
    """An agent that is silent for this long is not listening."""
    firing_retry_seconds: float = 10.0
    """A failed firing is tried again after this, then after twice this, and so on."""
    firing_retry_max_seconds: float = 3600.0
    firing_max_tries: int = 10
    claim_seconds: float = 60.0
    """A scheduler that is silent for this long about a function, a message or a gate loses it to another."""
    public_url: str = ""
    """By which people and tasks reach the server, for addresses in templates; host and port where there is none."""

    def __post_init__(self) -> None:
        defaults: dict[str, object] = {
            "database_url": f"sqlite:///{self.home / 'database.sqlite'}",
            "blobs_url": str(self.home / "blobs"),
            "admin_token_file": self.home / "up.json",
        }
        for name, default in defaults.items():
            if getattr(self, name) in {"", Path()}:
                object.__setattr__(self, name, default)
        for each in fields(self):
            value = getattr(self, each.name)
            if each.name != "port" and isinstance(value, (int, float)) and not 0 < value < math.inf:
                raise InvalidRequest(f"{variable(each.name)} is {value}.", hint="It must be a number above zero.")
        if not 0 <= self.port <= 65535:  # noqa: PLR2004  what TCP has
            raise InvalidRequest(f"{variable('port')} is {self.port}.", hint="A port is 0 to 65535.")
        if self.heartbeat_seconds >= self.lease_seconds:
            raise InvalidRequest(
                f"A heartbeat every {self.heartbeat_seconds} s does not keep a lease of {self.lease_seconds} s.",
                hint=f"Make {variable('heartbeat_seconds')} at most a third of {variable('lease_seconds')}.",
            )

    @property
    def base_url(self) -> str:
        """The beginning of the server's addresses, without a slash at its end."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return self.public_url.rstrip("/") or f"http://{host}:{self.port}"

    @classmethod
    def from_environ(cls, environ: Mapping[str, str] | None = None, **given: Any) -> Settings:  # noqa: ANN401  any field
        """Read the environment.

        Args:
            environ: the process's own where there is none.
            **given: fields that the caller knows better, such as from a command line; None counts as not given.

        Raises:
            InvalidRequest: a variable does not hold what it should.
        """
        environ = os.environ if environ is None else environ
        values: dict[str, Any] = {"home": home_directory(environ)}
        if environ.get("REDIS_URL"):
            values["redis_url"] = environ["REDIS_URL"]
        for each in fields(cls):
            text = environ.get(variable(each.name), "")
            if text and each.name != "home":
                values[each.name] = _read(each.name, text, kind=str(each.type))
        values |= {name: value for name, value in given.items() if value is not None}
        return cls(**values)


def variable(name: str) -> str:
    """Return the environment variable of a field."""
    return f"RETRAIN_{name.upper()}"


def home_directory(environ: Mapping[str, str] | None = None) -> Path:
    """Return the directory where state lives."""
    environ = os.environ if environ is None else environ
    return Path(environ.get("RETRAIN_HOME") or "~/.retrain").expanduser().absolute()


def cache_bytes(environ: Mapping[str, str] | None = None) -> int:
    """Return how many bytes the copies of dataset versions on this machine may have: `RETRAIN_CACHE_BYTES`.

    Raises:
        InvalidRequest: it is no whole number above zero.
    """
    environ = os.environ if environ is None else environ
    text = environ.get(variable("cache_bytes"), "")
    limit = _read("cache_bytes", text, kind="int") if text else CACHE_BYTES
    if not isinstance(limit, int) or limit <= 0:
        raise InvalidRequest(f"{variable('cache_bytes')} is {limit}.", hint="It must be a number above zero.")
    return limit


def link_prefixes(environ: Mapping[str, str] | None = None, *, given: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the beginnings of addresses that an agent may follow for attempts.

    Args:
        environ: whose `RETRAIN_LINK_PREFIXES` has them, by commas; the process's own where there is none.
        given: more of them.

    Raises:
        InvalidRequest: one names no server or bucket, and so would allow everything.
    """
    return _prefixes("link_prefixes", environ, given=given)


def webhook_prefixes(environ: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Return the beginnings of addresses that webhooks may go to beside `https://` on the public internet.

    Args:
        environ: whose `RETRAIN_WEBHOOK_PREFIXES` has them, by commas; the process's own where there is none.

    Raises:
        InvalidRequest: one names no server, and so would allow everything.
    """
    return _prefixes("webhook_prefixes", environ)


def find_server(environ: Mapping[str, str] | None = None) -> Server:
    """Return the server that scripts and commands speak to: environment first, then `retrain login`, then `retrain up`.

    Inside an attempt the URL is a unix socket that needs no token.

    Raises:
        ServerUnreachable: nothing says where the server is.
        InvalidRequest: a credentials file cannot be read.
    """
    environ = os.environ if environ is None else environ
    url, token = environ.get("RETRAIN_URL", ""), environ.get("RETRAIN_TOKEN", "")
    if url and (token or url.startswith("unix:")):
        return Server(url=url, token=token)
    home = home_directory(environ)
    for name in CREDENTIAL_FILES:
        found = read_credentials(home / name)
        if found is not None and (not url or url.rstrip("/") == found.url.rstrip("/")):
            return Server(url=found.url, token=token or found.token)
    if url:
        raise ServerUnreachable(
            f"There is no token for {url}.", hint=f"Run: retrain login {url}, or set RETRAIN_TOKEN."
        )
    raise ServerUnreachable(
        "There is no server to speak to.",
        hint="Start one on this machine: retrain up. Or name one: retrain login URL.",
    )


def read_credentials(path: Path) -> Server | None:
    """Return what a credentials file holds, or None where there is no such file.

    Raises:
        InvalidRequest: it cannot be read.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        return Server(url=str(data["url"]), token=str(data["token"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidRequest(
            f"{path} cannot be read: {error!r}.", hint="Delete it, then run: retrain login URL, or retrain up."
        ) from error


def write_credentials(path: Path, server: Server) -> None:
    """Write a credentials file that its owner alone can read; a reader sees the old file or the whole new one."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump({"url": server.url, "token": server.token}, file)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def _prefixes(name: str, environ: Mapping[str, str] | None, *, given: Sequence[str] = ()) -> tuple[str, ...]:
    environ = os.environ if environ is None else environ
    texts = (*environ.get(variable(name), "").split(","), *given)
    prefixes = tuple(dict.fromkeys(text.strip() for text in texts if text.strip()))
    for prefix in prefixes:
        _, separator, rest = prefix.partition("://")
        if not separator or "/" not in rest.lstrip("/"):
            raise InvalidRequest(
                f"{prefix!r} is no beginning of links ({variable(name)}).",
                hint="Each names a server or bucket and ends in a slash or goes on behind one, such as s3://bucket/.",
            )
    return prefixes


def _read(name: str, text: str, *, kind: str) -> str | int | float | Path:
    try:
        if kind == "int":
            return int(text)
        if kind == "float":
            return float(text)
    except ValueError:
        expected = "a whole number" if kind == "int" else "a number"
        raise InvalidRequest(f"{variable(name)} is {text!r}.", hint=f"It must be {expected}.") from None
    return Path(text).expanduser().absolute() if kind == "Path" else text
