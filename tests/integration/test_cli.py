from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from orchestrator.api.testing import running_server
from orchestrator.cli.main import main
from orchestrator.sdk.client import Client

if TYPE_CHECKING:
    from collections.abc import Iterator

    from click.testing import Result

    from orchestrator.api.testing import RunningServer

PARAMETER = "General/TREES"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RunningServer]:
    with running_server(tmp_path / "server") as server:
        yield server


@pytest.fixture
def client(server: RunningServer) -> Iterator[Client]:
    with Client(server.url, server.token) as client:
        yield client


@pytest.fixture
def variables(server: RunningServer, tmp_path: Path) -> dict[str, str]:
    return {"RETRAIN_URL": server.url, "RETRAIN_TOKEN": server.token, "RETRAIN_HOME": str(tmp_path / "home")}


class Command:
    """The command `retrain`, as someone types it."""

    def __init__(self, variables: dict[str, str]) -> None:
        self.variables = variables

    def __call__(self, *arguments: str, code: int = 0, typed: str | None = None) -> Result:
        result = CliRunner(env=self.variables).invoke(main, arguments, input=typed)
        assert result.exit_code == code, f"{arguments}: {result.output}\n{result.exception!r}"
        return result

    def json(self, *arguments: str) -> Any:  # noqa: ANN401  JSON is any
        return json.loads(self(*arguments, "--json").stdout)


@pytest.fixture
def retrain(variables: dict[str, str]) -> Command:
    return Command(variables)


@pytest.fixture
def reference(client: Client) -> str:
    return make_task(client)


def make_task(client: Client, *, project: str = "occupancy", name: str = "training") -> str:
    parameters = [{"name": PARAMETER, "type": "int", "value": "40"}]
    return str(client.post("/tasks", {"project": project, "name": name, "parameters": parameters})["id"])


def run_by_hand(client: Client, task: str) -> Client:
    """Start a task and return a client that writes for its attempt."""
    claim = client.post(f"/tasks/{task}/start", {})
    return Client(client.url, claim["token"])


def claim(client: Client) -> Client:
    """Claim what is queued, as an agent would, and return a client that writes for its attempt."""
    slots = [{"name": "main", "queues": ["default"]}]
    about = {"name": "node", "hostname": "node", "version": "1", "executor": "process", "slots": slots}
    agent = client.post("/agents", about)["id"]
    return Client(client.url, client.post(f"/agents/{agent}/claim", {"slot": "main"})["token"])


def published(retrain: Command, tmp_path: Path, *, name: str = "sensors") -> str:
    """Make a final version with two files."""
    files = tmp_path / f"files-{time.monotonic_ns()}"
    (files / "sub").mkdir(parents=True)
    (files / "a.csv").write_text("a\n")
    (files / "sub" / "b.csv").write_text("b\n")
    version = retrain.json("dataset", "create", "occupancy", name)["id"]
    retrain("dataset", "add", version, str(files))
    return str(retrain.json("dataset", "finalize", version)["id"])


class TestTasks:
    def test_a_list_is_a_table_for_people_and_an_array_for_programs(self, retrain: Command, reference: str) -> None:
        assert "occupancy/training" in retrain("task", "list").stdout
        (item,) = retrain.json("task", "list")
        assert item["id"] == reference
        assert reference in retrain("task", "list").stdout
        assert retrain.json("task", "list", "--status", "queued") == []
        assert retrain.json("task", "list", "--project", "occupancy", "--name", "training") == [item]

    def test_show_puts_the_record_at_the_top(self, retrain: Command, reference: str) -> None:
        shown = retrain.json("task", "show", reference)
        wanted = {"id", "name", "project", "type", "status", "parent", "tags", "queue", "attempt", "created_at"}
        wanted |= {"parameters", "artifacts", "attempts"}
        assert wanted <= set(shown)
        assert shown["parameters"] == [{"name": PARAMETER, "type": "int", "value": "40"}]
        text = retrain("task", "show", reference).stdout
        assert "General/TREES  40" in text
        assert "created" in text

    def test_a_task_may_be_named_in_several_ways(self, retrain: Command, client: Client, reference: str) -> None:
        newer = make_task(client)
        other = make_task(client, project="occupancy/sub", name="other")
        assert retrain.json("task", "show", "occupancy/training")["id"] == newer
        assert retrain.json("task", "show", "occupancy/sub/other")["id"] == other
        assert retrain.json("task", "show", "other")["id"] == other
        assert retrain.json("task", "show", reference[:30])["id"] in {reference, newer}

    def test_a_name_may_hold_a_slash(self, retrain: Command, client: Client) -> None:
        task = make_task(client, project="a/b", name="c/d")
        assert retrain.json("task", "show", "a/b/c/d")["id"] == task
        assert retrain.json("task", "show", "c/d")["id"] == task
        version = client.post("/datasets", {"project": "a", "name": "b/c@d"})["id"]
        assert retrain.json("dataset", "show", "a/b/c@d")["id"] == version
        assert retrain.json("dataset", "show", "a/b/c@d@1.0.0")["id"] == version

    def test_show_tells_none_from_the_empty_text_and_shortens_what_is_long(
        self, retrain: Command, client: Client
    ) -> None:
        values = [("a", "none", ""), ("b", "string", ""), ("c", "string", "x" * 10_000)]
        parameters = [{"name": f"General/{name}", "type": kind, "value": value} for name, kind, value in values]
        task = client.post("/tasks", {"project": "p", "name": "n", "parameters": parameters})["id"]
        text = retrain("task", "show", task).stdout
        assert "General/a  None\n" in text
        assert 'General/b  ""\n' in text
        assert "x… (10,000 characters)" in text
        assert len(text) < 1000

    def test_show_names_the_agent_and_the_tree(self, retrain: Command, client: Client) -> None:
        source = {"tree": "ab" * 20, "patch": None}
        task = client.post("/tasks", {"project": "p", "name": "n", "source": source})["id"]
        client.post(f"/tasks/{task}/enqueue", {"queue": "default"})
        claim(client).close()
        text = retrain("task", "show", task).stdout
        assert "captured, tree abababababab…" in text
        assert "by hand" not in text
        assert retrain.json("agents", "list")[0]["id"] in text

    def test_the_beginning_of_several_ids_says_so(self, retrain: Command, client: Client, reference: str) -> None:
        other = make_task(client)
        message = retrain("task", "show", reference[:4], code=2).stderr
        assert f"The ids of 2 tasks begin with '{reference[:4]}'" in message
        assert other in message
        assert "4 digits" in retrain("task", "show", reference[:3], code=1).stderr

    def test_an_ambiguous_name_lists_what_it_may_be(self, retrain: Command, client: Client, reference: str) -> None:
        other = make_task(client, project="elsewhere")
        for name in (reference[:4], "training"):
            result = retrain("task", "show", name, code=2)
            assert reference in result.stderr
            assert other in result.stderr

    @pytest.mark.parametrize("name", ["nothing", "a/b", "f" * 32, "ffff", "x" * 255, "../x", "%2e"])
    def test_an_unknown_task_is_one_line_and_a_long_one_two(self, retrain: Command, name: str) -> None:
        result = retrain("task", "show", name, code=1)
        assert result.stderr.startswith("error: There is no task ")
        assert result.stderr.count("\n") == (1 if len(name) < 100 else 2)

    def test_a_clone_gets_other_parameters_and_a_queue(self, retrain: Command, reference: str) -> None:
        result = retrain("task", "clone", reference, "--set", f"{PARAMETER}=80", "--enqueue", "default")
        shown = retrain.json("task", "show", result.stdout.split()[0])
        assert (shown["parent"], shown["status"], shown["queue"]) == (reference, "queued", "default")
        assert shown["parameters"][0]["value"] == "80"

    def test_a_mistyped_parameter_is_refused_with_what_was_meant(self, retrain: Command, reference: str) -> None:
        result = retrain("task", "clone", reference, "--set", "General/TREE=80", code=2)
        assert PARAMETER in result.stderr
        assert len(retrain.json("task", "list")) == 1

    def test_a_queued_task_that_nobody_listens_for_says_so(self, retrain: Command, reference: str) -> None:
        retrain("queue", "create", "gpu")
        retrain("task", "enqueue", reference, "--queue", "gpu")
        text = retrain("task", "show", reference).stdout
        assert "no agent listens to queue gpu; start one: retrain agent --queue gpu" in text

    def test_an_unknown_queue_is_refused_with_the_known_ones(self, retrain: Command, reference: str) -> None:
        result = retrain("task", "enqueue", reference, "--queue", "defualt", code=1)
        assert "default" in result.stderr

    def test_a_queued_task_is_taken_out_and_stopped(self, retrain: Command, reference: str) -> None:
        retrain("task", "enqueue", reference)
        assert "created" in retrain("task", "dequeue", reference).stdout
        retrain("task", "enqueue", reference)
        assert "stopped" in retrain("task", "stop", reference).stdout

    def test_a_running_task_is_told_to_stop(self, retrain: Command, client: Client, reference: str) -> None:
        with run_by_hand(client, reference):
            assert "told to stop" in retrain("task", "stop", reference).stdout

    def test_the_console_is_printed_as_it_is(self, retrain: Command, client: Client, reference: str) -> None:
        assert retrain("task", "logs", reference).stdout == ""
        with run_by_hand(client, reference) as attempt:
            attempt.put_bytes(f"/tasks/{reference}/console", "größer\nno end".encode(), offset=0)
        assert retrain("task", "logs", reference).stdout == "größer\nno end"

    def test_following_goes_on_until_the_task_has_failed(
        self, variables: dict[str, str], client: Client, reference: str
    ) -> None:
        with run_by_hand(client, reference) as attempt:
            attempt.put_bytes(f"/tasks/{reference}/console", b"first\n", offset=0)
            with started(variables, "task", "logs", "-f", reference) as following:
                assert following.stdout.readline() == "first\n"
                attempt.put_bytes(f"/tasks/{reference}/console", b"second\n", offset=6)
                assert following.stdout.readline() == "second\n"
                attempt.post(f"/tasks/{reference}/finish", {"reason": "script_failed", "exit_code": 3})
                _, errors = following.communicate(timeout=10)
        assert following.returncode == 1
        assert "task failed" in errors

    def test_following_misses_no_attempt_however_short(
        self, variables: dict[str, str], client: Client, reference: str
    ) -> None:
        with run_by_hand(client, reference) as attempt:
            attempt.put_bytes(f"/tasks/{reference}/console", b"first\n", offset=0)
            with started(variables, "task", "logs", "-f", reference) as following:
                assert following.stdout.readline() == "first\n"
                attempt.post(f"/tasks/{reference}/enqueue", {"queue": "default"})
                for word, reason in ((b"second\n", "lost"), (b"third\n", "completed")):
                    with claim(client) as newer:
                        newer.put_bytes(f"/tasks/{reference}/console", word, offset=0)
                        newer.post(f"/tasks/{reference}/finish", {"reason": reason})
                output, errors = following.communicate(timeout=10)
        assert output == "second\nthird\n"
        assert "--- attempt 3 ---" in errors

    def test_metrics_show_each_series_and_its_course(self, retrain: Command, client: Client, reference: str) -> None:
        assert "no scalars" in retrain("task", "metrics", reference).stdout
        points = {"title": "loss", "series": "train", "steps": [1, 2, 3], "times": [1.0] * 3, "values": [3.0, 2.0, 1.0]}
        with run_by_hand(client, reference) as attempt:
            attempt.post(f"/tasks/{reference}/series", {"writer": "w", "sequence": 0, "points": [points]})
        text = retrain("task", "metrics", reference).stdout
        assert "█▅▁" in text or "█▄▁" in text
        (summary,) = retrain.json("task", "metrics", reference)
        assert (summary["count"], summary["last"]) == (3, 1.0)

    def test_lists_stay_one_line_a_row_on_a_narrow_terminal(
        self, retrain: Command, variables: dict[str, str], client: Client
    ) -> None:
        name = "a long name of a task that fills a line"
        task = make_task(client, project="some/deep/project", name=name)
        client.post("/datasets", {"project": "some/deep/project", "name": name, "tags": ["one tag", "another tag"]})
        retrain(
            "trigger", "add", f"on {name}", "--task", task, "--project", "some/deep/project", "--on-tag", "Production"
        )
        retrain("token", "create", name, "--project", "some/deep/project", "--days", "3")
        client.post(f"/tasks/{task}/enqueue", {"queue": "default"})
        claim(client).close()
        for group in ("task", "trigger", "token", "dataset", "agents"):
            rows = len(retrain.json(group, "list"))
            lines = on_terminal(variables, group, "list", columns=80)
            assert len(lines) == rows + 1, lines
            assert all(len(line) <= 80 for line in lines), lines


class TestDatasets:
    def test_a_version_is_made_filled_finalized_tagged_and_fetched(self, retrain: Command, tmp_path: Path) -> None:
        labelled = tmp_path / "labelled"
        labelled.mkdir()
        (labelled / "day.csv").write_text("1,2\n")
        retrain("dataset", "create", "occupancy", "sensors", "--version", "1.0.0")
        assert "1 new or changed" in retrain("dataset", "add", "occupancy/sensors", str(labelled)).stdout
        assert "0 new or changed" in retrain("dataset", "add", "occupancy/sensors", str(labelled)).stdout
        assert "final" in retrain("dataset", "finalize", "occupancy/sensors").stdout
        assert "Production" in retrain("dataset", "tag", "occupancy/sensors", "--add", "Production").stdout
        shown = retrain.json("dataset", "show", "occupancy/sensors@1.0.0", "--files")
        assert (shown["state"], shown["tags"], shown["file_count"]) == ("final", ["Production"], 1)
        assert shown["entries"][0]["path"] == "day.csv"
        text = retrain("dataset", "show", "occupancy/sensors").stdout
        assert "day.csv" in text
        shared = retrain("dataset", "get", "occupancy/sensors").stdout.strip()
        assert [file.name for file in Path(shared).iterdir()] == ["day.csv"]
        mine = tmp_path / "mine"
        retrain("dataset", "get", "occupancy/sensors", "--to", str(mine))
        (mine / "day.csv").write_text("changed")
        assert (labelled / "day.csv").read_text() == "1,2\n"
        retrain("dataset", "get", "occupancy/sensors", "--to", str(mine), code=1)

    def test_a_list_filters_by_tag_and_state(self, retrain: Command, tmp_path: Path) -> None:
        version = published(retrain, tmp_path)
        retrain("dataset", "tag", version, "--add", "A", "--add", "B")
        retrain("dataset", "create", "occupancy", "sensors")
        assert len(retrain.json("dataset", "list")) == 2
        assert [item["id"] for item in retrain.json("dataset", "list", "--tag", "A", "--tag", "B")] == [version]
        assert len(retrain.json("dataset", "list", "--state", "open")) == 1
        assert "occupancy/sensors@1.0.1" in retrain("dataset", "list").stdout

    def test_a_name_means_the_newest_draft_where_files_change_and_the_newest_final_one_elsewhere(
        self, retrain: Command, tmp_path: Path
    ) -> None:
        final = published(retrain, tmp_path)
        draft = retrain.json("dataset", "create", "occupancy", "sensors", "--parent", final)["id"]
        assert retrain.json("dataset", "show", "occupancy/sensors")["id"] == final
        assert draft in retrain("dataset", "remove", "occupancy/sensors", "a.csv").stdout
        assert retrain.json("dataset", "show", draft)["file_count"] == 1
        retrain("dataset", "remove", "occupancy/sensors", "nothing.csv", code=1)

    def test_a_final_version_says_how_to_go_on(self, retrain: Command, tmp_path: Path) -> None:
        published(retrain, tmp_path)
        (tmp_path / "new.csv").write_text("new\n")
        command = "retrain dataset create occupancy sensors --parent occupancy/sensors@1.0.0"
        for name in ("occupancy/sensors@1.0.0", "occupancy/sensors"):
            assert command in retrain("dataset", "add", name, str(tmp_path / "new.csv"), code=1).stderr
        assert command in retrain("dataset", "remove", "occupancy/sensors@1.0.0", "a.csv", code=1).stderr
        retrain(*command.split()[1:])
        assert "1 new" in retrain("dataset", "add", "occupancy/sensors", str(tmp_path / "new.csv")).stdout

    def test_adding_nothing_is_an_error_that_says_what_was_looked_for(self, retrain: Command, tmp_path: Path) -> None:
        retrain("dataset", "create", "occupancy", "sensors")
        (tmp_path / "labelled").mkdir()
        folder = str(tmp_path / "labelled")
        assert folder in retrain("dataset", "add", "occupancy/sensors", folder, code=1).stderr
        (tmp_path / "labelled" / "a.txt").write_text("a")
        result = retrain("dataset", "add", "occupancy/sensors", folder, "--wildcard", "*.csv", code=1)
        assert "'*.csv'" in result.stderr
        (tmp_path / "labelled" / "bad\udcff.csv").write_text("b")
        assert folder in retrain("dataset", "add", "occupancy/sensors", folder, code=2).stderr

    def test_what_is_not_there_is_an_error_that_names_it(self, retrain: Command, tmp_path: Path) -> None:
        retrain("dataset", "create", "occupancy", "sensors")
        missing = tmp_path / "missing.csv"
        assert str(missing) in retrain("dataset", "add", "occupancy/sensors", str(missing), code=2).stderr
        assert "occupancy/other" in retrain("dataset", "show", "occupancy/other", code=1).stderr
        assert "--add" in retrain("dataset", "tag", "occupancy/sensors", code=2).stderr
        retrain("dataset", "finalize", "occupancy/nothing", code=1)


class TestTriggers:
    @pytest.fixture
    def nightly(self, retrain: Command, reference: str) -> str:
        arguments = ["--task", reference, "--project", "occupancy", "--on-tag", "Production"]
        result = retrain("trigger", "add", "nightly", *arguments, "--set", PARAMETER + "=${dataset.file_count}")
        return result.stdout.split()[0]

    def test_a_trigger_is_added_listed_shown_paused_and_removed(self, retrain: Command, nightly: str) -> None:
        (item,) = retrain.json("trigger", "list")
        assert (item["id"], item["name"], item["state"]) == (nightly, "nightly", "active")
        assert "tagged Production" in retrain("trigger", "list").stdout
        assert retrain.json("trigger", "show", "nightly")["active"] == 0
        assert "${dataset.file_count}" in retrain("trigger", "show", nightly).stdout
        assert "paused" in retrain("trigger", "pause", "nightly").stdout
        assert "active" in retrain("trigger", "resume", "nightly").stdout
        assert "removed" in retrain("trigger", "remove", "nightly").stdout
        assert retrain.json("trigger", "list") == []

    def test_a_dry_run_says_what_would_happen(self, retrain: Command, nightly: str, tmp_path: Path) -> None:
        assert "does not fire" in retrain("trigger", "test", "nightly", code=1).stdout
        version = published(retrain, tmp_path)
        assert "Production is missing" in retrain("trigger", "test", nightly, code=1).stdout
        retrain("dataset", "tag", version, "--add", "Production")
        text = retrain("trigger", "test", "nightly").stdout
        assert text.startswith("fires: ")
        assert f"{PARAMETER}" in text
        assert len(retrain.json("task", "list")) == 1

    def test_a_scheduler_serves_it_and_firings_tell(
        self, retrain: Command, variables: dict[str, str], nightly: str, tmp_path: Path
    ) -> None:
        version = published(retrain, tmp_path)
        with started(variables, "scheduler") as scheduler:
            retrain("dataset", "tag", version, "--add", "Production")
            give_up = time.monotonic() + 15
            while not retrain.json("trigger", "firings", nightly) and time.monotonic() < give_up:
                time.sleep(0.1)
            (firing,) = retrain.json("trigger", "firings", "nightly")
            scheduler.send_signal(signal.SIGTERM)
            _, log = scheduler.communicate(timeout=10)
        assert scheduler.returncode == 0
        assert "action=trigger_fired" in log
        assert firing["status"] == "launched"
        assert firing["task_id"] in retrain("trigger", "firings", "nightly").stdout
        assert retrain.json("task", "show", firing["task_id"])["parameters"][0]["value"] == "2"

    @pytest.mark.parametrize(
        ("assignment", "meant"),
        [("General/TREE=1", PARAMETER), (PARAMETER + "=${dataset.files_count}", "dataset.file_count")],
    )
    def test_bad_input_is_refused_when_it_is_made(
        self, retrain: Command, reference: str, assignment: str, meant: str
    ) -> None:
        result = retrain("trigger", "add", "n", "--task", reference, "--set", assignment, code=2)
        assert meant in result.stderr
        assert retrain.json("trigger", "list") == []

    def test_the_beginning_of_its_id_is_enough(self, retrain: Command, nightly: str) -> None:
        assert retrain.json("trigger", "show", nightly[:13])["id"] == nightly

    @pytest.mark.usefixtures("nightly")
    def test_a_mistyped_name_lists_the_near_misses(self, retrain: Command) -> None:
        assert "nightly" in retrain("trigger", "show", "nighly", code=1).stderr


class TestTokens:
    def test_a_token_is_made_listed_and_revoked(self, retrain: Command, client: Client) -> None:
        result = retrain("token", "create", "laptop", "--role", "editor", "--project", "occupancy", "--days", "1")
        token = result.stdout.strip()
        with Client(client.url, token) as mine:
            assert mine.get("/tokens/self")["role"] == "editor"
        assert token not in retrain("token", "list").stdout
        (item,) = [item for item in retrain.json("token", "list") if item["name"] == "laptop"]
        assert item["expires_at"]
        assert "revoked" in retrain("token", "revoke", "laptop").stdout
        assert "error" in Command(retrain.variables | {"RETRAIN_TOKEN": token})("task", "list", code=1).stderr
        retrain("token", "revoke", "laptop", code=1)

    def test_login_checks_the_token_and_keeps_it_for_its_owner_alone(
        self, server: RunningServer, tmp_path: Path
    ) -> None:
        home = tmp_path / "home"
        me = Command({"RETRAIN_HOME": str(home), "RETRAIN_URL": "", "RETRAIN_TOKEN": ""})
        assert "token create" in me("login", server.url, "--token-stdin", typed="rt_wrong\n", code=1).stderr
        assert not (home / "credentials.json").exists()
        assert server.token not in me("login", server.url, typed=f"{server.token}\n").output
        assert (home / "credentials.json").stat().st_mode & 0o777 == 0o600
        me("task", "list")


def test_queues_and_agents_are_listed(retrain: Command, client: Client) -> None:
    made = retrain.json("queue", "create", "gpu", "--description", "two GPUs")
    assert made["name"] == "gpu"
    assert {"default", "services", "gpu"} <= {item["name"] for item in retrain.json("queue", "list")}
    assert "two GPUs" in retrain("queue", "list").stdout
    assert "AGENT" in retrain("agents", "list").stdout
    slots = [{"name": "main", "queues": ["gpu"]}]
    client.post("/agents", {"name": "a", "hostname": "h", "version": "1", "executor": "process", "slots": slots})
    assert "main: gpu" in retrain("agents", "list").stdout
    assert "listening" in retrain("agents", "list").stdout
    patient = Command(retrain.variables | {"RETRAIN_AGENT_SEEN_SECONDS": "0.000001"})
    assert "silent for 0 s" in patient("agents", "list").stdout
    assert retrain.json("agents", "list")[0]["name"] == "a"


def test_a_server_is_served_until_it_is_ended(tmp_path: Path, redis_url: str) -> None:
    variables = {"RETRAIN_HOME": str(tmp_path), "REDIS_URL": redis_url}
    with started(variables, "server", "--port", "0") as server:
        line = server.stdout.readline()
        assert line.startswith("ready: http://127.0.0.1:")
        assert Command({"RETRAIN_HOME": str(tmp_path)}).json("task", "list") == []
        server.send_signal(signal.SIGTERM)
        server.communicate(timeout=10)
    assert server.returncode == 0


def on_terminal(variables: dict[str, str], *arguments: str, columns: int) -> list[str]:
    """Run the command on a terminal and return the lines that it shows, without colours."""
    ours, its = os.openpty()
    command = subprocess.Popen(
        [sys.executable, "-m", "orchestrator.cli.main", *arguments],
        env=os.environ | variables | {"COLUMNS": str(columns)},
        stdout=its,
    )
    os.close(its)
    text = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # how a terminal tells that nobody is on the other side
            break
        if not part:
            break
        text += part
    os.close(ours)
    assert command.wait() == 0
    return re.sub(r"\x1b\[[0-9;]*m", "", text.decode()).splitlines()


def started(variables: dict[str, str], *arguments: str) -> subprocess.Popen[str]:
    """Start the command as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "orchestrator.cli.main", *arguments],
        env=os.environ | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
