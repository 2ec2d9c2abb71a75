"""retrain: what a training script imports.

    from orchestrator import Dataset, Logger, Model, StorageManager, Task

Names are loaded when they are first used: the server, agents and the command import this package, too.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from orchestrator.sdk.capture import arguments

if TYPE_CHECKING:
    from orchestrator.sdk.datasets.dataset import Dataset
    from orchestrator.sdk.logger import Logger
    from orchestrator.sdk.models.model import Model
    from orchestrator.sdk.storage_manager import StorageManager
    from orchestrator.sdk.task import Task

arguments.install()  # now, for a script may parse its arguments before it asks for a task

__all__ = ["Dataset", "Logger", "Model", "StorageManager", "Task"]

_HOMES = {
    "Dataset": "orchestrator.sdk.datasets.dataset",
    "Logger": "orchestrator.sdk.logger",
    "Model": "orchestrator.sdk.models.model",
    "StorageManager": "orchestrator.sdk.storage_manager",
    "Task": "orchestrator.sdk.task",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
