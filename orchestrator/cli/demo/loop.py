"""What happens in the demo, in order. It does nothing that a user could not type."""

from __future__ import annotations

import os
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orchestrator import Dataset
from orchestrator.errors import NotFound, OrchestratorError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from orchestrator.sdk.client import Client

PROJECT, DATASET, TRIGGER, TAG = "occupancy", "sensors", "retrain on dataset", "Production"
PARAMETER = "General/CLEARML_DATASET_ID"
PATIENCE_SECONDS = 600.0
"""For one training: an environment may have to be downloaded first."""


class DemoFailed(OrchestratorError):
    """The demo's loop did not come full circle."""

    code = "demo_failed"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table at the end."""

    version: str
    added: int
    task: str
    attempt: int
    executor: str
    environment: str
    seconds: float | None
    """From the tag to the script's first line; None for the run by hand."""
    accuracy: float


def publish(days: Mapping[str, bytes], *, inbox: Path) -> Dataset:
    """Add files to the newest version as a labelling tool would, and make the next version of them."""
    inbox.mkdir(parents=True)
    for name, content in days.items():
        (inbox / name).write_bytes(content)
    dataset = Dataset.get(dataset_project=PROJECT, dataset_name=DATASET, auto_create=True, writable_copy=True)
    dataset.add_files(path=inbox)
    dataset.finalize(auto_upload=True)
    return dataset


def run_by_hand(repository: Path, *, python: Path, dataset: Dataset, variables: Mapping[str, str], log: Path) -> None:
    """Run the training script as a person would, told by its configuration which version to use.

    Raises:
        DemoFailed: the script failed; the message holds its last line.
    """
    edited = repository / "config.py"
    edited.write_text(edited.read_text().replace('CLEARML_DATASET_ID = ""', f'CLEARML_DATASET_ID = "{dataset.id}"'))
    with log.open("wb") as output:
        done = subprocess.run(
            [python, "train.py"],
            cwd=repository,
            env=os.environ | dict(variables),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if done.returncode != 0:
        raise DemoFailed(
            f"The script failed when it was run by hand, with exit code {done.returncode}: "
            f"{_last_line(log.read_text(errors='replace'))}",
            hint=f"All that it printed: {log}",
        )


def register_trigger(client: Client, *, reference: str) -> None:
    """Register the trigger of the README: each version that is tagged Production is trained on."""
    client.put(
        "/triggers",
        {
            "name": TRIGGER,
            "condition": {"project": PROJECT, "on_tags": [TAG]},
            "action": {
                "task": reference,
                "queue": "default",
                "name": "training on ${dataset.version}",
                "parameters": {PARAMETER: "${dataset.id}"},
            },
        },
    )


def wait_for_training(client: Client, *, dataset: Dataset, log: Path, say: Callable[[str], None]) -> dict[str, Any]:
    """Wait until the task that the dataset version set off has ended, and return it with its attempts.

    Args:
        client: speaks to the server.
        dataset: the version that was tagged.
        log: is written where the task fails: what it printed.
        say: called with a word for each stage that is reached.

    Raises:
        DemoFailed: it ended otherwise than completed, or not in time.
    """
    give_up = time.monotonic() + PATIENCE_SECONDS
    shown = ""
    while time.monotonic() < give_up:
        made = [
            task
            for task in client.get("/tasks", project=PROJECT)["items"]
            if task["name"] == f"training on {dataset.version}"
        ]
        status = made[0]["status"] if made else "tagged"
        if status != shown:
            say(status)
            shown = status
        if status in {"failed", "stopped"}:
            log.write_text(_console(client, made[0]["id"]))
            why = _last_line(made[0]["status_message"] or log.read_text())
            raise DemoFailed(f"Task {made[0]['id']} {status}: {why}", hint=f"All that it printed: {log}")
        if status == "completed":
            return dict(client.get(f"/tasks/{made[0]['id']}"))
        time.sleep(0.05)
    raise DemoFailed(
        f"The training on version {dataset.version} did not end within {PATIENCE_SECONDS:.0f} s.",
        hint="See the logs in the home directory.",
    )


def result_of(client: Client, detail: Mapping[str, Any], *, dataset: Dataset, tagged_at: float | None) -> Row:
    """Read from the server what came of a run."""
    task, attempt = detail["task"], detail["attempts"][-1]
    series = {(one["title"], one["series"]): one["last"] for one in client.get(f"/tasks/{task['id']}/series")["items"]}
    version = client.get(f"/datasets/{dataset.id}")
    reused = {None: "yours", True: "reused", False: "built"}[attempt["environment_reused"]]
    return Row(
        version=version["version"],
        added=version["added_count"],
        task=task["id"],
        attempt=attempt["number"],
        executor=attempt["executor"] or ("by hand" if attempt["agent_id"] is None else "agent"),
        environment=reused,
        seconds=None if tagged_at is None else series["timing", "first line"] - tagged_at,
        accuracy=series["accuracy", "test"],
    )


def _console(client: Client, task_id: str) -> str:
    try:
        return str(client.get(f"/tasks/{task_id}/console")["text"])
    except NotFound:  # it printed nothing
        return ""


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else "it gave no reason"
