"""What Triton refuses in a config.pbtxt when it loads the model, said before that. Pure.

The rules are those of ValidateModelConfig and its siblings in Triton's core (src/model_config_utils.cc), which hold for
every backend. What an ensemble or an ONNX graph asks for besides is elsewhere (triton/ensembles.py, triton/compare.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Final

from tritonclient.grpc import model_config_pb2

from datasets.inspect.config_pbtxt import pbtxt

FREE: Final = -1
IMAGES: Final = ("FORMAT_NHWC", "FORMAT_NCHW")
CORRELATION: Final = "CONTROL_SEQUENCE_CORRID"
ID_TYPES: Final = ("TYPE_UINT64", "TYPE_INT64", "TYPE_UINT32", "TYPE_INT32", "TYPE_STRING")
PAIRS: Final = ("int32_false_true", "fp32_false_true", "bool_false_true")
BACKENDS: Final = ("onnxruntime", "python", "pytorch", "tensorrt", "tensorflow", "openvino", "tensorrtllm", "vllm")
"""Names that people write as a platform."""
PAIRED: Final = ("onnxruntime", "pytorch", "tensorrt", "tensorflow")
"""Backends that no platform of another backend may stand beside."""
COUNT_TYPES: Final = ("TYPE_INT32", "TYPE_FP32")


def problems(config: pbtxt.ModelConfig) -> list[str]:
    """One sentence for each rule that is broken, with what to do."""
    rules = (_platform, _batch_size, _tensors, _batch_tensors, _dynamic_batching, _sequences, _cache, _instances)
    return list(dict.fromkeys(sentence for rule in rules for sentence in rule(config)))


def _platform(config: Any) -> Iterator[str]:
    platform, backend = str(config.platform), str(config.backend)
    if platform and not backend and platform not in pbtxt.PLATFORMS:
        listed = ", ".join(pbtxt.PLATFORMS)
        hint = f'write backend: "{platform}" instead' if platform in BACKENDS else f"write one of {listed}"
        yield f"config.pbtxt has the platform {platform!r}, which Triton does not know: {hint}."
    elif platform and backend in PAIRED and pbtxt.PLATFORMS.get(platform) != backend:
        yield f"The platform {platform} is not one of the backend {backend}: leave platform out."


def _batch_size(config: Any) -> Iterator[str]:
    if config.max_batch_size < 0:
        yield f"max_batch_size is {config.max_batch_size}: write 0 for a model without batches, or more."


def _tensors(config: Any) -> Iterator[str]:
    is_tensorrt = pbtxt.backend(config) in {"", "tensorrt"}
    for kind, tensors in (("input", config.input), ("output", config.output)):
        names = Counter(str(tensor.name) for tensor in tensors)
        yield from (f"The {kind} {name} is listed twice: list it once." for name in names if names[name] > 1)
        for index, tensor in enumerate(tensors, start=1):
            if not tensor.name:
                yield f"{kind.capitalize()} {index} has no name: write the name that the model gives it."
                continue
            label = f"{kind.capitalize()} {tensor.name}"
            yield from _shape(label, tensor, int(config.max_batch_size))
            if kind == "input" and _format_of(tensor) in IMAGES and len(tensor.dims) != 3:
                yield f"{label} has the format {_format_of(tensor)}, which needs three dims: leave the format out."
            for name in ("is_shape_tensor", "is_non_linear_format_io"):
                if getattr(tensor, name) and not is_tensorrt:
                    yield f"{label} sets {name}, which only TensorRT models have: leave it out."


def _format_of(tensor: Any) -> str:
    return pbtxt.enum_name(model_config_pb2.ModelInput.Format, tensor.format)


def _shape(label: str, tensor: Any, batch: int) -> Iterator[str]:
    dims, shape = list(tensor.dims), list(tensor.reshape.shape)
    if not tensor.data_type:
        yield f"{label} has no data_type: write one, such as data_type: TYPE_FP32."
    elif tensor.data_type not in model_config_pb2.DataType.values():
        yield f"{label} has the data_type {tensor.data_type}, which Triton does not know: write one such as TYPE_FP32."
    if not dims:
        yield f"{label} has no dims: write them, such as dims: [ -1 ]. One value has dims: [ 1 ]."
    elif any(size < 1 and size != FREE for size in dims):
        yield f"{label} has dims {dims}: a size is at least 1, or -1 for any."
    elif not tensor.HasField("reshape"):
        return
    elif any(size < 1 and size != FREE for size in shape):
        yield f"{label} is reshaped to {shape}: a size is at least 1, or -1 for any."
    elif not shape and not batch:
        yield f"{label} is reshaped to no dimensions, which needs batches: set max_batch_size, or leave reshape out."
    elif _elements(dims) != _elements(shape):
        yield (
            f"{label} is reshaped from {dims} to {shape}, which hold different numbers of values: correct one of them."
        )


def _elements(sizes: Sequence[int]) -> list[int]:
    """Numbers of values between the free sizes, which a reshape keeps."""
    counts = [1]
    for size in sizes:
        if size == FREE:
            counts.append(1)
        else:
            counts[-1] *= size
    return counts


def _batch_tensors(config: Any) -> Iterator[str]:
    inputs, outputs = {str(one.name) for one in config.input}, {str(one.name) for one in config.output}
    for kind, tensors in (("batch_input", config.batch_input), ("batch_output", config.batch_output)):
        for tensor in tensors:
            label = f"{kind} {', '.join(tensor.target_name) or '(without target_name)'}"
            if len(tensor.source_input) != 1:
                yield f"{label} names {len(tensor.source_input)} source inputs: name one."
            for name in tensor.source_input:
                if inputs and name not in inputs:
                    yield f"{label} names the source input {name}, which the model does not have: correct the name."
            names = list(map(str, tensor.target_name))
            if not names or len(names) != len(set(names)):
                yield f"{label} must name each target_name once: correct it."
            if kind == "batch_input" and pbtxt.type_name(tensor) not in COUNT_TYPES:
                yield f"{label} has the data_type {pbtxt.type_name(tensor)}: write TYPE_INT32 or TYPE_FP32."
            for name in tensor.target_name if kind == "batch_output" else ():
                if outputs and name not in outputs:
                    yield f"{label} names an output that the model does not have: correct the name."


def _dynamic_batching(config: Any) -> Iterator[str]:
    if not config.HasField("dynamic_batching"):
        return
    batching = config.dynamic_batching
    yield from _preferred(batching.preferred_batch_size, config.max_batch_size)
    levels, default = int(batching.priority_levels), int(batching.default_priority_level)
    if levels and not 1 <= default <= levels:
        yield f"default_priority_level is {default}: with {levels} priority_levels, write 1 to {levels}."
    for level in sorted(batching.priority_queue_policy) if levels else ():
        if not 1 <= level <= levels:
            yield f"priority_queue_policy names the level {level}: with {levels} priority_levels, write 1 to {levels}."
    if not batching.preserve_ordering:
        return
    if levels > 1:
        yield "preserve_ordering allows one priority level only: leave it out, or write priority_levels: 1."
    policies = [batching.default_queue_policy, *batching.priority_queue_policy.values()]
    if any(policy.default_timeout_microseconds and policy.timeout_action == policy.DELAY for policy in policies):
        yield "preserve_ordering allows no timeout_action DELAY: write REJECT, or leave preserve_ordering out."


def _preferred(sizes: Sequence[int], limit: int) -> Iterator[str]:
    if any(size < 1 for size in sizes):
        yield f"A preferred batch size is {min(sizes)}: write at least 1."
    elif any(size > limit for size in sizes):
        yield f"A preferred batch size is above the max batch size of {limit}."


def _sequences(config: Any) -> Iterator[str]:
    if not config.HasField("sequence_batching"):
        return
    batching = config.sequence_batching
    seen: set[str] = set()
    kinds: set[str] = set()
    for tensor in batching.control_input:
        if not tensor.name:
            yield "A control_input has no name: write the name that the model gives it."
        elif tensor.name in seen:
            yield f"The control_input {tensor.name} is listed twice: give each control a tensor of its own."
        seen.add(str(tensor.name))
        for control in tensor.control:
            kind = pbtxt.enum_name(model_config_pb2.ModelSequenceBatching.Control.Kind, control.kind)
            if kind in kinds:
                yield f"Two control inputs have the kind {kind}: keep one."
            kinds.add(kind)
            yield from _control(str(tensor.name), kind, control)
    yield from _preferred(batching.oldest.preferred_batch_size, config.max_batch_size)
    if not 0 <= batching.direct.minimum_slot_utilization <= 1:
        yield "minimum_slot_utilization must lie between 0 and 1: correct it."
    for state in batching.state:
        if len(state.initial_state) > 1:
            yield f"The state {state.input_name} has {len(state.initial_state)} initial states: keep one."


def _control(name: str, kind: str, control: Any) -> Iterator[str]:
    pairs = [pair for pair in PAIRS if len(getattr(control, pair))]
    if kind == CORRELATION:
        type_name = pbtxt.type_name(control)
        if pairs:
            yield f"The control_input {name} is a correlation id and has no {pairs[0]}: leave that out."
        if type_name not in ID_TYPES:
            yield f"The control_input {name} has the data_type {type_name}: write one of {', '.join(ID_TYPES)}."
    elif len(pairs) != 1:
        yield f"The control_input {name} has {len(pairs)} pairs of values: write one of {', '.join(PAIRS)}."
    elif len(getattr(control, pairs[0])) != 2:
        yield f"The control_input {name} needs two values in {pairs[0]}: that of false and that of true."


def _cache(config: Any) -> Iterator[str]:
    if not config.response_cache.enable:
        return
    if config.HasField("sequence_batching"):
        yield "response_cache cannot be enabled for a model with sequences: leave it out."
    if config.model_transaction_policy.decoupled:
        yield "response_cache cannot be enabled for a decoupled model: leave it out."


def _instances(config: Any) -> Iterator[str]:
    if config.instance_group and all(group.passive for group in config.instance_group):
        yield "Every instance_group is passive, so that none answers: leave passive out of one."
    for group in config.instance_group:
        kind = pbtxt.enum_name(model_config_pb2.ModelInstanceGroup.Kind, group.kind)
        if group.profile and pbtxt.backend(config) not in {"", "tensorrt"}:
            yield "An instance_group names a profile, which only TensorRT models have: leave it out."
        if group.gpus and kind in {"KIND_CPU", "KIND_MODEL"}:
            yield f"An instance_group of {kind} names gpus: leave them out, or write KIND_GPU."


def notes(config: pbtxt.ModelConfig) -> list[str]:
    """What Triton takes and does nothing with, as services start it."""
    lines = []
    if config.HasField("dynamic_batching") and not config.max_batch_size:
        lines.append("Dynamic batching forms no batches while max_batch_size is 0: set it to form some.")
    if config.response_cache.enable:
        lines.append("response_cache is ignored: a service keeps no answers.")
    if any(group.HasField("rate_limiter") for group in config.instance_group):
        lines.append("rate_limiter is ignored: services start Triton without --rate-limit.")
    if any(group.host_policy for group in config.instance_group):
        lines.append("host_policy is ignored: services start Triton without --host-policy.")
    if pbtxt.backend(config) == "python" and (config.batch_input or config.batch_output):
        lines.append("batch_input and batch_output are ignored: the Python backend has none.")
    if pbtxt.backend(config) == "onnxruntime" and config.optimization.HasField("execution_accelerators"):
        lines.append("execution_accelerators are ignored by the bundled runtime: it has none for ONNX.")
    return lines
