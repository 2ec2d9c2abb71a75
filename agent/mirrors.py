"""A cache of remotes on this node, so that a commit is fetched once and a remote may be down afterwards."""

from __future__ import annotations

import fcntl
import hashlib
import re
import shutil
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from orchestrator.errors import RebuildError, Unavailable
from orchestrator.sdk.capture.git import (
    GitError,
    make_raw_directory,
    raw_environment,
    run_git,
    user_environment,
)
from orchestrator.sdk.capture.remotes import TRANSPORTS, is_fetchable

if TYPE_CHECKING:
    import logging
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from orchestrator.sdk.capture.git import ObjectFormat

LONGEST_FETCH_SECONDS = 3600.0
_HOPELESS = re.compile(
    r"authentication failed|could not read (username|password)|permission denied|access denied|host key verification"
    r"|repository .*not found|not found: |does not appear to be a git repository|dubious ownership|not allowed",
    re.IGNORECASE,
)
_ASKPASS = """\
#!/bin/sh
# Git asks "Username for 'https://host': " or "Password for 'https://user@host': "; no other host is answered.
case "$1" in
*"://$RETRAIN_GIT_HOST'"* | *"@$RETRAIN_GIT_HOST'"* | *"://$RETRAIN_GIT_HOST/"* | *"@$RETRAIN_GIT_HOST/"*) ;;
*) exit 1 ;;
esac
case "$1" in
Username*) printf '%s\\n' "$RETRAIN_GIT_USERNAME" ;;
*) printf '%s\\n' "$RETRAIN_GIT_PASSWORD" ;;
esac
"""


@dataclass(frozen=True, slots=True)
class Credential:
    """What a git host wants to hear."""

    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class RemoteAccess:
    """How remotes are reached."""

    credentials: Mapping[str, Credential] = field(default_factory=dict)
    """By host, with the port where the URL has one. A credential is never shown to another host."""
    retry_after_seconds: Sequence[float] = (1.0, 2.0, 4.0, 8.0)
    """The pauses between tries while a remote does not answer."""


class Mirror:
    """The objects of one remote, or of all sources that have none, in a raw git directory.

    Args:
        mirrors: the folder that holds all of them.
        url: the remote; None for sources without one.
        object_format: the hash that names its objects.
    """

    def __init__(self, mirrors: Path, *, url: str | None, object_format: ObjectFormat) -> None:
        if url is not None and not is_fetchable(url):
            raise RebuildError(f"{url!r} is no URL that git may fetch from.", hint=f"Use {', '.join(TRANSPORTS)}.")
        self.url = url
        name = "no-remote" if url is None else f"{_slug(url)}-{hashlib.sha256(url.encode()).hexdigest()[:16]}"
        self.directory = mirrors / f"{name}-{object_format}.git"
        self._mirrors = mirrors
        self._environment = raw_environment(self.directory)
        if not (self.directory / "HEAD").exists():
            mirrors.mkdir(parents=True, exist_ok=True)
            with self.locked():
                if not (self.directory / "HEAD").exists():
                    shutil.rmtree(self.directory, ignore_errors=True)  # begun by a process that was killed
                    make_raw_directory(self.directory, object_format=object_format, durable=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from fetching into this mirror; the kernel lets go when the holder dies."""
        with self.directory.with_suffix(".lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def run(self, *arguments: str, index: Path | None = None, work_tree: Path | None = None) -> bytes:
        """Run git on this mirror, with an index and a working tree of the caller's.

        Raises:
            GitError: git failed.
        """
        environment = dict(self._environment)
        if index is not None:
            environment["GIT_INDEX_FILE"] = str(index)
        if work_tree is not None:
            environment["GIT_WORK_TREE"] = str(work_tree)
        return run_git(arguments, directory=work_tree or self.directory, environment=environment)

    def has(self, commit: str) -> bool:
        """Tell whether a commit is here with all that it needs.

        Only what a reference reaches is known to be whole: a fetch that was cut off leaves objects without their parts.
        """
        try:
            return not self.run("rev-list", "--max-count=1", commit, "--not", "--all")
        except GitError:
            return False

    def keep(self, commit: str) -> None:
        """Hold on to a commit, whatever becomes of the branches of its remote."""
        self.run("update-ref", _kept(commit), commit)

    def unbundle(self, bundle: Path, *, commit: str) -> None:
        """Take in the commits of a bundle.

        Raises:
            GitError: the bundle is damaged, or builds on commits that are not here.
        """
        self.run("fetch", *_FETCH, str(bundle), f"+HEAD:{_kept(commit)}")

    def fetch(self, commit: str, *, access: RemoteAccess, logger: logging.Logger) -> None:
        """Bring the branches and tags of the remote up to date, and the commit even if none of them holds it.

        Raises:
            Unavailable: the remote does not answer, also after the last retry, or lets nobody in.
        """
        branches = ("--prune", self._url(), "+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")
        self._fetch(branches, access=access, logger=logger)
        if self.has(commit):
            self.keep(commit)
            return
        try:
            self._fetch_once((self._url(), f"+{commit}:{_kept(commit)}"), access=access)
        except GitError as error:
            logger.info(
                "the remote does not hand out the commit",
                extra={"action": "commit_refused", "repository": self.url, "commit": commit, "reason": str(error)},
            )

    def _fetch(self, what: Sequence[str], *, access: RemoteAccess, logger: logging.Logger) -> None:
        pauses = iter(access.retry_after_seconds)
        while True:
            try:
                return self._fetch_once(what, access=access)
            except GitError as error:
                pause = None if _HOPELESS.search(error.complaint) else next(pauses, None)
                if pause is None:
                    raise Unavailable(
                        f"The git remote {self.url} cannot be fetched from: {error.complaint}",
                        hint="Check that this node reaches the remote and that the agent has credentials for it.",
                    ) from error
                logger.warning(
                    "git remote does not answer",
                    extra={"action": "fetch_retried", "repository": self.url, "pause_seconds": pause},
                )
            time.sleep(pause)

    def _fetch_once(self, what: Sequence[str], *, access: RemoteAccess) -> None:
        host = _host(self._url())
        environment = user_environment() | {  # proxies and trusted certificates are the user's to configure
            "GIT_DIR": str(self.directory),
            "GIT_ALLOW_PROTOCOL": ":".join(TRANSPORTS),
            "GIT_HTTP_LOW_SPEED_LIMIT": "1",
            "GIT_HTTP_LOW_SPEED_TIME": "60",
        }
        environment.setdefault(
            "GIT_SSH_COMMAND",
            "ssh -oBatchMode=yes -oConnectTimeout=15 -oServerAliveInterval=15 -oServerAliveCountMax=4",
        )
        options: tuple[str, ...] = ()
        if credential := access.credentials.get(host):
            options = ("-c", "credential.helper=")
            environment |= {
                "GIT_ASKPASS": str(self._askpass()),
                "RETRAIN_GIT_HOST": host,
                "RETRAIN_GIT_USERNAME": credential.username,
                "RETRAIN_GIT_PASSWORD": credential.password,
            }
        run_git(
            [*options, "fetch", *_FETCH, *what],
            directory=self.directory,
            environment=environment,
            timeout=LONGEST_FETCH_SECONDS,
        )

    def _askpass(self) -> Path:
        """Write the program that git asks for a password; the password itself is in the environment alone."""
        path = self.directory / "askpass"
        if not path.exists():
            written = path.with_suffix(".new")
            written.write_text(_ASKPASS)
            written.chmod(0o700)
            written.replace(path)
        return path

    def _url(self) -> str:
        if self.url is None:
            raise RebuildError("The source names a commit, but neither a remote nor a bundle that has it.")
        return self.url


_FETCH = ("--quiet", "--force", "--no-tags", "--no-write-fetch-head", "--no-auto-gc", "--recurse-submodules=no")


def _kept(commit: str) -> str:
    return f"refs/kept/{commit}"


def _host(url: str) -> str:
    """Return `host` or `host:port` of an http URL as git names it when it asks for a password."""
    _, separator, rest = url.partition("://")
    return rest.partition("/")[0].rpartition("@")[2] if separator else ""


def _slug(url: str) -> str:
    """Return something of a URL that a person recognises in a folder listing."""
    last = re.split(r"[/:]", url.rstrip("/").removesuffix(".git"))[-1]
    return re.sub(r"[^A-Za-z0-9._-]", "_", last)[:40].lstrip(".-") or "remote"
