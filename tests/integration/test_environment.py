"""Environments with the real uv, on packages made here, from an index in a folder or behind a real HTTP server."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.server
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import sysconfig
import threading
import time
import zipfile
from typing import TYPE_CHECKING, Any

import pytest

from agent.environment import DockerToolchain, Environment, Environments, HostToolchain
from orchestrator.errors import EnvironmentFailed, ExecutorUnavailable, NoSpace, Unavailable
from orchestrator.records.source import Distribution, Packages

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from agent.environment import Toolchain

LIMIT_BYTES = 10**9
VERSION = platform.python_version()

BACKEND = """
import json, os, zipfile
def build_wheel(directory, config_settings=None, metadata_directory=None):
    name = "tool-1.0-py3-none-any.whl"
    files = {
        "tool.py": f"seen = {dict(os.environ)!r}",
        "tool-1.0.dist-info/METADATA": "Metadata-Version: 2.1\\nName: tool\\nVersion: 1.0\\n",
        "tool-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
        "tool-1.0.dist-info/RECORD": "",
    }
    with zipfile.ZipFile(os.path.join(directory, name), "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    return name
"""

RACER = """
import sys
from pathlib import Path
from agent.environment import Environments, HostToolchain
from orchestrator.records.source import Packages
root, packages = Path(sys.argv[1]), Packages.model_validate_json(sys.argv[2])
environments = Environments(root, limit_bytes=10**9)
environment = environments.ensure(packages, lock=None, toolchain=HostToolchain(), progress=print)
print("built" if not environment.reused else "reused", environment.key, flush=True)
"""


class Index:
    """A package index in a folder, of wheels with one module each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    @property
    def url(self) -> str:
        return self.folder.as_uri()

    def add(self, name: str, *, version: str = "1.0", payload: bytes = b"") -> Path:
        info = f"{name}-{version}.dist-info"
        files = {
            f"{name}.py": f"version = {version!r}\n".encode(),
            f"{name}.bin": payload,
            f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode(),
            f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        }
        record = "".join(f"{path},{_record_hash(content)},{len(content)}\n" for path, content in files.items())
        files[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n".encode()
        home = self.folder / name
        home.mkdir(exist_ok=True)
        wheel = home / f"{name}-{version}-py3-none-any.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            for path, content in files.items():
                archive.writestr(path, content)
        links = (
            f'<a href="{path.name}#sha256={hashlib.sha256(path.read_bytes()).hexdigest()}">{path.name}</a>'
            for path in sorted(home.glob("*.whl"))
        )
        (home / "index.html").write_text("\n".join(links))
        return wheel


def _record_hash(content: bytes) -> str:
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


@pytest.fixture
def index(tmp_path: Path) -> Index:
    index = Index(tmp_path / "index")
    index.add("alpha")
    index.add("beta", version="2.0")
    return index


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "no-cache"))  # not there: the one beside the environments is used
    for name in ("UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def environments(tmp_path: Path) -> Environments:
    return Environments(tmp_path / "root", limit_bytes=LIMIT_BYTES, patience_seconds=0.2)


def packages(url: str | None, *, python: str = VERSION, **pins: str) -> Packages:
    return Packages(
        python=python,
        platform=sysconfig.get_platform(),
        distributions=tuple(Distribution(name=name, version=version) for name, version in pins.items()),
        index_urls=() if url is None else (url,),
        default_index=url is None,
    )


class Ensure:
    """`Environments.ensure` that lets go at once and remembers what it told."""

    def __init__(self, environments: Environments) -> None:
        self.environments = environments
        self.told: list[str] = []

    def __call__(
        self, wanted: Packages, *, lock: bytes | None = None, toolchain: Toolchain | None = None
    ) -> Environment:
        self.told.clear()
        environment = self.environments.ensure(
            wanted, lock=lock, toolchain=toolchain or HostToolchain(), progress=self.told.append
        )
        environment.hold().release()
        return environment


@pytest.fixture
def ensure(environments: Environments) -> Ensure:
    return Ensure(environments)


def run(environment: Environment, *arguments: str, **variables: str) -> str:
    return subprocess.run(
        [str(environment.python), *arguments],
        check=True,
        capture_output=True,
        text=True,
        env={"PATH": os.environ["PATH"], **variables},
    ).stdout.strip()


def nothing_visible(root: Path) -> bool:
    return not any(any((root / name).iterdir()) for name in ("ready", "building", "trash"))


def eventually(condition: Callable[[], bool], *, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.02)


# What stands there in the end


def test_it_has_exactly_the_captured_packages(ensure: Ensure, index: Index) -> None:
    index.add("alpha", version="1.5")
    environment = ensure(packages(index.url, alpha="1.0", beta="2.0"))
    assert not environment.reused
    assert run(environment, "-c", "import alpha, beta; print(alpha.version, beta.version)") == "1.0 2.0"
    listed = "import importlib.metadata as m; print(*sorted(d.name for d in m.distributions()))"
    assert run(environment, "-c", listed) == "alpha beta"
    assert any("resolving 2 packages" in line for line in ensure.told)
    assert any("building, 2 packages" in line for line in ensure.told)


def test_no_packages_give_a_bare_environment(ensure: Ensure, index: Index) -> None:
    environment = ensure(packages(index.url))
    assert run(environment, "-c", "import json; print('bare')") == "bare"


def test_its_modules_are_compiled(ensure: Ensure, index: Index) -> None:
    environment = ensure(packages(index.url, alpha="1.0"))
    assert list(environment.path.glob("lib/*/site-packages/__pycache__/alpha.*.pyc"))


def test_it_is_relocatable_and_knows_its_place(ensure: Ensure, index: Index) -> None:
    environment = ensure(packages(index.url, alpha="1.0"))
    assert "relocatable = true" in (environment.path / "pyvenv.cfg").read_text()
    assert run(environment, "-c", "import sys; print(sys.prefix)") == str(environment.path)


@pytest.mark.parametrize("form", ["script", "module", "child"])
def test_the_sdk_comes_last_on_the_path_of_every_process(
    form: str, ensure: Ensure, index: Index, tmp_path: Path
) -> None:
    sdk = tmp_path / "sdk"
    sdk.mkdir()
    (sdk / "show.py").write_text("import sys; print(sys.path[-1])")
    (sdk / "alpha.py").write_text("version = 'shadowed'")
    child = "import subprocess, sys; print(subprocess.check_output([sys.executable, '-m', 'show'], text=True))"
    arguments = {"script": ["-c", "import show"], "module": ["-m", "show"], "child": ["-c", child]}[form]
    environment = ensure(packages(index.url, alpha="1.0"))
    assert run(environment, *arguments, RETRAIN_SDK=str(sdk)) == str(sdk)
    assert run(environment, "-c", "import alpha; print(alpha.version)", RETRAIN_SDK=str(sdk)) == "1.0"
    assert str(sdk) not in run(environment, "-c", "import sys; print(sys.path)")


# Reuse


class NeverAgain(HostToolchain):
    """Fails when it is asked to start a process."""

    def describe(self, python: str, *, implementation: str) -> Any:  # noqa: ANN401  never returns
        raise AssertionError(f"described {implementation} {python}")

    def run(self, work: Any, *, on_line: Any) -> Any:  # noqa: ANN401  as above
        raise AssertionError(f"ran {work} {on_line}")


def test_a_hit_starts_no_process(ensure: Ensure, index: Index) -> None:
    wanted = packages(index.url, alpha="1.0", beta="2.0")
    first = ensure(wanted)
    for lock in (None, first.lock):
        second = ensure(wanted, lock=lock, toolchain=NeverAgain())
        assert second.reused
        assert (second.key, second.lock) == (first.key, first.lock)


def test_a_lock_makes_another_node_build_the_same(ensure: Ensure, index: Index, tmp_path: Path) -> None:
    wanted = packages(index.url, alpha="1.0")
    first = ensure(wanted)
    elsewhere = Ensure(Environments(tmp_path / "elsewhere", limit_bytes=LIMIT_BYTES))
    second = elsewhere(wanted, lock=first.lock)
    assert not second.reused
    assert (second.key, second.lock) == (first.key, first.lock)
    assert not any("resolving" in line for line in elsewhere.told)


def test_other_packages_are_another_environment(ensure: Ensure, index: Index) -> None:
    assert ensure(packages(index.url, alpha="1.0")).key != ensure(packages(index.url, beta="2.0")).key


def test_the_agents_cache_is_used_where_it_lies_on_the_same_disk(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "users-cache"
    cache.mkdir()
    monkeypatch.setenv("UV_CACHE_DIR", str(cache))
    environment = Ensure(Environments(tmp_path / "root", limit_bytes=LIMIT_BYTES))(packages(index.url, alpha="1.0"))
    assert next(environment.path.glob("lib/*/site-packages/alpha.py")).stat().st_nlink > 1
    assert list(cache.rglob("alpha.py"))
    assert not (tmp_path / "root/uv-cache").exists()


# Interpreters


def test_a_patch_version_apart_is_accepted_and_noted(ensure: Ensure, index: Index) -> None:
    wanted = ".".join(VERSION.split(".")[:2]) + ".999"
    environment = ensure(packages(index.url, python=wanted, alpha="1.0"))
    assert run(environment, "-c", "import alpha") == ""
    assert any(f"captured on Python {wanted}" in line for line in ensure.told)


def test_a_python_that_is_not_there_is_named(ensure: Ensure, index: Index) -> None:
    with pytest.raises(EnvironmentFailed, match=r"cpython 3\.1\.5; on this machine there is .*cpython 3\.") as caught:
        ensure(packages(index.url, python="3.1.5", alpha="1.0"))
    assert "Install Python 3.1 there" in str(caught.value.hint)


# Where packages come from


def test_a_commit_of_a_repository_is_built_without_our_secrets(
    ensure: Ensure, index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RETRAIN_TOKEN", "rt_secret")
    monkeypatch.setenv("REDIS_URL", "redis://:secret@localhost")
    repository = tmp_path / "tool"
    repository.mkdir()
    (repository / "backend.py").write_text(BACKEND)
    (repository / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        '[project]\nname = "tool"\nversion = "1.0"\n'
    )
    git = ["git", "-C", str(repository), "-c", "user.name=me", "-c", "user.email=me@example.org"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "first"]):
        subprocess.run([*git, *command], check=True)
    commit = subprocess.check_output([*git, "rev-parse", "HEAD"], text=True).strip()
    wanted = packages(index.url, alpha="1.0")
    tool = Distribution(name="tool", version="1.0", url=f"git+{repository.as_uri()}@{commit}")
    environment = ensure(wanted.changed(distributions=(*wanted.distributions, tool)))
    assert commit.encode() in environment.lock
    seen = run(environment, "-c", "import tool, alpha; print(sorted(tool.seen))")
    assert "PATH" in seen
    assert "RETRAIN_TOKEN" not in seen
    assert "REDIS_URL" not in seen


def test_a_local_install_is_left_out_and_told(ensure: Ensure, index: Index) -> None:
    wanted = packages(index.url, alpha="1.0")
    mine = Distribution(name="mine", version="0.1", url="file:///home/me/mine", editable=True)
    ensure(wanted.changed(distributions=(*wanted.distributions, mine)))
    assert any("mine 0.1" in line for line in ensure.told)


@pytest.mark.parametrize("pins", [{"alpha": "9.9"}, {"nothing_of_that_name": "1.0"}])
def test_a_package_that_is_on_no_index_is_named(
    pins: dict[str, str], ensure: Ensure, index: Index, tmp_path: Path
) -> None:
    with pytest.raises(EnvironmentFailed, match=next(iter(pins)).replace("_", "-")):
        ensure(packages(index.url, **pins))
    assert nothing_visible(tmp_path / "root")


def test_a_package_that_changed_on_the_index_is_refused_by_name(ensure: Ensure, index: Index, tmp_path: Path) -> None:
    wanted = packages(index.url, alpha="1.0")
    lock = ensure(wanted).lock
    index.add("alpha", payload=b"tampered")
    elsewhere = Ensure(Environments(tmp_path / "elsewhere", limit_bytes=LIMIT_BYTES))
    with pytest.raises(EnvironmentFailed, match="alpha"):
        elsewhere(wanted, lock=lock)
    assert nothing_visible(tmp_path / "elsewhere")


class Server:
    """Serves an index over HTTP; its wheels can be held back."""

    def __init__(self, folder: Path, *, port: int = 0) -> None:
        self.asked = threading.Event()
        self.go_on = threading.Event()
        self.go_on.set()
        outer = self

        class Handler(http.server.SimpleHTTPRequestHandler):
            def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401  the library's
                super().__init__(*arguments, directory=str(folder), **options)

            def do_GET(self) -> None:
                if self.path.endswith(".whl"):
                    outer.asked.set()
                    outer.go_on.wait(30)
                super().do_GET()

            def log_message(self, *_arguments: object) -> None:
                """Keep the tests' output clean."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def stop(self) -> None:
        self.go_on.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def server(index: Index) -> Iterator[Server]:
    server = Server(index.folder)
    yield server
    with contextlib.suppress(OSError):
        server.stop()


def test_an_index_that_is_away_is_infrastructure_and_named(ensure: Ensure, server: Server, tmp_path: Path) -> None:
    server.stop()
    with pytest.raises(Unavailable, match=rf"127\.0\.0\.1:{server.port}.*Connection refused.*infrastructure"):
        ensure(packages(server.url, alpha="1.0"))
    assert nothing_visible(tmp_path / "root")


def test_an_index_that_comes_back_in_time_is_waited_for(server: Server, index: Index, tmp_path: Path) -> None:
    server.stop()
    ensure = Ensure(Environments(tmp_path / "root", limit_bytes=LIMIT_BYTES, patience_seconds=20))
    back: list[Server] = []
    timer = threading.Timer(2.5, lambda: back.append(Server(index.folder, port=server.port)))
    timer.start()
    try:
        assert not ensure(packages(server.url, alpha="1.0")).reused
    finally:
        timer.join()
        back[0].stop()
    assert any("asking again" in line for line in ensure.told)


def test_a_full_cache_needs_no_index(ensure: Ensure, server: Server, tmp_path: Path) -> None:
    wanted = packages(server.url, alpha="1.0")
    ensure(wanted)
    server.stop()
    for name in ("ready", "resolved"):
        shutil.rmtree(tmp_path / "root" / name)
        (tmp_path / "root" / name).mkdir()
    environment = ensure(wanted)
    assert not environment.reused
    assert run(environment, "-c", "import alpha; print(alpha.version)") == "1.0"


def test_the_real_index_is_reached(ensure: Ensure) -> None:
    environment = ensure(packages(None, six="1.16.0", idna="3.7"))
    assert run(environment, "-c", "import six, idna; print(six.__version__, idna.__version__)") == "1.16.0 3.7"


# Several at once, and ends in the middle


def start(root: Path, wanted: Packages) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", RACER, str(root), wanted.model_dump_json()], stdout=subprocess.PIPE, text=True
    )


def test_of_six_that_race_one_builds(index: Index, tmp_path: Path) -> None:
    wanted = packages(index.url, alpha="1.0", beta="2.0")
    processes = [start(tmp_path / "root", wanted) for _ in range(6)]
    answers = [process.communicate(timeout=60)[0].splitlines()[-1].split() for process in processes]
    assert sorted(word for word, _ in answers) == ["built", *["reused"] * 5]
    assert len({key for _, key in answers}) == 1
    assert not any((tmp_path / "root/building").iterdir())


def test_a_builder_that_is_killed_leaves_nothing_visible_and_the_next_one_builds(
    ensure: Ensure, server: Server, tmp_path: Path
) -> None:
    wanted = packages(server.url, alpha="1.0", beta="2.0")
    server.go_on.clear()
    process = start(tmp_path / "root", wanted)
    assert server.asked.wait(30)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not any((tmp_path / "root/ready").iterdir())
    assert any((tmp_path / "root/building").iterdir())
    server.go_on.set()
    environment = ensure(wanted)
    assert not environment.reused
    assert run(environment, "-c", "import alpha, beta; print(alpha.version, beta.version)") == "1.0 2.0"
    assert not any((tmp_path / "root/building").iterdir())


def test_who_waits_for_another_builder_is_told(ensure: Ensure, server: Server, tmp_path: Path) -> None:
    wanted = packages(server.url, alpha="1.0")
    ensure(wanted)
    lock = ensure(wanted).lock
    other = Ensure(Environments(tmp_path / "other", limit_bytes=LIMIT_BYTES))
    server.asked.clear()
    server.go_on.clear()
    with contextlib.closing(
        _Thread(lambda: Ensure(Environments(tmp_path / "other", limit_bytes=LIMIT_BYTES))(wanted, lock=lock))
    ):
        assert server.asked.wait(30)
        threading.Timer(0.3, server.go_on.set).start()
        assert other(wanted, lock=lock).reused
    assert any("another run builds the same environment" in line for line in other.told)


class _Thread(threading.Thread):
    """Started at once and joined by `close`."""

    def __init__(self, target: Callable[[], object]) -> None:
        super().__init__(target=target)
        self.start()

    def close(self) -> None:
        self.join()


def test_one_that_lost_its_mark_is_never_used(ensure: Ensure, index: Index) -> None:
    wanted = packages(index.url, alpha="1.0")
    first = ensure(wanted)
    (first.path / ".complete").unlink()
    next(first.path.glob("lib/*/site-packages/alpha.py")).unlink()
    second = ensure(wanted)
    assert (second.key, second.reused) == (first.key, False)
    assert run(second, "-c", "import alpha; print(alpha.version)") == "1.0"


def test_a_new_environment_makes_room_but_not_where_a_run_is(index: Index, tmp_path: Path) -> None:
    index.add("gamma")
    environments = Environments(tmp_path / "root", limit_bytes=1)
    held = environments.ensure(
        packages(index.url, alpha="1.0"), lock=None, toolchain=HostToolchain(), progress=lambda _line: None
    )
    ensure = Ensure(environments)
    unheld = ensure(packages(index.url, beta="2.0"))
    newest = ensure(packages(index.url, gamma="1.0"))
    with held.hold():
        assert (held.path.exists(), unheld.path.exists(), newest.path.exists()) == (True, False, True)
        adopted = environments.hold(held.key)
        assert adopted is not None
        adopted.release()
    environments.evict()
    assert environments.hold(held.key) is None


def test_a_cache_of_ours_that_outgrew_its_limit_is_emptied(index: Index, tmp_path: Path) -> None:
    index.add("large", payload=os.urandom(2**20))
    ensure = Ensure(Environments(tmp_path / "root", limit_bytes=2**19))
    environment = ensure(packages(index.url, large="1.0"))
    assert not list((tmp_path / "root/uv-cache").rglob("large.py"))
    assert run(environment, "-c", "import large; print(large.version)") == "1.0"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 4 MiB."""
    disk = tmp_path / "small"
    disk.mkdir()
    answer = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(disk)], check=False, capture_output=True, text=True
    )
    if answer.returncode != 0:
        pytest.skip(f"a disk that is full needs the right to mount one: {answer.stderr.strip()}")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_is_named_and_nothing_partial_stays(index: Index, small_disk: Path) -> None:
    index.add("large", payload=os.urandom(6 * 2**20))
    with pytest.raises(NoSpace, match=rf"{small_disk} is full"):
        Ensure(Environments(small_disk / "root", limit_bytes=LIMIT_BYTES))(packages(index.url, large="1.0"))
    assert nothing_visible(small_disk / "root")


# In a container


@pytest.mark.docker
def test_a_container_builds_what_its_image_runs(
    ensure: Ensure, index: Index, docker_image: str, tmp_path: Path
) -> None:
    sdk = tmp_path / "sdk"
    sdk.mkdir()
    wanted = packages(index.url, python="3.11.2", alpha="1.0")
    first = ensure(wanted, toolchain=DockerToolchain(docker_image))
    second = ensure(wanted, toolchain=DockerToolchain(docker_image))
    assert (first.reused, second.reused, first.key) == (False, True, second.key)
    assert first.path.stat().st_uid == os.getuid()
    program = "import alpha, json, sys; print(json.dumps([alpha.version, sys.prefix, sys.path[-1]]))"
    mount = f"type=bind,source={first.path},target={first.path},readonly"
    command = ["docker", "run", "--rm", "--mount", mount, "--env", f"RETRAIN_SDK={sdk}", docker_image]
    answer = subprocess.check_output([*command, str(first.python), "-c", program], text=True)
    assert json.loads(answer) == ["1.0", str(first.path), str(sdk)]
    assert next(first.path.glob("lib/*/site-packages/alpha.py")).stat().st_nlink > 1


@pytest.mark.docker
def test_host_and_container_do_not_share_an_environment(ensure: Ensure, index: Index, docker_image: str) -> None:
    wanted = packages(index.url, python="3.11.2", alpha="1.0")
    contained = ensure(wanted, toolchain=DockerToolchain(docker_image))
    assert contained.key != ensure(wanted, lock=contained.lock).key


@pytest.mark.docker
def test_a_container_reaches_the_real_index(ensure: Ensure, docker_image: str) -> None:
    wanted = packages(None, python="3.11.2", six="1.16.0")
    environment = ensure(wanted, toolchain=DockerToolchain(docker_image))
    assert list(environment.path.glob("lib/*/site-packages/six.py"))


@pytest.mark.docker
def test_a_missing_package_is_named_from_a_container(
    ensure: Ensure, index: Index, docker_image: str, tmp_path: Path
) -> None:
    with pytest.raises(EnvironmentFailed, match="package alpha cannot be installed"):
        ensure(packages(index.url, python="3.11.2", alpha="9.9"), toolchain=DockerToolchain(docker_image))
    assert nothing_visible(tmp_path / "root")


@pytest.mark.docker
def test_a_python_that_the_image_lacks_is_named(ensure: Ensure, index: Index, docker_image: str) -> None:
    with pytest.raises(EnvironmentFailed, match=rf"on the image {docker_image} there is cpython 3\."):
        ensure(packages(index.url, python="3.1.5"), toolchain=DockerToolchain(docker_image))


@pytest.mark.docker
@pytest.mark.usefixtures("docker_image")
def test_an_image_that_is_not_there_is_named(ensure: Ensure, index: Index) -> None:
    with pytest.raises(ExecutorUnavailable, match="no image retrain-nothing:none"):
        ensure(packages(index.url), toolchain=DockerToolchain("retrain-nothing:none"))


def test_an_engine_that_does_not_answer_is_infrastructure(
    ensure: Ensure, index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no.sock")
    with pytest.raises(Unavailable, match=r"Docker engine at .* does not answer"):
        ensure(packages(index.url), toolchain=DockerToolchain("any:image"))
