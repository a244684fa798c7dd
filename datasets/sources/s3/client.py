"""Metadata of objects, and a bucket's own address, by the official client (botocore).

That client looks for credentials and settings in many places of the machine: variables, files, the metadata service.
None of them is asked: every setting is a constant here, and every request goes over `Web`, whose sockets network.py
has looked at.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, Final

from botocore import UNSIGNED
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.config import Config
from botocore.configprovider import BOTOCORE_DEFAUT_SESSION_VARIABLES, ConfigValueStore, ConstantProvider
from botocore.exceptions import BotoCoreError, ClientError
from botocore.loaders import Loader
from botocore.parsers import ResponseParserError
from botocore.session import Session

from datasets.errors import SERVER, SourceError
from datasets.sources.net.client import Web
from datasets.sources.net.url import Url, parse
from datasets.sources.s3.errors import Refusal, refused
from datasets.sources.s3.location import Location

MAX_ANSWER: Final = 1 << 20
"""Bytes of an answer: none has more than headers and an error's text."""
_OURS: Final = {"user-agent", "host", "accept-encoding", "content-length"}
"""Headers that `Web` writes itself."""
# Also of a process that logs everything: it would write the session token, which is a header.
logging.getLogger("botocore").setLevel(logging.INFO)
# The descriptions of its API are large and never change; those in the home directory are not looked at.
_LOADER = Loader(extra_search_paths=[Loader.BUILTIN_DATA_PATH], include_default_search_paths=False)


class Client:
    """Asks for one bucket. Serves many threads. Every failure is a SourceError."""

    def __init__(self, location: Location, web: Web) -> None:
        self._location, self._web = location, web
        self._lock = threading.Lock()

    @cached_property
    def base(self) -> Url:
        """The bucket's own address, as the official client makes it; its target ends in `/`."""
        try:
            url = self._shared_client.generate_presigned_url(
                "get_object", Params={"Bucket": self._location.bucket, "Key": "x"}
            )
        except BotoCoreError as error:
            raise self._impossible() from error
        return parse(url.partition("?")[0].removesuffix("x"))

    def head(self, key: str) -> Mapping[str, Any] | None:
        """What HeadObject says, None when there is no such object. Headers, as sent, are in `ResponseMetadata`."""
        parameters = {"Bucket": self._location.bucket, "Key": key, "ChecksumMode": "ENABLED"}
        return self._call("head_object", parameters, key=key) or None

    def _call(self, operation: str, parameters: Mapping[str, Any], key: str) -> Mapping[str, Any]:
        try:
            answer: Mapping[str, Any] = getattr(self._shared_client, operation)(**parameters)
            return answer
        except ClientError as error:
            meta = error.response.get("ResponseMetadata", {})
            if meta.get("HTTPStatusCode") == 404 and key:
                return {}
            raise refused(_refusal(error.response), self._location, key) from error
        except ResponseParserError as error:
            raise self._strange() from error
        except BotoCoreError as error:
            raise self._impossible() from error

    def _strange(self) -> SourceError:
        return SourceError(
            f"{self._location.server} does not answer as an S3 server does.",
            hint="Check the endpoint and its port.",
            option=SERVER,
        )

    def _impossible(self) -> SourceError:
        return SourceError(
            f"The bucket {self._location.bucket} cannot be asked for with these options.",
            hint="Check region, endpoint and path style.",
        )

    @property
    def _shared_client(self) -> Any:
        with self._lock:
            return self._client

    @cached_property
    def _client(self) -> Any:
        location = self._location
        config = Config(
            signature_version=None if location.access_key else UNSIGNED,
            s3={"addressing_style": "virtual" if location.virtual else "path"},
            retries={"total_max_attempts": 1, "mode": "standard"},
            proxies={},
            ignore_configured_endpoint_urls=True,
            use_dualstack_endpoint=False,
            use_fips_endpoint=False,
            parameter_validation=True,
        )
        endpoint = f"{location.endpoint.scheme}://{location.endpoint.authority}" if location.endpoint else None
        keys = (
            {
                "aws_access_key_id": location.access_key,
                "aws_secret_access_key": location.secret_key,
                "aws_session_token": location.session_token or None,
            }
            if location.access_key
            else {}
        )
        try:
            client = _session().create_client(
                "s3", region_name=location.region, endpoint_url=endpoint, config=config, **keys
            )
        except (BotoCoreError, ValueError) as error:
            raise self._impossible() from error
        client.meta.events.register("before-send.s3", self._send)
        client.meta.events.register_last("before-parameter-build.s3", _stay)
        return client

    def _send(self, request: AWSPreparedRequest, **_: Any) -> AWSResponse:
        """In the place of botocore's own connections."""
        url = self._web.network.require(request.url)
        headers = {
            name: value.decode("ascii") if isinstance(value, bytes) else str(value)
            for name, value in request.headers.items()
            if name.lower() not in _OURS
        }
        answer = self._web.ask(url, headers, method=request.method)
        content = bytearray()
        with answer.body as body:
            while part := body.read(256 << 10):
                content += part
                if len(content) > MAX_ANSWER:
                    raise self._strange()
        return AWSResponse(request.url, answer.status, dict(answer.headers.items()), _Read(bytes(content)))


class _Read:
    """What AWSResponse takes its content from."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def stream(self) -> Iterator[bytes]:
        yield self._content


def _session() -> Session:
    """One that knows nothing of this machine: no variables, no files, no profile, no provider of credentials."""
    session = Session()
    defaults = {name: ConstantProvider(row[2]) for name, row in BOTOCORE_DEFAUT_SESSION_VARIABLES.items()}
    nothing: dict[str, Any] = {"config_file": None, "credentials_file": None, "s3": {}, "proxies_config": {}}
    store = ConfigValueStore({**defaults, **{name: ConstantProvider(value) for name, value in nothing.items()}})
    session.register_component("config_store", store)
    session.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=str)  # as in listings
    session.register_component("data_loader", _LOADER)
    session.register_component("credential_provider", _Nobody())
    session.register_component("token_provider", _Nobody())
    return session


class _Nobody:
    """In the place of everything that would look for credentials."""

    def load_credentials(self) -> None:
        return None

    def load_token(self, **_: Any) -> None:
        return None


def _stay(context: dict[str, Any], **_: Any) -> None:
    """No following into another region: the contents would be asked for where the options say."""
    context.get("s3_redirect", {})["redirected"] = True


def _refusal(response: Mapping[str, Any]) -> Refusal:
    """From what the official client has parsed; only what looks like a code and a region is passed on."""
    meta, error = response.get("ResponseMetadata", {}), response.get("Error", {})
    code = str(error.get("Code", ""))
    text = f"<Code>{'' if code.isdecimal() else code}</Code><Region>{error.get('Region', '')}</Region>"
    return Refusal.read(int(meta.get("HTTPStatusCode", 0)), meta.get("HTTPHeaders", {}), text.encode())
