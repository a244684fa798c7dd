"""Where a bucket is and who asks, from the options of a dataset. No I/O."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from datasets.errors import SERVER, SourceError
from datasets.sources.base import clean_path
from datasets.sources.net.url import Url, parse

DEFAULT_REGION: Final = "us-east-1"
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]")
_REGION = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_KEY = re.compile(r"[\x21-\x7e]*")


@dataclass(frozen=True)
class Location:
    """`prefix` is "" or ends in `/`. `endpoint` None means Amazon's own for the region."""

    bucket: str
    prefix: str
    region: str
    endpoint: Url | None
    virtual: bool
    """Whether the bucket is a part of the host name, and not of the path."""
    access_key: str = field(default="", repr=False)
    secret_key: str = field(default="", repr=False)
    session_token: str = field(default="", repr=False)

    @property
    def server(self) -> str:
        """For messages."""
        return self.endpoint.authority if self.endpoint else f"Amazon S3 ({self.region})"

    @property
    def origin(self) -> str:
        """What ETags and versions hold for."""
        server = f"{self.endpoint.scheme}://{self.endpoint.authority}" if self.endpoint else "https://s3.amazonaws.com"
        return f"{server}/{self.bucket}"


def parse_location(options: Mapping[str, Any]) -> Location:
    """Raises SourceError, saying which option is wrong and how it should be."""
    values = {
        name: str(options.get(name) or "").strip()
        for name in (
            "bucket",
            "endpoint",
            "region",
            "path_style",
            "access_key",
            "secret_key",
            "session_token",
        )
    }
    bucket, region = values["bucket"], values["region"] or DEFAULT_REGION
    if not _BUCKET.fullmatch(bucket) or ".." in bucket:
        raise SourceError("The bucket is not a bucket's name.", hint="Such as my-models, without s3:// and slashes.")
    if bucket.endswith("--x-s3"):
        raise SourceError("Directory buckets (S3 Express) cannot be read.", hint="Choose a general purpose bucket.")
    if not _REGION.fullmatch(region):
        raise SourceError("The region is not a region's name.", hint="For example eu-west-1.", option="region")
    for name in ("access_key", "secret_key", "session_token"):
        if not _KEY.fullmatch(values[name]):
            raise SourceError(
                f"The {_words(name)} has a character in it that no key has.",
                hint="Paste it again.",
                option=name,
            )
    if bool(values["access_key"]) != bool(values["secret_key"]):
        raise SourceError(
            "Access key and secret key belong together, and only one is given.",
            hint="Give both, or none for a bucket that everybody may read.",
            option="secret_key" if values["access_key"] else "access_key",
        )
    endpoint = _endpoint(values["endpoint"])
    return Location(
        bucket,
        _prefix(str(options.get("prefix") or "")),
        region,
        endpoint,
        _is_virtual(values["path_style"], bucket, endpoint),
        values["access_key"],
        values["secret_key"],
        values["session_token"] if values["access_key"] else "",
    )


def _prefix(value: str) -> str:
    """Blanks at its ends count, but for one of nothing but blanks."""
    try:
        cleaned = clean_path(value.strip("/")) if value.strip() else ""
    except SourceError as error:
        raise SourceError(
            f"The prefix cannot be used: {error.message}",
            hint="For example models/llama.",
            option="prefix",
        ) from error
    return f"{cleaned}/" if cleaned else ""


def _endpoint(value: str) -> Url | None:
    if not value:
        return None
    try:
        url = parse(value)
    except SourceError as error:
        raise SourceError(
            f"The endpoint cannot be used: {error.message}",
            hint=error.hint or "For example https://s3.example.com.",
            option=SERVER,
        ) from error
    if url.target != "/":
        raise SourceError(
            "The endpoint has a path; buckets and prefixes have fields of their own.",
            hint=f"Give {url.scheme}://{url.authority}.",
            option=SERVER,
        )
    return url


def _is_virtual(style: str, bucket: str, endpoint: Url | None) -> bool:
    if style == "virtual":
        return True
    # Servers other than Amazon's seldom have a name for each bucket; and no certificate covers a name with more dots.
    return style != "path" and endpoint is None and "." not in bucket


def _words(name: str) -> str:
    return name.replace("_", " ")
