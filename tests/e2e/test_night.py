"""The night of examples/README.md: its commands as they stand there, `retrain up`, mail, webhook and git, all real."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import psutil
import pytest

from agent.testing import wait_for
from orchestrator.cli.demo.repository import make_environment
from orchestrator.sdk.client import Client
from orchestrator.settings import read_credentials

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.redis

EXAMPLES = Path(__file__).parents[2] / "examples"
PATIENCE_SECONDS = 60.0
DONE = "all of it was done"
CLAIM_SECONDS = 3
"""What a scheduler held that was killed is another's after this."""


class Night:
    """The terminals of somebody who follows the README.

    Args:
        root: an empty directory for everything.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.home = root / "home"
        ports = [free_port() for _ in range(2)]
        self.receiver = f"http://127.0.0.1:{ports[0]}/deploy"
        self._replaced = {"8500": str(ports[0]), "8025": str(ports[1]), "retrain up": "retrain up --port 0"}
        (root / "night").mkdir()
        for path in (EXAMPLES / "night").iterdir():
            if path.is_file():
                (root / "night" / path.name).write_text(self._with_ports(path.read_text()))
        python = make_environment(
            root / "environment", sdk_root=self.home / "agent" / "sdk", log=root / "environment.log", packages=()
        )
        self._exports = ""
        self._terminals = self._path_with(Path(sys.executable), name="served")
        self._errors = (root / "typed.log").open("w")
        self._shell = subprocess.Popen(
            ["bash"],
            cwd=root,
            env=self._path_with(python, name="typed"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        self._begun: dict[str, subprocess.Popen[bytes]] = {}

    def block(self, words: str) -> str:
        """Return the one block that holds these words, with the ports of this test."""
        (found,) = [block for block in BLOCKS if words in block]
        return self._with_ports(found)

    def type(self, text: str) -> str:
        """Run commands in the one shell that stays open, and return what they printed; all have to succeed."""
        assert self._shell.stdin is not None
        assert self._shell.stdout is not None
        self._shell.stdin.write(f"set -o errexit -o pipefail\n{{\n{text}\n}} </dev/null\necho {DONE}\n")
        self._shell.stdin.flush()
        lines: list[str] = []
        for line in self._shell.stdout:
            if line == f"{DONE}\n":
                return "".join(lines)
            lines.append(line)
        pytest.fail(f"{text}\n{''.join(lines)}{self.read('typed.log')}")

    def json(self, command: str) -> Any:  # noqa: ANN401  JSON is any
        return json.loads(self.type(f"{command} --json"))

    def export(self, text: str) -> None:
        self._exports = text
        self.type(text)

    def begin(self, command: str) -> None:
        """Run a command that goes on, in a terminal of its own.

        What it prints is in `up.log`, `receiver.log`, `aiosmtpd.log` or `nightly.log`.
        """
        words = command.split()
        name = Path(words[2] if words[1] == "-m" else words[1]).stem
        with (self.root / f"{name}.log").open("ab") as stream:
            process = subprocess.Popen(
                ["bash", "-c", f"{self._exports}\nexec {command}"],
                cwd=self.root,
                env=self._terminals,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
            )
        self._begun[name] = process
        return process

    def kill_schedulers(self) -> None:
        """Kill what nightly.py is and the scheduler of `retrain up`, which starts that again."""
        self._begun["nightly"].kill()
        self._begun["nightly"].wait()
        (scheduler,) = [
            process for process in psutil.Process(self._begun["up"].pid).children() if "scheduler" in process.cmdline()
        ]
        scheduler.kill()

    def deployed(self) -> list[str]:
        """Return the versions that webhooks told of, in order, what came twice once; forged ones do not count."""
        told = [
            line.split(maxsplit=2) for line in self.read("receiver.log").splitlines() if line.startswith("genuine ")
        ]
        return [json.loads(body)["version"] for body in {number: body for _, number, body in told}.values()]

    def wait_for(self, true: Callable[[], object], *, what: str) -> None:
        """Wait until something is so; where it never is, fail with what was printed in all terminals."""
        try:
            wait_for(true, seconds=PATIENCE_SECONDS, what=what)
        except TimeoutError as error:
            logs = [*self.root.glob("*.log"), *(self.home / "logs").glob("*.log")]
            pytest.fail("\n".join([str(error), *(f"--- {log.name}\n{log.read_text()}" for log in logs)]))

    def read(self, log: str) -> str:
        path = self.root / log
        return path.read_text() if path.exists() else ""

    def close(self) -> None:
        self._shell.kill()
        self._shell.communicate()
        self._errors.close()
        for process in reversed(self._begun.values()):  # `retrain up` after those who speak to it
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            try:
                process.wait(timeout=PATIENCE_SECONDS)
            finally:
                process.kill()

    def _with_ports(self, text: str) -> str:
        for before, after in self._replaced.items():
            text = text.replace(before, after)
        return text

    def _path_with(self, python: Path, *, name: str) -> dict[str, str]:
        """Return an environment in which `python` is this one and `retrain` the one under test."""
        folder = self.root / name
        folder.mkdir()
        for command, words in (("python", [python]), ("retrain", [sys.executable, "-m", "orchestrator.cli.main"])):
            script = folder / command
            script.write_text(f'#!/bin/sh\nexec {shlex.join(map(str, words))} "$@"\n')
            script.chmod(0o755)
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("RETRAIN_", "REDIS_"))}
        who = {
            f"GIT_{role}_{part}": "night@example.com" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")
        }
        return (
            kept
            | who
            | {
                "PATH": f"{folder}{os.pathsep}{kept['PATH']}",
                "PYTHONUNBUFFERED": "1",
                "RETRAIN_HOME": str(self.home),
                "RETRAIN_CLAIM_SECONDS": str(CLAIM_SECONDS),
            }
        )


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def blocks_of(text: str, *, heading: str) -> list[str]:
    """Return the blocks of commands below a heading, up to the next of its kind."""
    section = re.split(r"^## ", text.partition(f"{heading}\n")[2], flags=re.MULTILINE)[0]
    found = [""]
    for line in section.splitlines():
        if line.startswith("    "):
            found[-1] += f"{line.removeprefix('    ')}\n"
        elif found[-1]:
            found.append("")
    return [block.strip() for block in found if block]


BLOCKS = blocks_of((EXAMPLES / "README.md").read_text(), heading="## A night")
TAGGED = "retrain dataset tag night/sensors --add Production"
"""The one block that others hold, too."""


@pytest.fixture(scope="module")
def night() -> Iterator[Night]:
    """All is up, and the training was run by hand."""
    with tempfile.TemporaryDirectory(prefix="night-", ignore_cleanup_errors=True) as made:
        night = Night(Path(made))
        try:
            night.export(night.block("export "))
            for command in night.block("retrain up").splitlines():
                night.begin(command)
            night.wait_for(lambda: "ready: http" in night.read("up.log"), what="retrain up")
            night.type(night.block("git init"))
            yield night
        finally:
            night.close()


@pytest.fixture(scope="module")
def client(night: Night) -> Iterator[Client]:
    found = read_credentials(night.home / "up.json")
    assert found is not None
    with Client(found.url, found.token) as client:
        yield client


def firings(client: Client, trigger: str, **query: str) -> list[dict[str, Any]]:
    found = client.get(f"/triggers/{quote(trigger)}")["trigger"]
    return list(client.pages("/firings", trigger=found["id"], **query))


def clones(client: Client) -> list[dict[str, Any]]:
    """Return what the trigger made, the oldest first."""
    return [task for task in client.pages("/tasks", project="night") if task["name"].startswith("training on")][::-1]


def check_what_is_told_of_a_closed_gate(night: Night) -> None:
    assert "light is gone" in night.type(night.block("trigger show"))
    shown = night.json("retrain trigger show night")
    assert (shown["state"], shown["active"], shown["running"], shown["waiting"]) == ("active", 0, [], [])
    assert [each["status"] for each in shown["firings"]] == ["blocked", "launched", "launched", "launched"]
    assert shown["recent"][0]["status"] == "blocked"
    checks = {check["name"]: check for check in shown["firings"][0]["gate"]["checks"]}
    assert {name for name, check in checks.items() if not check["passed"]} == {"min_rows", "same_columns"}
    assert (checks["min_rows"]["value"], checks["min_rows"]["bound"]) == (720, 1000)
    assert (checks["same_columns"]["value"], checks["same_columns"]["bound"]) == (1, 0)
    assert checks["max_psi of CO2"]["value"] < checks["max_psi of CO2"]["bound"] == 0.2

    night.type(f"EVENT={shown['recent'][0]['event']}")
    assert "light is gone" in night.type(night.block("trigger why"))
    (verdict,) = night.json("retrain trigger why $EVENT")
    assert (verdict["trigger"], verdict["status"], verdict["task_id"]) == ("night", "blocked", None)


def test_better_models_are_promoted_and_nothing_is_trained_on_broken_data(night: Night, client: Client) -> None:
    command = night.block("room/nightly.py")
    night.begin(command)
    night.wait_for(lambda: len(list(client.pages("/triggers"))) == 5, what="five triggers")

    night.type(TAGGED)
    night.wait_for(lambda: night.deployed() == ["2"], what="Monday's model, version 2 after that of the run by hand")
    night.wait_for(lambda: night.read("diary.txt") == "version 2 is 96.1% right\n", what="a line in the diary")

    night.type(night.block("days/tuesday/"))
    night.wait_for(lambda: len(firings(client, "night")) == 2, what="a firing")
    night.kill_schedulers()
    night.wait_for(lambda: night.deployed() == ["2", "3"], what="Tuesday's model")
    (waits,) = night.json("retrain trigger show diary")["waiting"]
    assert waits["status"] == "due", "nobody has the function at present"
    night.begin(command)
    night.wait_for(lambda: night.read("diary.txt").endswith("version 3 is 98.9% right\n"), what="the second line")
    assert [(task["name"], task["status"]) for task in clones(client)] == [
        ("training on 1.0.0", "completed"),
        ("training on 1.0.1", "completed"),
    ], "one clone for each event, whatever was killed"
    night.type(night.block("model history"))
    newest, first = night.json("retrain model history night/occupancy")
    assert (first["from_version"], first["to_version"]) == (None, 2)
    assert (newest["from_version"], newest["to_version"]) == (2, 3)
    assert "better by 0.027" in newest["reason"]
    (promotion,) = [each for each in firings(client, "night promotion") if each["id"] == newest["firing"]]
    assert promotion["result"]["evaluation"] == promotion["result"]["champion_evaluation"]

    night.type(night.block("days/wednesday/"))
    night.wait_for(lambda: len(firings(client, "night promotion", status="launched")) == 3, what="the comparison")
    night.type(night.block("'night promotion'"))
    stays = night.json("retrain trigger firings 'night promotion'")[0]
    assert stays["reason"].startswith("stays: accuracy/test is 0.88")
    assert (stays["result"]["challenger_version"], stays["result"]["champion_version"]) == (4, 3)
    assert night.json("retrain model show night/occupancy@production")["model"]["version"] == 3

    night.type(night.block("days/thursday/"))
    night.wait_for(lambda: firings(client, "night", status="blocked"), what="a closed gate")
    night.wait_for(lambda: "END MESSAGE" in night.read("aiosmtpd.log"), what="a mail")
    for words in ("To: team@example.com", "Subject: tell us: night blocked", "light is gone", "has 720 rows"):
        assert words in night.read("aiosmtpd.log")
    assert len(clones(client)) == 3
    check_what_is_told_of_a_closed_gate(night)

    night.type(night.block("rollback"))
    assert night.json("retrain model show night/occupancy@production")["model"]["version"] == 2
    moved = night.json("retrain model history night/occupancy")[0]
    assert (moved["from_version"], moved["to_version"], moved["reason"]) == (3, 2, "Tuesday's is too slow")
    night.wait_for(lambda: night.deployed() == ["2", "3", "2"], what="Monday's model again")


def test_a_webhook_that_somebody_else_sends_is_told_apart(night: Night) -> None:
    headers = {"webhook-id": "1", "webhook-timestamp": str(int(time.time())), "webhook-signature": "v1,Zm9yZ2Vk"}
    with contextlib.closing(http.client.HTTPConnection(urlsplit(night.receiver).netloc)) as connection:
        connection.request("POST", "/deploy", b'{"version": "9"}', headers)
        assert connection.getresponse().status == 401
    assert "9" not in night.deployed()


def test_each_step_of_a_chain_uses_what_the_one_before_made(night: Night, client: Client) -> None:
    night.type(night.block("python prepare.py"))
    planned, applied, tagged = night.block("trigger apply").splitlines()
    assert "+ step by step" in night.type(planned)
    assert "step by step" not in [each["name"] for each in client.pages("/triggers")]
    assert "Applied: 1 created" in night.type(applied)
    night.type(tagged)
    night.wait_for(lambda: len(firings(client, "step by step", status="launched")) == 3, what="three steps")
    prepare, train, evaluate = (each["task_id"] for each in reversed(night.json(night.block("'step by step'"))))
    night.wait_for(lambda: client.get(f"/tasks/{evaluate}")["task"]["status"] == "completed", what="the last one")

    (table,) = client.get(f"/tasks/{prepare}/artifacts")["items"]
    given = {each["name"]: each["value"] for each in client.get(f"/tasks/{train}/parameters")["items"]}
    assert given["Args/table"] == f"{client.url}/api/v1/blobs/{table['digest']}"
    (model,) = client.get("/models", task=train)["items"]
    given = {each["name"]: each["value"] for each in client.get(f"/tasks/{evaluate}/parameters")["items"]}
    assert given["Args/model"] == model["id"]
    assert client.get(f"/tasks/{evaluate}")["task"]["name"] == "fitting (step by step: train), tested"
    console = client.get(f"/tasks/{evaluate}/console", attempt=1)["text"]
    assert f"version {model['version']} is right about 96.1%" in console


def test_every_command_of_the_section_is_run_here() -> None:
    left = [block for block in BLOCKS if block != TAGGED]
    for words in re.findall(r'night\.block\("(.+)"\)', Path(__file__).read_text()):
        (found,) = [block for block in left if words in block]
        left.remove(found)
    assert left == []
