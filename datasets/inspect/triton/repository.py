"""Which models of a Triton repository a service loads, and which of them callers call."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from datasets.inspect.budget import Budget
from datasets.inspect.config_pbtxt import unquoted
from datasets.inspect.config_pbtxt.rows import listed
from datasets.inspect.triton import ensembles
from datasets.inspect.triton import layout as triton_layout
from datasets.inspect.triton.ensembles import Member, Members, is_ensemble

CALL_NOTHING: Final = frozenset(
    {
        "onnxruntime",
        "tensorrt",
        "tensorflow",
        "pytorch",
        "openvino",
        "fil",
        "identity",
        ensembles.PLATFORM,
    }
)
"""Backends whose models call no model by its name. A Python model may call any."""
MOST_MODELS: Final = 500
"""Each ensemble is held against all of them."""
TOO_MANY: Final = f"There are more than {MOST_MODELS} models here: choose the folder of one of them as the model path."


def read(root: Path, names: Sequence[str], budget: Budget) -> dict[str, Member]:
    """The models in the folders `names` of the repository `root`, without those that Triton has no backend for, as
    numbered folders of data. Raises OSError and TooMuch.
    """
    members = {}
    for name in names:
        layout = triton_layout.read(root / name, name)
        budget.step(1 + (layout.config.ByteSize() if layout.config is not None else 0))
        if layout.has_config or layout.backend:
            members[name] = triton_layout.member_of(layout)
    return members


def choose(members: Members, option: str = "") -> tuple[str, str]:
    """The model that callers call, or "" and why that cannot be told. `option`: the model that the service names."""
    names = sorted(members)
    shown = listed(names)
    if option:
        return (option, "") if option in members else ("", f"There is no model {option} here. Models: {shown}.")
    if not names:
        return "", "No folder here is a model that Triton can serve: expected config.pbtxt, or a file as 1/model.onnx."
    if len(names) == 1:
        return names[0], ""
    if broken := next((name for name in names if members[name].fault), ""):  # it may be the ensemble
        fault = members[broken].fault
        return "", f"{broken}: {fault} Correct it, or name the model that callers call in the option model."
    flows = {name for name, member in members.items() if is_ensemble(member.config)}
    free = sorted(flows.difference(*(members[name].steps for name in flows)))
    if len(free) == 1:
        return free[0], ""
    why = (
        f"several ensembles ({listed(free)})"
        if free
        else ("ensembles that call each other" if flows else "no ensemble")
    )
    return "", (
        f"This is a Triton repository with the models {shown}, and {why}: name the model that callers call in the "
        "option model, or choose the folder of one model as the model path."
    )


def loaded(main: str, members: Members) -> list[str]:
    """What must be loaded for `main`, itself first: its steps, or everything when one of those may call any model."""
    names = ensembles.reachable(main, members)
    if all(_calls_nothing(name, members) for name in names):
        return names
    return [*names, *sorted(members.keys() - names)]


def _calls_nothing(name: str, members: Members) -> bool:
    return members[name].backend in CALL_NOTHING


def name_problem(name: str) -> str:
    """Why no model beside others may be called so; "" when it may."""
    if unquoted.PLAIN.fullmatch(name):
        return ""
    return (
        f"The folder {name!r} cannot be loaded beside others: its name has a blank in it, or a character "
        "that the shell reads when Triton starts a model. Rename it."
    )
