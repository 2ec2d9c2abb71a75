from __future__ import annotations

import os
import platform
import signal
import socket
import subprocess
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from agent.testing import create_script_task, running_agent, wait_for
from orchestrator.api.testing import running_server
from orchestrator.sdk.client import Client

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from agent.testing import RunningAgent
    from orchestrator.api.testing import RunningServer

pytestmark = pytest.mark.redis
ENDED = {"completed", "failed", "stopped"}


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="agent-", ignore_cleanup_errors=True) as made:
        yield Path(made)


@pytest.fixture(scope="module")
def server(home: Path) -> Iterator[RunningServer]:
    with running_server(home / "server", lease_seconds=2, heartbeat_seconds=0.5, sweep_seconds=0.3) as running:
        yield running


@pytest.fixture(scope="module")
def client(server: RunningServer) -> Iterator[Client]:
    with Client(server.url, server.token) as made:
        yield made


@pytest.fixture(scope="module")
def agent(home: Path, server: RunningServer, client: Client) -> Iterator[RunningAgent]:
    assert client is not None
    with running_agent(home / "agent", server) as running:
        yield running


@pytest.fixture
def submit(client: Client, agent: RunningAgent, tmp_path: Path) -> Callable[..., str]:
    assert agent is not None

    def create_and_enqueue(
        script: str, *, queue: str = "default", name: str = "task", arguments: Sequence[str] = ()
    ) -> str:
        task = create_script_task(client, script, directory=tmp_path, name=name, arguments=arguments)
        client.post(f"/tasks/{task}/enqueue", {"queue": queue})
        return task

    return create_and_enqueue


@pytest.fixture
def ended(client: Client) -> Callable[[str], dict[str, Any]]:
    def wait(task: str) -> dict[str, Any]:
        def detail() -> dict[str, Any] | None:
            found: dict[str, Any] = client.get(f"/tasks/{task}")
            return found if found["task"]["status"] in ENDED else None

        found: dict[str, Any] = wait_for(detail, what="the end of the task")
        return found

    return wait


def console(client: Client, task: str) -> str:
    text: str = client.get(f"/tasks/{task}/console")["text"]
    return "".join(line for line in text.splitlines(keepends=True) if not line.startswith("retrain: "))


def wait_until_it_says(client: Client, task: str, word: str) -> None:
    wait_for(lambda: word in client.get(f"/tasks/{task}/console")["text"], what=f"{word!r} in the console")


def test_a_script_runs_as_it_was_captured(
    client: Client, submit: Callable[..., str], ended: Callable[[str], dict[str, Any]]
) -> None:
    script = (
        "import sys\nprint('out', sys.argv[1:])\nprint('err', file=sys.stderr)\n"
        "print(open('/dev/stdin').read() == '')\n"
    )
    task = submit(script, arguments=["--name", "$(id) ;'ä"])
    detail = ended(task)
    attempt = detail["attempts"][-1]
    assert detail["task"]["status"] == "completed"
    assert console(client, task) == "out ['--name', \"$(id) ;'ä\"]\nerr\nTrue\n"
    assert (attempt["executor"], attempt["exit_code"], attempt["exit_reason"]) == ("process", 0, "completed")
    assert attempt["started_at"] is not None
    assert len(attempt["environment"]) >= 16
    assert detail["task"]["packages"]["lock"].startswith("blake3:")


def test_a_clone_reuses_the_environment_of_its_reference(
    client: Client, submit: Callable[..., str], ended: Callable[[str], dict[str, Any]]
) -> None:
    reference = ended(submit("print('hello')"))
    clone = client.post(f"/tasks/{reference['task']['id']}/clone", {"queue": "default"})
    detail = ended(clone["id"])
    assert detail["attempts"][-1]["environment"] == reference["attempts"][-1]["environment"]
    assert detail["attempts"][-1]["environment_reused"] is True


def test_a_clone_of_a_branch_runs_its_head_and_records_the_commit(
    client: Client, agent: RunningAgent, ended: Callable[[str], dict[str, Any]], tmp_path: Path
) -> None:
    assert agent is not None
    remote = tmp_path / "remote"
    remote.mkdir()

    def git(*arguments: str) -> str:
        who = ("-c", "user.name=a", "-c", "user.email=a@b")
        done = subprocess.run(["git", *who, *arguments], cwd=remote, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    git("init", "--quiet", "-b", "main")
    for branch, text in (("main", "print('main')"), ("next", "print('next')")):
        git("checkout", "--quiet", "-B", branch)
        (remote / "script.py").write_text(text)
        git("add", "--all")
        git("commit", "--quiet", "--message", branch)
    first, head = git("rev-parse", "main"), git("rev-parse", "next")
    body = {
        "project": "tests",
        "name": "n",
        "script": {"entry_point": "script.py"},
        "source": {"repository": remote.as_uri(), "commit": first, "tree": git("rev-parse", "main^{tree}")},
        "packages": {"python": platform.python_version(), "platform": "linux-x86_64"},
    }
    reference = client.post("/tasks", body)["id"]

    def ran(**asked: str) -> dict[str, Any]:
        clone = client.post(f"/tasks/{reference}/clone", {"queue": "default"} | asked)["id"]
        return ended(clone)

    plain, of_branch, missing = ran(), ran(branch="next"), ran(branch="gone")
    assert console(client, plain["task"]["id"]) == "main\n"
    assert plain["attempts"][0]["commit"] == first
    assert console(client, of_branch["task"]["id"]) == "next\n"
    assert of_branch["attempts"][0]["commit"] == head
    told = client.get(f"/tasks/{of_branch['task']['id']}/console")["text"]
    assert f"retrain: the source is commit {head} of branch next of {remote.as_uri()}" in told
    assert (missing["task"]["status"], missing["attempts"][0]["exit_reason"]) == ("failed", "infrastructure")
    assert f"no branch 'gone' on {remote.as_uri()}" in missing["attempts"][0]["message"]


def test_a_script_that_raises_fails_with_its_traceback(
    client: Client, submit: Callable[..., str], ended: Callable[[str], dict[str, Any]]
) -> None:
    task = submit("def f():\n    raise ValueError('not mine')\nf()\n")
    detail = ended(task)
    assert (detail["task"]["status"], detail["task"]["status_reason"]) == ("failed", "script_failed")
    assert detail["attempts"][-1]["exit_code"] == 1
    assert detail["task"]["status_message"] == "ValueError: not mine"
    assert "ValueError: not mine" in console(client, task)
    assert "script.py" in console(client, task)


def test_what_cannot_be_rebuilt_is_no_fault_of_the_script(
    client: Client, submit: Callable[..., str], ended: Callable[[str], dict[str, Any]], tmp_path: Path
) -> None:
    assert submit is not None
    task = create_script_task(client, "print(1)", directory=tmp_path)
    packages = {"python": "2.7.18", "platform": "linux-x86_64"}
    client.patch(f"/tasks/{task}", {"packages": packages})
    client.post(f"/tasks/{task}/enqueue", {})
    detail = ended(task)
    assert (detail["task"]["status"], detail["task"]["status_reason"]) == ("failed", "infrastructure")
    assert "2.7.18" in detail["task"]["status_message"]
    assert "2.7.18" in client.get(f"/tasks/{task}/console")["text"]


def test_a_task_without_a_script_says_what_is_missing(
    client: Client, agent: RunningAgent, ended: Callable[[str], dict[str, Any]]
) -> None:
    assert agent is not None
    task = client.post("/tasks", {"project": "tests", "name": "empty"})["id"]
    client.post(f"/tasks/{task}/enqueue", {})
    detail = ended(task)
    assert detail["task"]["status_reason"] == "infrastructure"
    assert "no script" in detail["task"]["status_message"]


@pytest.mark.parametrize("stubborn", [False, True])
def test_a_running_task_stops_within_its_grace(
    client: Client, submit: Callable[..., str], ended: Callable[[str], dict[str, Any]], stubborn: bool
) -> None:
    ignore = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" if stubborn else ""
    task = submit(f"import time\n{ignore}print('running')\ntime.sleep(60)\n")
    wait_until_it_says(client, task, "running")
    began = time.monotonic()
    client.post(f"/tasks/{task}/stop")
    detail = ended(task)
    took = time.monotonic() - began
    assert (detail["task"]["status"], detail["task"]["status_reason"]) == ("stopped", "stopped")
    assert (2 <= took < 4) if stubborn else (took < 1.5)


@pytest.fixture
def silent_remote() -> Iterator[str]:
    """A git remote that accepts connections and never says a word."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield f"git://127.0.0.1:{listener.getsockname()[1]}/repository"


def test_a_long_preparation_keeps_its_lease_and_can_be_stopped(
    client: Client,
    agent: RunningAgent,
    ended: Callable[[str], dict[str, Any]],
    silent_remote: str,
) -> None:
    assert agent is not None
    body = {
        "project": "tests",
        "name": "remote",
        "script": {"entry_point": "script.py"},
        "source": {"repository": silent_remote, "commit": "1" * 40, "tree": "2" * 40},
        "packages": {"python": platform.python_version()},
    }
    task = client.post("/tasks", body)["id"]
    client.post(f"/tasks/{task}/enqueue", {})
    wait_for(lambda: client.get(f"/tasks/{task}")["task"]["status"] == "in_progress")
    time.sleep(3.5)  # longer than the lease
    detail = client.get(f"/tasks/{task}")
    assert (detail["task"]["status"], detail["task"]["attempt"]) == ("in_progress", 1)
    client.post(f"/tasks/{task}/stop")
    detail = ended(task)
    assert (detail["task"]["status"], detail["task"]["attempt"]) == ("stopped", 1)


def test_tasks_of_a_slot_run_one_after_another_and_services_beside_them(
    client: Client, submit: Callable[..., str], ended: Callable[[str], dict[str, Any]]
) -> None:
    script = "import time\nprint(time.time())\ntime.sleep(0.3)\nprint(time.time())\n"
    service = submit("import time\nprint('serving')\ntime.sleep(60)\n", queue="services", name="service")
    wait_until_it_says(client, service, "serving")
    tasks = [submit(script, name=f"task {number}") for number in range(3)]
    for task in tasks:
        assert ended(task)["task"]["status"] == "completed"
    times = [[float(line) for line in console(client, task).splitlines()] for task in tasks]
    assert all(end <= begin for (_, end), (begin, _) in pairwise(times))
    assert client.get(f"/tasks/{service}")["task"]["status"] == "in_progress"
    client.post(f"/tasks/{service}/stop")
    assert ended(service)["task"]["status"] == "stopped"


def test_a_run_whose_shim_was_killed_is_lost_and_tried_again(
    client: Client, submit: Callable[..., str], ended: Callable[[str], dict[str, Any]]
) -> None:
    task = submit(
        "import os, signal, time\nprint('attempt', os.environ['RETRAIN_ATTEMPT'])\n"
        "if os.environ['RETRAIN_ATTEMPT'] == '1':\n    os.kill(os.getppid(), signal.SIGKILL)\n    time.sleep(60)\n"
    )
    detail = ended(task)
    assert detail["task"]["status"] == "completed"
    assert [attempt["exit_reason"] for attempt in detail["attempts"]] == ["lost", "completed"]
    assert "attempt 2" in console(client, task)


def test_a_script_speaks_to_the_server_through_its_socket_alone(
    client: Client, submit: Callable[..., str], ended: Callable[[str], dict[str, Any]], server: RunningServer
) -> None:
    task = submit(
        "import os\n"
        "from orchestrator.sdk.client import Client\n"
        "client = Client(os.environ['RETRAIN_URL'])\n"
        "task = os.environ['RETRAIN_TASK_ID']\n"
        "points = [{'title': 'loss', 'series': 'train', 'steps': [1, 2], 'times': [1.0, 2.0], 'values': [0.5, 0.25]}]\n"
        "client.post(f'/tasks/{task}/series', {'writer': 'w', 'sequence': 0, 'points': points}, repeatable=True)\n"
        "print(client.get(f'/tasks/{task}')['task']['name'])\n"
        "print([name for name, value in os.environ.items() if value.startswith('rt_') or 'REDIS' in name])\n"
    )
    assert ended(task)["task"]["status"] == "completed", console(client, task)
    assert console(client, task) == "task\n[]\n"
    (summary,) = client.get(f"/tasks/{task}/series")["items"]
    assert (summary["count"], summary["last"]) == (2, 0.25)
    assert server.token not in console(client, task)


def test_data_comes_from_the_node_and_is_read_only(
    client: Client, submit: Callable[..., str], ended: Callable[[str], dict[str, Any]]
) -> None:
    version = client.post("/datasets", {"project": "tests", "name": "data"})["id"]
    digest = client.put_bytes(f"/blobs/{_digest(b'seven')}", b"seven")["digest"]
    entry = {"path": "folder/file.txt", "size_bytes": 5, "digest": digest, "mode": 0o644}
    client.post(f"/datasets/{version}/entries", {"put": [entry]})
    client.post(f"/datasets/{version}/finalize")
    task = submit(
        "import os\nfrom pathlib import Path\n"
        "from orchestrator.sdk.client import Client\n"
        f"path = Path(Client(os.environ['RETRAIN_URL']).get('/local/datasets/{version}')['path'])\n"
        "print((path / 'folder/file.txt').read_text(), oct((path / 'folder/file.txt').stat().st_mode))\n"
    )
    assert ended(task)["task"]["status"] == "completed"
    assert console(client, task) == "seven 0o100444\n"


def _digest(data: bytes) -> str:
    from blake3 import blake3  # noqa: PLC0415  for this one test

    return f"blake3:{blake3(data).hexdigest()}"


def test_people_who_look_into_redis_see_the_workers(agent: RunningAgent, server: RunningServer) -> None:
    import redis  # noqa: PLC0415  for this one test
    from rq import Worker  # noqa: PLC0415

    assert agent is not None
    with redis.Redis.from_url(server.redis_url) as connection:
        names = {tuple(worker.queue_names()) for worker in Worker.all(connection=connection)}
    assert {("default",), ("services",)} <= names


def test_what_stands_in_redis_is_never_run(
    agent: RunningAgent,
    server: RunningServer,
    submit: Callable[..., str],
    ended: Callable[[str], dict[str, Any]],
    tmp_path: Path,
) -> None:
    import redis  # noqa: PLC0415  for this one test
    from rq import Queue  # noqa: PLC0415
    from rq.serializers import JSONSerializer  # noqa: PLC0415

    with redis.Redis.from_url(server.redis_url) as connection:
        for serializer in (JSONSerializer, None):
            queue = Queue("default", connection=connection, serializer=serializer)
            queue.enqueue("os.system", f"touch {tmp_path / 'broken-in'}")
        connection.rpush("rq:queue:default", "no job at all")
        wait_for(lambda: connection.llen("rq:queue:default") == 0)
    assert ended(submit("print('fine')"))["task"]["status"] == "completed"
    assert not (tmp_path / "broken-in").exists()
    assert agent.process.poll() is None


def test_an_agent_that_ends_with_its_runs_leaves_no_process_and_hands_the_task_back(
    client: Client, server: RunningServer, home: Path, tmp_path: Path
) -> None:
    client.post("/queues", {"name": "short"})
    task = create_script_task(client, "import time\nprint('running')\ntime.sleep(60)\n", directory=tmp_path)
    client.post(f"/tasks/{task}/enqueue", {"queue": "short"})
    with running_agent(home / "short", server, slots=["short"], stop_runs=True) as agent:
        wait_until_it_says(client, task, "running")
        tree = agent.tree()
        agent.stop()
        _, alive = psutil.wait_procs(tree, timeout=1)
        assert alive == []
    detail = client.get(f"/tasks/{task}")
    assert (detail["task"]["status"], detail["task"]["attempt"]) == ("queued", 2)


def test_a_home_whose_path_is_long_works_like_any_other(
    client: Client, server: RunningServer, home: Path, tmp_path: Path, ended: Callable[[str], dict[str, Any]]
) -> None:
    client.post("/queues", {"name": "long"})
    script = (
        "import os\nfrom orchestrator.sdk.client import Client\n"
        "print(Client(os.environ['RETRAIN_URL']).get('/healthz')['status'])\n"
    )
    task = create_script_task(client, script, directory=tmp_path)
    client.post(f"/tasks/{task}/enqueue", {"queue": "long"})
    with running_agent(home / ("x" * 120), server, slots=["long"]):
        assert ended(task)["task"]["status"] == "completed"
        assert console(client, task) == "ok\n"


def test_one_home_has_one_agent(server: RunningServer, agent: RunningAgent) -> None:
    with pytest.raises(TimeoutError, match="An agent runs in"), running_agent(agent.home, server):
        pytest.fail("two agents in one home")
    assert agent.process.poll() is None


def test_ended_runs_leave_no_token_and_no_source_on_the_node(agent: RunningAgent) -> None:
    runs = [path for path in (agent.home / "agent" / "runs").iterdir() if not path.name.startswith(".")]
    assert runs
    os.kill(agent.process.pid, signal.SIGCHLD)  # looks around now
    remains = [path / name for path in runs for name in ("claim.json", "source")]
    wait_for(lambda: not any(path.exists() for path in remains), seconds=25, what="cleaning up")
