"""Git remotes as a node reaches them: with its credentials, with patience, and with nothing that a URL could start."""

from __future__ import annotations

import logging
import os
import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from orchestrator.errors import RebuildError, Unavailable
from orchestrator.sdk.capture.git import GitError, run_git, user_environment
from orchestrator.sdk.capture.remotes import TRANSPORTS, is_fetchable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

logger = logging.getLogger(__name__)

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


class Remote:
    """One git remote.

    Args:
        url: of the remote.
        scratch: a folder for the program that git asks for a password.
        access: credentials and patience.

    Raises:
        RebuildError: the URL could start something else than a transport of git's own.
    """

    def __init__(self, url: str, *, scratch: Path, access: RemoteAccess) -> None:
        if not is_fetchable(url):
            raise RebuildError(f"{url!r} is no URL that git may fetch from.", hint=f"Use {', '.join(TRANSPORTS)}.")
        self.url = url
        self._scratch = scratch
        self._access = access

    def head(self, branch: str) -> str:
        """Ask the remote to which commit a branch points now.

        Raises:
            Unavailable: the remote does not answer, also after the last retry, or lets nobody in.
            RebuildError: it has no such branch.
        """
        name = f"refs/heads/{branch}"
        for line in self.insist("ls-remote", "--", self.url, name).decode(errors="replace").splitlines():
            commit, _, found = line.partition("\t")
            if found == name:  # git matches patterns, and the ends of names
                return commit
        raise RebuildError(
            f"There is no branch {branch!r} on {self.url}.", hint="Push it, or name another: git ls-remote lists them."
        )

    def insist(self, *arguments: str, git_directory: Path | None = None) -> bytes:
        """Run git as `run` does, again and again while the remote does not answer.

        Raises:
            Unavailable: it does not, also after the last retry, or lets nobody in.
        """
        pauses = iter(self._access.retry_after_seconds)
        while True:
            try:
                return self.run(*arguments, git_directory=git_directory)
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

    def run(self, *arguments: str, git_directory: Path | None = None) -> bytes:
        """Run a git command that speaks to the remote, and return what it printed.

        Args:
            arguments: of git.
            git_directory: what it fetches into; where there is none, no repository around this process counts.

        Raises:
            GitError: git failed.
        """
        host = _host(self.url)
        environment = user_environment() | {  # proxies and trusted certificates are the user's to configure
            "GIT_DIR": os.devnull if git_directory is None else str(git_directory),
            "GIT_ALLOW_PROTOCOL": ":".join(TRANSPORTS),
            "GIT_HTTP_LOW_SPEED_LIMIT": "1",
            "GIT_HTTP_LOW_SPEED_TIME": "60",
        }
        environment.setdefault(
            "GIT_SSH_COMMAND",
            "ssh -oBatchMode=yes -oConnectTimeout=15 -oServerAliveInterval=15 -oServerAliveCountMax=4",
        )
        options: tuple[str, ...] = ()
        if credential := self._access.credentials.get(host):
            options = ("-c", "credential.helper=")
            environment |= {
                "GIT_ASKPASS": str(write_askpass(self._scratch)),
                "RETRAIN_GIT_HOST": host,
                "RETRAIN_GIT_USERNAME": credential.username,
                "RETRAIN_GIT_PASSWORD": credential.password,
            }
        return run_git(
            [*options, *arguments], directory=self._scratch, environment=environment, timeout=LONGEST_FETCH_SECONDS
        )


def write_askpass(folder: Path) -> Path:
    """Write the program that git asks for a password; the password itself is in the environment alone."""
    path = folder / "askpass"
    if not path.exists():
        written = path.with_suffix(".new")
        written.write_text(_ASKPASS)
        written.chmod(0o700)
        written.replace(path)
    return path


def _host(url: str) -> str:
    """Return `host` or `host:port` of an http URL as git names it when it asks for a password."""
    _, separator, rest = url.partition("://")
    return rest.partition("/")[0].rpartition("@")[2] if separator else ""
