"""Our signatures are held against the official client's, header by header."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.compat import get_current_datetime
from botocore.credentials import Credentials

from datasets.sources.s3.signing import Signer, quoted, versioned

SECRET = "a-secret-of-the-tests"
HOST = "127.0.0.1:9000"
KEYS = ["plain.bin", "a/b/c.bin", "we ird/ü+&%=?#;,.bin", "~tilde/'quote\"/(b).bin", "日本/模型.onnx", "a*b/@:$!"]


def official(target: str, headers: dict[str, str], token: str, now: datetime, host: str) -> dict[str, str]:
    request = AWSRequest("GET", f"http://{host}{target}", headers=headers)
    auth = S3SigV4Auth(Credentials("AKIDTEST", SECRET, token or None), "s3", "eu-west-1")
    request.context["timestamp"] = now.strftime("%Y%m%dT%H%M%SZ")
    auth._modify_request_before_signing(request)
    canonical = auth.canonical_request(request)
    auth._inject_signature_to_request(request, auth.signature(auth.string_to_sign(request, canonical), request))
    return {name.lower(): value for name, value in request.headers.items()}


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("version", ["", "null", "3/L4kqtJ+l=cp x"])
@pytest.mark.parametrize("token", ["", "session/token+of==tests"])
def test_a_signature_is_the_official_one(key: str, version: str, token: str) -> None:
    now = datetime(2026, 3, 1, 23, 59, 59, tzinfo=UTC)
    target = versioned(f"/models/{quoted(key)}", version)
    headers = {"If-Match": '"abc  def"', "Range": "bytes=0-99", "x-amz-checksum-mode": "ENABLED"}
    signed = Signer("AKIDTEST", SECRET, token, "eu-west-1").sign(HOST, target, headers, now)
    expected = official(target, headers, token, now, HOST)
    assert {name.lower(): value for name, value in signed.items()} == expected


def test_a_new_day_has_a_new_key() -> None:
    signer = Signer("AKIDTEST", SECRET, "", "eu-west-1")
    days = [datetime(2026, 3, day, 0, 0, 1, tzinfo=UTC) for day in (1, 2, 1)]
    signatures = [signer.sign(HOST, "/models/a", {}, day)["Authorization"] for day in days]
    assert signatures[0] == signatures[2] != signatures[1]
    assert signatures[1] == official("/models/a", {}, "", days[1], HOST)["authorization"]


def test_the_clock_is_that_of_the_official_client() -> None:
    stamp = Signer("AKIDTEST", SECRET, "", "eu-west-1").sign(HOST, "/models/a", {})["x-amz-date"]
    assert abs((get_current_datetime() - datetime.strptime(stamp, "%Y%m%dT%H%M%SZ")).total_seconds()) < 5


def test_who_has_no_key_asks_without_a_signature() -> None:
    assert Signer("", "", "", "eu-west-1").sign(HOST, "/models/a", {"If-Match": '"x"'}) == {"If-Match": '"x"'}


def test_neither_secret_nor_key_is_shown() -> None:
    signer = Signer("AKIDTEST", SECRET, "token", "eu-west-1")
    sent = signer.sign(HOST, "/models/a", {})
    assert SECRET not in repr(signer) and "token" not in repr(signer)
    assert SECRET not in str({name: value for name, value in sent.items() if name != "x-amz-security-token"})
