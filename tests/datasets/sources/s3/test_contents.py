"""Contents that are not what was planned."""

from __future__ import annotations

import pytest

from datasets.errors import SourceChanged, SourceDamaged, SourceError
from tests.datasets.sources.s3.answers import (
    CONTENT,
    ETAG,
    Answer,
    Odd,
    ReceivedRequest,
    Reply,
    answering,
    error,
    gives,
    listing,
)


def first(odd: Odd, offset: int = 0, length: int | None = None) -> bytes:
    source = odd.source()
    with source.open(source.plan("").files[0], "", offset, length) as body:
        return body.read() or b""


def test_a_content_comes_as_it_is_whatever_encoding_it_is_stored_with() -> None:
    with answering(gives(Content_Encoding="gzip", x_amz_version_id="7")) as odd:
        assert first(odd) == CONTENT
        sent = odd.requests[-1].headers
        assert (sent["if-match"], sent["x-amz-checksum-mode"], sent["accept-encoding"]) == (ETAG, "ENABLED", "identity")
        assert "range" not in sent


def test_a_damaged_content_is_noticed_by_what_the_server_says_of_it() -> None:
    with answering(gives(CONTENT[:-1] + b"\0")) as odd, pytest.raises(SourceDamaged):
        first(odd)
    with answering(gives(x_amz_checksum_crc32="AAAAAA==")) as odd, pytest.raises(SourceDamaged):
        first(odd)


@pytest.mark.parametrize(("listed", "answered"), [(ETAG.strip('"'), ETAG), (ETAG, ETAG.strip('"'))])
def test_an_etag_is_the_same_with_and_without_quotes(listed: str, answered: str) -> None:
    def answer(request: ReceivedRequest) -> Reply:
        return (
            Reply(200, CONTENT, {"ETag": answered}) if request.key else listing(["a"], size=len(CONTENT), etag=listed)
        )

    with answering(answer) as odd:
        assert first(odd) == CONTENT
        assert odd.requests[-1].headers["if-match"] == ETAG


@pytest.mark.parametrize(
    "answer",
    [
        gives(status=404),
        gives(status=412),
        gives(ETag='"another"'),
        gives(CONTENT[:-1]),
        gives(CONTENT + b"1"),
    ],
)
def test_another_content_than_the_planned_one_is_a_change(answer: Answer) -> None:
    with answering(answer) as odd, pytest.raises(SourceChanged):
        first(odd)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (gives(CONTENT[10:30], 206, Content_Range="bytes 10-29/200"), None),
        (gives(CONTENT[10:30], 206, Content_Range="bytes 11-30/200"), SourceChanged),
        (gives(CONTENT[10:30], 206, Content_Range="bytes 10-29/201"), SourceChanged),
        (gives(CONTENT[10:30], 206), SourceChanged),
        (gives(CONTENT[10:29], 206, Content_Range="bytes 10-29/200"), SourceChanged),
        (gives(), SourceError),
        (gives(status=416), SourceChanged),
    ],
)
def test_a_part_is_the_part_that_was_asked_for(answer: Answer, expected: type[SourceError] | None) -> None:
    with answering(answer) as odd:
        if expected is None:
            assert first(odd, 10, 20) == CONTENT[10:30]
            assert odd.requests[-1].headers["range"] == "bytes=10-29"
        else:
            with pytest.raises(expected):
                first(odd, 10, 20)


def test_an_archived_object_is_said_to_be() -> None:
    def answer(request: ReceivedRequest) -> Reply:
        head = {"ETag": ETAG, "Content-Length": "200", "x-amz-storage-class": "GLACIER"}
        return Reply(200, b"", head) if request.key else listing(["a"], size=200, etag=ETAG, storage_class="GLACIER")

    with answering(answer) as odd, pytest.raises(SourceError, match=r"a is archived \(GLACIER\).*Restore it"):
        odd.source().plan("")
    refusing: Answer = lambda request: error(403, "InvalidObjectState") if request.key else listing(["a"])  # noqa: E731
    with answering(refusing) as odd, pytest.raises(SourceError, match="a is archived"):
        first(odd)


def test_a_restored_object_is_read() -> None:
    restored = 'ongoing-request="false", expiry-date="Fri, 21 Dec 2029 00:00:00 GMT"'
    head = {"ETag": ETAG, "Content-Length": "200", "x-amz-storage-class": "GLACIER", "x-amz-restore": restored}
    page = listing(["a"], size=200, etag=ETAG, storage_class="GLACIER")
    with answering(lambda request: page if not request.key else Reply(200, CONTENT, head)) as odd:
        assert first(odd) == CONTENT
