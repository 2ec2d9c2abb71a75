"""Links to files that stay where they are, on a web server and in stores of objects."""

from __future__ import annotations

import threading
from contextlib import closing
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator import Dataset
from orchestrator.api.testing import running_server
from orchestrator.errors import DigestMismatch, Forbidden, InvalidRequest, NotFound, Unavailable
from orchestrator.records.links import LinkPolicy
from orchestrator.records.manifest import NO_DIGEST, Entry, Kind
from orchestrator.sdk.client import Client
from orchestrator.sdk.ingest.external import fetch_external, find_external
from orchestrator.sdk.session import session

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass
class Web:
    """A web server and what stands on it: content and etag by path."""

    url: str = ""
    files: dict[str, tuple[bytes, str]] = field(default_factory=dict)
    moved: dict[str, str] = field(default_factory=dict)
    knows_head: bool = True
    cuts: bool = False


class Handler(BaseHTTPRequestHandler):
    """Answers with what stands on `here`."""

    here: Web

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if self.command == "HEAD" and not self.here.knows_head:
            self.send_error(405)
        elif path == "/secret":
            self.send_error(403)
        elif path in self.here.moved:
            self.send_response(302)
            self.send_header("Location", self.here.moved[path])
            self.end_headers()
        elif path not in self.here.files:
            self.send_error(404)
        else:
            self.answer(*self.here.files[path])

    def answer(self, content: bytes, etag: str) -> None:
        if self.headers.get("Range") == "bytes=0-0":
            self.send_response(206)
            self.send_header("Content-Range", f"bytes 0-0/{len(content)}")
            content = content[:1]
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        if etag:
            self.send_header("ETag", etag)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content[: len(content) // 2] if self.here.cuts else content)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002  the name of the base class
        """Say nothing."""


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    monkeypatch.setenv("RETRAIN_ALLOW_HTTP_LINKS", "1")
    here = Web(files={"/data/a.csv": (b"a,b\n1,2\n", '"one"'), "/secret": (b"", "")})
    listener = ThreadingHTTPServer(("127.0.0.1", 0), type("OfThisTest", (Handler,), {"here": here}))
    with closing(listener.socket):
        here.url = f"http://127.0.0.1:{listener.server_port}"
        serving = threading.Thread(target=listener.serve_forever, args=(0.01,))
        serving.start()
        yield here
        listener.shutdown()
        serving.join()


@pytest.mark.parametrize("knows_head", [True, False])
def test_a_file_on_the_web_is_linked_with_size_and_etag(web: Web, tmp_path: Path, knows_head: bool) -> None:
    web.knows_head = knows_head
    web.moved["/moved"] = "/data/a.csv"
    (entry,) = find_external(f"{web.url}/moved", prefix="in")
    assert (entry.path, entry.kind, entry.size_bytes, entry.etag) == ("in/moved", Kind.EXTERNAL, 8, "one")
    counted: list[int] = []
    fetch_external(entry, tmp_path / "copy", on_bytes=counted.append)
    assert (tmp_path / "copy").read_bytes() == b"a,b\n1,2\n"
    assert sum(counted) == 8


@pytest.mark.parametrize("content", [(b"a,b\n1,3\n", '"two"'), (b"longer than it was", ""), (b"", '"one"')])
def test_a_file_that_changed_over_there_is_named(web: Web, tmp_path: Path, content: tuple[bytes, str]) -> None:
    (entry,) = find_external(f"{web.url}/data/a.csv")
    web.files["/data/a.csv"] = content
    with pytest.raises(DigestMismatch, match=r"a\.csv, a link to http.*, is not what was added"):
        fetch_external(entry, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_an_agent_follows_redirections_only_to_where_it_may_go(web: Web, tmp_path: Path) -> None:
    (entry,) = find_external(f"{web.url}/data/a.csv", prefix="in")
    web.files["/open/a.csv"] = web.files["/data/a.csv"]
    web.moved |= {"/open/inside": f"{web.url}/data/a.csv", "/open/moved": f"{web.url}/open/a.csv"}
    agents = LinkPolicy(public_only=True, prefixes=(f"{web.url}/open/",))
    fetch_external(entry._replace(url=f"{web.url}/open/moved"), tmp_path / "copy", policy=agents)
    assert (tmp_path / "copy").read_bytes() == b"a,b\n1,2\n"
    for url in (
        "/open/inside",
        "/data/a.csv",
        "/open/../data/a.csv",
        "/open/%2e%2E/data/a.csv",
        "/open/..%5Cdata/a.csv",
    ):
        with pytest.raises(Forbidden, match="does not follow") as refused:
            fetch_external(entry._replace(url=f"{web.url}{url}"), tmp_path / "none", policy=agents)
        assert not (tmp_path / "none").exists()
        if url == "/open/inside":
            assert "/data/" not in str(refused.value)  # where it points to may be a secret of the network


def test_a_server_that_sends_without_end_is_left_after_the_size_that_was_added(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[bytes] = []

    def endless(*_: object, **__: object) -> Iterator[bytes]:
        while len(sent) < 100:
            sent.append(b"x" * 1000)
            yield sent[-1]

    monkeypatch.setattr("orchestrator.sdk.ingest.external._from_web", endless)
    entry = Entry("far", Kind.EXTERNAL, 2000, NO_DIGEST, "https://files.example/a", "")
    with pytest.raises(DigestMismatch, match="at least 3000 bytes instead of 2000"):
        fetch_external(entry, tmp_path / "file")
    assert len(sent) == 3
    assert list(tmp_path.iterdir()) == []


def test_what_breaks_off_is_not_taken_for_the_file(web: Web, tmp_path: Path) -> None:
    (entry,) = find_external(f"{web.url}/data/a.csv")
    web.cuts = True
    with pytest.raises((Unavailable, DigestMismatch)):
        fetch_external(entry, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_what_the_web_refuses_is_said(web: Web) -> None:
    with pytest.raises(NotFound, match="nothing at"):
        list(find_external(f"{web.url}/data/none.csv"))
    with pytest.raises(Forbidden, match="not for everyone"):
        list(find_external(f"{web.url}/secret"))
    with pytest.raises(InvalidRequest, match="cannot list"):
        list(find_external(f"{web.url}/data/"))
    web.moved |= {"/round": "/round", "/away": "file:///etc/passwd"}
    with pytest.raises(Unavailable, match="without end"):
        list(find_external(f"{web.url}/round"))
    with pytest.raises(Unavailable, match="no safe one"):
        list(find_external(f"{web.url}/away"))
    with pytest.raises(Unavailable, match="does not answer"):
        list(find_external("http://127.0.0.1:1/x"))


@pytest.mark.parametrize(
    "url",
    ["https://me:secret@host/x", "s3://key:secret@bucket/x", "https://host/x?X-Amz-Signature=abc", "ftp://host/x", "x"],
)
def test_addresses_with_credentials_or_of_another_kind_are_refused(url: str) -> None:
    with pytest.raises(InvalidRequest):
        list(find_external(url))


@pytest.fixture(params=["s3", "azure"])
def store(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue(request.param))


def test_files_in_a_store_are_linked_listed_and_fetched(store: str, tmp_path: Path) -> None:
    from orchestrator.blobs.remote import FsspecObjects  # noqa: PLC0415  it leads to fsspec, which takes its time

    objects = FsspecObjects(store)
    for name in ("in/a.csv", "in/sub/b.csv", "in/sub/c.txt", "in2/d.csv"):
        objects.put(name, name.encode() * 1000)
    found = {entry.path: entry for entry in find_external(f"{store}/in/", prefix="x")}
    assert sorted(found) == ["x/a.csv", "x/sub/b.csv", "x/sub/c.txt"]
    assert found["x/sub/b.csv"].url == f"{store}/in/sub/b.csv"
    assert found["x/sub/b.csv"].size_bytes == 12_000
    assert found["x/sub/b.csv"].etag
    assert [entry.path for entry in find_external(f"{store}/in", recursive=False)] == ["a.csv"]
    assert [entry.path for entry in find_external(f"{store}/in", wildcards=["*.csv"])] == ["a.csv", "sub/b.csv"]
    assert [entry.path for entry in find_external(f"{store}/in/sub/b.csv")] == ["b.csv"]
    for missing in (f"{store}/none", f"{store}/in/a"):
        with pytest.raises(NotFound):
            list(find_external(missing))
    with pytest.raises(NotFound, match="no file"):
        list(find_external(f"{store}/in", wildcards=["*.none"]))

    fetch_external(found["x/sub/b.csv"], tmp_path / "b.csv")
    assert (tmp_path / "b.csv").read_bytes() == b"in/sub/b.csv" * 1000
    objects.put("in/sub/b.csv", b"IN/sub/b.csv" * 1000)
    with pytest.raises(DigestMismatch, match="etag"):
        fetch_external(found["x/sub/b.csv"], tmp_path / "again")
    objects.delete("in/sub/b.csv")
    with pytest.raises(NotFound, match="nothing at"):
        fetch_external(found["x/sub/b.csv"], tmp_path / "again")
    assert not (tmp_path / "again").exists()


def test_an_attempt_does_not_learn_whose_credentials_a_store_refused(
    s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from orchestrator.blobs.remote import FsspecObjects, open_filesystem  # noqa: PLC0415  as above

    FsspecObjects(s3).put("in/a.csv", b"a")
    (entry,) = find_external(f"{s3}/in/a.csv")

    def refused(*_: object, **__: object) -> bytes:
        raise PermissionError("User: arn:aws:iam::123456789012:user/node is not authorized")

    monkeypatch.setattr(open_filesystem(entry.url)[0], "cat_file", refused)  # there is one for all of a store
    with pytest.raises(Forbidden, match="arn:aws"):
        fetch_external(entry, tmp_path / "copy")
    agents = LinkPolicy(public_only=True, prefixes=(f"{s3}/",))
    with pytest.raises(Forbidden, match="cannot fetch s3://") as caught:
        fetch_external(entry, tmp_path / "copy", policy=agents)
    assert "arn:" not in str(caught.value)
    assert not (tmp_path / "copy").exists()


def test_links_are_part_of_a_version(web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    web.files["/data/b.csv"] = (b"b", "")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "c.csv").write_text("c")
    with running_server(tmp_path / "server") as server:
        monkeypatch.setenv("RETRAIN_URL", server.url)
        monkeypatch.setenv("RETRAIN_TOKEN", server.token)
        monkeypatch.setenv("RETRAIN_HOME", str(tmp_path / "home"))
        version = Dataset.create("links", "room")
        urls = [f"{web.url}/data/b.csv", f"{web.url}/data/a.csv"]
        assert version.add_external_files(urls, dataset_path="far") == 2
        assert version.add_external_files(urls[0], dataset_path="far") == 0
        version.upload()
        web.files["/data/b.csv"] = (b"bb", "")
        assert version.add_external_files(urls, dataset_path="far") == 1
        assert version.sync_folder(tmp_path / "data") == (0, 1, 0)  # links are not of the folder: they stay
        version.finalize(auto_upload=True)
        assert version.list_files() == ["c.csv", "far/a.csv", "far/b.csv"]
        linked = {entry.path: entry for entry in version._draft.entries(below="far")}
        assert (linked["far/a.csv"].url, linked["far/a.csv"].etag) == (urls[1], "one")
        assert linked["far/b.csv"].size_bytes == 2
        session.close()


def test_many_links_are_compared_with_the_draft_in_few_requests(
    web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(30):
        web.files[f"/data/{number}.csv"] = (b"x" * number, "")
    urls = [f"{web.url}/data/{number}.csv" for number in range(30)]
    with running_server(tmp_path / "server") as server:
        monkeypatch.setenv("RETRAIN_URL", server.url)
        monkeypatch.setenv("RETRAIN_TOKEN", server.token)
        monkeypatch.setenv("RETRAIN_HOME", str(tmp_path / "home"))
        version = Dataset.create("many links", "room")
        assert version.add_external_files(urls[::2], dataset_path="far") == 15
        version.upload()
        web.files["/data/4.csv"] = (b"changed", "")
        asked: list[str] = []
        exchange = Client._exchange

        def count(self: Client, request: Any) -> Any:  # noqa: ANN401  a request of the client's own
            asked.append(request.path)
            return exchange(self, request)

        monkeypatch.setattr(Client, "_exchange", count)
        assert version.add_external_files(urls, dataset_path="far") == 16
        assert len(asked) <= 3
        assert version.add_external_files(urls, dataset_path="far") == 0
        version.finalize(auto_upload=True)
        assert len(version.list_files()) == 30
        session.close()
