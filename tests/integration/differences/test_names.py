"""Every spelling of a service's name, in each place that may have one: the service that answers is the one that was
named everywhere, or the request is refused.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.integration.differences import bodies
from tests.integration.differences.both import REFUSALS, Both
from tests.integration.fuzz.arena import EXAMPLES, KEY
from tests.integration.gateway.raw import CUT, http2

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("arena")]
NAMES = (
    "rows",
    "Rows",
    "ROWS",
    "rows.",
    ".rows",
    "rows-",
    "-rows",
    "rows_",
    "_rows",
    "rows,rows",
    "rows,mnist",
    "rows;a",
    "rows:1",
    "rows%20",
    "rows%00",
    "%72ows",
    "row%73",
    "rows%2e",
    "rows%2F",
    "rows%2finfer",
    "rows%5c",
    "rows%3f",
    "rows%23",
    "rows+",
    "rows@",
    "@rows",
    "rows*",
    "*",
    "rows!",
    "rows'",
    "rows(",
    "rows=",
    "rows&a",
    "rows~",
    "rows$",
    "..",
    ".",
    "%2e%2e",
    "...",
    "mnist",
    "other",
    "stats",
    "_door",
    "_refused",
    "_unknown",
    "r" * 63,
    "r" * 64,
    "r" * 5000,
    "rows\xe9",
    "%E9",
    "%C3%A9",
    "%zz",
    "%",
    "rows%",
    "1",
    "0",
    "null",
    "rows|mnist",
    "rows^",
    "{rows}",
    "[rows]",
    "<rows>",
    "`rows`",
    "rows\t",
    "r%6Fws",
)
VERSIONS = (
    "1",
    "01",
    "0",
    "+1",
    "-1",
    "1.0",
    "1e0",
    "%31",
    "2",
    "",
    "x",
    "9" * 9,
    "9" * 19,
    "9" * 40,
    "1/versions/1",
    "1,1",
    "0x1",
)


def answered(both: Both, path: str, headers: list[tuple[str, str]]) -> str:
    """The model that answered; nothing when the request was refused, in words."""
    answer = both.gateway(headers, bodies.GOOD, path)
    if answer.status == 200:
        model = str(json.loads(answer.body)["model_name"])
        both.passed = (both.passed or 0) + (model == "rows")
        return model
    assert answer.status in REFUSALS, (path, headers, answer)
    assert answer.error or answer.body, (path, headers)
    return ""


def plain(name: str) -> str:
    """As RFC 3986 compares it, where that is one name, and without the blanks around a header."""
    return unquote(name) if unquote(name).isascii() and unquote(name).isalnum() else name.strip()


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_a_name(both: Both, name: str) -> None:
    path = f"/v2/models/{name}/infer"
    for where, sent, headers in (
        ("path", path, []),
        ("prefix", f"/services/{name}/v2/models/rows/infer", []),
        ("both", f"/services/{name}{path}", []),
        ("header", "/v2/models/rows/infer", [("mm-vmodel-id", name)]),
        ("header and path", path, [("mm-vmodel-id", name)]),
        ("host", "/v2/models/rows/infer", [("Host", f"{name}.localhost")]),
    ):
        if any(c in sent for c in "\t\xe9"):
            continue  # such a path the client refuses by itself
        model = answered(both, sent, headers)
        if where == "host":
            assert not model or (model, name.lower()) == ("rows", "rows")
        elif name == "mnist" and where in ("path", "both", "header and path"):
            assert model == "/v2/models/mnist/infer", where
        elif unquote(name) in (".", "..") and where == "prefix":
            assert model in ("", "rows")  # dots are resolved before the path is read: it has no such prefix then
        else:
            assert not model or (model, plain(name)) == ("rows", "rows"), where


@pytest.mark.parametrize("version", VERSIONS, ids=range(len(VERSIONS)))
def test_a_version(both: Both, version: str) -> None:
    path = f"/v2/models/rows/versions/{version}/infer"
    if version == "%31":  # which the gateway writes as 1
        assert answered(both, path, []) == "rows"
    else:
        both.agree([], bodies.GOOD, path)


@pytest.mark.parametrize("names", [["rows", "rows"], ["rows", "mnist"], ["", "rows"], ["rows", ""], ["mnist", "rows"]])
def test_a_header_that_is_there_twice(both: Both, names: list[str]) -> None:
    assert answered(both, "/v2/models/rows/infer", [("mm-vmodel-id", name) for name in names]) == ""


@settings(max_examples=EXAMPLES, deadline=None, derandomize=True)
@given(header=st.text("rows-.,_ RO1", max_size=8).map(str.strip), host=st.text("rows.-:1,@RO", max_size=8))
def test_any_names_together(both: Both, header: str, host: str) -> None:
    headers = [("mm-vmodel-id", header), ("Host", f"{host}.localhost")]
    if answered(both, "/v2/models/rows/infer", headers):
        assert (header, host.lower()) == ("rows", "rows")


@pytest.mark.parametrize("authority", ["rows.localhost", "a", "a:80", "ROWS.localhost:1", "[::1]:80", "a:"])
def test_an_authority_of_http2(both: Both, authority: str) -> None:
    assert _http2(both, authority) == 200
    both.passed = (both.passed or 0) + 1


def test_an_authority_of_http2_that_is_none(both: Both) -> None:
    """All at once: Envoy lets a connection that it refuses linger for five seconds."""
    authorities = [
        "",
        "a,a",
        "a, b",
        "u@a",
        "rows.localhost,mnist.localhost",
        "a b",
        "a/b",
        "a:x",
        "a:1:1",
        "a:123456",
        "[a]",
        "%61",
        "a?b",
        "a#b",
        "mnist.localhost",
    ]
    with ThreadPoolExecutor(len(authorities)) as pool:
        statuses = dict(zip(authorities, pool.map(lambda authority: _http2(both, authority), authorities), strict=True))
    assert set(statuses.values()) <= {CUT, 400}, statuses


def _http2(both: Both, authority: str) -> int:
    headers = [("host", authority), ("x-api-key", KEY)]
    return http2(both.arena.port, "POST", "/v2/models/rows/infer", headers, bodies.GOOD)
