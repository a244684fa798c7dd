"""Names that a pickle would import, however it hides them; and nothing is ever loaded."""

from __future__ import annotations

import collections
import datetime
import io
import os
import pickle
import pickletools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets.inspect.budget import Budget
from datasets.inspect.errors import Unreadable
from datasets.inspect.formats.pickles import UNKNOWN, Findings, follow
from tests.datasets.inspect.made import PATIENT, Evil, damaged, told


def imports_of(data: bytes, steps: int = 100_000) -> Findings:
    return follow(io.BytesIO(data), Budget(steps=steps))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    ("value", "imports"),
    [
        ({"a": [1, 2.5, b"x", None, True], "b": ("c", {1, 2})}, set()),
        (collections.OrderedDict(a=1), {"collections.OrderedDict"}),
        ([datetime.timedelta(1), datetime.timedelta(2)], {"datetime.timedelta"}),
        (Evil(), {f"{os.system.__module__}.system"}),
        ({"deep": [{"deeper": Evil()}]}, {f"{os.system.__module__}.system"}),
    ],
)
def test_what_python_itself_writes_is_followed(protocol: int, value: Any, imports: set[str]) -> None:
    seen = imports_of(pickle.dumps(value, protocol))
    old = {"__builtin__.set", "builtins.set", "__builtin__.bytes", "_codecs.encode"}
    assert seen.whole and imports <= set(seen.imports) <= imports | old


HIDDEN = [
    # Pushed as texts, with others pushed and dropped between: a scan for the last two texts sees OrderedDict.
    b"\x80\x04\x8c\x02os\x8c\x06system\x8c\x0bcollections\x8c\x0bOrderedDict00\x93\x8c\x02id\x85R.",
    # By way of the memo.
    b"\x80\x04\x8c\x02os\x94\x8c\x06system\x94\x8c\x0bcollections0h\x00h\x01\x93\x8c\x02id\x85R.",
    # Texts of an old protocol.
    b"\x80\x04Vos\nVsystem\n\x93\x8c\x02id\x85R.",
    b"\x80\x04S'os'\nS'system'\n\x93.",
    # Duplicated and swapped for a mark.
    b"\x80\x04\x8c\x02os2\x8c\x06system(1\x93.",
    b"cos\nsystem\n(S'id'\ntR.",
    b"(S'id'\nios\nsystem\n.",
    # Ends in damage, after it has run.
    b"cos\nsystem\n(S'id'\ntR\xff",
]


@pytest.mark.parametrize("data", HIDDEN)
def test_an_import_cannot_be_hidden(data: bytes) -> None:
    assert {"os.system", "os.os"} & set(imports_of(data).imports)


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x04N\x8c\x06system\x93.",
        b"\x80\x04\x82\x01.",
        b"\x80\x04\x8c\x02os\x85\x8c\x06system\x93.",
        b"\x80\x04Vo\\u0073\nVsystem\n\x93.",
        b"c" + b"a" * 1000 + b"\nb\n.",
    ],
)
def test_an_import_that_cannot_be_told_is_one_of_an_unknown_name(data: bytes) -> None:
    assert imports_of(data).imports == [UNKNOWN]


def test_what_follows_a_cut_is_not_said_to_be_known() -> None:
    data = pickle.dumps(collections.OrderedDict(a=1))
    assert imports_of(data).whole
    assert not imports_of(data[:-5]).whole
    with pytest.raises(Unreadable):
        imports_of(b"\xff\xfe\xfd")


def test_lengths_that_cannot_be_true_take_no_memory() -> None:
    for opcode in (b"\x8e", b"\x8d", b"\x96"):  # BINBYTES8, BINUNICODE8, BYTEARRAY8
        assert not imports_of(b"\x80\x05" + opcode + (1 << 60).to_bytes(8, "little") + b"abc").whole
    assert not imports_of(b"\x80\x04" + b"N" * 200_000, steps=1000).whole


def test_every_opcode_of_this_python_has_its_effect() -> None:
    """pickletools' own walk of the stack, which raises when its table does not fit, agrees with ours."""
    for value in (Evil(), {"a": [collections.OrderedDict(b=2)] * 3}, frozenset({1}), bytearray(b"x")):
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            data = pickle.dumps(value, protocol)
            pickletools.dis(data, io.StringIO())
            assert imports_of(data).whole


SEED = {"a": [Evil(), collections.OrderedDict(b=(1, 2.5, "c" * 300))]}
SEEDS = [pickle.dumps(SEED, protocol) for protocol in (0, 2, 4)]


@settings(PATIENT, max_examples=200)
@given(st.sampled_from(SEEDS).flatmap(damaged) | st.binary(max_size=200))
def test_any_bytes_end_in_one_kind_of_error(data: bytes) -> None:
    with told():
        assert all(isinstance(name, str) for name in imports_of(data).imports)
