"""A Python-based Triton backend that serves ONNX files with the onnxruntime package.

Installed as `<backend directory>/onnxruntime/model.py`, so that models with `platform: "onnxruntime_onnx"` or
`backend: "onnxruntime"` load as they do on a GPU server. Runs inside Triton's Python stub, where nothing of ours can be
imported.
"""

import json
import os

import numpy as np
import onnxruntime
import triton_python_backend_utils as pb_utils

DEFAULT_FILE = "model.onnx"
MODEL_FILE = "console_model_file"  # the parameter that the launch writes for default_model_filename


class TritonPythonModel:
    def initialize(self, args):
        config = json.loads(args["model_config"])
        name = config.get("parameters", {}).get(MODEL_FILE, {}).get("string_value") or DEFAULT_FILE
        path = os.path.join(args["model_repository"], args["model_version"], name)
        if not os.path.exists(path):
            raise pb_utils.TritonModelException(f"model file {args['model_version']}/{name} does not exist")
        self.session = onnxruntime.InferenceSession(path, session_options(config), providers=providers(args))
        self.inputs = {value.name: value for value in self.session.get_inputs()}
        graph_outputs = {value.name for value in self.session.get_outputs()}
        self.dtypes = {
            output["name"]: pb_utils.triton_string_to_numpy(output["data_type"]) for output in config["output"]
        }
        check_names("input", [value["name"] for value in config["input"]], self.inputs)
        check_names("output", self.dtypes, graph_outputs)

    def execute(self, requests):
        # One failing request must not fail the others of its batch.
        return [self.answer(request) for request in requests]

    def answer(self, request):
        try:
            wanted = [name for name in request.requested_output_names() if name in self.dtypes]
            values = self.session.run(wanted, self.feed(request))
            tensors = [self.tensor(name, value) for name, value in zip(wanted, values)]
        except Exception as error:  # the stub would turn it into one opaque failure for the whole batch
            return pb_utils.InferenceResponse(output_tensors=[], error=pb_utils.TritonError(f"onnxruntime: {error}"))
        return pb_utils.InferenceResponse(tensors)

    def feed(self, request):
        """The graph's inputs by name. One that the request leaves out is left to the graph's own default."""
        feed = {}
        for name, value in self.inputs.items():
            tensor = pb_utils.get_input_tensor_by_name(request, name)
            if tensor is None:
                continue
            array = tensor.as_numpy()
            if value.type == "tensor(string)":  # Triton carries bytes, onnxruntime wants str
                array = np.array([item.decode() for item in array.ravel()], dtype=object).reshape(array.shape)
            # Triton has no scalars: one is an array of one element there.
            feed[name] = array.reshape(()) if value.shape == [] and array.size == 1 else array
        return feed

    def tensor(self, name, value):
        array = np.atleast_1d(np.asarray(value))  # Triton has no scalars
        dtype = self.dtypes[name]
        if array.dtype == object or array.dtype.kind == "U":
            array = np.array([str(item).encode() for item in array.ravel()], dtype=object).reshape(array.shape)
        elif array.dtype != dtype:
            array = array.astype(dtype)
        return pb_utils.Tensor(name, np.ascontiguousarray(array))


def session_options(config):
    """Threads: the model's `parameters` may say, as for Triton's own onnxruntime backend; else OMP_NUM_THREADS."""
    options = onnxruntime.SessionOptions()
    parameters = config.get("parameters", {})
    default = int(os.environ.get("OMP_NUM_THREADS", "0") or 0)
    options.intra_op_num_threads = int(parameters.get("intra_op_thread_count", {}).get("string_value") or default)
    options.inter_op_num_threads = int(parameters.get("inter_op_thread_count", {}).get("string_value") or 1)
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
