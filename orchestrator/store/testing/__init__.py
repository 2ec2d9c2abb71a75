"""The contract of `orchestrator.store.protocol` as tests, for our stores and for those of others.

A store passes when a class of its own passes under pytest:

    class TestMyStore(StoreContract):
        @pytest.fixture
        def store(self, tmp_path):
            store = MyStore(tmp_path)  # empty
            yield store
            store.close()
"""

from __future__ import annotations

from orchestrator.store.testing.blobs import BlobContract
from orchestrator.store.testing.console import ConsoleContract
from orchestrator.store.testing.dataset_facts import DatasetFactContract
from orchestrator.store.testing.datasets import DatasetContract
from orchestrator.store.testing.events import EventContract
from orchestrator.store.testing.firings import FiringContract
from orchestrator.store.testing.garbage import GarbageContract
from orchestrator.store.testing.manifests import ManifestContract
from orchestrator.store.testing.models import ModelContract
from orchestrator.store.testing.series import SeriesContract
from orchestrator.store.testing.system import SystemContract
from orchestrator.store.testing.tasks import TaskContract
from orchestrator.store.testing.triggers import TriggerContract
from orchestrator.store.testing.units import UnitContract


class StoreContract(
    UnitContract,
    TaskContract,
    SeriesContract,
    ConsoleContract,
    DatasetContract,
    ManifestContract,
    DatasetFactContract,
    BlobContract,
    GarbageContract,
    EventContract,
    TriggerContract,
    FiringContract,
    ModelContract,
    SystemContract,
):
    """Everything that a store promises."""


__all__ = ["StoreContract"]
