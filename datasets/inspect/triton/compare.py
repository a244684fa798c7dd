"""config.pbtxt beside the model that it describes, tensor by tensor. Pure.

The rules are those of Triton's own onnxruntime backend when it loads a model (src/onnxruntime.cc): every input filled,
by callers or by Triton; datatypes equal; dims equal, except where those of an input are free; with batching, a free
first axis. The bundled runtime for CPUs forgives some of them, and then the verdict is "differs" and not "wrong".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from datasets.inspect.config_pbtxt import pbtxt, roles
from datasets.inspect.config_pbtxt.rows import DIFFERS, LEFT_OUT, NOTHING, SAME, WRONG, config_text, listed, text_of
from datasets.inspect.formats.onnx import Graph, Value
from datasets.inspect.report import Difference
from datasets.inspect.triton import compare_filled

NOT_CAST: Final = frozenset({"TYPE_STRING", "TYPE_BF16", "TYPE_INVALID"})
"""Datatypes that the bundled runtime makes no others of."""
REFUSES: Final = "Triton's own ONNX Runtime backend refuses"


def compare(config: pbtxt.ModelConfig | None, graph: Graph) -> tuple[Difference, ...]:
    """One row a tensor, of the file and of the model, and one of batching. `config`: None without a file."""
    of_file = config if config is not None else pbtxt.parse("")
    rows = [
        _batching(config, of_file, graph),
        *_inputs(of_file, graph),
        *_outputs(of_file, graph),
        *compare_filled.unknown(of_file, graph),
    ]
    if not any(row.verdict == WRONG for row in rows):
        rows += _count(of_file, graph)
    return tuple(rows)


def _batching(shown: Any, config: Any, graph: Graph) -> Difference:
    batch = config.max_batch_size
    fixed = [value.name for value in _with_batch(config, graph) if not is_batched(value)]
    model = f"fixed first axis in {', '.join(fixed[:3])}" if fixed else "free first axis everywhere"
    written = f"max_batch_size: {batch}" if shown is not None else NOTHING
    if batch > 0 and fixed:
        text = f"The model takes no batches: the first axis of {fixed[0]} is fixed. Set max_batch_size to 0."
        if roles.completes(config) and any(map(is_batched, graph.outputs)):
            text += " Or name the inputs and outputs to serve: Triton looks at all of them where config.pbtxt has none."
        return Difference("batching", written, model, WRONG, text)
    if batch == 0 and pbtxt.batches(graph):
        text = "The model takes batches, and Triton is not told to make any: set max_batch_size to make it faster."
        return Difference("batching", written, model, LEFT_OUT, text)
    return Difference("batching", written, model, SAME)


def _with_batch(config: Any, graph: Graph) -> list[Value]:
    """The tensors whose first axis Triton takes for the batch: ModelState::AutoCompleteMaxBatch, or of those that
    config.pbtxt names the ones that CompareDimsSupported gets."""
    if roles.completes(config) or not config.max_batch_size:
        return [*graph.inputs, *graph.outputs]
    inputs = {tensor.name for tensor in config.input if not tensor.allow_ragged_batch}
    scattered = {name for one in config.batch_output for name in one.target_name}
    outputs = {tensor.name for tensor in config.output} - scattered
    return [
        *(value for value in graph.inputs if value.name in inputs and value.sizes),
        *(value for value in graph.outputs if value.name in outputs and value.sizes),
    ]


def is_batched(value: Value) -> bool:
    return bool(value.sizes) and value.sizes is not None and value.sizes[0] == -1


def _inputs(config: Any, graph: Graph) -> Iterator[Difference]:
    """ModelInstanceState::ValidateInputs."""
    configured = {tensor.name: tensor for tensor in config.input}
    filled = {one.name: one for one in roles.filled(config)}
    names = {value.name for value in graph.inputs}
    misnamed = next((name for name in filled if name not in names), "")
    for value in graph.inputs:
        what, model = f"input {value.name}", text_of(value)
        tensor, role = configured.get(value.name), filled.get(value.name)
        if tensor is not None:
            yield _required(what, tensor, value, config.max_batch_size, role)
        elif role is not None:
            yield compare_filled.input_row(role, value, config)
        elif configured or config.batch_input:
            hint = f"correct the name {misnamed}, or add it to input" if misnamed else "add it"
            text = f"config.pbtxt leaves it out, and the model needs it: {hint}."
            yield Difference(what, NOTHING, model, WRONG, text)
        else:
            yield _completed(what, model, "input", filled)
    for value in graph.defaults:
        if value.name in configured:
            yield _default(configured[value.name], value, config.max_batch_size)
    present = {value.name for value in (*graph.inputs, *graph.defaults)}
    yield from _unknown("input", config, present, [value.name for value in graph.inputs])


def _required(what: str, tensor: Any, value: Value, batch: int, role: roles.Filled | None) -> Difference:
    written, model = config_text(tensor, batch), text_of(value)
    if role is not None:
        text = f"Triton fills it itself, as a {role.role}: take it out of input."
        return Difference(what, written, model, WRONG, text)
    if tensor.optional:
        text = "config.pbtxt calls it optional, and the model has no value for it: leave optional out."
        return Difference(what, written, model, WRONG, text)
    if tensor.allow_ragged_batch and value.sizes not in (None, (-1,)):
        text = (
            f"The model has {model}, and Triton hands a ragged input over in one free axis: leave allow_ragged_batch "
            "out, or export the model so."
        )
        return Difference(what, written, model, WRONG, text)
    return _tensor(what, tensor, value, batch, ragged=tensor.allow_ragged_batch)


def _default(tensor: Any, value: Value, batch: int) -> Difference:
    """An input with a value in the model: it is not counted, so config.pbtxt must call it optional."""
    what, written, model = f"input {value.name}", config_text(tensor, batch), f"{text_of(value)} with a value"
    if not tensor.optional:
        text = "The model has a value for it, so Triton does not count it: write optional: true, or leave it out."
        return Difference(what, written, model, WRONG, text)
    if batch or tensor.allow_ragged_batch:
        text = f"{REFUSES} optional inputs with batching: leave it out, or set max_batch_size to 0."
        return Difference(what, written, model, WRONG, text)
    return _tensor(what, tensor, value, batch)


def _outputs(config: Any, graph: Graph) -> Iterator[Difference]:
    """ModelInstanceState::ValidateOutputs: only what config.pbtxt names counts."""
    configured = {tensor.name: tensor for tensor in config.output}
    scattered = {name for one in config.batch_output for name in one.target_name}
    states = roles.state_outputs(config)
    for value in graph.outputs:
        what, model = f"output {value.name}", text_of(value)
        if value.name in states:
            yield compare_filled.output_row(states[value.name], value)
        if value.name in configured:
            tensor = configured[value.name]
            yield _tensor(what, tensor, value, config.max_batch_size, output=True, ragged=value.name in scattered)
        elif value.kind != "tensor":
            text = f"{REFUSES} a model with {model}, named or not: export the model with tensors only."
            yield Difference(what, NOTHING, model, DIFFERS if configured else WRONG, text)
        elif configured and value.name not in states:
            text = "config.pbtxt leaves this output out: nobody can ask for it."
            yield Difference(what, NOTHING, model, LEFT_OUT, text)
        elif not configured:
            yield _completed(what, model, "output", {})
    present = {value.name for value in graph.outputs}
    yield from _unknown("output", config, present, [value.name for value in graph.outputs])


def _completed(what: str, model: str, kind: str, filled: dict[str, roles.Filled]) -> Difference:
    text = f"config.pbtxt names no {kind}s: they are taken from the model."
    if not filled:
        return Difference(what, NOTHING, model, LEFT_OUT, text)
    name = next(iter(filled))
    text += f" {REFUSES} that, since it takes {name} for an input of callers too: name the inputs."
    return Difference(what, NOTHING, model, DIFFERS, text)


def _unknown(kind: str, config: Any, present: set[str], names: Sequence[str]) -> Iterator[Difference]:
    for tensor in getattr(config, kind):
        if tensor.name not in present:
            text = f"The model has no {kind} named {tensor.name}; it has {listed(names)}. Correct the name."
            yield Difference(f"{kind} {tensor.name}", config_text(tensor, config.max_batch_size), NOTHING, WRONG, text)


def _tensor(
    what: str, tensor: Any, value: Value, batch: int, *, output: bool = False, ragged: bool = False
) -> Difference:
    """`ragged`: the dims are not those of the model."""
    written, model, loose = config_text(tensor, batch), text_of(value), DIFFERS if output else WRONG
    type_name = pbtxt.TYPES.get(value.element, "") if value.kind == "tensor" else ""
    if not type_name:
        text = f"The model has {model}, which Triton cannot carry: leave it out, or export the model without it."
        return Difference(what, written, model, WRONG, text)
    if type_name != pbtxt.type_name(tensor):
        verdict = WRONG if NOT_CAST & {type_name, pbtxt.type_name(tensor)} else loose
        return Difference(what, written, model, verdict, f"The model has {type_name}: write data_type: {type_name}.")
    if value.sizes is None:
        return Difference(what, written, model, DIFFERS, "The model does not say its shape, so it is not compared.")
    if 0 in value.sizes:
        text = "The model fixes a size of 0 in it, so it holds no data: export the model with a free (dynamic) size."
        return Difference(what, written, model, loose, text)
    if ragged:
        return Difference(what, written, model, SAME)
    if batch and value.sizes and not is_batched(value):
        return Difference(what, written, model, WRONG)  # what is wrong is said of batching
    return _dims(what, tensor, value, batch, output=output)


def _dims(what: str, tensor: Any, value: Value, batch: int, *, output: bool) -> Difference:
    """CompareDimsSupported: free sizes of an input take any number, those of an output must be free there as well."""
    written, model, sizes = config_text(tensor, batch), text_of(value), list(value.sizes or ())
    own, dims = sizes[1 if batch else 0 :], pbtxt.dims_of(tensor)
    shown = own or [1]
    if pbtxt.fits(dims, own, scalar=not sizes, exact=output):
        return Difference(what, written, model, SAME)
    if pbtxt.fits(dims, own, scalar=not sizes):
        text = f"{REFUSES} a size of an output that is fixed here and free in the model: write dims: {shown}."
        return Difference(what, written, model, DIFFERS, text)
    if len(dims) == len(own) and all(one == other or -1 in (one, other) for one, other in zip(dims, own, strict=True)):
        text = f"A size is free in config.pbtxt and fixed in the model: write dims: {shown}."
        return Difference(what, written, model, DIFFERS, text)
    hint = ""
    if batch and not own:
        hint = " Add reshape { shape: [] }: the model has the batch only."
    elif batch and dims == sizes:
        hint = " With max_batch_size set, dims leave the batch out."
    elif not batch and [-1, *dims] == sizes:
        hint = " Without max_batch_size, dims have the batch as well; or set max_batch_size."
    return Difference(what, written, model, WRONG, f"The model has {shown}: write dims: {shown}.{hint}")


def _count(config: Any, graph: Graph) -> Iterator[Difference]:
    """`expected_input_cnt` in onnxruntime.cc: each tensor is right by itself, and one counts twice or not at all."""
    if not config.input:
        return
    filled = [one for one in roles.filled(config) if one.role != roles.BATCH_INPUT]
    count = sum(not tensor.optional for tensor in config.input) + len(config.batch_input) + len(filled)
    if count != len(graph.inputs):
        text = (
            "Triton counts every input that is not optional, every batch_input, every kind of control and every state "
            "as one input of the model: name each once, and give each batch_input one target_name."
        )
        yield Difference("inputs", str(count), str(len(graph.inputs)), WRONG, text)


def problems(rows: Sequence[Difference]) -> list[str]:
    """What stops a model with these rows from being served."""
    return [f"{row.what[:1].upper()}{row.what[1:]}: {row.said}" for row in rows if row.verdict == WRONG and row.said]


def notes(rows: Sequence[Difference]) -> list[str]:
    """What does not, and should be put right all the same."""
    return [f"{row.what[:1].upper()}{row.what[1:]}: {row.said}" for row in rows if row.verdict == DIFFERS and row.said]
