"""Names and listings that a server may have and a real one does not have on command."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from datasets.errors import SourceError
from datasets.sources.s3 import listing as limits
from tests.datasets.sources.s3.answers import ReceivedRequest, Reply, answering, listing, lists


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
        ("elsewhere/a", "an unexpected key"),
    ],
)
def test_a_key_that_no_folder_may_hold_is_refused_by_its_name(key: str, why: str) -> None:
    with answering(lambda request: Reply(404) if request.key else _raw_listing(key)) as odd:
        with pytest.raises(SourceError) as refused:
            odd.source().plan("m")
        assert why in str(refused.value)
        assert refused.value.permanent
        problems = [entry.problem for entry in odd.source().list("m").entries]
        assert problems == [] if key.startswith("elsewhere") else len(problems) == 1 and why in problems[0]


def _raw_listing(key: str) -> Reply:
    """The key may have bytes in it that are not UTF-8."""
    quoted = quote(key.encode("utf-8", "surrogateescape"))
    return Reply(body=listing(["KEY"]).body.replace(b"KEY", quoted.encode()))


@pytest.mark.parametrize("keys", [("a", "a/b"), ("a/b/c", "a/b"), ("a/", "a"), ("a", "a/b/"), ("a-b", "a", "a/b")])
def test_a_name_that_is_file_and_folder_at_once_is_refused(keys: tuple[str, ...]) -> None:
    with answering(lists(*keys)) as odd, pytest.raises(SourceError, match="is a file and a folder at once"):
        odd.source().plan("")


def test_a_folder_with_bytes_in_it_is_refused() -> None:
    body = listing(["a/"]).body.replace(b"<Size>0<", b"<Size>7<")
    with answering(lambda _: Reply(body=body)) as odd, pytest.raises(SourceError, match="a/ has the name of a folder"):
        odd.source().plan("")


def test_only_markers_with_nothing_below_are_empty_folders() -> None:
    keys = ("1/", "a/", "a/b/", "c/", "c/model.onnx", "d/e/f/", "x")
    with answering(lists(*keys)) as odd:
        plan = odd.source().plan("")
    assert [file.path for file in plan.files] == ["c/model.onnx", "x"]
    assert plan.empty_dirs == ("1", "a/b", "d/e/f")


def test_a_listing_that_repeats_its_token_is_noticed() -> None:
    with answering(lambda request: listing(["a"] if len(request.query) < 5 else [], next="again")) as odd:
        with pytest.raises(SourceError, match="lists the bucket without end"):
            odd.source().plan("")
        assert len(odd.requests) == 2


def test_a_listing_of_empty_pages_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_EMPTY_PAGES", 5)
    with answering(lambda request: listing([], next=request.query.get("continuation-token", "") + "x")) as odd:
        with pytest.raises(SourceError, match="without end"):
            odd.source().plan("")
        assert len(odd.requests) == 7  # the next one is asked for before a page is read


@pytest.mark.parametrize("ending", ["", "/"])
def test_a_listing_of_more_than_a_model_has_is_given_up(monkeypatch: pytest.MonkeyPatch, ending: str) -> None:
    monkeypatch.setattr(limits, "MAX_FILES", 2500)

    def answer(request: ReceivedRequest) -> Reply:
        start = int(request.query.get("continuation-token", "0"))
        return listing([f"{number:09}{ending}" for number in range(start, start + 1000)], next=str(start + 1000))

    with answering(answer) as odd:
        with pytest.raises(SourceError, match=r"more than 2500 files|without end"):
            odd.source().plan("")
        assert len(odd.requests) <= 7


def test_a_listing_with_a_key_twice_is_not_believed() -> None:
    with answering(lists("a", "a")) as odd, pytest.raises(SourceError, match="listed a twice"):
        odd.source().plan("")


def test_a_plan_beats_and_stops_when_told() -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    with answering(lists("a")) as odd, pytest.raises(KeyboardInterrupt):
        odd.source().plan("", beat=stop)


def test_a_folder_of_a_million_is_browsed_a_page_at_a_time() -> None:
    def answer(request: ReceivedRequest) -> Reply:
        if request.key:
            return Reply(404)
        assert (request.query["prefix"], request.query["delimiter"]) == ("m/", "/")
        start, count = int(request.query.get("continuation-token", "0")), int(request.query["max-keys"])
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
        assert len(odd.requests) == 3


def test_pages_with_nothing_to_show_are_passed_over() -> None:
    pages = {"": listing(["m/"], next="2"), "2": listing([], next="3"), "3": listing(["m/a"], prefixes=["m/b/"])}
    with answering(lambda request: pages[request.query.get("continuation-token", "")]) as odd:
        shown = odd.source().list("m")
    assert [(entry.path, entry.is_dir) for entry in shown.entries] == [("m/b", True), ("m/a", False)]
    assert shown.total == 2


def test_a_server_without_etags_is_refused() -> None:
    with answering(lists("a", etag="")) as odd, pytest.raises(SourceError, match="no ETag for a"):
        odd.source().plan("")
