"""`TriggerScheduler` and `TaskScheduler`: triggers declared in a script, kept on the server, served from anywhere.

The standard library and `orchestrator` alone are imported here; what serves is imported when it starts.
"""

from __future__ import annotations

from triggers.sdk.task_scheduler import TaskScheduler
from triggers.sdk.trigger_scheduler import TriggerScheduler

__all__ = ["TaskScheduler", "TriggerScheduler"]
