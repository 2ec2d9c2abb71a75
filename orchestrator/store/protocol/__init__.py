"""What a store does. The docstrings are the contract; `tests/contract/test_store.py` holds every store to it.

A unit of work is a function of a `Transaction`. All that it writes becomes visible at once or not at all, together with
the events that it appends; it may be run again when the database asks for it, so it does nothing else to the world.
Missing rows raise `NotFound`. Every change of a row with a state is a compare-and-set on the record as it was read.
"""

from __future__ import annotations

from orchestrator.store.protocol.blobs import BlobPlaces, object_lock
from orchestrator.store.protocol.datasets import Datasets
from orchestrator.store.protocol.events import Events, Firings, Triggers
from orchestrator.store.protocol.models import Models
from orchestrator.store.protocol.system import Agents, Answers, Principals, Queues
from orchestrator.store.protocol.tasks import Console, Reports, SeriesStore, Tasks
from orchestrator.store.protocol.transaction import Store, Transaction

__all__ = [
    "Agents",
    "Answers",
    "BlobPlaces",
    "Console",
    "Datasets",
    "Events",
    "Firings",
    "Models",
    "Principals",
    "Queues",
    "Reports",
    "SeriesStore",
    "Store",
    "Tasks",
    "Transaction",
    "Triggers",
    "object_lock",
]
