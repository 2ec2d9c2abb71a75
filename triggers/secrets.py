"""What no record holds: keys that sign webhooks, addresses of incoming webhooks, passwords.

Records name a secret, and whoever runs the scheduler has it: in the environment as `RETRAIN_SECRET_<NAME>` (capitals;
what is neither letter nor digit as `_`), or in the file `secrets/<name>` below RETRAIN_HOME, which nobody else may
read.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from orchestrator.errors import InvalidRequest, NotFound
from orchestrator.settings import home_directory

if TYPE_CHECKING:
    from collections.abc import Mapping

HIDDEN = "***"
_OTHERS = 0o077
"""Bits of a file's mode that let others than its owner have it."""
_NO_FILE = re.compile(r"[/\\\x00]|^\.")
_OTHER_THAN_WORDS = re.compile(r"[^A-Z0-9]")


class Secrets:
    """Looks secrets up when they are needed, so that a changed one is used at once. Safe between threads.

    Args:
        environ: the process's environment.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._folder = home_directory(environ) / "secrets"
        self._seen: set[str] = set()

    def get(self, name: str) -> str:
        """Return a secret without the white space around it.

        Raises:
            NotFound: it is not set; the hint is the line that sets it.
            InvalidRequest: its file can be read by others, or cannot be read.
        """
        variable = _variable(name)
        value = (self._environ.get(variable) or self._from_file(name)).strip()
        if not value:
            file = "" if _NO_FILE.search(name) else f", or write the secret to {self._folder / name} with mode 0600"
            raise NotFound(
                f"The secret {name!r} is not set where the scheduler runs.",
                hint=f"Start it with {variable}=… in its environment{file}.",
            )
        self.keep_hidden(value)
        return value

    def keep_hidden(self, value: str) -> None:
        """Have `hide` replace this text from now on."""
        self._seen.add(value)

    def hide(self, text: str) -> str:
        """Return a text without the secrets that were looked up."""
        for value in sorted(self._seen, key=len, reverse=True):
            text = text.replace(value, HIDDEN)
        return text

    def _from_file(self, name: str) -> str:
        if _NO_FILE.search(name):  # it would lie elsewhere, or be no secret
            return ""
        path = self._folder / name
        try:
            mode = path.stat().st_mode
            if mode & _OTHERS:
                raise InvalidRequest(f"{path} can be read by others.", hint=f"Run: chmod 600 {path}")
            return path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return ""
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is no text"
            raise InvalidRequest(f"{path} cannot be read: {reason}.", hint="Write the secret to it again.") from None


def _variable(name: str) -> str:
    return f"RETRAIN_SECRET_{_OTHER_THAN_WORDS.sub('_', name.upper())}"
