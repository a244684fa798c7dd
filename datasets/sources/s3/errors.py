"""What an S3 server refuses, in words. Never with a key, a signature or the server's own text in them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from datasets.errors import SERVER, SourceError
from datasets.sources.net.errors import retry_after
from datasets.sources.s3.keys import shown
from datasets.sources.s3.location import Location

_CODE = re.compile(r"<Code>\s*([A-Za-z0-9.]{1,100})\s*</Code>")
_REGION = re.compile(r"<Region>\s*([a-z0-9-]{1,63})\s*</Region>")
_KEYS: Final = "Check access key and secret key for spaces and missing ends."
_WORDS: Final[dict[str, tuple[str, str]]] = {
    "NoSuchBucket": ("There is no bucket {bucket} at {server}.", "Check its name, the endpoint and the path style."),
    "InvalidBucketName": ("{bucket} is not a name that {server} knows for buckets.", "Check it, and the path style."),
    "InvalidAccessKeyId": ("{server} does not know the access key.", "Check it, and that it was made at this server."),
    "SignatureDoesNotMatch": ("The secret key does not fit the access key.", _KEYS),
    "ExpiredToken": ("The session token has expired.", "Give a new one with its access key and secret key."),
    "TokenRefreshRequired": ("The session token has expired.", "Give a new one with its access key and secret key."),
    "InvalidToken": ("{server} does not take the session token.", "It belongs to the access key that it came with."),
    "RequestTimeTooSkewed": (
        "The clock of this machine and that of {server} are more than 15 minutes apart.",
        "Set the clock of this machine, or have it set by NTP.",
    ),
    "InvalidObjectState": ("{what} is archived, and cannot be read as it is.", "Restore it at the server first."),
    "AllAccessDisabled": ("All access to the bucket {bucket} is disabled.", "Ask its owner."),
    "NotImplemented": ("{server} cannot do what is needed here.", "Is it an S3 server?"),
}
_AT: Final = {
    "InvalidAccessKeyId": "access_key",
    "SignatureDoesNotMatch": "secret_key",
    "ExpiredToken": "session_token",
    "TokenRefreshRequired": "session_token",
    "InvalidToken": "session_token",
    "NotImplemented": SERVER,
}
"""The option to blame, where it is not the bucket."""
_FOR_NOW: Final = {
    "SlowDown",
    "RequestTimeout",
    "InternalError",
    "ServiceUnavailable",
    "OperationAborted",
    "Throttling",
}
_MOVED: Final = {"PermanentRedirect", "TemporaryRedirect", "Redirect", "IllegalLocationConstraintException"}


@dataclass(frozen=True)
class Refusal:
    """`code` and `region` as the server says them; "" where it does not: the answer to a HEAD has no body."""

    status: int
    code: str = ""
    region: str = ""
    retry_after: str = ""

    @classmethod
    def read(cls, status: int, headers: Mapping[str, str], body: bytes) -> Refusal:
        """From an answer; `headers` with names in lower case."""
        text = body.decode("utf-8", "replace")
        code, region = _CODE.search(text), _REGION.search(text)
        region_element = f"<Region>{headers.get('x-amz-bucket-region', '')}</Region>"
        region = region or _REGION.search(region_element)
        return cls(status, code[1] if code else "", region[1] if region else "", headers.get("retry-after", ""))


def refused(refusal: Refusal, location: Location, key: str = "") -> SourceError:
    """The error for an answer that is no success, to a question for `key`, or for the bucket if it is ""."""
    what = shown(key) if key else f"the bucket {location.bucket}"
    status, code = refusal.status, refusal.code
    if code in _MOVED or code == "AuthorizationHeaderMalformed" or status in {301, 307}:
        return _elsewhere(refusal, location)
    if code in _WORDS:
        message, hint = _WORDS[code]
        text = message.format(bucket=location.bucket, server=location.server, what=what)
        return SourceError(text, hint=hint, option=_AT.get(code, ""))
    if code in _FOR_NOW or status in {408, 425, 429} or status >= 500:
        wait = retry_after(refusal.retry_after)
        status_text = f"{status} {code}".strip()
        return SourceError(f"{location.server} cannot answer right now ({status_text}).", permanent=False, wait=wait)
    if status in {401, 403}:
        who = "this access key" if location.access_key else "anybody who gives no access key"
        return SourceError(
            f"{location.server} does not let {who} read {what}.",
            hint="It needs s3:ListBucket for the bucket and s3:GetObject for what lies in it.",
            option="access_key",
        )
    if status == 404:
        return SourceError(f"There is no {what} at {location.server}.", hint="Check bucket and prefix.")
    status_text = f"{status} {code}".strip()
    return SourceError(
        f"{location.server} answered {status_text} to a request for {what}.",
        hint="Is it an S3 server, and is the path style right? Objects with a key of their own (SSE-C) cannot be read.",
    )


def _elsewhere(refusal: Refusal, location: Location) -> SourceError:
    if refusal.region and refusal.region != location.region:
        return SourceError(
            f"The bucket {location.bucket} is in the region {refusal.region}, not in {location.region}.",
            hint=f"Set the region to {refusal.region}.",
            option="region",
        )
    return SourceError(
        f"The bucket {location.bucket} has to be asked for at another address than {location.server}.",
        hint="Check region, endpoint and path style.",
        option=SERVER,
    )
