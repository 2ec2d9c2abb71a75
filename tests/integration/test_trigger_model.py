"""Whatever happens in whatever order, and whatever is killed when: the firings are those of a model of ten lines.

Versions, tags, publishing, pauses, a clock that is moved both ways, and one to three schedulers that are killed between
any two steps and started anew. The store is a real one; the schedulers speak to the services directly.
"""

from __future__ import annotations

import shutil
import tempfile
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from orchestrator.records.dataset import DatasetState, DatasetVersion
from orchestrator.records.event import EventType
from orchestrator.records.firing import FiringStatus
from orchestrator.records.principal import Permission
from orchestrator.records.trigger import TriggerState
from orchestrator.services.announce import announce_dataset
from orchestrator.services.authenticate import authenticate
from orchestrator.services.create_task import create_task
from orchestrator.services.finish_work import extend_claim, finish_work
from orchestrator.services.fire import post_firings
from orchestrator.services.publish_dataset import publish_dataset
from orchestrator.services.queues import create_missing_queues
from orchestrator.services.register_trigger import register_trigger
from orchestrator.services.tag import tag_dataset
from orchestrator.services.take_due import take_due
from orchestrator.services.tokens import create_first_token
from orchestrator.services.triggers import set_trigger_state
from orchestrator.settings import Settings
from orchestrator.store.sql import open_store
from orchestrator.store.testing.records import a_version
from orchestrator.wire import CreateTask, EditTags, ExtendClaim, PostFirings, RegisterTrigger, TakeDue
from triggers.actions import Actions
from triggers.remote import WANTED, Batch, Remote
from triggers.scheduler import STEPS, Scheduler

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from orchestrator.records.trigger import Trigger
    from orchestrator.store.protocol import Store, Transaction
    from orchestrator.wire import Due, FinishWork, FiringResult, NewFiring
    from triggers.events import EventBatch

T = TypeVar("T")
START = datetime(2026, 3, 29, 0, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)
FAST = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108  each example makes a database of its own
ON = {
    "a": {"on_tags": ["A"]},
    "ab": {"on_tags": ["A", "B"]},
    "published": {"on_publish": True},
    "burst": {"on_tags": ["B"]},
    "edited": {"on_tags": ["A"]},
    "function": {"on_tags": ["B"], "excluded_tags": ["A"]},
}
TAGS = st.sets(st.sampled_from("AB"), min_size=1)


class Killed(BaseException):
    """A scheduler was killed."""


class House:
    """A store with a clock of its own."""

    def __init__(self, store: Store, home: Path) -> None:
        self.store = store
        self.now = START
        self.settings = Settings(home=home)
        token = self.write(partial(create_first_token, name="admin"))
        self.admin = self.write(lambda tx: authenticate(tx, token=token))
        self.write(create_missing_queues)

    def write(self, work: Callable[[Transaction], T]) -> T:
        """Run a unit of work at the present of this house."""

        def at_our_time(tx: Transaction) -> T:
            tx._unit._now = self.now  # type: ignore[attr-defined]
            return work(tx)

        return self.store.write(at_our_time)

    def do(self, service: Callable[..., T], **arguments: object) -> T:
        """Run a service as the administrator."""
        return self.write(lambda tx: service(tx, self.admin, **arguments))


class Nearby(Remote):
    """The server without the way to it."""

    def __init__(self, house: House) -> None:
        self._house = house

    def triggers(self) -> list[Trigger]:
        return self._house.store.read(lambda tx: tx.triggers.find())

    def triggers_by_id(self, ids: Sequence[str]) -> list[Trigger]:
        return self._house.store.read(lambda tx: tx.triggers.find(ids=ids))

    def events(self, *, after: int, wait_seconds: float, limit: int) -> Batch:
        del wait_seconds
        found = self._house.store.read(lambda tx: tx.events.after(after, limit=limit))
        return Batch(tuple(event for event in found if event.type in WANTED), found[-1].id if found else after)

    def newest_event(self) -> int:
        return self._house.store.read(lambda tx: tx.events.last_id())

    def fire(self, firings: Sequence[NewFiring], *, ended: Sequence[int] = ()) -> list[FiringResult]:
        body = PostFirings(firings=tuple(firings), ended=tuple(ended))
        return self._house.do(post_firings, body=body, settings=self._house.settings)

    def take_due(self, *, scheduler: str, functions: Sequence[str], limit: int) -> Due:
        body = TakeDue(scheduler=scheduler, functions=tuple(functions), limit=limit)
        return self._house.do(take_due, body=body, settings=self._house.settings)

    def extend(self, firing_id: str, *, scheduler: str) -> None:
        body = ExtendClaim(scheduler=scheduler)
        self._house.do(extend_claim, firing_id=firing_id, body=body, settings=self._house.settings)

    def finish(self, firing_id: str, outcome: FinishWork) -> None:
        self._house.do(finish_work, firing_id=firing_id, body=outcome, settings=self._house.settings)

    def place(self) -> int:
        return self._house.store.read(lambda tx: tx.events.cursor("scheduler"))

    def keep_place(self, event: int) -> None:
        self._house.write(lambda tx: tx.events.advance("scheduler", event))


class Happened(NamedTuple):
    """What the model must know of an event."""

    kind: str
    tags: frozenset[str]
    added: frozenset[str]
    paused: frozenset[str]
    edited: str
    """The tag that the trigger `edited` waited for."""


def fires(name: str, event: Happened) -> bool:
    """Whether a trigger acts on an event: the model."""
    if name == "published":
        return event.kind == "published"
    if name == "edited":
        return event.kind != "published" and event.edited in event.tags & event.added
    wanted = set(ON[name]["on_tags"])  # type: ignore[call-overload]
    unwanted = set(ON[name].get("excluded_tags", ()))  # type: ignore[call-overload]
    return (
        event.kind != "published" and wanted <= event.tags and bool(wanted & event.added) and not unwanted & event.tags
    )


class Nights(RuleBasedStateMachine):
    """What people and accidents do."""

    @initialize()
    def build(self) -> None:
        """Make a store, triggers and a schedule."""
        self.home = Path(tempfile.mkdtemp(prefix="retrain-model-", dir=FAST))
        self.store = open_store(f"sqlite:///{self.home}/database.sqlite")
        self.house = House(self.store, self.home)
        reference = self.house.do(create_task, body=CreateTask(project="shop", name="training")).id
        clone = self.clone = {"kind": "clone", "task": reference}
        self.triggers: dict[str, Trigger] = {}
        for name, condition in ON.items():
            extra: dict[str, object] = {"debounce_seconds": 900} if name == "burst" else {}
            action = {"kind": "function", "function": "f"} if name == "function" else clone
            self._register(name, condition=condition | {"kind": "dataset", "project": "shop"}, action=action, **extra)
        hourly = {"kind": "schedule", "project": "shop", "cron": "0 * * * *", "catch_up": "all"}
        self._register("hourly", condition=hourly, action=clone)
        self.versions: dict[str, frozenset[str]] = {}
        self.published: set[str] = set()
        self.paused: set[str] = set()
        self.edited = "A"
        self.ever_paused: set[tuple[str, int]] = set()
        self.happened: dict[int, Happened] = {}
        self.latest = START
        self.called: list[str] = []
        self.schedulers: dict[int, Scheduler] = {}

    def _register(self, name: str, **spec: object) -> None:
        body = RegisterTrigger.model_validate({"name": name} | spec)
        self.triggers[name] = self.house.do(register_trigger, body=body)

    def _note(self, kind: str, *, tags: frozenset[str], added: frozenset[str]) -> None:
        number = self.store.read(lambda tx: tx.events.last_id())
        self.happened[number] = Happened(kind, tags, added, frozenset(self.paused), self.edited)

    @rule(tags=st.sets(st.sampled_from("AB")))
    def a_version_becomes_final(self, tags: set[str]) -> None:
        version = a_version(
            project="shop", state=DatasetState.FINAL, tags=tuple(sorted(tags)), name=f"d{len(self.versions)}"
        )
        self.house.write(lambda tx: self._finalize(tx, version))
        self.versions[version.id] = frozenset(tags)
        self._note("final", tags=frozenset(tags), added=frozenset(tags))

    def _finalize(self, tx: Transaction, version: DatasetVersion) -> None:
        tx.datasets.add(version)
        kind = EventType.DATASET_FINALIZED
        announce_dataset(tx, self.house.admin, type=kind, version=version, added=version.tags)

    @precondition(lambda self: self.versions)
    @rule(data=st.data(), tags=TAGS, removes=st.booleans())
    def tags_change(self, data: st.DataObject, tags: set[str], removes: bool) -> None:
        version = data.draw(st.sampled_from(sorted(self.versions)))
        before = self.versions[version]
        body = EditTags(remove=tuple(tags)) if removes else EditTags(add=tuple(tags))
        self.house.do(tag_dataset, version_id=version, body=body)
        self.versions[version] = after = before - tags if removes else before | tags
        if after - before:
            self._note("tagged", tags=after, added=after - before)

    @precondition(lambda self: set(self.versions) - self.published)
    @rule(data=st.data())
    def a_version_is_published(self, data: st.DataObject) -> None:
        version = data.draw(st.sampled_from(sorted(set(self.versions) - self.published)))
        self.house.do(publish_dataset, version_id=version)
        self.published.add(version)
        self._note("published", tags=self.versions[version], added=frozenset())

    @rule(name=st.sampled_from(sorted(ON)))
    def a_trigger_is_paused_or_resumed(self, name: str) -> None:
        pauses = name not in self.paused
        state = TriggerState.PAUSED if pauses else TriggerState.ACTIVE
        trigger = self.triggers[name]
        self.house.do(set_trigger_state, key=trigger.id, state=state, permission=Permission.OPERATE)
        self.paused ^= {name}
        self.ever_paused |= {(name, number) for number in self.happened}

    @rule()
    def a_trigger_is_edited(self) -> None:
        self.edited = "B" if self.edited == "A" else "A"
        condition = {"kind": "dataset", "project": "shop", "on_tags": [self.edited]}
        self._register("edited", condition=condition, action=self.clone)

    @rule(minutes=st.integers(min_value=-90, max_value=200))
    def the_clock_moves(self, minutes: int) -> None:
        self.house.now = max(START, self.house.now + timedelta(minutes=minutes))
        self.latest = max(self.latest, self.house.now)

    @rule(number=st.integers(min_value=1, max_value=3), ticks=st.integers(min_value=1, max_value=3))
    def a_scheduler_ticks(self, number: int, ticks: int) -> None:
        if number not in self.schedulers:
            self.schedulers[number] = self._start()
        for _ in range(ticks):
            self.schedulers[number].tick()
            self.schedulers[number].settle()

    @rule(number=st.integers(min_value=1, max_value=3), step=st.sampled_from(STEPS))
    def a_scheduler_is_killed_in_its_tick(self, number: int, step: str) -> None:
        victim = self._start(dies_after=step)
        self.schedulers.pop(number, None)
        try:
            victim.tick()
            victim.settle()
        except Killed:
            pass  # it is not there any more

    def _start(self, *, dies_after: str = "") -> Scheduler:
        remote = Nearby(self.house)

        def step_done(step: str) -> None:
            if step == dies_after:
                raise Killed

        actions = Actions(remote, functions={"f": self._called})
        # Each tick asks for what is due: which time it is, the house says.
        return Scheduler(remote, actions=actions, polling_seconds=1e-9, checkpoint=step_done)

    def _called(self, events: EventBatch) -> None:
        self.called.append(events.firing_id)

    def teardown(self) -> None:
        """Let one scheduler serve to the end, and compare."""
        if not hasattr(self, "store"):
            return
        try:
            self.house.now = self.latest
            self._serve_to_the_end()
            self._compare()
        finally:
            self.store.close()
            shutil.rmtree(self.home)

    def _serve_to_the_end(self) -> None:
        scheduler = self._start()
        for _ in range(4):  # windows close, and claims of those that were killed run out
            while scheduler.tick():
                pass
            scheduler.settle()
            self.house.now += timedelta(minutes=16)
            self.latest = self.house.now
        while scheduler.tick():
            pass
        scheduler.settle()

    def _compare(self) -> None:
        for name, trigger in self.triggers.items():
            firings = self.store.read(partial(_all_of, trigger_id=trigger.id))
            if name == "hourly":
                first = START.replace(minute=0) + HOUR
                hours = [first + index * HOUR for index in range(int((self.latest - first) / HOUR) + 1)]
                assert sorted(firing.occurrence_at for firing in firings) == hours
                continue
            stood_for = sorted(event for firing in firings for event in firing.events)
            assert stood_for == sorted(number for number, event in self.happened.items() if fires(name, event))
            for firing in firings:
                assert firing.status in {FiringStatus.LAUNCHED, FiringStatus.SKIPPED}, firing
                told = {self._expected(name, number) for number in firing.events} - {"either"}
                assert told <= {firing.status.value}, firing
                made = self.store.read(partial(_made_by, firing_id=firing.id))
                is_clone = name != "function" and firing.status is FiringStatus.LAUNCHED
                assert made == ([firing.task_id] if is_clone else [])
                if name == "function" and firing.status is FiringStatus.LAUNCHED:
                    assert firing.id in self.called

    def _expected(self, name: str, number: int) -> str:
        if name in self.happened[number].paused:
            return "skipped"
        return "either" if (name, number) in self.ever_paused else "launched"


def _all_of(tx: Transaction, *, trigger_id: str) -> list[Any]:
    return tx.firings.find(trigger_id=trigger_id, limit=100_000)


def _made_by(tx: Transaction, *, firing_id: str) -> list[str]:
    return [task.id for task in tx.tasks.find(limit=100_000) if task.firing == firing_id]


TestNights = Nights.TestCase
TestNights.settings = settings(
    max_examples=20, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
