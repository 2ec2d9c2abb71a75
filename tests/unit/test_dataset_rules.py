"""The pure rules of dataset versions: addresses, ranges of digests, objects that may be registered."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import InvalidRequest
from orchestrator.records.links import check_link, check_no_credentials
from orchestrator.services.named_blobs import ranges


@pytest.mark.parametrize(
    "url",
    [
        "s3://bucket/key",
        "gs://bucket/a b/ü",
        "az://container/x",
        "abfs://container@account.dfs.core.windows.net/x",
        "https://host:8443/x?version=3",
        "HTTPS://host/x",
    ],
)
def test_addresses_that_can_be_fetched_are_kept_as_they_are(url: str) -> None:
    assert check_link(url) == url


@pytest.mark.parametrize("url", ["http://host/x", "HTTP://host/x"])
def test_links_go_over_plain_http_only_where_that_was_asked_for(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for value in ("", "0"):
        monkeypatch.setenv("RETRAIN_ALLOW_HTTP_LINKS", value)
        with pytest.raises(InvalidRequest, match=r"Use https://, or set RETRAIN_ALLOW_HTTP_LINKS=1"):
            check_link(url)
    monkeypatch.setenv("RETRAIN_ALLOW_HTTP_LINKS", "1")
    assert check_link(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "https://user:hunter2@host/x",
        "https://hunter2@host/x",
        "https://host/x?X-Amz-Signature=hunter2",
        "https://host/x?sig=hunter2&se=1",
        "s3://bucket/x?token=hunter2",
        "https://[hunter2",
        "file:///hunter2@x",
        "s3://bucket/\nhunter2@",
    ],
)
def test_what_is_secret_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        check_link(url)
    assert refused.value.hint
    if "file" not in url and "[" not in url:
        assert "hunter2" not in str(refused.value)


def test_a_directory_holds_no_credentials() -> None:
    assert check_no_credentials("/data/a@b") == "/data/a@b"


@given(count=st.integers(0, 10_000_000), most=st.integers(1, 1_000_000), digest=st.binary(min_size=32, max_size=32))
def test_every_digest_is_in_one_of_the_ranges(count: int, most: int, digest: bytes) -> None:
    if count // most > 2000:
        return
    found = list(ranges(count, most=most))
    assert [each.holds(digest) for each in found].count(True) == 1
    assert found[0].before == b""
    assert all(each.before < digest for each in found if each.holds(digest))
    assert len(found) * most >= count
