"""Scripts run as real processes against a real server."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator.api.testing import running_server
from orchestrator.errors import NotFound
from orchestrator.sdk.client import Client

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from orchestrator.api.testing import RunningServer

LEASE_SECONDS = 2.0
BEGIN = """
import sys, time
from orchestrator import Task
task = Task.init(project_name="room", task_name="training", tags=["baseline"])
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(
        tmp_path_factory.mktemp("server"), lease_seconds=LEASE_SECONDS, heartbeat_seconds=0.5, sweep_seconds=0.3
    ) as running:
        yield running


@pytest.fixture
def patient(tmp_path: Path, redis_url: str) -> Iterator[RunningServer]:
    """A server whose leases last."""
    with running_server(tmp_path / "patient", redis_url=redis_url) as running:
        yield running


@pytest.fixture
def client(server: RunningServer) -> Iterator[Client]:
    with Client(server.url, server.token) as client:
        yield client


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "repository"
    root.mkdir()
    (root / "config.py").write_text('RATE = 0.1\nNAME = "first"\n')
    for command in (("init", "-q"), ("add", "-A"), ("commit", "-qm", "first")):
        subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", *command], cwd=root, check=True)
    return root


@pytest.fixture
def variables(server: RunningServer, tmp_path: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RETRAIN_")}
    return kept | {
        "RETRAIN_URL": server.url,
        "RETRAIN_TOKEN": server.token,
        "RETRAIN_HOME": str(tmp_path / "home"),
        "PYTHONWARNINGS": "error",
    }


@pytest.fixture
def start(repository: Path, variables: dict[str, str]) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    with ExitStack() as stack:

        def start(script: str, *arguments: str, **more: str) -> subprocess.Popen[str]:
            (repository / "train.py").write_text(textwrap.dedent(script))
            process = stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "train.py", *arguments],
                    cwd=repository,
                    env=variables | more,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                )
            )
            stack.callback(process.kill)
            return process

        yield start


def newest(client: Client) -> dict[str, Any]:
    task = client.get("/tasks", project="room", limit=1)["items"][0]
    detail: dict[str, Any] = client.get(f"/tasks/{task['id']}")
    return detail


def console(client: Client, task_id: str) -> str:
    return str(client.get(f"/tasks/{task_id}/console")["text"])


def eventually(ready: Callable[[], bool], *, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    assert process.stderr is not None
    line = process.stdout.readline().strip()
    if not line:
        errors = process.stderr.read()
        pytest.fail(f"the script ended with {process.wait()} before its first line: {errors!r}")
    return line


def leftovers(variables: dict[str, str]) -> list[str]:
    from pathlib import Path  # noqa: PLC0415  only for annotations elsewhere

    folder = Path(variables["RETRAIN_HOME"]) / "offline"
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_a_script_that_ends_well_is_completed_with_all_it_reported(
    start: Callable[..., subprocess.Popen[str]], client: Client, variables: dict[str, str]
) -> None:
    process = start(
        """
        import argparse, logging, sys
        from pathlib import Path
        from orchestrator import Logger, Task
        import config

        handler = logging.StreamHandler(sys.stderr)
        parser = argparse.ArgumentParser()
        parser.add_argument("--depth", type=int, default=2)
        depth = parser.parse_args().depth
        task = Task.init(project_name="room", task_name="training", tags=["baseline"])
        assert Task.init(project_name="x", task_name="y") is task is Task.current_task()
        assert task.connect(config) is config
        logger = task.get_logger()
        for step in range(25_000):
            logger.report_scalar(title="loss", series="train", value=1 / (step + 1), iteration=step)
        logger.report_scalar("loss", "bad", float("nan"), 0)
        Logger.current_logger().report_text("plain text é")
        logger.report_scatter2d("CO2", "day", [(1, 2), (3, 4)], iteration=1)
        handler.emit(logging.LogRecord("x", 30, "", 0, "logged", (), None))
        task.upload_artifact("result", {"accuracy": 0.9})
        task.upload_artifact("model", "config.py")
        task.add_tags(["good"])
        task.set_parameter("note", "hello")
        assert task.get_parameters()["General/RATE"] == 0.1
        assert task.artifacts["result"].get() == {"accuracy": 0.9}
        assert task.artifacts["model"].get().read_text() == Path("config.py").read_text()
        assert task.status == "in_progress" and task.attempt == 1
        print(task.id)
        """,
        "--depth",
        "3",
    )
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    task_id = out.split()[-1]
    detail = client.get(f"/tasks/{task_id}")
    task = detail["task"]
    assert (task["status"], task["status_reason"], task["type"]) == ("completed", "completed", "training")
    assert sorted(task["tags"]) == ["baseline", "good"]
    assert {each["name"]: (each["type"], each["value"]) for each in detail["parameters"]} == {
        "Args/depth": ("int", "3"),
        "General/RATE": ("float", "0.1"),
        "General/NAME": ("string", "first"),
        "General/note": ("string", "hello"),
    }
    assert task["script"] == {"entry_point": "train.py", "working_directory": ".", "arguments": ["--depth", "3"]}
    assert task["source"]["commit"]
    assert task["source"]["patch"].startswith("blake3:")
    assert task["packages"]["distributions"]
    series = {each["series"]: each for each in client.get(f"/tasks/{task_id}/series")["items"]}
    assert series["train"]["count"] == 25_000
    assert series["train"]["last_step"] == 24_999
    assert series["bad"]["count"] == 1
    assert client.get(f"/tasks/{task_id}/reports")["items"][0]["data"] == [[1, 2], [3, 4]]
    assert [each["name"] for each in detail["artifacts"]] == ["model", "result"]
    assert console(client, task_id) == f"plain text é\nlogged\n{task_id}\n"
    assert detail["attempts"][0]["exit_code"] == 0
    assert detail["attempts"][0]["started_at"]
    assert leftovers(variables) == []


@pytest.mark.parametrize(
    ("ending", "code", "status", "message", "shown"),
    [
        ("raise ValueError('no data')", 1, "failed", "ValueError: no data", "Traceback (most recent call last)"),
        ("print('bye'); sys.exit(3)", 3, "failed", "exit code 3", "bye"),
        ("print('bye'); sys.exit()", 0, "completed", None, "bye"),
        ("print('bye'); task.close(); sys.exit(4)", 4, "completed", None, "bye"),
    ],
)
def test_how_a_script_ends_is_recorded(
    start: Callable[..., subprocess.Popen[str]],
    client: Client,
    ending: str,
    code: int,
    status: str,
    message: str | None,
    shown: str,
) -> None:
    process = start(f"{BEGIN}\n{ending}")
    _, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    task = newest(client)["task"]
    assert (task["status"], task["status_message"]) == (status, message)
    assert shown in console(client, task["id"])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_script_that_is_interrupted_is_stopped(
    start: Callable[..., subprocess.Popen[str]], client: Client, number: signal.Signals
) -> None:
    process = start(f"{BEGIN}\nprint('ready', flush=True); time.sleep(60)")
    assert first_line(process) == "ready"
    process.send_signal(number)
    process.communicate(timeout=30)
    task = newest(client)["task"]
    assert (task["status"], task["status_reason"]) == ("stopped", "stopped")
    assert process.returncode in {-number, 128 + number}


def test_a_script_that_is_killed_is_lost_and_not_queued_again(
    start: Callable[..., subprocess.Popen[str]], client: Client
) -> None:
    process = start(f"{BEGIN}\nprint('ready', flush=True); time.sleep(60)")
    assert first_line(process) == "ready"
    time.sleep(LEASE_SECONDS * 1.5)
    assert newest(client)["task"]["status"] == "in_progress"  # the lease was extended
    process.kill()
    process.communicate()
    eventually(lambda: newest(client)["task"]["status"] == "failed", seconds=LEASE_SECONDS + 10)
    assert newest(client)["task"]["status_reason"] == "lost"


def test_a_request_to_stop_interrupts_even_a_sleep(start: Callable[..., subprocess.Popen[str]], client: Client) -> None:
    process = start(f"{BEGIN}\nprint('ready', flush=True); time.sleep(60)")
    assert first_line(process) == "ready"
    client.post(f"/tasks/{newest(client)['task']['id']}/stop")
    process.communicate(timeout=20)
    task = newest(client)["task"]
    assert (task["status"], task["status_reason"]) == ("stopped", "stopped")
    assert "a stop was requested" in console(client, task["id"])


def test_a_request_to_stop_that_comes_before_the_first_line_is_heard(
    start: Callable[..., subprocess.Popen[str]], client: Client, repository: Path
) -> None:
    before = len(list(client.pages("/tasks", project="room")))
    (repository / "slow.py").write_text("import time\ntime.sleep(60)\n")
    process = start(f"{BEGIN}\nimport slow")
    eventually(lambda: len(list(client.pages("/tasks", project="room"))) > before)
    eventually(lambda: newest(client)["task"]["status"] == "in_progress")
    client.post(f"/tasks/{newest(client)['task']['id']}/stop")
    _, err = process.communicate(timeout=20)
    task = newest(client)["task"]
    assert (task["status"], task["status_reason"]) == ("stopped", "stopped"), err


def test_without_a_server_the_script_runs_and_one_line_says_so(
    start: Callable[..., subprocess.Popen[str]], variables: dict[str, str]
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    process = start(
        """
        from orchestrator import Task
        import config
        task = Task.init(project_name="room", task_name="training")
        task.connect(config)
        logger = task.get_logger()
        logger.report_scalar("a", "b", 1, 2)
        logger.report_text("text")
        logger.flush()
        task.upload_artifact("x", {"a": 1})
        task.add_tags("t")
        task.set_parameters({"a": 1})
        assert task.offline and len(task.id) == 32 and task.status == "in_progress" and task.artifacts == {}
        assert task.parameters == {"General/RATE": 0.1, "General/NAME": "first", "General/a": 1}, task.parameters
        """,
        RETRAIN_URL=url,
    )
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert out == "text\n"
    assert err.count("\n") == 1
    assert "tracking is off" in err
    assert url in err
    assert "retrain up" in err
    assert leftovers(variables) == []


@pytest.mark.parametrize("status", [404, 500, 507])
def test_a_server_that_cannot_take_a_run_lets_it_go_on_unrecorded(
    start: Callable[..., subprocess.Popen[str]], status: int
) -> None:
    class Failing(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            code = {500: "of_next_year", 507: "no_space"}.get(status)
            body = json.dumps({"error": {"code": code, "message": "cannot"}} if code else "Not Found").encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Failing) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        process = start(
            f"""{BEGIN}
try:
    task.execute_remotely()
except Exception as error:
    print(error)
""",
            RETRAIN_URL=f"http://127.0.0.1:{server.server_port}",
        )
        out, err = process.communicate(timeout=30)
        server.shutdown()
    assert process.returncode == 0, err
    assert err.count("tracking is off") == 1
    assert ("no retrain server" in err) == (status == 404)
    assert "Start one on this machine: retrain up." in out


def test_what_cannot_be_recorded_is_said_once(start: Callable[..., subprocess.Popen[str]]) -> None:
    process = start(f'{BEGIN}\nfor _ in range(2): task.connect({{"n": 1, "device": object(), "hook": print}})')
    _, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert err == "retrain: not recorded, for they are no plain values: General/device (object)\n"


def test_a_wrong_token_ends_the_script_with_a_sentence(start: Callable[..., subprocess.Popen[str]]) -> None:
    process = start(BEGIN, RETRAIN_TOKEN="rt_wrong")
    _, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "Unauthenticated" in err


def test_a_server_that_is_restarted_in_mid_run_gets_everything(
    start: Callable[..., subprocess.Popen[str]], tmp_path: Path, redis_url: str
) -> None:
    home = tmp_path / "server"
    with running_server(home, redis_url=redis_url) as first, Client(first.url, first.token) as client:
        port = int(first.url.rpartition(":")[2])
        process = start(
            f"""{BEGIN}
logger = task.get_logger()
for step in range(60):
    logger.report_scalar("loss", "train", step, step)
    print("line", step, flush=True)
    if step == 20: task.upload_artifact("half", [1])
    time.sleep(0.05)
""",
            RETRAIN_URL=first.url,
            RETRAIN_TOKEN=first.token,
        )
        for _ in range(10):
            first_line(process)
        task_id = newest(client)["task"]["id"]
    time.sleep(1.0)
    assert process.poll() is None
    with running_server(home, redis_url=redis_url, port=port) as second, Client(second.url, second.token) as client:
        _, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        assert client.get(f"/tasks/{task_id}")["task"]["status"] == "completed"
        (summary,) = client.get(f"/tasks/{task_id}/series")["items"]
        assert (summary["count"], summary["last"]) == (60, 59)
        lines = [line for line in console(client, task_id).splitlines() if line.startswith("line")]
        assert lines == [f"line {step}" for step in range(60)]
        assert len(client.get(f"/tasks/{task_id}/artifacts")["items"]) == 1


def test_a_server_that_never_returns_neither_blocks_nor_fails_the_script(
    start: Callable[..., subprocess.Popen[str]], tmp_path: Path, redis_url: str, variables: dict[str, str]
) -> None:
    with running_server(tmp_path / "server", redis_url=redis_url) as first:
        process = start(
            f"{BEGIN}\nprint('ready', flush=True); sys.stdin.readline()\n"
            "begin = time.monotonic()\n"
            "for step in range(1000): task.get_logger().report_scalar('a', 'b', step, step)\n"
            "task.upload_artifact('x', [1]); print('kept')\n"
            "assert time.monotonic() - begin < 1",
            RETRAIN_URL=first.url,
            RETRAIN_TOKEN=first.token,
        )
        assert first_line(process) == "ready"
    ended = time.monotonic()
    _, err = process.communicate("go\n", timeout=60)
    assert process.returncode == 0, err
    assert time.monotonic() - ended < 30
    (name,) = leftovers(variables)
    assert f"what could not be sent is kept in {variables['RETRAIN_HOME']}/offline/{name}" in err
    kept = tmp_path / "home" / "offline" / name
    assert not (kept / "join.json").exists()  # it would hold the attempt's token
    (backlog,) = kept.glob("backlog-*")
    messages = [json.loads(line) for line in backlog.read_text().splitlines()]
    assert sum(len(each["steps"]) for each in messages[0]["body"]["points"]) == 1000
    assert "kept" in (kept / "console").read_text()


def test_a_run_that_lost_its_task_goes_on_unrecorded(
    start: Callable[..., subprocess.Popen[str]], client: Client
) -> None:
    process = start(f"{BEGIN}\nprint('ready', flush=True); sys.stdin.readline(); print('end')")
    assert first_line(process) == "ready"
    process.send_signal(signal.SIGSTOP)
    eventually(lambda: newest(client)["task"]["status"] == "failed", seconds=LEASE_SECONDS + 10)
    process.send_signal(signal.SIGCONT)
    out, err = process.communicate("go\n", timeout=30)
    assert process.returncode == 0, err
    assert out == "end\n"
    assert newest(client)["task"]["status_reason"] == "lost"
    assert "end" not in console(client, newest(client)["task"]["id"])


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_children_of_multiprocessing_report_to_the_same_task(
    start: Callable[..., subprocess.Popen[str]], client: Client, method: str
) -> None:
    before = len(list(client.pages("/tasks", project="room")))
    process = start(
        f"""
        import multiprocessing
        from orchestrator import Task
        task = Task.init(project_name="room", task_name="training")

        def work(number):
            Task.current_task().get_logger().report_scalar("loss", f"child {{number}}", number, number)

        if __name__ == "__main__":
            context = multiprocessing.get_context("{method}")
            children = [context.Process(target=work, args=(number,)) for number in range(2)]
            for child in children: child.start()
            for child in children: child.join()
            assert all(child.exitcode == 0 for child in children)
        """
    )
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    task = newest(client)["task"]
    assert task["status"] == "completed"
    assert len(list(client.pages("/tasks", project="room"))) == before + 1
    assert [each["series"] for each in client.get(f"/tasks/{task['id']}/series")["items"]] == ["child 0", "child 1"]


def test_execute_remotely_hands_the_task_over(start: Callable[..., subprocess.Popen[str]], client: Client) -> None:
    process = start(
        f"{BEGIN}\nimport config; task.connect(config); print('here')\ntask.execute_remotely('default')\nprint('never')"
    )
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert out == "here\n"
    detail = newest(client)
    assert (detail["task"]["status"], detail["task"]["queue"], detail["task"]["attempt"]) == ("queued", "default", 2)
    assert detail["attempts"][0]["exit_reason"] == "handed_over"
    assert {each["name"] for each in detail["parameters"]} == {"General/RATE", "General/NAME"}
    client.post(f"/tasks/{detail['task']['id']}/dequeue")


AGENT_SCRIPT = """
import sys
from orchestrator import Task
import config, argparse
parser = argparse.ArgumentParser()
parser.add_argument("--depth", type=int, default=2)
arguments = parser.parse_args()
task = Task.init(project_name="other", task_name="names", tags=["x"])
task.connect(config)
extra = task.connect({"batch": 32, "new": 1.5}, name="Data")
assert (config.RATE, config.NAME) == (0.5, "first"), config.RATE
assert arguments.depth == 7, arguments
assert extra == {"batch": 64, "new": 1.5}, extra
assert (task.name, task.project, task.attempt) == ("training", "room", ATTEMPT)
assert task.parameters["Args/depth"] == 7
heavy = {"pydantic", "git", "psutil", "blake3", "httpx", "numpy"} & set(sys.modules)
assert not heavy, heavy
task.execute_remotely("default")
"""


def claimed(client: Client, task_id: str) -> dict[str, Any]:
    """Claim a queued task as an agent would, and write what its attempt sees."""
    slots = [{"name": "slot", "queues": ["default"]}]
    agent = client.post(
        "/agents",
        {"name": "agent", "hostname": "here", "version": "1", "executor": "process", "slots": slots},
    )
    claim: dict[str, Any] = client.post(f"/agents/{agent['id']}/claim", {"slot": "slot"})
    assert claim["task"]["id"] == task_id
    return claim


def test_beneath_an_agent_the_tasks_values_hold_and_init_asks_nobody(
    start: Callable[..., subprocess.Popen[str]], patient: RunningServer, tmp_path: Path
) -> None:
    with Client(patient.url, patient.token) as client:
        run_beneath_an_agent(start, client, tmp_path)


def run_beneath_an_agent(start: Callable[..., subprocess.Popen[str]], client: Client, tmp_path: Path) -> None:
    parameters = {"General/RATE": ("float", "0.1"), "Data/batch": ("int", "32"), "Args/depth": ("int", "2")}
    listed = [{"name": name, "type": kind, "value": text} for name, (kind, text) in parameters.items()]
    reference = client.post("/tasks", {"project": "room", "name": "training", "parameters": listed})
    changed = {"General/RATE": "0.5", "Data/batch": "64", "Args/depth": "7"}
    clone = client.post(
        f"/tasks/{reference['id']}/clone", {"name": "training", "parameters": changed, "queue": "default"}
    )
    claim = claimed(client, clone["id"])
    task_file = tmp_path / "attempt" / "task.json"
    task_file.parent.mkdir()
    task_file.write_text(json.dumps({key: claim[key] for key in ("task", "attempt", "parameters")}))
    variables = {"RETRAIN_TASK_FILE": str(task_file), "RETRAIN_TASK_ID": clone["id"], "RETRAIN_ATTEMPT": "1"}
    script = AGENT_SCRIPT.replace("ATTEMPT", "1")
    nobody = start(
        f"{script}\nimport os; os._exit(0)", RETRAIN_URL=f"unix://{tmp_path}/absent", RETRAIN_TOKEN="", **variables
    )
    try:
        _, err = nobody.communicate(timeout=20)
    except subprocess.TimeoutExpired as error:
        err = str(error.stderr)
    assert nobody.returncode == 0, err

    process = start(
        f"{script}\ntask.get_logger().report_scalar('a', 'b', 1, 1)\nraise SystemExit(5)",
        RETRAIN_URL=client.url,
        RETRAIN_TOKEN=claim["token"],
        **variables,
    )
    _, err = process.communicate(timeout=30)
    assert process.returncode == 5, err
    detail = client.get(f"/tasks/{clone['id']}")
    assert detail["task"]["status"] == "in_progress"  # the supervisor says how it ends
    stored = {each["name"]: each["value"] for each in detail["parameters"]}
    assert stored == changed | {"General/NAME": "first", "Data/new": "1.5"}
    assert client.get(f"/tasks/{clone['id']}/series")["items"][0]["count"] == 1
    assert list(task_file.parent.iterdir()) == [task_file]


def test_importing_costs_a_script_nothing_that_is_not_its_own(variables: dict[str, str]) -> None:
    program = (
        "import sys, orchestrator; from orchestrator import Dataset, Logger, Task\n"
        "assert not {'pydantic', 'git', 'psutil', 'blake3', 'httpx', 'click', 'rich', 'numpy'} & set(sys.modules)\n"
        "assert not {'asyncio', 'importlib.metadata', 'subprocess', 'multiprocessing', 'sqlite3'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-S", "-c", "pass"], env=variables, check=False)
    assert done.returncode == 0
    subprocess.run([sys.executable, "-c", program], env=variables, check=True)


def test_a_task_is_found_cloned_changed_and_enqueued_from_code(
    start: Callable[..., subprocess.Popen[str]], client: Client
) -> None:
    process = start(
        """
        from orchestrator import Task
        from orchestrator.errors import InvalidRequest, NotFound, TaskEnded, UnknownParameter
        made = Task.init(project_name="room", task_name="reference")
        made.connect({"rate": 0.1, "id": "a", "seed": None})
        made.close()
        reference = Task.get_task(project_name="room", task_name="reference")
        assert reference.id == made.id == Task.get_task(task_id=made.id[:31]).id
        assert reference.wait_for_status() == "completed" == reference.get_status()
        try:
            Task.clone(reference, parameters={"General/rat": 1})
        except UnknownParameter as error:
            assert "General/rate" in str(error)
        clone = Task.clone(reference, name="again", parameters={"General/rate": 0.2})
        assert clone.status == "created" and clone.parameters["General/rate"] == 0.2
        clone.set_parameters({"id": "b"})
        assert clone.parameters["General/id"] == "b"
        clone.add_tags("cloned")
        assert clone.get_tags() == ["cloned"] or "cloned" in clone.get_tags()
        clone.set_parameters({"id": "c"})
        seed = Task.clone(reference, parameters={"General/seed": 3})
        assert seed.parameters["General/seed"] == 3
        seed = Task.clone(reference)
        seed.set_parameters({"seed": [1, 2]})
        assert seed.parameters["General/seed"] == [1, 2]
        assert Task.enqueue(clone, queue_name="services") is clone and clone.status == "queued"
        try:
            clone.wait_for_status(timeout=0.2)
        except TimeoutError as error:
            assert "still queued" in str(error)
        for wrong in ({"task_id": "f" * 32}, {"task_id": "ffff"}, {"project_name": "room", "task_name": "none"}):
            try:
                Task.get_task(**wrong)
            except NotFound:
                continue
            raise AssertionError(wrong)
        try:
            clone.get_logger()
        except InvalidRequest as error:
            assert "not the run of this process" in str(error)
        print(clone.id)
        """
    )
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    clone_id = out.split()[-1]
    assert client.get(f"/tasks/{clone_id}")["task"]["name"] == "again"
    client.post(f"/tasks/{clone_id}/stop")
    process = start(
        f"""
        from orchestrator import Task
        from orchestrator.errors import TaskEnded
        task = Task.get_task(task_id="{clone_id}")
        assert task.wait_for_status(status=["stopped"]) == "stopped"
        try:
            task.wait_for_status()
        except TaskEnded as error:
            assert "stopped" in str(error)
        else:
            raise AssertionError
        """
    )
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err


def test_waiting_ends_as_soon_as_the_task_does(start: Callable[..., subprocess.Popen[str]], client: Client) -> None:
    running = start(f"{BEGIN}\nprint('ready', flush=True); sys.stdin.readline()")
    assert first_line(running) == "ready"
    task_id = newest(client)["task"]["id"]
    waiting = start(
        "import time\nfrom orchestrator import Task\n"
        f"task = Task.get_task('{task_id}')\nprint('waiting', flush=True)\n"
        "task.wait_for_status(timeout=20); print(time.time(), flush=True)"
    )
    assert first_line(waiting) == "waiting"
    running.communicate("go\n", timeout=20)
    ended = time.time()
    out, err = waiting.communicate(timeout=30)
    assert waiting.returncode == 0, err
    assert float(out) - ended < 1.0


def test_what_is_not_there_is_not_found(client: Client) -> None:
    with pytest.raises(NotFound):
        client.get(f"/tasks/{'0' * 32}")
