"""`retrain trigger` against a real server; the scheduler ticks in this process, so that nothing is waited for."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from blake3 import blake3
from click.testing import CliRunner

from orchestrator.cli.main import main
from orchestrator.sdk.client import Client
from triggers.remote import Remote
from triggers.scheduler import Scheduler

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from click.testing import Result

    from orchestrator.api.testing import RunningServer

PARAMETER = "General/CLEARML_DATASET_ID"
FILE = {"path": "a.csv", "size_bytes": 6, "digest": f"blake3:{blake3(b'a file').hexdigest()}"}


class Loop:
    """A project with a reference task, and the command as someone types it. Triggers are named after the project."""

    def __init__(self, server: RunningServer, client: Client, *, project: str, home: Path) -> None:
        self.client = client
        self.project = project
        self.variables = {"RETRAIN_URL": server.url, "RETRAIN_TOKEN": server.token, "RETRAIN_HOME": str(home)}
        self.reference = self.task("training")
        self.trigger = f"{project} nightly"
        self._scheduler = Scheduler(Remote(client))
        self.settle()

    def __call__(self, *arguments: str, code: int = 0, typed: str | None = None) -> Result:
        result = CliRunner(env=self.variables).invoke(main, ["trigger", *arguments], input=typed)
        assert result.exit_code == code, f"{arguments}: {result.output}\n{result.exception!r}"
        return result

    def json(self, *arguments: str, code: int = 0) -> Any:  # noqa: ANN401  JSON is any
        return json.loads(self(*arguments, "--json", code=code).stdout)

    def task(self, name: str) -> str:
        parameters = [{"name": PARAMETER, "type": "string", "value": ""}]
        made = self.client.post("/tasks", {"project": self.project, "name": name, "parameters": parameters})
        return str(made["id"])

    def add(self, *arguments: str, name: str | None = None) -> dict[str, Any]:
        """Add a trigger in this project and return its record."""
        return dict(self.json("add", name or self.trigger, "--project", self.project, *arguments))

    def add_nightly(self, *arguments: str) -> dict[str, Any]:
        setting = f"{PARAMETER}=${{dataset.id}}"
        return self.add("--task", self.reference, "--on-tag", "Production", "--set", setting, *arguments)

    def version(self, *tags: str) -> str:
        self.client.put_bytes(f"/blobs/{FILE['digest']}", b"a file")
        made = self.client.post("/datasets", {"project": self.project, "name": "sensors"})["id"]
        self.client.post(f"/datasets/{made}/entries", {"put": [FILE]})
        self.client.post(f"/datasets/{made}/finalize")
        if tags:
            self.client.post(f"/datasets/{made}/tags", {"add": tags})
        return str(made)

    def settle(self) -> None:
        """Have a scheduler do all that there is to do."""
        while self._scheduler.tick():
            pass
        assert self._scheduler.settle(timeout_seconds=20)

    def clones(self) -> list[dict[str, Any]]:
        return list(self.client.pages("/tasks", parent=self.reference))

    def newest_event(self, kind: str) -> int:
        items = self.client.get("/events/recent", limit=200)["items"]
        return next(int(item["id"]) for item in items if item["type"] == kind and item["project"] == self.project)


@pytest.fixture
def loop(api_server: RunningServer, project: str, tmp_path: Path) -> Iterator[Loop]:
    with Client(api_server.url, api_server.token) as client:
        yield Loop(api_server, client, project=project, home=tmp_path / "home")


class TestAdd:
    def test_every_kind_of_condition_is_said_by_options(self, loop: Loop) -> None:
        clone = ("--task", f"{loop.project}/training")
        dataset = loop.add(
            *clone, "--named", "sens*", "--on-publish", "--any-tag", "A", "--excluded-tag", "B", name="d"
        )
        condition = dataset["condition"]
        assert (condition["kind"], condition["name"], condition["on_publish"]) == ("dataset", "sens*", True)
        assert (condition["any_tags"], condition["excluded_tags"]) == (["A"], ["B"])
        task = loop.add(*clone, "--on-status", "failed", "--metric", "val/loss", "--below", "0", name="t")["condition"]
        bound = {"title": "val", "series": "loss", "threshold": 0.0, "sign": "below"}
        assert (task["kind"], task["on_status"], task["metric"]) == ("task", ["failed"], bound)
        model = loop.add(*clone, "--on-alias", "production", name="m")["condition"]
        assert (model["kind"], model["on_aliases"]) == ("model", ["production"])
        firing = loop.add("--outcome", "blocked", "--message", "slack:team", "--text", "${cause.reason}", name="f")
        assert (firing["condition"]["kind"], firing["condition"]["on"]) == ("firing", ["blocked"])
        assert firing["action"]["text"] == "${cause.reason}"
        schedule = loop.add(*clone, "--cron", "0 3 * * 1", "--timezone", "Europe/Berlin", "--once", name="s")
        assert schedule["condition"]["cron"] == "0 3 * * 1"
        assert (schedule["condition"]["timezone"], schedule["condition"]["once"]) == ("Europe/Berlin", True)
        assert schedule["next_occurrence_at"] is not None
        text = loop("list").stdout
        for words in (
            "published, with A, without B",
            "failed, val/loss below 0",
            "made production",
            "0 3 * * 1 (Europe",
        ):
            assert words in text
        for name in "dtmfs":
            loop("remove", name)

    def test_limits_gates_and_edits_reach_the_trigger(self, loop: Loop) -> None:
        made = loop.add_nightly(
            *("--require", "min_rows=1000", "--require", "same_columns", "--require", "columns.CO2.max_psi=0.1"),
            *("--max-active", "1", "--when-busy", "queue", "--debounce", "10m", "--cooldown", "1h", "--dry-run"),
            *(
                "--limit-execution",
                "2h",
                "--priority",
                "3",
                "--name-clone",
                "on ${dataset.version}",
                "--tag-clone",
                "x",
            ),
        )
        gates = made["gates"]
        assert (gates["min_rows"], gates["same_columns"], gates["columns"]["CO2"]["max_psi"]) == (1000, True, 0.1)
        assert (made["max_active"], made["when_busy"], made["dry_run"]) == (1, "queue", True)
        lengths = ("debounce_seconds", "cooldown_seconds", "limit_execution_seconds")
        assert [made[key] for key in lengths] == [600, 3600, 7200]
        action = made["action"]
        assert (action["priority"], action["name"], action["tags"]) == (3, "on ${dataset.version}", ["x"])
        text = loop("show", loop.trigger).stdout
        for words in ("10m", "1h", "2h", "min_rows 1000, same_columns, max_psi of CO2 0.1", "dry run"):
            assert words in text

    def test_a_chain_is_said_by_steps(self, loop: Loop) -> None:
        loop.task("prepare")
        steps = ("--step", f"prepare={loop.project}/prepare", "--step", f"train={loop.project}/training")
        setting = f"train:{PARAMETER}=${{steps.prepare.artifacts.table.url}}"
        made = loop.add(*steps, "--set", setting)
        first, second = made["action"]["steps"]
        assert (first["step"], first["parameters"]) == ("prepare", {})
        assert second["parameters"] == {PARAMETER: "${steps.prepare.artifacts.table.url}"}
        assert "prepare (" in loop("show", loop.trigger).stdout

    def test_a_promotion_beside_a_training_becomes_a_trigger_of_its_own(self, loop: Loop) -> None:
        result = loop(
            "add", loop.trigger, "--project", loop.project, "--task", loop.reference,
            "--promote", "occupancy", "--by", "loss/validation", "--better", "min",
        )  # fmt: skip
        assert len(result.stdout.splitlines()) == 2
        made = loop.client.get(f"/triggers/{loop.trigger} promotion".replace(" ", "%20"))["trigger"]
        assert (made["condition"]["project"], made["condition"]["trigger"]) == (loop.project, loop.trigger)
        assert (made["action"]["model"], made["action"]["sign"]) == ("occupancy", "min")

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            ((), "Nothing says what it does"),
            (("--webhook", "https://example.com", "--message", "slack:a"), "one thing"),
            (
                ("--webhook", "https://example.com", "--cron", "0 3 * * *", "--on-tag", "A"),
                "--on-tag is for --on dataset",
            ),
            (
                ("--on", "model", "--webhook", "https://example.com", "--require", "min_rows=1"),
                "--require is for --on data",
            ),
            (("--webhook", "https://example.com", "--metric", "loss"), "--above NUMBER or --below NUMBER"),
            (("--webhook", "https://example.com", "--require", "min_rows=many"), "'many' is no number"),
            (("--webhook", "https://example.com", "--require", "min_row=3"), "Did you mean min_rows"),
            (("--webhook", "https://example.com", "--at", "tomorrow"), "2026-01-31T08:00"),
            (("--webhook", "https://example.com", "--debounce", "soon"), "no length of time"),
            (("--promote", "m", "--on", "task"), "--by TITLE/SERIES"),
            (("--step", "prepare"), "NAME=TASK"),
        ],
    )
    def test_what_cannot_be_meant_is_refused(self, loop: Loop, arguments: tuple[str, ...], said: str) -> None:
        assert said in loop("add", loop.trigger, *arguments, code=2).stderr
        loop("show", loop.trigger, code=1)

    def test_help_shows_the_options_under_headings(self, loop: Loop) -> None:
        text = loop("add", "--help").stdout
        places = [
            text.index(f"{heading}:\n") for heading in ("What sets it off", "What it does", "How often", "Options")
        ]
        assert places == sorted(places)


class TestWhatHappened:
    def test_show_tells_what_it_saw_what_runs_and_what_came_of_it(self, loop: Loop) -> None:
        loop.add_nightly("--max-active", "1")
        loop.version("Production")
        loop.version("Other")
        loop.version("Production")
        loop.settle()
        (clone,) = loop.clones()
        shown = loop.json("show", loop.trigger)
        assert shown["active"] == 1
        assert [task["id"] for task in shown["running"]] == [clone["id"]]
        assert sorted(firing["status"] for firing in shown["firings"]) == ["launched", "skipped"]
        assert sum(verdict["fired"] for verdict in shown["recent"]) == 1
        text = loop("show", loop.trigger).stdout
        for words in (
            "running",
            "last events",
            "firings of the last 30 days",
            "1 of at most 1, then skip",
            clone["id"],
        ):
            assert words in text
        assert "launched  " + "·" * 29 + "█  1" in text

    def test_show_tells_what_waits_and_until_when(self, loop: Loop) -> None:
        loop.add_nightly("--debounce", "1h")
        loop.version("Production")
        loop.version("Production")
        loop.settle()
        (waiting,) = loop.json("show", loop.trigger)["waiting"]
        assert (waiting["status"], len(waiting["events"])) == ("collecting", 2)
        assert "2 collected; until 20" in loop("show", loop.trigger).stdout

    def test_a_closed_gate_is_shown_with_its_numbers(self, loop: Loop) -> None:
        loop.add_nightly("--require", "min_files=5")
        loop.version("Production")
        loop.settle()
        (firing,) = loop.json("firings", loop.trigger, "--status", "blocked")
        assert firing["gate"]["open"] is False
        assert loop.json("firings", loop.trigger, "--status", "launched") == []
        text = loop("show", loop.trigger).stdout
        assert "blocked" in text
        assert "closed  " in text
        assert "5" in text.partition("closed  ")[2]

    def test_why_says_of_every_trigger_whether_it_fired_and_the_reason(self, loop: Loop) -> None:
        loop.add_nightly()
        loop.add("--task", loop.reference, "--on-tag", "Staging", name=f"{loop.project} staging")
        loop.add("--webhook", "https://example.com", "--on-alias", "x", name=f"{loop.project} model")
        loop.version("Production")
        loop.settle()
        event = str(loop.newest_event("dataset.tagged"))
        verdicts = {item["trigger"]: item for item in loop.json("why", event)}
        fired, not_fired = verdicts[loop.trigger], verdicts[f"{loop.project} staging"]
        assert (fired["fired"], fired["status"]) == (True, "launched")
        assert not not_fired["fired"]
        assert "Staging" in not_fired["reason"]
        assert f"{loop.project} model" not in verdicts
        assert f"{loop.project} model" in {item["trigger"] for item in loop.json("why", event, "--all")}
        text = loop("why", event).stdout
        assert text.startswith(f"event {event}: dataset.tagged of ")
        assert "Staging is missing" in text
        loop("why", "999999999", code=1)

    def test_a_firing_is_replayed_by_the_beginning_of_its_id(self, loop: Loop) -> None:
        loop.add_nightly()
        version = loop.version("Production")
        loop.settle()
        (firing,) = loop.json("firings", loop.trigger)
        again = loop.json("replay", firing["id"])
        assert (again["replay_of"], again["events"]) == (firing["id"], firing["events"])
        loop("replay", again["id"][:20], code=2 if firing["id"][:20] == again["id"][:20] else 0)
        loop.settle()
        assert len(loop.clones()) >= 2
        values = [loop.client.get(f"/tasks/{clone['id']}/parameters")["items"][0]["value"] for clone in loop.clones()]
        assert set(values) == {version}
        loop("replay", "ffffffff", code=1)
        loop("replay", "nightly", code=1)

    def test_a_backfill_acts_on_the_past_once(self, loop: Loop) -> None:
        versions = {loop.version("Production") for _ in range(3)}
        loop.add_nightly()
        loop.settle()
        assert loop.clones() == []
        planned = loop.json("backfill", loop.trigger, "--plan")
        assert len(planned["results"]) == 3
        assert loop.clones() == []
        text = loop("backfill", loop.trigger).stdout
        assert "3 matched" in text
        loop.settle()
        values = {loop.client.get(f"/tasks/{clone['id']}/parameters")["items"][0]["value"] for clone in loop.clones()}
        assert values == versions
        loop("backfill", loop.trigger, "--since", "2026-01-01")
        loop.settle()
        assert len(loop.clones()) == 3
        assert loop.json("backfill", loop.trigger, "--since", "2999-01-01")["results"] == []
        assert "no moment" in loop("backfill", loop.trigger, "--since", "yesterday", code=2).stderr

    def test_firings_of_all_triggers_are_listed_where_none_is_named(self, loop: Loop) -> None:
        loop.add_nightly()
        loop.version("Production")
        loop.settle()
        (mine,) = loop.json("firings", loop.trigger)
        assert mine in loop.json("firings")
        assert mine["id"] in loop("firings", loop.trigger).stdout


class TestApply:
    @pytest.fixture
    def file(self, loop: Loop, tmp_path: Path) -> Path:
        file = tmp_path / f"{loop.project}.yaml"
        self.write(file, loop)
        return file

    def write(self, file: Path, loop: Loop, *, cooldown: str = "1h", second: bool = True) -> None:
        also = f"""
  - name: {loop.project} tell
    condition: {{kind: firing, project: {loop.project}}}
    action: {{kind: message, to: slack:team}}
"""
        file.write_text(
            f"""
triggers:
  - name: {loop.trigger}
    condition: {{kind: dataset, project: {loop.project}, on_tags: [Production]}}
    action:
      kind: clone
      task: {loop.project}/training
      parameters:
        {PARAMETER}: ${{dataset.id}}
    cooldown: {cooldown}
{also if second else ""}"""
        )

    def names(self, loop: Loop) -> list[str]:
        return sorted(item["name"] for item in loop.json("list") if item["name"].startswith(loop.project))

    def test_a_plan_changes_nothing(self, loop: Loop, file: Path) -> None:
        text = loop("apply", str(file), "--plan").stdout
        assert f"+ {loop.trigger}" in text
        assert f"Plan for group {loop.project}: 2 to create." in text
        assert self.names(loop) == []

    def test_what_is_applied_is_made_changed_and_removed(self, loop: Loop, file: Path) -> None:
        assert "Applied: 2 created" in loop("apply", str(file), "--yes").stdout
        assert self.names(loop) == [loop.trigger, f"{loop.project} tell"]
        made = loop.json("show", loop.trigger)
        assert (made["group"], made["cooldown_seconds"], made["action"]["task"]) == (loop.project, 3600, loop.reference)
        assert "Nothing to change" in loop("apply", str(file)).stdout
        self.write(file, loop, cooldown="2h", second=False)
        text = loop("apply", str(file), "--plan").stdout
        assert f"~ {loop.trigger}" in text
        assert "cooldown  1h → 2h" in text
        assert f"- {loop.project} tell" in text
        done = loop.json("apply", str(file), "--yes")
        assert {change["change"] for change in done["changes"]} == {"update", "remove"}
        assert done["applied"]
        assert self.names(loop) == [loop.trigger]

    def test_others_are_never_touched(self, loop: Loop, file: Path) -> None:
        loop.add("--task", loop.reference, name=f"{loop.project} by hand")
        loop("apply", str(file), "--yes")
        assert f"{loop.project} by hand" in self.names(loop)

    def test_without_a_terminal_yes_has_to_be_given(self, loop: Loop, file: Path) -> None:
        result = loop("apply", str(file), code=1)
        assert f"+ {loop.trigger}" in result.stdout
        assert "Give --yes" in result.stderr
        assert "--plan or --yes" in loop("apply", str(file), "--json", code=2).stderr
        assert self.names(loop) == []

    @pytest.mark.parametrize(("answer", "made"), [(b"y\n", 2), (b"n\n", 0)])
    def test_a_person_is_asked_on_a_terminal(self, loop: Loop, file: Path, answer: bytes, made: int) -> None:
        ours, its = pty.openpty()
        command = [sys.executable, "-m", "orchestrator.cli.main", "trigger", "apply", str(file)]
        process = subprocess.Popen(command, env=os.environ | loop.variables, stdin=its, stdout=its, stderr=its)
        os.close(its)
        os.write(ours, answer)
        shown = b""
        while True:
            try:
                part = os.read(ours, 65536)
            except OSError:  # how a terminal tells that nobody is on the other side
                break
            if not part:
                break
            shown += part
        os.close(ours)
        assert process.wait() == (0 if made else 1)
        assert f"Apply to group {loop.project}?".encode() in shown
        assert b"\x1b[32m" in shown
        assert len(self.names(loop)) == made

    def test_a_task_that_is_not_there_is_told_with_its_line(self, loop: Loop, file: Path) -> None:
        file.write_text(file.read_text().replace("/training", "/trainig"))
        assert f"{file}:7: There is no task" in loop("apply", str(file), code=1).stderr
        file.write_text(file.read_text().replace("cooldown", "cooldwn"))
        assert f"{file}:10: there is no cooldwn. Did you mean cooldown" in loop("apply", str(file), code=2).stderr
