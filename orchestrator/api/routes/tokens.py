"""Tokens."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from orchestrator.api.answers import answer, answer_page
from orchestrator.api.caller import Administrator, AnyCaller
from orchestrator.api.routes.queries import DEFAULT_LIMIT, After, Key, Limit
from orchestrator.records.principal import Principal
from orchestrator.services.tokens import create_token, list_tokens, own_principal, revoke_token
from orchestrator.wire import CreatedToken, CreateToken, Page

router = APIRouter(prefix="/tokens", tags=["tokens"])


@router.post("", status_code=201, response_model=CreatedToken)
def create(body: CreateToken, caller: Administrator) -> Response:
    """Make a token; it is shown this once."""
    return caller.create_secret(create_token, body=body)


@router.get("", response_model=Page[Principal])
def find(caller: Administrator, after: After = None, limit: Limit = DEFAULT_LIMIT) -> Response:
    """List tokens, without what opens doors, oldest first."""
    principals = caller.read(list_tokens, after=after, limit=limit + 1)
    return answer_page(principals, limit=limit, key=lambda principal: principal.id)


@router.get("/self", response_model=Principal)
def own(caller: AnyCaller) -> Response:
    """Say whose token this is and what it may do."""
    return answer(caller.read(own_principal))


@router.delete("/{token_id}", response_model=Principal)
def revoke(token_id: Key, caller: Administrator) -> Response:
    """Revoke a token, from now on."""
    return answer(caller.write(revoke_token, principal_id=token_id))
