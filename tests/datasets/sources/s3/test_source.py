"""Secrets, and what is not ours to use. Against a real server: tests/integration/datasets."""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from datasets.errors import SourceError
from tests.datasets.sources.s3.answers import Reply, answering, error, gives, listing, lists

SECRETS = {"secret_key": "SECRET-KEY-OF-TESTS", "session_token": "SESSION-TOKEN-OF-TESTS"}
ROOT = Path(__file__).resolve().parents[4]


def test_secrets_are_in_no_error_and_no_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with answering(lambda request: error(403, "SignatureDoesNotMatch") if request.key else listing(["a"])) as odd:
        source = odd.source(access_key="AKID", **SECRETS)
        texts = [repr(source), str(source.plan(""))]
        for ask in (source.check, lambda: source.read("a", 10)):
            with pytest.raises(SourceError) as refused:
                ask()
            cause: BaseException | None = refused.value
            while cause is not None:
                texts += [str(cause), repr(cause), repr(vars(cause))]
                cause = cause.__cause__
        assert {request.headers["x-amz-security-token"] for request in odd.requests} == {SECRETS["session_token"]}
        assert all(re.search("Credential=AKID/", request.headers["authorization"]) for request in odd.requests)
    everything = "\n".join([*texts, caplog.text, repr(source._bucket)])
    assert not [secret for secret in SECRETS.values() if secret in everything]
    assert "Signature=" not in everything


PLANTED = """
import sys
from datasets.sources.base import Site
from datasets.sources.s3.source import S3Source
source = S3Source({"bucket": "models", "endpoint": sys.argv[1]}, Site(endpoints=("127.0.0.1",)))
print([file.path for file in source.plan("").files], source.read("a", 10))
"""


def test_nothing_of_this_machine_is_used(tmp_path: Path) -> None:
    """Keys in variables, a profile with a server of its own, a proxy, a metadata service: none of them is asked."""
    home = tmp_path / "home"
    (home / ".aws").mkdir(parents=True)
    planted = {"aws_access_key_id": "AKIDPLANTED", "aws_secret_access_key": "planted", "region": "eu-north-1"}
    with answering(gives()) as odd, answering(lambda _: Reply(200, json.dumps({}).encode())) as trap:
        address = f"http://127.0.0.1:{trap.port}"
        lines = "".join(f"{name} = {value}\n" for name, value in {**planted, "endpoint_url": address}.items())
        (home / ".aws" / "config").write_text(f"[default]\n{lines}[profile planted]\n{lines}")
        (home / ".aws" / "credentials").write_text(f"[default]\n{lines}[planted]\n{lines}")
        env = {
            **os.environ,
            "HOME": str(home),
            "AWS_ACCESS_KEY_ID": "AKIDPLANTED",
            "AWS_SECRET_ACCESS_KEY": "planted",
            "AWS_SESSION_TOKEN": "planted",
            "AWS_PROFILE": "planted",
            "AWS_REGION": "eu-north-1",
            "AWS_DEFAULT_REGION": "eu-north-1",
            "AWS_ENDPOINT_URL": address,
            "AWS_ENDPOINT_URL_S3": address,
            "AWS_CA_BUNDLE": "/no/such/file",
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": address,
            "HTTP_PROXY": address,
            "http_proxy": address,
            "HTTPS_PROXY": address,
            "ALL_PROXY": address,
            "AWS_USE_FIPS_ENDPOINT": "true",
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": address,
            "AWS_DATA_PATH": str(home),
        }
        done = subprocess.run(
            [sys.executable, "-c", PLANTED, f"http://127.0.0.1:{odd.port}"],
            env=env,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.stdout.startswith("['a']"), done.stderr
        assert not trap.requests
        assert len(odd.requests) == 2
        sent = {name for request in odd.requests for name in request.headers}
        assert not sent & {"authorization", "x-amz-security-token"}


def test_a_profile_that_is_named_and_not_there_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "no-such-profile")
    with answering(lists("a")) as odd:
        assert odd.source().plan("").files
