"""Every error that this system raises on purpose, in one tree.

The docstring is the default message, `code` goes on the wire, `status` is the HTTP status that carries it and the SDK
raises the same class again on the other side.

    OrchestratorError
    ├── InvalidRequest             what was asked cannot be done as written
    │   ├── InvalidPath            a file name that leaves its root, or no file at all
    │   ├── UnknownParameter       an override of a parameter that the reference task does not have
    │   ├── UnknownTemplateName    ${...} names nothing
    │   └── UnsupportedProtocol    client and server are too far apart
    ├── Unauthenticated            no token, or one that is wrong, expired or revoked
    ├── Forbidden                  the token is good, the role is not
    ├── NotFound                   nothing has that id or name
    ├── Conflict                   the state of things does not allow it
    │   ├── StaleTask              the task changed since it was read
    │   ├── StaleAttempt           a newer attempt, or none, owns the task
    │   ├── IllegalTransition      the lifecycle has no such move
    │   ├── StaleRevision          the trigger was edited or removed
    │   ├── StaleClaim             another scheduler has the firing, or it ended
    │   ├── TaskEnded              it ended otherwise than was waited for
    │   ├── HeadMoved              another version was finalized from the same parent
    │   └── AlreadyExists          the name is taken
    ├── DigestMismatch             bytes are not what their digest says
    ├── NoSpace                    the disk is full
    ├── ServerUnreachable          nobody answers at the URL
    ├── ServerFailed               the server answered with an error of its own
    ├── DatabaseTooNew             the database was written by a later release
    ├── CaptureError               the source cannot be captured faithfully
    └── RebuildError               what was captured cannot be rebuilt here
        ├── SourceMismatch         the rebuilt tree is not the captured one
        ├── EnvironmentFailed      the packages cannot be installed
        ├── ExecutorUnavailable    no engine, image or device to run on
        └── Unavailable            a remote, an index or an engine does not answer; trying later may help
"""

from __future__ import annotations

from typing import ClassVar


class OrchestratorError(Exception):
    """Something went wrong in the orchestrator."""

    code: ClassVar[str] = "error"
    status: ClassVar[int] = 500

    def __init__(self, message: str | None = None, *, hint: str | None = None) -> None:
        """Take a message (default: the docstring) and a hint that says what to do about it."""
        self.message = message or (type(self).__doc__ or "").strip()
        self.hint = hint
        super().__init__(self.message)

    def __str__(self) -> str:
        if not self.hint:
            return self.message
        sentence = self.message if self.message.endswith((".", "!", "?", ":", "…")) else f"{self.message}."
        # After several lines a hint at the end of the last one would not be seen.
        return (f"{sentence}\n" if "\n" in sentence else f"{sentence} ") + self.hint


class InvalidRequest(OrchestratorError):
    """The request cannot be carried out as written."""

    code = "invalid_request"
    status = 422


class InvalidPath(InvalidRequest):
    """The path is not usable here."""

    code = "invalid_path"


class UnknownParameter(InvalidRequest):
    """The reference task has no such parameter."""

    code = "unknown_parameter"


class UnknownTemplateName(InvalidRequest):
    """The template names nothing that exists when the trigger fires."""

    code = "unknown_template_name"


class UnsupportedProtocol(InvalidRequest):
    """Client and server are too far apart to understand each other."""

    code = "unsupported_protocol"
    status = 426


class Unauthenticated(OrchestratorError):
    """A valid token is needed."""

    code = "unauthenticated"
    status = 401


class Forbidden(OrchestratorError):
    """The token does not allow this."""

    code = "forbidden"
    status = 403


class NotFound(OrchestratorError):
    """Nothing has that id or name."""

    code = "not_found"
    status = 404


class Conflict(OrchestratorError):
    """The present state does not allow this."""

    code = "conflict"
    status = 409


class StaleTask(Conflict):
    """The task changed since it was read."""

    code = "stale_task"


class StaleAttempt(Conflict):
    """This attempt no longer owns its task."""

    code = "stale_attempt"


class IllegalTransition(Conflict):
    """The lifecycle of a task has no such move."""

    code = "illegal_transition"


class StaleRevision(Conflict):
    """The trigger was edited or removed since it was read."""

    code = "stale_revision"


class StaleClaim(Conflict):
    """Another scheduler has the firing, or it ended."""

    code = "stale_claim"


class TaskEnded(Conflict):
    """The task ended otherwise than was waited for."""

    code = "task_ended"


class HeadMoved(Conflict):
    """Another version was finalized from the same parent first."""

    code = "head_moved"


class AlreadyExists(Conflict):
    """Something of that name exists already."""

    code = "already_exists"


class DigestMismatch(OrchestratorError):
    """The bytes are not those that their digest names."""

    code = "digest_mismatch"
    status = 422


class NoSpace(OrchestratorError):
    """The disk is full."""

    code = "no_space"
    status = 507


class ServerUnreachable(OrchestratorError):
    """The server does not answer."""

    code = "server_unreachable"
    status = 503


class ServerFailed(OrchestratorError):
    """The server failed to answer the request."""

    code = "server_failed"
    status = 502


class DatabaseTooNew(OrchestratorError):
    """The database was written by a later release than this one."""

    code = "database_too_new"


class CaptureError(OrchestratorError):
    """The source cannot be captured faithfully."""

    code = "capture_failed"
    status = 422


class RebuildError(OrchestratorError):
    """What was captured cannot be rebuilt here."""

    code = "rebuild_failed"


class SourceMismatch(RebuildError):
    """The rebuilt source tree differs from the captured one."""

    code = "source_mismatch"


class EnvironmentFailed(RebuildError):
    """The packages of the task cannot be installed."""

    code = "environment_failed"


class ExecutorUnavailable(RebuildError):
    """There is nothing to run the attempt on."""

    code = "executor_unavailable"


class Unavailable(RebuildError):
    """A remote, an index or an engine does not answer."""

    code = "unavailable"
    status = 503


def _tree(root: type[OrchestratorError]) -> dict[str, type[OrchestratorError]]:
    found = {root.code: root}
    for child in root.__subclasses__():
        found |= _tree(child)
    return found


BY_CODE = _tree(OrchestratorError)
"""Every class by the code that it has on the wire."""


def from_wire(code: str, message: str, *, hint: str | None = None) -> OrchestratorError:
    """Make the error that a response describes; a code of a later release becomes the base class."""
    return BY_CODE.get(code, OrchestratorError)(message, hint=hint)
