"""What triggers tell of themselves, on every database: what waits and runs, why and why not, what would be."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from orchestrator.errors import Conflict, Forbidden, InvalidRequest, NotFound
from orchestrator.records.event import EventType
from orchestrator.records.firing import FiringStatus
from orchestrator.records.lifecycle import Status
from orchestrator.records.principal import Permission, Role
from orchestrator.records.task import ExitReason
from orchestrator.records.trigger import TriggerState
from orchestrator.services.backfill import backfill
from orchestrator.services.dry_run import dry_run
from orchestrator.services.events import advance_cursor, list_events
from orchestrator.services.finish import finish_task
from orchestrator.services.replay import replay_firing
from orchestrator.services.start import start_task
from orchestrator.services.stop import stop_task
from orchestrator.services.testing import DATA, EPOCHS, TriggerHouse
from orchestrator.services.tokens import revoke_token
from orchestrator.services.triggers import list_firings, list_triggers, set_trigger_state, show_trigger
from orchestrator.services.verdicts import reader_of
from orchestrator.services.why import explain_event
from orchestrator.sdk.client import Client
from orchestrator.wire import Backfill, Cursor, StartTask, TestTrigger
from triggers.remote import Remote
