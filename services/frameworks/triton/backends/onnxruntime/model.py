"""A Python-based Triton backend that serves ONNX files with the onnxruntime package.

Installed as `<backend directory>/onnxruntime/model.py`, so that models with `platform: "onnxruntime_onnx"` or
`backend: "onnxruntime"` load as they do on a GPU server. Runs inside Triton's Python stub, where nothing of ours can be
imported. Each request runs by itself, as a batch of one request does in Triton's own backend (src/onnxruntime.cc there).
"""

import json
import os
from collections import OrderedDict

import numpy as np
import onnxruntime
import triton_python_backend_utils as pb_utils
from onnxruntime.capi import onnxruntime_pybind11_state as native

DEFAULT_FILE = "model.onnx"
MODEL_FILE = "console_model_file"  # the parameter that the launch writes for default_model_filename
TEXT_ID = "console_sequence_id"  # and the one for the input that takes the sequence's id as text
BF16 = "tensor(bfloat16)"
TEXT = "tensor(string)"
START, END = 1, 2
LEVELS = {
    -1: onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    1: onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    2: onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL,
}


class TritonPythonModel:
    def initialize(self, args):
        config = json.loads(args["model_config"])
        path = graph_file(args, config)
        self.session = onnxruntime.InferenceSession(path, session_options(config, args), providers=providers(args))
        present = (*self.session.get_inputs(), *self.session.get_overridable_initializers())
        self.inputs = {value.name: value.type for value in present}
        wide = {value["name"] for value in config["input"] if any(size != 1 for size in dims_of(value))}
        # onnxruntime says the same of a scalar and of an input whose file gives no shape.
        self.scalars = {value.name for value in present if value.shape == [] and value.name not in wide}
        self.types = {value.name: value.type for value in self.session.get_outputs()}
        self.has_bf16 = BF16 in {*self.inputs.values(), *self.types.values()}
        self.outputs = {output["name"]: output for output in config["output"]}
        self.ragged = {value["name"] for value in config["input"] if value.get("allow_ragged_batch")}
        self.batch_inputs = config.get("batch_input") or []
        self.scattered = {output["target_name"][0]: output for output in config.get("batch_output") or []}
        self.decoupled = bool((config.get("model_transaction_policy") or {}).get("decoupled"))
        self.batched = int(config.get("max_batch_size") or 0) > 0
        self.states = States(config)
        self.text_id = config.get("parameters", {}).get(TEXT_ID, {}).get("string_value")
        check_names("input", [value["name"] for value in config["input"]], self.inputs)
        check_names("output", self.outputs, self.types)

    def execute(self, requests):
        # One failing request must not fail the others of its batch.
        responses = [self.answer(request) for request in requests]
        if not self.decoupled:
            return responses
        for request, response in zip(requests, responses):  # a decoupled model sends what it has, here always one
            sender = request.get_response_sender()
            sender.send(response, flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)

    def answer(self, request):
        try:
            requested = set(request.requested_output_names())  # Triton has no order for them: config.pbtxt has
            names = [name for name in self.outputs if name in requested]
            kept = [name for name in self.states.outputs if name not in names]
            feed = self.feed(request)
            values = dict(zip([*names, *kept], self.run([*names, *kept], feed)))
            self.states.keep(request, values)
            tensors = [self.tensor(name, values[name], request) for name in names]
        except Exception as error:  # the stub would turn it into one opaque failure for the whole batch
            return pb_utils.InferenceResponse(output_tensors=[], error=pb_utils.TritonError(f"onnxruntime: {error}"))
        return pb_utils.InferenceResponse(tensors)

    def run(self, names, feed):
        """numpy has no bfloat16: a model with one is fed and read as onnxruntime's own values."""
        if not self.has_bf16:
            return self.session.run(names, feed)
        values = {
            name: value if isinstance(value, onnxruntime.OrtValue) else onnxruntime.OrtValue.ortvalue_from_numpy(value)
            for name, value in feed.items()
        }
        results = self.session.run_with_ort_values(names, values)
        return [value if self.types[name] == BF16 else value.numpy() for name, value in zip(names, results)]

    def feed(self, request):
        """The graph's inputs by name. One that the request leaves out is left to the graph's own default."""
        feed, shapes = {}, {}
        for tensor in request.inputs():
            name = tensor.name()
            if name not in self.inputs:
                continue
            shapes[name] = tuple(tensor.shape())
            feed[name] = self.value(name, tensor)
        for batch_input in self.batch_inputs:
            value = batch_value(batch_input, shapes[batch_input["source_input"][0]])
            feed.update(dict.fromkeys(batch_input["target_name"], value))
        if self.text_id and self.text_id not in feed:
            feed[self.text_id] = self.id_of(request)
        feed.update(self.states.before(request, feed))
        return feed

    def id_of(self, request):
        """In the shape of a control. Triton's own backend refuses a number too."""
        key = request.correlation_id()
        if not isinstance(key, str):
            raise ValueError(f"the model takes sequence ids that are texts, and this one is the number {key}")
        return np.full((1, 1) if self.batched else (1,), key, dtype=object)

    def value(self, name, tensor):
        kind = self.inputs[name]
        if kind == BF16:
            return onnxruntime.OrtValue(native.OrtValue.from_dlpack(tensor.to_dlpack(), False))
        array = tensor.as_numpy()
        if kind == TEXT:  # Triton carries bytes, onnxruntime wants str
            array = np.array([item.decode() for item in array.ravel()], dtype=object).reshape(array.shape)
        if name in self.ragged:
            return array.reshape(-1)
        # Triton has no scalars: one is an array of one element there, or of one for each row of the batch.
        return array.ravel()[:1].reshape(()) if name in self.scalars else array

    def tensor(self, name, value, request):
        output = self.outputs[name]
        if self.types[name] == BF16:
            return pb_utils.Tensor.from_dlpack(name, value._ortvalue.to_dlpack())
        array = np.asarray(value)
        if not array.ndim:  # a scalar has the shape that config.pbtxt gives it
            array = array.reshape(dims_of(output) or [1])
        if name in self.scattered:
            array = array.reshape(self.scattered_shape(output, request))
        dtype = pb_utils.triton_string_to_numpy(output["data_type"])
        if array.dtype == object or array.dtype.kind == "U":
            array = np.array([str(item).encode() for item in array.ravel()], dtype=object).reshape(array.shape)
        elif array.dtype != dtype:
            array = array.astype(dtype)
        return pb_utils.Tensor(name, np.ascontiguousarray(array))

    def scattered_shape(self, output, request):
        """BATCH_SCATTER_WITH_INPUT_SHAPE: sizes that config.pbtxt leaves free are those of the input on that axis."""
        source = pb_utils.get_input_tensor_by_name(request, self.scattered[output["name"]]["source_input"][0])
        shape = [-1, *dims_of(output)] if self.batched else dims_of(output)
        return [source.shape()[axis] if size == -1 else size for axis, size in enumerate(shape)]


class States:
    """Implicit state of sequences. Triton hands a Python backend the first state of a sequence with every request and
    takes no other back, so what the model returns is kept here, by the sequence's id.

    A sequence stays with one instance, which has so many places for them: more states than that are of sequences that
    ended without a word, and the one that was not used for longest goes first.
    """

    def __init__(self, config):
        batching = config.get("sequence_batching") or {}
        states = batching.get("state") or []
        self.outputs = {state["output_name"]: state["input_name"] for state in states}
        self.unset = [state["input_name"] for state in states if not state.get("initial_state")]
        candidates = int((batching.get("oldest") or {}).get("max_candidate_sequences") or 0)
        self.places = candidates or max(1, int(config.get("max_batch_size") or 0))
        self.kept = OrderedDict()

    def before(self, request, feed):
        """The state inputs of this request, where they are not the first ones in `feed`."""
        key = request.correlation_id()
        if not self.outputs or not key:  # without an id it fills a hole in Triton's batch, and nobody gets its answer
            return {}
        if request.flags() & START:
            self.kept.pop(key, None)
            # Triton leaves them as the memory was, where config.pbtxt has no initial_state.
            return {name: zeros_like(feed[name]) for name in self.unset}
        if key not in self.kept:
            raise ValueError(f"the state of the sequence {key} is gone: start it again")
        return self.kept[key]

    def keep(self, request, values):
        key = request.correlation_id()
        if not self.outputs or not key:
            return
        self.kept.pop(key, None)
        if request.flags() & END:
            return
        self.kept[key] = {target: values[name] for name, target in self.outputs.items()}
        while len(self.kept) > self.places:
            self.kept.popitem(last=False)


def zeros_like(value):
    if isinstance(value, onnxruntime.OrtValue):
        zeros = np.zeros(value.shape(), dtype=np.uint16)
        return onnxruntime.OrtValue.ortvalue_from_numpy_with_onnx_type(zeros, value.element_type())
    return np.full(value.shape, "", dtype=object) if value.dtype == object else np.zeros_like(value)


def batch_value(batch_input, shape):
    """What Triton tells of a whole batch, for a batch of this one request (backend_input_collector.cc)."""
    kind = batch_input["kind"]
    dtype = pb_utils.triton_string_to_numpy(batch_input["data_type"])
    count = int(np.prod(shape))
    if kind == "BATCH_ACCUMULATED_ELEMENT_COUNT_WITH_ZERO":
        return np.array([0, count], dtype=dtype)
    if kind == "BATCH_MAX_ELEMENT_COUNT_AS_SHAPE":
        return np.zeros(count, dtype=dtype)
    if kind in ("BATCH_ITEM_SHAPE", "BATCH_ITEM_SHAPE_FLATTEN"):
        items = np.tile(np.array(shape[1:], dtype=dtype), (shape[0], 1))
        return items if kind == "BATCH_ITEM_SHAPE" else items.ravel()
    return np.array([count], dtype=dtype)


def graph_file(args, config):
    """A folder of that name holds the graph as model.onnx, beside its weights."""
    name = config.get("parameters", {}).get(MODEL_FILE, {}).get("string_value") or DEFAULT_FILE
    path = os.path.join(args["model_repository"], args["model_version"], name)
    if os.path.isdir(path):
        name = os.path.join(name, DEFAULT_FILE)
        path = os.path.join(path, DEFAULT_FILE)
    if not os.path.exists(path):
        raise pb_utils.TritonModelException(f"model file {args['model_version']}/{name} does not exist")
    return path


def dims_of(tensor):
    """As the model has them, without the batch."""
    reshape = tensor.get("reshape")
    return [int(size) for size in (reshape.get("shape") or [] if reshape is not None else tensor["dims"])]


def session_options(config, args):
    """What the model's `parameters` and `optimization` set for Triton's own backend; threads else of OMP_NUM_THREADS."""
    options = onnxruntime.SessionOptions()
    settings = {key: value.get("string_value", "") for key, value in config.get("parameters", {}).items()}
    options.intra_op_num_threads = int(
        settings.get("intra_op_thread_count") or os.environ.get("OMP_NUM_THREADS", "0") or 0
    )
    options.inter_op_num_threads = int(settings.get("inter_op_thread_count") or 1)
    if int(settings.get("execution_mode") or 0):
        options.execution_mode = onnxruntime.ExecutionMode.ORT_PARALLEL
    for key in ("enable_mem_arena", "enable_mem_pattern"):
        if settings.get(key):
            setattr(options, key.replace("mem_arena", "cpu_mem_arena"), settings[key].lower() in ("true", "1"))
    level = int(((config.get("optimization") or {}).get("graph") or {}).get("level") or 0)
    if level in LEVELS:
        options.graph_optimization_level = LEVELS[level]
    for name in (config.get("model_operations") or {}).get("op_library_filename") or []:
        options.register_custom_ops_library(os.path.join(args["model_repository"], args["model_version"], name))
    return options


def providers(args):
    available = onnxruntime.get_available_providers()
    if args["model_instance_kind"] == "GPU" and "CUDAExecutionProvider" in available:
        return [("CUDAExecutionProvider", {"device_id": int(args["model_instance_device_id"])}), "CPUExecutionProvider"]
    return ["CPUExecutionProvider"]


def check_names(kind, configured, present):
    missing = sorted(set(configured) - set(present))
    if missing:
        raise pb_utils.TritonModelException(
            f"the ONNX graph has no {kind} named {', '.join(missing)}; it has {', '.join(sorted(present))}"
        )
