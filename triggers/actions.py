"""Which module performs which kind of work."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from orchestrator.errors import InvalidRequest
from orchestrator.records.action import FunctionAction, MessageAction, WebhookAction
from orchestrator.records.gate import Gates
from orchestrator.records.links import LinkPolicy
from orchestrator.settings import webhook_prefixes
from triggers import gating, webhooks
from triggers.events import EventBatch
from triggers.functions import Functions, result_of
from triggers.messages import MailServer, Messages
from triggers.performing import Performed
from triggers.secrets import Secrets

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from orchestrator.wire import FiringWork
    from triggers.performing import Hold


class Actions:
    """Performs what the server hands to a scheduler. Safe between threads.

    Args:
        remote: the server, for what gates ask about.
        functions: name to function, of those that this process can call.
        environ: has secrets, the mail server and the addresses that webhooks may go to; the process's own where there
            is none.

    Raises:
        InvalidRequest: a function or a setting is not of its form.
    """

    def __init__(
        self,
        remote: gating.Datasets,
        *,
        functions: Mapping[str, Callable[..., object]] | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        environ = os.environ if environ is None else environ
        self._remote = remote
        self._functions = Functions(functions)
        self._secrets = Secrets(environ)
        self._policy = LinkPolicy(public_only=True, prefixes=webhook_prefixes(environ))
        self._messages = Messages(secrets=self._secrets, mail_server=MailServer.from_environ(environ))

    @property
    def functions(self) -> tuple[str, ...]:
        """Names of the functions that can be called."""
        return self._functions.names

    def hide(self, text: str) -> str:
        """Return a text without the secrets that were used."""
        return self._secrets.hide(text)

    def perform(self, hold: Hold) -> Performed:
        """Perform a piece of work; whatever it raises but `Abandoned` fails the firing."""
        work = hold.work
        if work.kind == "gates":
            gates = work.trigger.gates or Gates()
            report = gating.look(hold, gates, batch=_batch(work), remote=self._remote, functions=self._functions)
            return Performed(gate=report)
        match work.trigger.action:
            case FunctionAction() as action:
                return Performed(result=result_of(self._functions.call(action.function, _batch(work))))
            case WebhookAction() as action:
                sent = webhooks.send(work, action, secrets=self._secrets, policy=self._policy, now=hold.now())
                return Performed(result=sent)
            case MessageAction() as action:
                return Performed(result={"to": self._messages.send(work, action, now=hold.now())})
            case action:
                raise InvalidRequest(f"A scheduler performs no action of the kind {action.kind}.")


def _batch(work: FiringWork) -> EventBatch:
    return EventBatch(
        trigger=work.trigger.name,
        firing_id=work.firing.id,
        events=work.events,
        occurrence_at=work.firing.occurrence_at,
    )
