"""Exact packages: environments that are addressed by what is in them, built once and shared read-only."""

from agent.environment.containers import DockerToolchain
from agent.environment.environments import Environment, Environments
from agent.environment.holds import Hold
from agent.environment.toolchain import HostToolchain, Interpreter, Toolchain

__all__ = ["DockerToolchain", "Environment", "Environments", "Hold", "HostToolchain", "Interpreter", "Toolchain"]
