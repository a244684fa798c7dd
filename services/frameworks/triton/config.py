"""config.pbtxt as the real ModelConfig protobuf: read it, lay the form's fields over it, write it.

What the form does not set stays as the file has it. What the form's fields may be is in options.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from datasets.inspect.config_pbtxt import config_fields, pbtxt, unquoted
from datasets.inspect.errors import Unreadable
from services.errors import ModelError
from services.frameworks.triton import datatypes
from services.specs import Tensor

ModelConfig = Any
"""tritonclient ships no types: an inference.ModelConfig message."""

MODEL_FILE = "console_model_file"
"""Parameter in which backends/onnxruntime gets the name of the model's file, which may be any."""
TEXT_ID = "console_sequence_id"
"""Parameter in which it gets the name of the input that takes the sequence's id as text."""


def parse(text: str) -> ModelConfig:
    """Raises ModelError with line and column."""
    try:
        return pbtxt.parse(text)
    except Unreadable as error:
        raise ModelError(f"{error}.") from error


def overlay(config: ModelConfig, options: Mapping[str, Any], name: str) -> ModelConfig:
    """A copy of `config` with what `options` (as from parse_config) sets. `name` is always the service's."""
    copy = model_config_pb2.ModelConfig()
    copy.CopyFrom(config)
    copy.name = name
    drop_newer(copy)
    if config_fields.is_own_runtime(copy):
        copy.ClearField("runtime")  # what Triton takes anyway, and our backends have in another form
    if options.get("backend"):
        copy.backend = options["backend"]
        copy.platform = ""
    if "max_batch_size" in options:
        copy.max_batch_size = options["max_batch_size"]
    if "instances" in options:
        set_instances(copy, options["instances"])
    if options.get("dynamic_batching") is not None:
        set_dynamic_batching(copy, options["dynamic_batching"])
    for field in ("input", "output"):
        if options.get(f"{field}s"):
            set_tensors(getattr(copy, field), options[f"{field}s"])
    if bool(config.max_batch_size) != bool(copy.max_batch_size):
        rebatch(copy, [f for f in ("input", "output") if not options.get(f"{f}s")])
    for key, value in options.get("parameters", {}).items():
        copy.parameters[key].string_value = value
    return copy


def drop_newer(config: ModelConfig) -> list[str]:
    """Clear the fields that the bundled Triton (2.51) does not know, for which it refuses the whole file; their names.

    None of them changes what a model answers.
    """
    parts = ((config, "model_metrics"), (config.ensemble_scheduling, "max_inflight_requests"))
    dropped = [(part, name) for part, name in parts if any(name == field.name for field, _ in part.ListFields())]
    for part, name in dropped:
        part.ClearField(name)
    return [name for _, name in dropped]


def set_instances(config: ModelConfig, count: int) -> None:
    """Each instance group gets `count`; a model without groups gets one."""
    if not config.instance_group:
        config.instance_group.add()
    for group in config.instance_group:
        group.count = count


def set_dynamic_batching(config: ModelConfig, options: Mapping[str, Any]) -> None:
    if not options.get("enabled", True):
        config.ClearField("dynamic_batching")
        return
    other = config.WhichOneof("scheduling_choice")
    if other not in (None, "dynamic_batching"):
        raise ModelError(f"config.pbtxt uses {other}, and Triton allows no dynamic batching beside it: switch it off.")
    if config.max_batch_size < 1:
        raise ModelError("Dynamic batching needs a max batch size of at least 1.")
    config.dynamic_batching.SetInParent()
    if "preferred_batch_size" in options:
        del config.dynamic_batching.preferred_batch_size[:]
        config.dynamic_batching.preferred_batch_size.extend(options["preferred_batch_size"])
    if "max_queue_delay_microseconds" in options:
        config.dynamic_batching.max_queue_delay_microseconds = options["max_queue_delay_microseconds"]


def set_tensors(repeated: Any, new_tensors: Sequence[Mapping[str, Any]]) -> None:
    """`new_tensors`, in their order. One that the file has under the same name keeps its other fields."""
    before = {tensor.name: tensor for tensor in repeated}
    after = []
    for tensor in new_tensors:
        entry = type(repeated.add())()
        if tensor["name"] in before:
            entry.CopyFrom(before[tensor["name"]])
        entry.name = tensor["name"]
        entry.data_type = model_config_pb2.DataType.Value(datatypes.TO_CONFIG[tensor["datatype"]])
        if list(entry.dims) != list(tensor["shape"]):
            set_dims(entry, tensor["shape"], batched=False)  # an old reshape was right for the old dims only
        after.append(entry)
    del repeated[:]
    repeated.extend(after)


def rebatch(config: ModelConfig, fields: Sequence[str]) -> None:
    """Keep the shapes of requests when batching is switched on or off: `dims` leave the batch dimension out.

    On: a free first dimension, if all have one, becomes the batch dimension. Off: it becomes a dimension again.
    """
    kept = [tensor for field in fields for tensor in getattr(config, field)]
    if config.max_batch_size and not all(tensor.dims and tensor.dims[0] == -1 for tensor in kept):
        return
    for tensor in kept:
        shape = list(tensor.reshape.shape if tensor.HasField("reshape") else tensor.dims)
        if config.max_batch_size:
            set_dims(tensor, shape[1:], batched=True)
        else:
            set_dims(tensor, [-1, *shape], batched=False)


def set_dims(tensor: Any, shape: Sequence[int], batched: bool) -> None:
    """config.pbtxt cannot say "scalar": that is one element, which a batching model wants reshaped to none."""
    tensor.ClearField("dims")
    tensor.ClearField("reshape")
    tensor.dims.extend(shape or (1,))
    if batched and not shape:
        tensor.reshape.SetInParent()


def complete(config: ModelConfig, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> None:
    """Fill in inputs and outputs that the file leaves out, from the model's own (full shapes, with the batch).

    A size of 0 in an output is no number of config.pbtxt: it is written as free.
    """
    for repeated, tensors in ((config.input, inputs), (config.output, outputs)):
        if len(repeated):
            continue
        for tensor in tensors:
            entry = repeated.add(name=tensor.name)
            entry.data_type = model_config_pb2.DataType.Value(datatypes.TO_CONFIG[tensor.datatype])
            dims = [size or -1 for size in tensor.shape[1 if config.max_batch_size else 0 :]]
            set_dims(entry, dims, bool(config.max_batch_size))


def on_cpu(config: ModelConfig) -> None:
    """Move all instances to the CPU. Unasked, Triton starts two of an ONNX model there: start one, as the form says.

    States of sequences get memory of their own: the memory that grows, and is shared with the output, is that of a GPU.
    """
    for state in config.sequence_batching.state:
        state.ClearField("use_growable_memory")
        state.ClearField("use_same_buffer_for_input_output")
    if not config.instance_group:
        config.instance_group.add(count=1)
    for group in config.instance_group:
        group.kind = group.KIND_CPU
        group.ClearField("gpus")


def check_gpus(config: ModelConfig, count: int) -> None:
    """Raises ModelError when an instance group names a GPU beyond the `count` that a replica has.

    Triton counts those that it sees: whichever GPUs of the node they are, the first is 0.
    """
    beyond = max((index for group in config.instance_group for index in group.gpus if index >= count), default=None)
    if beyond is not None:
        have = "GPU 0 only" if count == 1 else f"GPUs 0 to {count - 1}"
        raise ModelError(
            f"An instance group of config.pbtxt names GPU {beyond}, and a replica with {count} sees {have}: change "
            f"`gpus` there, or ask for {beyond + 1} GPUs."
        )


def backend(config: ModelConfig) -> str:
    return pbtxt.backend(config)


def has_sequences(config: ModelConfig) -> bool:
    """Whether requests belong to sequences that an instance remembers. An iterative one is a single request."""
    return config.HasField("sequence_batching") and not config.sequence_batching.iterative_sequence


def text_ids(config: ModelConfig) -> list[ModelConfig]:
    """The control_input that hand a model the sequence's id as text: Triton's Python backend fails on its padding."""
    return [
        tensor
        for tensor in config.sequence_batching.control_input
        for control in tensor.control
        if control.kind == control.CONTROL_SEQUENCE_CORRID and control.data_type == model_config_pb2.TYPE_STRING
    ]


def tensors(repeated: Any) -> tuple[Tensor, ...]:
    """Shapes as config.pbtxt has them: without the batch dimension when max_batch_size is set."""
    return tuple(
        Tensor(item.name, datatypes.FROM_CONFIG.get(pbtxt.type_name(item), ""), tuple(item.dims)) for item in repeated
    )


def classified(config: ModelConfig) -> tuple[str, ...]:
    """Outputs that Triton can classify. It ends when it tries that with texts, or with an output without elements.

    A free size may be 0 for some request, so such an output is none of them.
    """
    return tuple(
        output.name
        for output, tensor in zip(config.output, tensors(config.output), strict=True)
        if tensor.datatype not in ("", "BYTES") and tensor.shape and min(tensor.shape) > 0
    )


def pass_text_ids(config: ModelConfig) -> None:
    """Have our ONNX backend fill in the sequence's id as text, since Triton cannot hand it over."""
    for tensor in text_ids(config) if backend(config) == "onnxruntime" else ():
        config.parameters[TEXT_ID].string_value = tensor.name
        config.sequence_batching.control_input.remove(tensor)


def harden(config: ModelConfig) -> None:
    """Leave nothing in it that a shell reads when Triton starts the model. Raises ModelError."""
    if backend(config) == "onnxruntime" and config.default_model_filename:
        config.parameters[MODEL_FILE].string_value = config.default_model_filename
        config.ClearField("default_model_filename")
    for group in config.instance_group:
        if not unquoted.PLAIN.fullmatch(group.name):
            group.ClearField("name")  # Triton then names it after the model
    for name in filter(None, (config.name, config.default_model_filename)):
        if not unquoted.PLAIN.fullmatch(name):
            raise ModelError(f"A shell starts the model and reads a character of {name!r}: rename it.")


def write(config: ModelConfig) -> str:
    return str(text_format.MessageToString(config))
