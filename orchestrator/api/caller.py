"""Who calls a route, with what permission, and the one way from a route to the services.

A route cannot reach the store without naming what its caller must be allowed: it asks for a `Reader`, an `Editor` and
so on. That is checked before the body is looked at; the services check again, with the project.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Concatenate, ParamSpec, TypeVar

from fastapi import Depends, Request

from orchestrator.api.answers import answer_bytes, encode, encode_list
from orchestrator.errors import Conflict, Forbidden, InvalidRequest
from orchestrator.records.principal import Permission, Principal, Role
from orchestrator.services.blobs import require_upload
from orchestrator.services.once import Answer, RequestKey, kept_answer, write_once
from orchestrator.services.unit_of_work import read_as, write_as

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.responses import Response

    from orchestrator.api.hub import Hub
    from orchestrator.records.base import Record
    from orchestrator.services.resumable_uploads import ResumableUploads
    from orchestrator.services.storage_access import Storages
    from orchestrator.settings import Settings
    from orchestrator.store.protocol import Store, Transaction

P = ParamSpec("P")
T = TypeVar("T")
R = TypeVar("R", bound="Record")

_KEY_LENGTH = 255
_CREATED = 201


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What a server is made of."""

    store: Store
    storages: Storages
    uploads: ResumableUploads
    settings: Settings
    hub: Hub


class Caller:
    """The principal of a request, and what it can reach.

    Args:
        parts: the server's.
        principal: the token's bearer.
        key: the request's `Idempotency-Key`.
    """

    def __init__(self, parts: Parts, *, principal: Principal, key: RequestKey | None) -> None:
        self.parts = parts
        self.principal = principal
        self.settings = parts.settings
        self._key = key

    def read(
        self, service: Callable[Concatenate[Transaction, Principal, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run a service in a transaction that only reads."""
        return read_as(self.parts.store, self.principal, work=lambda tx: service(tx, self.principal, *args, **kwargs))

    def write(
        self, service: Callable[Concatenate[Transaction, Principal, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run a service in a transaction that writes."""
        return write_as(self.parts.store, self.principal, work=lambda tx: service(tx, self.principal, *args, **kwargs))

    def write_unfenced(
        self, service: Callable[Concatenate[Transaction, Principal, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run a service that checks the fence itself."""
        return self.parts.store.write(lambda tx: service(tx, self.principal, *args, **kwargs))

    def post(
        self, service: Callable[Concatenate[Transaction, Principal, P], Record], *args: P.args, **kwargs: P.kwargs
    ) -> Response:
        """Run a service once by the request's `Idempotency-Key` and answer its record."""
        return self._once(lambda tx: Answer(status=200, body=encode(service(tx, self.principal, *args, **kwargs))))

    def post_list(
        self, service: Callable[Concatenate[Transaction, Principal, P], list[R]], *args: P.args, **kwargs: P.kwargs
    ) -> Response:
        """Run a service once and answer its records."""
        return self._once(lambda tx: Answer(status=200, body=encode_list(service(tx, self.principal, *args, **kwargs))))

    def create(
        self, service: Callable[Concatenate[Transaction, Principal, P], Record], *args: P.args, **kwargs: P.kwargs
    ) -> Response:
        """Run a service once and answer what it made with 201."""
        return self._once(lambda tx: Answer(status=_CREATED, body=encode(service(tx, self.principal, *args, **kwargs))))

    def post_secret(
        self, service: Callable[Concatenate[Transaction, Principal, P], Record], *args: P.args, **kwargs: P.kwargs
    ) -> Response:
        """Run a service once and answer its record, which holds a token and is not kept."""
        return self._once(
            lambda tx: Answer(status=200, body=encode(service(tx, self.principal, *args, **kwargs)), secret=True)
        )

    def create_secret(
        self, service: Callable[Concatenate[Transaction, Principal, P], Record], *args: P.args, **kwargs: P.kwargs
    ) -> Response:
        """Run a service once and answer what it made with 201; that holds a token and is not kept."""
        return self._once(
            lambda tx: Answer(status=_CREATED, body=encode(service(tx, self.principal, *args, **kwargs)), secret=True)
        )

    def post_in_steps(self, steps: Callable[[Caller], Response]) -> Response:
        """Run what reads and plans before it posts, once by the request's `Idempotency-Key`.

        Where the request was answered before, what it planned with is no longer so: the answer that is kept counts.
        """
        if (kept := self._kept()) is not None:
            return kept
        try:
            return steps(self)
        except Conflict:
            if (kept := self._kept()) is not None:
                return kept
            raise

    def _kept(self) -> Response | None:
        if self._key is None:
            return None
        kept = kept_answer(self.parts.store, self.principal, key=self._key)
        return None if kept is None else answer_bytes(kept.body, status=kept.status)

    def _once(self, work: Callable[[Transaction], Answer]) -> Response:
        if self._key is None:
            made = write_as(self.parts.store, self.principal, work=work)
        else:
            made = write_once(self.parts.store, self.principal, key=self._key, work=work)
        return answer_bytes(made.body, status=made.status)


async def find_caller(request: Request) -> Caller:
    """Return the request's caller."""
    return Caller(request.app.state.parts, principal=request.state.principal, key=await _request_key(request))


async def _request_key(request: Request) -> RequestKey | None:
    key = request.headers.get("idempotency-key")
    if key is None or request.method != "POST":
        return None
    if not 0 < len(key) <= _KEY_LENGTH:
        raise InvalidRequest(f"An Idempotency-Key has 1 to {_KEY_LENGTH} characters.")
    asked = hashlib.sha256(f"{request.method} {request.url.path}?{request.url.query}\n".encode())
    if request.headers.get("content-type", "").startswith("application/json"):  # else bytes that are streamed
        asked.update(await request.body())
    return RequestKey(key=key, fingerprint=asked.hexdigest())


def _with(permission: Permission) -> Callable[[Caller], Awaitable[Caller]]:
    async def checked(caller: Annotated[Caller, Depends(find_caller)]) -> Caller:
        caller.principal.require(permission)
        return caller

    return checked


async def _uploader(caller: Annotated[Caller, Depends(find_caller)]) -> Caller:
    require_upload(caller.principal)
    return caller


def _owns(caller: Caller, task_id: str) -> bool:
    return caller.principal.role is Role.ATTEMPT and caller.principal.task_id == task_id


async def _own_attempt(task_id: str, caller: Annotated[Caller, Depends(find_caller)]) -> Caller:
    if not _owns(caller, task_id):
        raise Forbidden(
            f"Only an attempt of task {task_id} may do this.", hint="Its token comes with the claim or start."
        )
    return caller


async def _editor_or_own_attempt(task_id: str, caller: Annotated[Caller, Depends(find_caller)]) -> Caller:
    if not _owns(caller, task_id):
        caller.principal.require(Permission.EDIT)
    return caller


AnyCaller = Annotated[Caller, Depends(find_caller)]
Reader = Annotated[Caller, Depends(_with(Permission.READ))]
Operator = Annotated[Caller, Depends(_with(Permission.OPERATE))]
Editor = Annotated[Caller, Depends(_with(Permission.EDIT))]
Uploader = Annotated[Caller, Depends(_uploader)]
Firer = Annotated[Caller, Depends(_with(Permission.FIRE))]
Claimer = Annotated[Caller, Depends(_with(Permission.CLAIM))]
Administrator = Annotated[Caller, Depends(_with(Permission.ADMIN))]
OwnAttempt = Annotated[Caller, Depends(_own_attempt)]
EditorOrOwnAttempt = Annotated[Caller, Depends(_editor_or_own_attempt)]
