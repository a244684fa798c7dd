from __future__ import annotations

import pytest

from datasets.errors import SourceError
from datasets.sources.base import Site
from datasets.sources.s3.source import S3Source


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bucket": ""}, "not a bucket's name"),
        ({"bucket": "s3://models"}, "without s3://"),
        ({"bucket": "models/llama"}, "without s3:// and slashes"),
        ({"bucket": "arn:aws:s3:eu-west-1:1:accesspoint/x"}, "not a bucket's name"),
        ({"bucket": "models--use1-az4--x-s3"}, "S3 Express"),
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
)
def test_options_that_cannot_be_right_are_refused_with_what_would_be(options: dict[str, str], message: str) -> None:
    source = S3Source({"bucket": "models", **options}, Site(endpoints=("s3.example.com",)))
    with pytest.raises(SourceError) as refused:
        source.check()
    assert message in str(refused.value)
    assert refused.value.permanent
    blamed = refused.value.option or "bucket"
    assert blamed in options or {blamed, *options} == {"access_key", "secret_key"}  # of two keys, the missing one


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
)
def test_a_server_that_nobody_allowed_is_not_asked(options: dict[str, str], address: str) -> None:
    with pytest.raises(SourceError, match="DATASET_ENDPOINTS") as refused:
        S3Source({"bucket": "models", **options}, Site(endpoints=("elsewhere.example.com",))).check()
    assert f"{address} is not a server that datasets may be read from" in str(refused.value)
    assert refused.value.option == "endpoint"


def test_making_a_source_does_nothing() -> None:
    S3Source({"bucket": "not a bucket"}, Site())
