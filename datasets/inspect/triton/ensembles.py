"""Whether an ensemble and the models of its steps fit together, by the rules of Triton's core.

They are those of `ValidateEnsembleSchedulingConfig` (the configuration alone) and `ValidateEnsembleConfig` (with the
models) in https://github.com/triton-inference-server/core.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from datasets.inspect.config_pbtxt import pbtxt
from datasets.inspect.config_pbtxt.rows import listed

PLATFORM: Final = "ensemble"
NOT_OF_ENSEMBLES: Final = ("instance_group", "optimization", "model_warmup")
ANY_SIZE: Final = -1


@dataclass(frozen=True)
class Member:
    """A model of the repository. `config` is None when its config.pbtxt cannot be read."""

    config: Any = None
    backend: str = ""
    """As config.pbtxt names it, or as the name of the model's file tells it."""
    versions: tuple[int, ...] = ()
    """Those that Triton loads; empty when that is not known."""
    fault: str = ""
    """Why its config.pbtxt cannot be read, in a sentence."""

    @cached_property
    def steps(self) -> tuple[str, ...]:
        """Names of the models that it calls, each once."""
        return tuple(steps_of(self.config)) if is_ensemble(self.config) else ()


Members = Mapping[str, Member]


@dataclass(frozen=True)
class _Tensor:
    """A tensor as one model has it."""

    model: str
    datatype: str
    dims: tuple[int, ...]
    batched: bool

    @property
    def shape(self) -> tuple[int, ...]:
        return (ANY_SIZE, *self.dims) if self.batched else self.dims


def is_ensemble(config: Any) -> bool:
    return config is not None and (pbtxt.backend(config) == PLATFORM or config.HasField("ensemble_scheduling"))


def steps_of(config: Any) -> list[str]:
    """Names of the models that it calls, each once."""
    return list(dict.fromkeys(str(step.model_name) for step in config.ensemble_scheduling.step))


def problems(config: Any, members: Members | None = None, name: str = "") -> list[str]:
    """`members`: the models of its repository, None when that is not known; `name`: its own there."""
    sentences = [*_own_problems(config), *_flow_problems(config)]
    if members is not None:
        sentences += _step_problems(config, members)
        sentences += _cycle_problems(config, members, name)
        if not sentences:
            sentences += _decoupled_problems(config, members)
    return sentences


def is_decoupled(config: Any, members: Members) -> bool:
    """Whether Triton makes it decoupled: one of its steps is."""
    return not _decoupled_models(members).isdisjoint(steps_of(config))


def reachable(name: str, members: Members) -> list[str]:
    """The models that requests to `name` reach through steps of ensembles, itself first."""
    return _follow([name], {one: member.steps for one, member in members.items()})


def _follow(names: Iterable[str], arrows: Mapping[str, Iterable[str]]) -> list[str]:
    """These of the keys of `arrows`, and all to which arrows lead from them."""
    reached = {name: None for name in names if name in arrows}
    waiting = list(reached)
    while waiting:
        new = [name for name in arrows[waiting.pop()] if name in arrows and name not in reached]
        reached |= dict.fromkeys(new)
        waiting += new
    return list(reached)


def _own_problems(config: Any) -> Iterator[str]:
    if config.platform != PLATFORM or config.backend:
        yield 'An ensemble needs platform: "ensemble" and no backend in config.pbtxt.'
    for field in NOT_OF_ENSEMBLES:
        if any(descriptor.name == field for descriptor, _ in config.ListFields()):
            yield f"An ensemble has no {field}: leave it out of config.pbtxt."
    if not config.ensemble_scheduling.step:
        yield "config.pbtxt is of an ensemble and names no steps: add ensemble_scheduling { step […] }."
    written = _names(config.input)  # Triton takes a step that writes one of these, and never answers
    for label, step in _steps(config):
        for field in ("model_name", "input_map", "output_map"):
            if not getattr(step, field):
                yield f"{label} lacks {field}."
        for tensor in sorted({*step.output_map.values()} & written):
            yield f"{label} writes the tensor {tensor!r}, which the ensemble has already: give it another name."
        written |= {*step.output_map.values()}


def _flow_problems(config: Any) -> Iterator[str]:
    """Whether every tensor comes from somewhere, and goes somewhere."""
    steps = config.ensemble_scheduling.step
    inputs, outputs = _names(config.input), _names(config.output)
    read = {tensor for step in steps for tensor in step.input_map.values()}
    written = {tensor for step in steps for tensor in step.output_map.values()}
    if not steps:
        return
    for tensor in sorted(inputs - read):
        yield f"No step of the ensemble reads its input {tensor!r}: leave it out, or map it."
    for tensor in sorted(outputs - written - (inputs & read)):
        yield f"No step of the ensemble writes its output {tensor!r}: leave it out, or map it."
    for tensor in sorted(read - written - inputs):
        yield f"A step of the ensemble reads the tensor {tensor!r}, which is no input of it, and which no step writes."
    for tensor in sorted(written - read - outputs):
        yield f"The tensor {tensor!r} of the ensemble is written and not read: take it out of the output_map."
    stuck = {tensor for step in _never_run(config) for tensor in step.output_map.values()}
    if stuck and not read - written - inputs:
        yield f"Steps of the ensemble wait for each other: those that write {', '.join(sorted(stuck))}."


def _never_run(config: Any) -> list[Any]:
    """Steps whose inputs are never complete."""
    run = {label for label, _ in _in_order(config)}
    return [step for label, step in _steps(config) if label not in run]


def _in_order(config: Any) -> Iterator[tuple[str, Any]]:
    """Each step after those whose tensors it reads; those that wait for each other do not come."""
    steps, inputs = _steps(config), _names(config.input)
    missing = [{*step.input_map.values()} - inputs for _, step in steps]
    readers: dict[str, list[int]] = defaultdict(list)
    for index, tensors in enumerate(missing):
        for tensor in tensors:
            readers[tensor].append(index)
    ready = deque(index for index, tensors in enumerate(missing) if not tensors)
    while ready:
        label, step = steps[ready.popleft()]
        yield label, step
        for tensor in step.output_map.values():
            for reader in readers.pop(tensor, ()):
                missing[reader].discard(tensor)
                if not missing[reader]:
                    ready.append(reader)


def _step_problems(config: Any, members: Members) -> Iterator[str]:
    tensors = {
        tensor.name: _Tensor("the ensemble", pbtxt.type_name(tensor), tuple(pbtxt.dims_of(tensor)), _batches(config))
        for tensor in (*config.input, *config.output)
    }
    for label, step in _steps(config):
        name = str(step.model_name)
        if name and name not in members:
            beside = listed(sorted(members))
            yield f"{label} names the model {name!r}, which is not beside it (there is {beside})."
        if name not in members:
            continue
        yield from _version_problems(label, step, members[name])
        model = members[name].config
        if model is None:
            continue
        if 0 < model.max_batch_size < config.max_batch_size:
            yield (
                f"The ensemble takes batches of up to {config.max_batch_size}, and its step {name} of up to "
                f"{model.max_batch_size}: lower max_batch_size of the ensemble, or raise that of {name}."
            )
        yield from _mapping_problems(label, step, model)
        yield from _tensor_problems(step, model, tensors)


def _version_problems(label: str, step: Any, member: Member) -> Iterator[str]:
    if step.model_version < 0 or not member.versions or step.model_version in member.versions:
        return
    if step.model_version == 0:
        yield f"{label} names no version, which Triton takes for version 0: write model_version: -1 for the newest."
    else:
        loaded = ", ".join(map(str, member.versions))
        yield f"{label} asks for version {step.model_version} of {step.model_name}, of which is loaded: {loaded}."


def _mapping_problems(label: str, step: Any, model: Any) -> Iterator[str]:
    """A model that lists none of its tensors says them when it is loaded."""
    for kind, mapped, tensors in (("input", step.input_map, model.input), ("output", step.output_map, model.output)):
        for key in sorted({*mapped} - _names(tensors)) if tensors else ():
            yield f"{label} maps the {kind} {key!r}, which {step.model_name} does not have."
    for tensor in model.input:
        if tensor.name not in step.input_map and not tensor.optional:
            yield (
                f"{label} leaves out the input {tensor.name!r} of {step.model_name}: map it, or write optional: true "
                f"in the config.pbtxt of {step.model_name}."
            )


def _tensor_problems(step: Any, model: Any, tensors: dict[str, _Tensor]) -> Iterator[str]:
    """Whether the models agree on the tensors that they exchange; adds those that are new to `tensors`."""
    for mapped, configured in ((step.input_map, model.input), (step.output_map, model.output)):
        for tensor in configured:
            if tensor.name not in mapped:
                continue
            name = str(mapped[tensor.name])
            here = _Tensor(step.model_name, pbtxt.type_name(tensor), tuple(tensor.dims), _batches(model))
            other = tensors.setdefault(name, here)
            where = f"in {other.model} and {{}} in {here.model}"
            if other.datatype != here.datatype:
                yield f"The tensor {name!r} is {other.datatype} {where.format(here.datatype)}: they must agree."
            elif not _agree(other.dims, here.dims) and not _agree(other.shape, here.shape):
                yield f"The tensor {name!r} is {_list(other)} {where.format(_list(here))}: they must agree."


def _agree(one: Sequence[int], other: Sequence[int]) -> bool:
    return len(one) == len(other) and all(a == b or ANY_SIZE in (a, b) for a, b in zip(one, other, strict=True))


def _list(tensor: _Tensor) -> str:
    return f"[{', '.join(map(str, tensor.shape))}]"


def _cycle_problems(config: Any, members: Members, name: str) -> Iterator[str]:
    circle = {*_follow([name], _callers(members))}  # whatever leads to it
    for step in steps_of(config):
        if step in circle:
            through = "" if step == name else f" through its step {step}"
            yield f"The ensemble {name} calls itself{through}: Triton allows no circle."


def _decoupled_problems(config: Any, members: Members) -> Iterator[str]:
    """Tensors of different decoupled models may not meet: nobody could say which responses belong together."""
    streams, count = dict.fromkeys(_names(config.input), 0), 0
    decoupled = _decoupled_models(members)
    for label, step in _in_order(config):
        origins = {streams[tensor] for tensor in step.input_map.values()}
        if len(origins) > 1:
            yield f"{label} reads tensors that come from different decoupled models, which Triton does not allow."
        stream = max(origins)
        if step.model_name in decoupled:
            stream = count = count + 1
        streams |= dict.fromkeys(step.output_map.values(), stream)
    if len({streams[name] for name in _names(config.output) if name in streams}) > 1:
        yield "The outputs of the ensemble come from different decoupled models, which Triton does not allow."


def _decoupled_models(members: Members) -> set[str]:
    """Models that are so themselves, and ensembles that call them."""
    own = [
        name
        for name, member in members.items()
        if member.config is not None
        and not is_ensemble(member.config)
        and member.config.model_transaction_policy.decoupled
    ]
    return {*_follow(own, _callers(members))}


def _callers(members: Members) -> dict[str, list[str]]:
    """Model -> ensembles that have it as a step."""
    callers: dict[str, list[str]] = {name: [] for name in members}
    for name, member in members.items():
        for step in member.steps:
            if step in callers:
                callers[step].append(name)
    return callers


def _steps(config: Any) -> list[tuple[str, Any]]:
    return [(f"Step {index} of the ensemble", step) for index, step in enumerate(config.ensemble_scheduling.step, 1)]


def _names(tensors: Any) -> set[str]:
    return {str(tensor.name) for tensor in tensors}


def _batches(config: Any) -> bool:
    return bool(config.max_batch_size > 0)
