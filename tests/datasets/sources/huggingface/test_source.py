"""What the source says before it connects anywhere, and what of its options reaches where. Servers: see
tests/integration/datasets/huggingface.
"""

from __future__ import annotations

import socket

import httpx2
import pytest
from huggingface_hub import get_session, model_info, set_client_factory

from datasets.errors import SourceError
from datasets.sources import registry
from datasets.sources.base import Site
from datasets.sources.huggingface.source import HuggingFaceSource

NOWHERE = Site(endpoints=("hub.test",))


def refused(**options: str) -> SourceError:
    source = HuggingFaceSource({"repository": "org/name", "endpoint": "https://hub.test", **options}, NOWHERE)
    with pytest.raises(SourceError) as raised:
        source.check()
    assert raised.value.permanent
    return raised.value


def test_it_is_made_by_its_kind_without_connecting_anywhere() -> None:
    hub_source = registry.make("huggingface", {"repository": "org/name"}, Site())
    assert isinstance(hub_source, HuggingFaceSource)


def test_its_token_is_the_only_secret() -> None:
    assert [option.name for option in HuggingFaceSource.options if option.secret] == ["token"]
    assert [option.name for option in HuggingFaceSource.options if option.required] == ["repository"]


@pytest.mark.parametrize(
    "repository", ["", "https://huggingface.co/org/name", "a/b/c", "../name", "org/na me", "org/x.git"]
)
def test_what_is_no_repository_is_refused_with_an_example(repository: str) -> None:
    error = refused(repository=repository)
    assert repr(repository) in error.message
    assert "Qwen" in error.hint


@pytest.mark.parametrize("token", ["hf_a b", "hf_a\r\nX-Injected: 1", "hf_ä", "hf_\x00"])
def test_a_token_that_would_break_a_header_is_refused_without_being_shown(token: str) -> None:
    error = refused(token=token)
    assert "token" in error.message
    assert "hf_" not in str(error)


@pytest.mark.parametrize(
    "endpoint", ["hub.test", "ftp://hub.test", "https://me:secret@hub.test", "https://hub.test/?a=b"]
)
def test_a_server_that_is_no_web_address_is_refused(endpoint: str) -> None:
    error = refused(endpoint=endpoint)
    assert "secret" not in str(error)


def test_a_revision_with_control_characters_is_refused() -> None:
    assert "revision" in refused(revision="ma\nin").message


def test_a_server_that_no_administrator_listed_is_not_connected_to() -> None:
    error = refused(endpoint="https://elsewhere.test")
    assert "elsewhere.test" in error.message
    assert "DATASET_ENDPOINTS" in error.hint


@pytest.mark.parametrize("path", ["../x", "/etc", "a\0b"])
def test_paths_that_leave_the_dataset_are_refused(path: str) -> None:
    source = HuggingFaceSource({"repository": "org/name"}, NOWHERE)
    for call in (source.entry, source.list, source.plan, lambda path: source.read(path, 1)):
        with pytest.raises(SourceError, match=r"path"):
            call(path)


def test_the_official_client_cannot_be_used_past_the_source() -> None:
    with pytest.raises(RuntimeError, match=r"datasets\.sources\.huggingface"):
        model_info("org/name", token=False)


def test_a_client_factory_that_somebody_else_set_is_not_used() -> None:
    class Theirs(httpx2.BaseTransport):
        def handle_request(self, request: httpx2.Request) -> httpx2.Response:
            raise AssertionError("a request over sockets that network.py has not looked at")

    set_client_factory(lambda: httpx2.Client(transport=Theirs()))
    get_session()
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    site = Site(endpoints=("127.0.0.1",))
    source = HuggingFaceSource({"repository": "org/name", "endpoint": f"http://127.0.0.1:{port}"}, site)
    with pytest.raises(SourceError, match="No connection to 127") as raised:
        source.check()
    assert not raised.value.permanent
