"""What servers say, and what people read then."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from datasets.errors import SourceError
from datasets.sources.base import Site
from datasets.sources.s3.source import S3Source
from tests.datasets.sources.s3.answers import Odd, Reply, answering, error, listing, lists
from tests.datasets.sources.wire import certificate


@pytest.mark.parametrize(
    ("response", "words", "option"),
    [
        (error(404, "NoSuchBucket"), "There is no bucket models at", ""),
        (error(403, "InvalidAccessKeyId"), "does not know the access key", "access_key"),
        (error(403, "SignatureDoesNotMatch"), "The secret key does not fit the access key.", "secret_key"),
        (
            error(403, "AccessDenied"),
            "does not let this access key read the bucket models. It needs s3:ListBucket",
            "access_key",
        ),
        (error(400, "ExpiredToken"), "The session token has expired.", "session_token"),
        (error(403, "RequestTimeTooSkewed"), "Set the clock of this machine", None),
        (
            error(400, "AuthorizationHeaderMalformed", "<Region>eu-west-1</Region>"),
            "is in the region eu-west-1, not in us-east-1. Set the region to eu-west-1.",
            "region",
        ),
        (error(301, "PermanentRedirect", x_amz_bucket_region="ap-south-1"), "Set the region to ap-south-1.", None),
        (error(301, "PermanentRedirect", "<Endpoint>evil.example.com</Endpoint>"), "Check region, endpoint", None),
        (
            Reply(307, b"", {"Location": "http://169.254.169.254/latest"}),
            "Check region, endpoint and path style.",
            None,
        ),
        (Reply(200, b"<html><body>It works!</body></html>"), "does not answer as an S3 server does", "endpoint"),
        (Reply(200, b"not even that"), "does not answer as an S3 server does", None),
        (Reply(405, b"<html>"), "Is it an S3 server, and is the path style right?", None),
    ],
)
def test_a_refusal_is_said_in_words_for_good_and_blamed_on_the_option_to_change(
    response: Reply, words: str, option: str | None
) -> None:
    with answering(lambda _: response) as odd:
        with pytest.raises(SourceError) as refused:
            odd.source().check()
        assert words in str(refused.value)
        assert refused.value.permanent
        assert option is None or refused.value.option == option
        assert len(odd.requests) == 1  # nothing is tried again, nobody is followed


@pytest.mark.parametrize(
    ("response", "wait"),
    [
        (error(503, "SlowDown", Retry_After="7"), 7.0),
        (error(500, "InternalError"), 0.0),
        (error(400, "RequestTimeout"), 0.0),
        (Reply(502, b"<html>Bad gateway"), 0.0),
    ],
)
def test_what_may_pass_is_not_for_good(response: Reply, wait: float) -> None:
    with answering(lambda request: response if request.key else listing(["a"])) as odd:
        source = odd.source()
        plan = source.plan("")
        with pytest.raises(SourceError, match="cannot answer right now") as refused:
            source.open(plan.files[0], "")
        assert (refused.value.permanent, refused.value.wait) == (False, wait)
    with answering(lambda _: response) as odd:
        with pytest.raises(SourceError, match="cannot answer right now") as refused:
            odd.source().plan("")
        assert (refused.value.permanent, refused.value.wait) == (False, wait)


def test_connection_refused_and_names_without_an_address_are_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with pytest.raises(SourceError, match=rf"No connection to 127\.0\.0\.1:{port}") as refused:
        Odd(port, []).source().check()
    assert not refused.value.permanent
    nowhere = S3Source({"bucket": "models", "endpoint": "http://no-such-host.invalid"}, Site(endpoints=("*.invalid",)))
    with pytest.raises(SourceError, match="There is no address for the name no-such-host"):
        nowhere.check()


def test_a_bucket_without_a_name_of_its_own_leads_to_the_path_style() -> None:
    options = {"bucket": "models", "endpoint": "http://host.invalid", "path_style": "virtual"}
    with pytest.raises(SourceError, match=r"models\.host\.invalid") as refused:
        S3Source(options, Site(endpoints=("*.invalid",))).check()
    assert "named in the path" in refused.value.hint


def test_a_certificate_that_nobody_trusts_is_said(tmp_path: Path) -> None:
    with answering(lists("a"), tls=certificate(tmp_path)[0]) as odd:
        with pytest.raises(SourceError, match=r"The certificate of 127\.0\.0\.1:\d+ is not trusted"):
            odd.source().check()
        assert not odd.requests
