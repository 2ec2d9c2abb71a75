"""Git processes started from argument lists, and git directories in which git never changes a byte.

Attributes, filters and end-of-line conversion make git store other bytes than those on disk. A *raw* git directory has
all of them off: `info/attributes` outranks every `.gitattributes`, and neither the user's nor the system's
configuration is read. Capture writes its trees through one, and the agent's checkout reads them through another.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ObjectFormat = Literal["sha1", "sha256"]

EMPTY_TREE = {
    "sha1": "4b825dc642cb6eb9a060e54bf8d69288fbee4904",
    "sha256": "6ef19b41225c5369f1c104d45d8d85efa9b057b53b14b4b9b939dd74decc5321",
}
"""The tree without files, which every repository knows without storing it."""

_KEPT = (
    "GIT_CONFIG_",
    "GIT_SSH",
    "GIT_SSL_",
    "GIT_PROXY_",
    "GIT_EXEC_PATH",
    "GIT_CEILING_DIRECTORIES",
    "GIT_DISCOVERY_",
)
_RAW_ATTRIBUTES = "* -text !eol !ident !filter !working-tree-encoding !diff !whitespace\n"
_RAW_CONFIGURATION = """\
[core]
\trepositoryformatversion = {version}
\tbare = true
\tfileMode = true
\tsymlinks = true
\tautocrlf = false
\tignoreCase = false
\tlogAllRefUpdates = false
\tbigFileThreshold = 32m
\thooksPath = /dev/null
\tfsync = none
[gc]
\tauto = 0
[maintenance]
\tauto = false
"""


class GitError(Exception):
    """A git process failed; the text is git's own, and callers turn it into an error of ours."""

    def __init__(self, command: str, complaint: str, *, status: int) -> None:
        """Take the subcommand, what it wrote to standard error, and its exit status."""
        self.command = command
        self.complaint = complaint
        self.status = status
        super().__init__(f"git {command} failed with status {status}: {complaint}")


def user_environment() -> dict[str, str]:
    """Return this process's environment without the variables that would turn git to another repository.

    The user's configuration stays in force: ignore rules, trusted directories and proxies are theirs to set.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("GIT_") or (name.startswith(_KEPT) and name != "GIT_CONFIG_PARAMETERS")
    }
    return kept | {
        "LC_ALL": "C",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_TERMINAL_PROMPT": "0",
    }


def raw_environment(git_directory: Path) -> dict[str, str]:
    """Return an environment in which git works on a raw git directory and knows no other configuration."""
    kept = {name: value for name, value in user_environment().items() if not name.startswith("GIT_CONFIG_")}
    return kept | {
        "GIT_DIR": str(git_directory),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_ATTR_NOSYSTEM": "1",
    }


def make_raw_directory(
    directory: Path,
    *,
    object_format: ObjectFormat = "sha1",
    objects: Path | None = None,
    durable: bool = False,
) -> None:
    """Make a git directory that keeps git from changing bytes.

    Args:
        directory: where it goes; it must not exist.
        object_format: the hash that names objects.
        objects: an object directory to read from as well; it is never written to.
        durable: make objects outlive a power cut, at the price of waiting for the disk.
    """
    for name in ("objects/info", "refs", "info"):
        (directory / name).mkdir(parents=True)
    configuration = _RAW_CONFIGURATION.format(version=0 if object_format == "sha1" else 1)
    if durable:
        configuration = configuration.replace("\tfsync = none\n", "")
    if object_format != "sha1":
        configuration += f"[extensions]\n\tobjectFormat = {object_format}\n"
    (directory / "config").write_text(configuration)
    (directory / "info" / "attributes").write_text(_RAW_ATTRIBUTES)
    if objects is not None:
        (directory / "objects" / "info" / "alternates").write_bytes(quoted(os.fsencode(objects)) + b"\n")
    # Last, because a directory without HEAD is no repository: one that was left half made is seen as such.
    (directory / "HEAD").write_text("ref: refs/heads/none\n")


def quoted(path: bytes) -> bytes:
    """Quote a path for git's line-based input, if it needs that."""
    if not path.startswith((b'"', b"#")) and b"\n" not in path and b"\r" not in path:
        return path
    escapes = ((b"\\", b"\\\\"), (b'"', b'\\"'), (b"\n", b"\\n"), (b"\r", b"\\r"))
    for plain, escaped in escapes:
        path = path.replace(plain, escaped)
    return b'"' + path + b'"'


def start_git(
    arguments: Sequence[str],
    *,
    directory: Path,
    environment: Mapping[str, str],
    stdin: int = subprocess.DEVNULL,
    stdout: Any = subprocess.PIPE,  # noqa: ANN401  a file or a constant, as Popen has it
) -> subprocess.Popen[bytes]:
    """Start git and return its process, so that several can work at once; `finish_git` collects it.

    Raises:
        GitError: git is not installed.
    """
    try:
        return subprocess.Popen(
            ["git", *arguments],
            cwd=directory,
            env=environment,
            stdin=stdin,
            stdout=stdout,
            stderr=subprocess.PIPE,
        )
    except FileNotFoundError as error:
        missing = "git is not installed" if Path(directory).is_dir() else f"{directory} is gone"
        raise GitError(_subcommand(arguments), missing, status=127) from error


def finish_git(process: subprocess.Popen[bytes], *, stdin: bytes | None = None, timeout: float | None = None) -> bytes:
    """Wait for a git process and return what it printed.

    Args:
        process: what `start_git` returned.
        stdin: what to feed it, where it was started with a pipe.
        timeout: seconds after which it is killed; None waits without end.

    Raises:
        GitError: git failed, or ran out of time.
    """
    arguments = [str(argument) for argument in process.args[1:]]  # type: ignore[index]
    with process:
        try:
            output, complaint = process.communicate(stdin, timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise GitError(_subcommand(arguments), f"no end after {timeout:g} seconds", status=124) from None
    if process.returncode != 0:
        said = (complaint.strip() or output or b"").decode(errors="replace").strip()
        raise GitError(_subcommand(arguments), said, status=process.returncode)
    return output or b""


def run_git(
    arguments: Sequence[str],
    *,
    directory: Path,
    environment: Mapping[str, str],
    stdin: bytes | None = None,
    timeout: float | None = None,
) -> bytes:
    """Run git to its end and return what it printed.

    Raises:
        GitError: git failed, is not installed, or ran out of time.
    """
    process = start_git(
        arguments,
        directory=directory,
        environment=environment,
        stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
    )
    return finish_git(process, stdin=stdin, timeout=timeout)


def _subcommand(arguments: Sequence[str]) -> str:
    """Name the subcommand behind git's own `-c key=value` options."""
    words = iter(arguments)
    for word in words:
        if word == "-c":
            next(words, None)
        elif not word.startswith("-"):
            return word
    return ""
