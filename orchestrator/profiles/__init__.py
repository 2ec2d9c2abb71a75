"""Statistics and previews of dataset files, made in a process of their own: it needs the extra `previews`."""

from orchestrator.profiles.client import ProfilerProcess, available

__all__ = ["ProfilerProcess", "available"]
