"""The official client of the Hugging Face Hub, over our own sockets, without this machine's settings.

`huggingface_hub` has one HTTP client for the whole process, which a factory makes. Ours is that factory: its transport
gives each request to the `HubClient` whose call it is part of, and refuses one that is part of none. So requests of two
sources at once, with two tokens and two lists of allowed servers, never share anything.

Nothing is read of HF_TOKEN, HF_ENDPOINT, HF_HUB_OFFLINE, proxies, or a token saved on this machine; nothing is written.
The client's own downloads are not used: see files.py.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import httpx2
from huggingface_hub import HfApi, get_hf_file_metadata, get_session, set_client_factory
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.file_download import HfFileMetadata
from huggingface_hub.hf_api import RepoFile, RepoFolder
from huggingface_hub.utils import HFValidationError, hf_raise_for_status

from datasets.errors import SERVER, SourceError
from datasets.sources.huggingface.errors import Target, words
from datasets.sources.huggingface.transport import Wire

AGENT: Final = "inference-console"
"""Instead of the client's own User-Agent, which lists what is installed here."""
_caller: ContextVar[Wire | None] = ContextVar("caller", default=None)


class _Transport(httpx2.BaseTransport):
    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        wire = _caller.get()
        if wire is None:
            raise RuntimeError("huggingface_hub is only used through datasets.sources.huggingface here.")
        return wire.send(request)


class _Client(httpx2.Client):
    """Told apart by its class from what another factory would make."""


def _make_client() -> _Client:
    return _Client(transport=_Transport(), trust_env=False, follow_redirects=True, max_redirects=5)


set_client_factory(_make_client)
# It writes down the whole address of each request, and what it was redirected to may be signed.
logging.getLogger("httpx2").setLevel(logging.WARNING)


@dataclass(frozen=True)
class TreePage:
    """Rows of one answer of the tree API. `next` is what to ask for the next one with, "" on the last page."""

    rows: tuple[RepoFile | RepoFolder, ...]
    next: str


class HubClient:
    """One repository, as one token sees it. Serves many threads. Raises SourceError. Does no I/O before it is asked."""

    def __init__(self, endpoint: str, target: Target, token: str, wire: Wire) -> None:
        self._endpoint, self._target, self._wire = endpoint, target, wire
        # False, not None: None would look for a token of whoever runs this process.
        self._token: str | bool = token or False
        self._headers = {"user-agent": AGENT}
        self._api = HfApi(endpoint=endpoint, token=self._token, headers=self._headers)

    def commit(self) -> str:
        """The commit that the revision points at now."""
        with self._speaking():
            info = self._api.model_info(self._target.repository, revision=self._target.revision)
        if not info.sha:
            raise self._not_a_hub()
        return info.sha

    def entry(self, commit: str, path: str) -> RepoFile | RepoFolder | None:
        """What lies at `path`; None if nothing does."""
        with self._speaking(path):
            rows = self._api.get_paths_info(self._target.repository, [path], revision=commit)
        return next((row for row in rows if row.path == path), None)

    def tree(self, commit: str, path: str, *, recursive: bool, cursor: str = "") -> TreePage:
        """One page of a folder: about 1,000 rows. `cursor` is the `next` of the page before. A file is not found.

        The client's own `list_repo_tree` starts at the first page each time, and sleeps and retries by itself.
        """
        below = f"/{quote(path, safe='')}" if path else ""
        url = f"{self._endpoint}/api/models/{self._target.repository}/tree/{commit}{below}"
        how = {"recursive": str(recursive).lower(), "expand": "false"}
        with self._speaking(path):
            response = get_session().get(url, params={**dict(parse_qsl(cursor)), **how}, headers=self._api_headers())
            hf_raise_for_status(response)
            rows = tuple(
                RepoFile(**row) if row["type"] == "file" else RepoFolder(**row)
                for row in response.json()
                if row["type"] in {"file", "directory"}
            )
            link = response.links.get("next", {}).get("url", "")
        # Only what the link asks with: a mirror may hand on the address of the Hub behind it.
        further = urlencode([(name, value) for name, value in parse_qsl(urlsplit(link).query) if name not in how])
        if link and further in {"", cursor}:
            raise self._not_a_hub()
        return TreePage(rows, further)

    def metadata(self, url: str, path: str) -> HfFileMetadata:
        """What the Hub says of a file, and the address of its bytes. `url` is one of the Hub's own."""
        with self._speaking(path):
            return get_hf_file_metadata(url, token=self._token, headers=self._headers, endpoint=self._endpoint)

    def _api_headers(self) -> dict[str, str]:
        return {**self._headers, **({"authorization": f"Bearer {self._token}"} if self._token else {})}

    @contextmanager
    def _speaking(self, path: str = "") -> Iterator[None]:
        """Requests of this thread go over our sockets meanwhile, and what goes wrong is said in words."""
        if not isinstance(get_session(), _Client):
            set_client_factory(_make_client)  # somebody else set theirs since
        set_back = _caller.set(self._wire)
        try:
            yield
        except HfHubHTTPError as error:
            raise words(error, self._target, path) from error
        except HFValidationError as error:
            raise SourceError(f"{self._target.repository} is not the name of a repository.") from error
        except (httpx2.HTTPError, httpx2.InvalidURL, ValueError, KeyError, TypeError) as error:
            raise self._not_a_hub() from error
        finally:
            _caller.reset(set_back)

    def _not_a_hub(self) -> SourceError:
        return SourceError(
            f"{self._target.host} does not answer as a Hugging Face Hub does.",
            hint="Check the server.",
            option=SERVER,
        )
