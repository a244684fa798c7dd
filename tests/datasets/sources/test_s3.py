"""What a server may do that a real one does not do on command; tests/integration has the real one."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import logging
import os
import re
import socket
import ssl
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from datasets.errors import SourceChanged, SourceDamaged, SourceError
from datasets.sources.base import Site
from datasets.sources.buckets import listing as limits
from datasets.sources.s3 import S3Source
from tests.datasets.sources.s3_answers import Answer, Asked, Odd, Said, answering, error, listing

SECRETS = {"secret_key": "SECRET-KEY-OF-TESTS", "session_token": "SESSION-TOKEN-OF-TESTS"}
ROOT = Path(__file__).resolve().parents[3]


def lists(*keys: str, **more: str) -> Answer:
    return lambda asked: listing([*keys], **more) if not asked.key else Said(404)


# Options


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bucket": ""}, "not a bucket's name"),
        ({"bucket": "s3://models"}, "without s3://"),
        ({"bucket": "models/llama"}, "without s3:// and slashes"),
        ({"bucket": "arn:aws:s3:eu-west-1:1:accesspoint/x"}, "not a bucket's name"),
        ({"region": "Europe"}, "For example eu-west-1"),
        ({"region": "eu/../west"}, "For example eu-west-1"),
        ({"endpoint": "s3.example.com"}, "The endpoint cannot be used: The address must start with http"),
        ({"endpoint": "https://user:word@s3.example.com"}, "The endpoint cannot be used"),
        ({"endpoint": "https://s3.example.com/models"}, "Give https://s3.example.com."),
        ({"prefix": "a/../b"}, "The prefix cannot be used"),
        ({"access_key": "AKID"}, "Give both, or none"),
        ({"secret_key": "secret"}, "Give both, or none"),
        ({"access_key": "AK\nID", "secret_key": "secret"}, "Paste it again"),
    ],
)  # fmt: skip
def test_options_that_cannot_be_right_are_refused_with_what_would_be(options: dict[str, str], message: str) -> None:
    source = S3Source({"bucket": "models", **options}, Site(endpoints=("s3.example.com",)))
    with pytest.raises(SourceError) as refused:
        source.check()
    assert message in str(refused.value)
    assert refused.value.permanent


@pytest.mark.parametrize(
    ("options", "address"),
    [
        ({}, "models.s3.amazonaws.com:443"),
        ({"region": "eu-west-1"}, "models.s3.eu-west-1.amazonaws.com:443"),
        ({"bucket": "my.models"}, "s3.amazonaws.com:443"),
        ({"path_style": "path"}, "s3.amazonaws.com:443"),
        ({"endpoint": "https://s3.example.com:9000"}, "s3.example.com:9000"),
        ({"endpoint": "https://s3.example.com", "path_style": "virtual"}, "models.s3.example.com:443"),
    ],
)  # fmt: skip
def test_a_server_that_nobody_allowed_is_not_asked(options: dict[str, str], address: str) -> None:
    with pytest.raises(SourceError, match="DATASET_ENDPOINTS") as refused:
        S3Source({"bucket": "models", **options}, Site(endpoints=("elsewhere.example.com",))).check()
    assert f"{address} is not a server that datasets may be read from" in str(refused.value)


def test_making_a_source_does_nothing() -> None:
    S3Source({"bucket": "not a bucket"}, Site())


# Names


@pytest.mark.parametrize(
    ("key", "why"),
    [
        ("m/../up", "has the part '..'"),
        ("m/a/../../../etc/passwd", "has the part '..'"),
        ("m/./a", "has the part '.'"),
        ("m//etc/passwd", "two slashes in a row"),
        ("m/a//b", "two slashes in a row"),
        ("m/a//", "two slashes in a row"),
        ("m/..", "has the part '..'"),
        ("m/../", "has the part '..'"),
        ("m/a\0b", "has a NUL character"),
        ("m/..\\..\\boot.ini", "has a backslash"),
        ("m/\udcff", "is not a name in UTF-8"),
        (f"m/{'n' * 256}", "more than 255 bytes"),
        (f"m/{'ü' * 128}", "more than 255 bytes"),
        ("elsewhere/a", "which nobody asked for"),
    ],
)  # fmt: skip
def test_a_key_that_no_folder_may_hold_is_refused_by_its_name(key: str, why: str) -> None:
    with answering(lambda asked: Said(404) if asked.key else _raw_listing(key)) as odd:
        with pytest.raises(SourceError) as refused:
            odd.source().plan("m")
        assert why in str(refused.value)
        assert refused.value.permanent
        assert odd.source().list("m").entries == ()


def _raw_listing(key: str) -> Said:
    """The key may have bytes in it that are not UTF-8."""
    quoted = quote(key.encode("utf-8", "surrogateescape"))
    return Said(body=listing(["KEY"]).body.replace(b"KEY", quoted.encode()))


@pytest.mark.parametrize("keys", [("a", "a/b"), ("a/b/c", "a/b"), ("a/", "a"), ("a", "a/b/"), ("a-b", "a", "a/b")])
def test_a_name_that_is_file_and_folder_at_once_is_refused(keys: tuple[str, ...]) -> None:
    with answering(lists(*keys)) as odd, pytest.raises(SourceError, match="is a file and a folder at once"):
        odd.source().plan("")


def test_a_folder_with_bytes_in_it_is_refused() -> None:
    body = listing(["a/"]).body.replace(b"<Size>0<", b"<Size>7<")
    with answering(lambda _: Said(body=body)) as odd, pytest.raises(SourceError, match="a/ has the name of a folder"):
        odd.source().plan("")


def test_only_markers_with_nothing_below_are_empty_folders() -> None:
    keys = ("1/", "a/", "a/b/", "c/", "c/model.onnx", "d/e/f/", "x")
    with answering(lists(*keys)) as odd:
        plan = odd.source().plan("")
    assert [file.path for file in plan.files] == ["c/model.onnx", "x"]
    assert plan.empty_dirs == ("1", "a/b", "d/e/f")


# Listings


def test_a_listing_that_repeats_its_token_is_noticed() -> None:
    with answering(lambda asked: listing(["a"] if len(asked.query) < 5 else [], next="again")) as odd:
        with pytest.raises(SourceError, match="lists the bucket without end"):
            odd.source().plan("")
        assert len(odd.asked) == 2


def test_a_listing_of_empty_pages_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_EMPTY_PAGES", 5)
    with answering(lambda asked: listing([], next=asked.query.get("continuation-token", "") + "x")) as odd:
        with pytest.raises(SourceError, match="without end"):
            odd.source().plan("")
        assert len(odd.asked) == 6


@pytest.mark.parametrize("ending", ["", "/"])
def test_a_listing_of_more_than_a_model_has_is_given_up(monkeypatch: pytest.MonkeyPatch, ending: str) -> None:
    monkeypatch.setattr(limits, "MAX_FILES", 2500)

    def answer(asked: Asked) -> Said:
        start = int(asked.query.get("continuation-token", "0"))
        return listing([f"{number:09}{ending}" for number in range(start, start + 1000)], next=str(start + 1000))

    with answering(answer) as odd:
        with pytest.raises(SourceError, match=r"more than 2500 files|without end"):
            odd.source().plan("")
        assert len(odd.asked) <= 6


def test_a_listing_with_a_key_twice_is_not_believed() -> None:
    with answering(lists("a", "a")) as odd, pytest.raises(SourceError, match="listed a twice"):
        odd.source().plan("")


def test_a_plan_beats_and_stops_when_told() -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    with answering(lists("a")) as odd, pytest.raises(KeyboardInterrupt):
        odd.source().plan("", beat=stop)


def test_a_folder_of_a_million_is_browsed_a_page_at_a_time() -> None:
    def answer(asked: Asked) -> Said:
        if asked.key:
            return Said(404)
        assert (asked.query["prefix"], asked.query["delimiter"]) == ("m/", "/")
        start, count = int(asked.query.get("continuation-token", "0")), int(asked.query["max-keys"])
        end = min(start + count, 1_000_000)
        return listing([f"m/{number:07}" for number in range(start, end)], next=str(end) if end < 1_000_000 else "")

    with answering(answer) as odd:
        source = odd.source()
        first = source.list("m", limit=200)
        assert [first.entries[0].path, first.entries[-1].path, len(first.entries)] == ["m/0000000", "m/0000199", 200]
        assert first.total is None
        assert source.list("m", after=first.next, limit=200).entries[0].path == "m/0000200"
        last = source.list("m", after="999900", limit=200)
        assert (last.entries[-1].path, last.next) == ("m/0999999", "")
        assert len(odd.asked) == 3


def test_pages_with_nothing_to_show_are_passed_over() -> None:
    pages = {"": listing(["m/"], next="2"), "2": listing([], next="3"), "3": listing(["m/a"], prefixes=["m/b/"])}
    with answering(lambda asked: pages[asked.query.get("continuation-token", "")]) as odd:
        shown = odd.source().list("m")
    assert [(entry.path, entry.is_dir) for entry in shown.entries] == [("m/b", True), ("m/a", False)]
    assert shown.total == 2


def test_a_server_without_etags_is_refused() -> None:
    with answering(lists("a", etag="")) as odd, pytest.raises(SourceError, match="no ETag for a"):
        odd.source().plan("")


# What servers say


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (error(404, "NoSuchBucket"), "There is no bucket models at"),
        (error(403, "InvalidAccessKeyId"), "does not know the access key"),
        (error(403, "SignatureDoesNotMatch"), "The secret key does not fit the access key."),
        (error(403, "AccessDenied"), "does not let this access key read the bucket models. It needs s3:ListBucket"),
        (error(400, "ExpiredToken"), "The session token has expired."),
        (error(403, "RequestTimeTooSkewed"), "Set the clock of this machine"),
        (
            error(400, "AuthorizationHeaderMalformed", "<Region>eu-west-1</Region>"),
            "lies in the region eu-west-1, not in us-east-1. Set the region to eu-west-1.",
        ),
        (error(301, "PermanentRedirect", x_amz_bucket_region="ap-south-1"), "Set the region to ap-south-1."),
        (error(301, "PermanentRedirect", "<Endpoint>evil.example.com</Endpoint>"), "Check region, endpoint"),
        (Said(307, b"", {"Location": "http://169.254.169.254/latest"}), "Check region, endpoint and path style."),
        (Said(200, b"<html><body>It works!</body></html>"), "does not answer as an S3 server does"),
        (Said(200, b"not even that"), "does not answer as an S3 server does"),
        (Said(405, b"<html>"), "Is it an S3 server, and is the path style right?"),
    ],
)  # fmt: skip
def test_a_refusal_is_said_in_words_and_for_good(said: Said, words: str) -> None:
    with answering(lambda _: said) as odd:
        with pytest.raises(SourceError) as refused:
            odd.source().check()
        assert words in str(refused.value)
        assert refused.value.permanent
        assert len(odd.asked) == 1  # nothing is tried again, nobody is followed


@pytest.mark.parametrize(
    ("said", "wait"),
    [
        (error(503, "SlowDown", Retry_After="7"), 7.0),
        (error(500, "InternalError"), 0.0),
        (error(400, "RequestTimeout"), 0.0),
        (Said(502, b"<html>Bad gateway"), 0.0),
    ],
)  # fmt: skip
def test_what_may_pass_is_not_for_good(said: Said, wait: float) -> None:
    with answering(lambda asked: said if asked.key else listing(["a"])) as odd:
        source = odd.source()
        plan = source.plan("")
        with pytest.raises(SourceError, match="cannot answer right now") as refused:
            source.open(plan.files[0], "")
        assert (refused.value.permanent, refused.value.wait) == (False, wait)
    with answering(lambda _: said) as odd:
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
    with answering(lists("a"), tls=_own_certificate(tmp_path)) as odd:
        with pytest.raises(SourceError, match=r"The certificate of 127\.0\.0\.1:\d+ is not trusted"):
            odd.source().check()
        assert not odd.asked


def _own_certificate(folder: Path) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1)).sign(key, hashes.SHA256())
    )  # fmt: skip
    plain = serialization.NoEncryption()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    (folder / "both.pem").write_bytes(pem + made.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "both.pem")
    return context


# Contents

CONTENT = bytes(range(200))
ETAG = f'"{hashlib.md5(CONTENT).hexdigest()}"'


def gives(body: bytes = CONTENT, status: int = 200, **headers: str) -> Answer:
    named = {"ETag": ETAG, **{name.replace("_", "-"): value for name, value in headers.items()}}
    whole = listing(["a"], size=len(CONTENT), etag=ETAG)
    return lambda asked: Said(status, body, named) if asked.key else whole


def first(odd: Odd, offset: int = 0, length: int | None = None) -> bytes:
    source = odd.source()
    with source.open(source.plan("").files[0], "", offset, length) as body:
        return body.read() or b""


def test_a_content_comes_as_it_is_whatever_encoding_it_is_stored_with() -> None:
    with answering(gives(Content_Encoding="gzip", x_amz_version_id="7")) as odd:
        assert first(odd) == CONTENT
        sent = odd.asked[-1].headers
        assert (sent["if-match"], sent["x-amz-checksum-mode"], sent["accept-encoding"]) == (ETAG, "ENABLED", "identity")
        assert "range" not in sent


def test_a_damaged_content_is_noticed_by_what_the_server_says_of_it() -> None:
    with answering(gives(CONTENT[:-1] + b"\0")) as odd, pytest.raises(SourceDamaged):
        first(odd)
    with answering(gives(x_amz_checksum_crc32="AAAAAA==")) as odd, pytest.raises(SourceDamaged):
        first(odd)


@pytest.mark.parametrize(
    "answer",
    [
        gives(status=404), gives(status=412), gives(ETag='"another"'), gives(CONTENT[:-1]), gives(CONTENT + b"1"),
    ],
)  # fmt: skip
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
)  # fmt: skip
def test_a_part_is_the_part_that_was_asked_for(answer: Answer, expected: type[SourceError] | None) -> None:
    with answering(answer) as odd:
        if expected is None:
            assert first(odd, 10, 20) == CONTENT[10:30]
            assert odd.asked[-1].headers["range"] == "bytes=10-29"
        else:
            with pytest.raises(expected):
                first(odd, 10, 20)


def test_an_archived_object_is_said_to_be() -> None:
    def answer(asked: Asked) -> Said:
        head = {"ETag": ETAG, "Content-Length": "200", "x-amz-storage-class": "GLACIER"}
        return Said(200, b"", head) if asked.key else listing(["a"], size=200, etag=ETAG, storage_class="GLACIER")

    with answering(answer) as odd, pytest.raises(SourceError, match=r"a is archived \(GLACIER\).*Restore it"):
        odd.source().plan("")
    refusing: Answer = lambda asked: error(403, "InvalidObjectState") if asked.key else listing(["a"])  # noqa: E731
    with answering(refusing) as odd, pytest.raises(SourceError, match="a is archived"):
        first(odd)


def test_a_restored_object_is_read() -> None:
    restored = 'ongoing-request="false", expiry-date="Fri, 21 Dec 2029 00:00:00 GMT"'
    head = {"ETag": ETAG, "Content-Length": "200", "x-amz-storage-class": "GLACIER", "x-amz-restore": restored}
    page = listing(["a"], size=200, etag=ETAG, storage_class="GLACIER")
    with answering(lambda asked: page if not asked.key else Said(200, CONTENT, head)) as odd:
        assert first(odd) == CONTENT


# Secrets, and what is not ours to use


def test_secrets_are_in_no_error_and_no_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with answering(lambda asked: error(403, "SignatureDoesNotMatch") if asked.key else listing(["a"])) as odd:
        source = odd.source(access_key="AKID", **SECRETS)
        said = [repr(source), str(source.plan(""))]
        for ask in (source.check, lambda: source.read("a", 10)):
            with pytest.raises(SourceError) as refused:
                ask()
            told: BaseException | None = refused.value
            while told is not None:
                said += [str(told), repr(told), repr(vars(told))]
                told = told.__cause__
        assert {asked.headers["x-amz-security-token"] for asked in odd.asked} == {SECRETS["session_token"]}
        assert all(re.search("Credential=AKID/", asked.headers["authorization"]) for asked in odd.asked)
    everything = "\n".join([*said, caplog.text, repr(source._bucket)])
    assert not [secret for secret in SECRETS.values() if secret in everything]
    assert "Signature=" not in everything


PLANTED = """
import sys
from datasets.sources.base import Site
from datasets.sources.s3 import S3Source
source = S3Source({"bucket": "models", "endpoint": sys.argv[1]}, Site(endpoints=("127.0.0.1",)))
print([file.path for file in source.plan("").files], source.read("a", 10))
"""


def test_nothing_of_this_machine_is_used(tmp_path: Path) -> None:
    """Keys in variables, a profile with a server of its own, a proxy, a metadata service: none of them is asked."""
    home = tmp_path / "home"
    (home / ".aws").mkdir(parents=True)
    planted = {"aws_access_key_id": "AKIDPLANTED", "aws_secret_access_key": "planted", "region": "eu-north-1"}
    with answering(gives()) as odd, answering(lambda _: Said(200, json.dumps({}).encode())) as trap:
        address = f"http://127.0.0.1:{trap.port}"
        lines = "".join(f"{name} = {value}\n" for name, value in {**planted, "endpoint_url": address}.items())
        (home / ".aws" / "config").write_text(f"[default]\n{lines}[profile planted]\n{lines}")
        (home / ".aws" / "credentials").write_text(f"[default]\n{lines}[planted]\n{lines}")
        env = {
            **os.environ, "HOME": str(home), "AWS_ACCESS_KEY_ID": "AKIDPLANTED", "AWS_SECRET_ACCESS_KEY": "planted",
            "AWS_SESSION_TOKEN": "planted", "AWS_PROFILE": "planted", "AWS_REGION": "eu-north-1",
            "AWS_DEFAULT_REGION": "eu-north-1", "AWS_ENDPOINT_URL": address, "AWS_ENDPOINT_URL_S3": address,
            "AWS_CA_BUNDLE": "/no/such/file", "AWS_EC2_METADATA_SERVICE_ENDPOINT": address, "HTTP_PROXY": address,
            "http_proxy": address, "HTTPS_PROXY": address, "ALL_PROXY": address, "AWS_USE_FIPS_ENDPOINT": "true",
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": address, "AWS_DATA_PATH": str(home),
        }  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-c", PLANTED, f"http://127.0.0.1:{odd.port}"], env=env, cwd=ROOT, capture_output=True,
            text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.stdout.startswith("['a']"), done.stderr
        assert not trap.asked
        assert len(odd.asked) == 2
        sent = {name for asked in odd.asked for name in asked.headers}
        assert not sent & {"authorization", "x-amz-security-token"}


def test_a_profile_that_is_named_and_not_there_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "no-such-profile")
    with answering(lists("a")) as odd:
        assert odd.source().plan("").files
