"""The triggers of a group become exactly those that somebody declares: all of it or nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchestrator.errors import AlreadyExists, InvalidRequest
from orchestrator.records.principal import Permission
from orchestrator.records.trigger import TriggerSpec, TriggerState
from orchestrator.services.authenticate import responsible
from orchestrator.services.check_trigger import TriggerChecks, naming
from orchestrator.services.register_trigger import add_trigger, differs, edit_trigger, fields_of
from orchestrator.services.triggers import change_state
from orchestrator.wire import AppliedTriggers, FieldChange, TriggerChange

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from orchestrator.records.base import Id
    from orchestrator.records.principal import Principal
    from orchestrator.records.trigger import Trigger
    from orchestrator.store.protocol import Transaction
    from orchestrator.wire import ApplyTriggers

_AT_ONCE = 500
_NOT_SAID = frozenset({"name", "group"})
"""Parts of a trigger that a change does not tell of: they are said above it."""


def apply_triggers(transaction: Transaction, actor: Principal, *, body: ApplyTriggers) -> AppliedTriggers:
    """Make, change and remove triggers so that those of a group are these; what is the same stays as it is.

    Raises:
        Forbidden: the actor may not edit in the projects of those that are there or are to be, or not read what they
            refer to.
        NotFound, UnknownParameter, UnknownTemplateName: see `services.register_trigger`; the message names the trigger.
        InvalidRequest: likewise, or two have the same name.
        AlreadyExists: a trigger of another group, or of none, has the name of one.
    """
    actor.require(Permission.EDIT)
    specs = _declared(body)
    transaction.triggers.lock_names()
    there = _there(transaction, specs=specs, group=body.group)
    checks = TriggerChecks(transaction, actor)
    changes = []
    for spec in specs:
        present = there.pop(spec.name, None)
        with naming(f"Trigger {spec.name!r}"):
            checks.check(spec)
            if present is not None:
                actor.require(Permission.EDIT, present.project)
            changes.append(_compare(present, spec=spec, registrar=responsible(actor)))
            if not body.plan:
                _carry_out(transaction, actor, change=changes[-1], present=present, spec=spec)
    for present in sorted(there.values(), key=lambda trigger: trigger.name):
        with naming(f"Trigger {present.name!r}, which is not among them"):
            actor.require(Permission.EDIT, present.project)
        changes.append(TriggerChange(name=present.name, change="remove", fields=_fields(before=present, after=None)))
        if not body.plan:
            change_state(transaction, actor, trigger=present, state=TriggerState.REMOVED)
    return AppliedTriggers(group=body.group, applied=not body.plan, changes=tuple(changes))


def _declared(body: ApplyTriggers) -> list[TriggerSpec]:
    """Return the triggers as members of the group.

    Raises:
        InvalidRequest: two have the same name.
    """
    specs: dict[str, TriggerSpec] = {}
    for spec in body.triggers:
        if spec.name in specs:
            raise InvalidRequest(f"Two triggers are called {spec.name!r}.", hint="Give each a name of its own.")
        specs[spec.name] = TriggerSpec.model_validate(fields_of(spec) | {"group": body.group})
    return list(specs.values())


def _there(transaction: Transaction, *, specs: Sequence[TriggerSpec], group: str) -> dict[str, Trigger]:
    """Return the triggers of the group by name, their rows locked.

    Raises:
        AlreadyExists: one that is to be has the name of one outside the group.
    """
    ids: list[Id] = []
    while some := transaction.triggers.find(group=group, after=ids[-1] if ids else None, limit=_AT_ONCE):
        ids += [trigger.id for trigger in some]
    members = {trigger.name: trigger for trigger in transaction.triggers.lock_all(ids).values()}
    members = {name: each for name, each in members.items() if each.state is not TriggerState.REMOVED}
    for spec in specs:
        if spec.name not in members and (other := transaction.triggers.by_name(spec.name)) is not None:
            owner = f"group {other.group!r}" if other.group is not None else "no group"
            raise AlreadyExists(
                f"There is a trigger {spec.name!r} already, of {owner}.",
                hint=f"Choose another name, or remove that one first: retrain trigger remove {spec.name!r}",
            )
    return members


def _compare(present: Trigger | None, *, spec: TriggerSpec, registrar: Id) -> TriggerChange:
    if present is None:
        return TriggerChange(name=spec.name, change="create", fields=_fields(before=None, after=spec))
    if not differs(present, spec=spec, registrar=registrar):
        return TriggerChange(name=spec.name, change="unchanged")
    fields = _fields(before=present, after=spec)
    if present.created_by != registrar:
        fields = (*fields, FieldChange(path="created_by", before=present.created_by, after=registrar))
    return TriggerChange(name=spec.name, change="update", fields=fields)


def _carry_out(
    transaction: Transaction, actor: Principal, *, change: TriggerChange, present: Trigger | None, spec: TriggerSpec
) -> None:
    if present is None:
        add_trigger(transaction, actor, spec=spec)
    elif change.change == "update":
        edit_trigger(transaction, actor, present=present, spec=spec)


def _fields(*, before: TriggerSpec | None, after: TriggerSpec | None) -> tuple[FieldChange, ...]:
    """Return what differs; where only one has a part, it is told of if somebody asked for it."""
    old, new = _leaves_of(before), _leaves_of(after)
    said = _leaves_of(before, but_defaults=True) | _leaves_of(after, but_defaults=True)
    paths = [path for path in dict.fromkeys([*new, *old]) if (path in old and path in new) or path in said]
    return tuple(
        FieldChange(path=path, before=old.get(path), after=new.get(path))
        for path in paths
        if not _same(old.get(path), new.get(path))
    )


def _leaves_of(spec: TriggerSpec | None, *, but_defaults: bool = False) -> dict[str, Any]:
    if spec is None:
        return {}
    parts = set(TriggerSpec.model_fields) - _NOT_SAID
    leaves = dict(_leaves(spec.model_dump(mode="json", include=parts, exclude_defaults=but_defaults), path=""))
    # A kind is its own default, and the first thing that a person wants to know.
    return {"condition.kind": spec.condition.kind, "action.kind": spec.action.kind} | leaves


def _leaves(value: Any, *, path: str) -> Iterator[tuple[str, Any]]:  # noqa: ANN401  JSON
    """Yield path and value of every part that has no parts; steps of a chain go by their names."""
    if isinstance(value, dict):
        yield from _members(value, path=path)
    elif isinstance(value, list) and value and all(isinstance(each, dict) and "step" in each for each in value):
        yield path, [each["step"] for each in value]
        yield from _members({each["step"]: _without_step(each) for each in value}, path=path)
    else:
        yield path, value


def _members(value: Mapping[str, Any], *, path: str) -> Iterator[tuple[str, Any]]:
    for name, part in value.items():
        yield from _leaves(part, path=f"{path}.{name}" if path else name)


def _without_step(step: Mapping[str, Any]) -> dict[str, Any]:
    return {name: part for name, part in step.items() if name != "step"}


def _same(one: object, other: object) -> bool:
    """Tell whether two JSON values are the same: in Python true is 1."""
    return one == other and repr(one) == repr(other)
