"""Python models as people have them: with files, texts, threads, modules, and a config.pbtxt of their own making."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.corpus.case import V1, Case, Request, array, texts
from tests.corpus.folders import ECHO, HEAD, ONE, answering, files, python
from tests.corpus.tensors import tensor

NUMBERS = tensor("input", "IN", "FP32") + tensor("output", "OUT", "FP32")
TEXTS = tensor("input", "IN", "STRING") + tensor("output", "OUT", "STRING")
WORDS = [f"wörd-{index}-☃" for index in range(50_000)]

VOCABULARY = answering(
    """
print("☃ é 日本", get("IN").tolist())
positions = [str(self.index.get(text.decode(), -1)) for text in get("IN")]
return [pb_utils.Tensor("OUT", np.array([text.encode() for text in positions], dtype=object))]
""",
    initialize="""
import os
folder = os.path.dirname(os.path.abspath(__file__))
with open(os.path.join(folder, "vocabulaire é.txt")) as file:
    self.index = {line.rstrip("\\n"): number for number, line in enumerate(file)}
print("☃", len(self.index), flush=True)
""",
)
MODULES = "from helper import scale\nfrom parts.deep.offset import OFFSET\n" + answering(
    """
return [pb_utils.Tensor("OUT", scale(get("IN"), self.weights["factor"]) + OFFSET)]
""",
    initialize="""
import os
with open(os.path.join(args["model_repository"], args["model_version"], "data", "weights.json")) as file:
    self.weights = json.load(file)
""",
)
THREADS = (
    answering(
        """
slot = queue.Queue()
self.jobs.put((get("IN"), slot))
return [pb_utils.Tensor("OUT", slot.get(timeout=20))]
""",
        initialize="""
self.jobs = queue.Queue()
self.worker = threading.Thread(target=self.work)
self.worker.start()
""",
        finalize="""
self.jobs.put(None)
self.worker.join()
print("the worker has ended", flush=True)
""",
    ).replace("import json\n", "import json\nimport queue\nimport threading\n")
    + """
    def work(self):
        while (job := self.jobs.get()) is not None:
            values, slot = job
            slot.put(values * 2)
"""
)
COMPLETES = (
    HEAD
    + """class TritonPythonModel:
    @staticmethod
    def auto_complete_config(config):
        config.add_input({"name": "IN", "data_type": "TYPE_FP32", "dims": [2]})
        config.add_output({"name": "OUT", "data_type": "TYPE_FP32", "dims": [2]})
        config.set_max_batch_size(4)
        config.set_dynamic_batching()
        return config

    def execute(self, requests):
        given = [pb_utils.get_input_tensor_by_name(request, "IN").as_numpy() for request in requests]
        return [pb_utils.InferenceResponse([pb_utils.Tensor("OUT", values + 1)]) for values in given]
"""
)
OWN_CONFIG = "The Python model says its inputs and outputs itself when it is loaded."
ASYNC = (
    "import asyncio\n"
    + HEAD
    + """class TritonPythonModel:
    async def execute(self, requests):
        await asyncio.sleep(0.01)
        given = [pb_utils.get_input_tensor_by_name(request, "IN").as_numpy() for request in requests]
        return [pb_utils.InferenceResponse([pb_utils.Tensor("OUT", values)]) for values in given]
"""
)
RAISES = answering("""
values = get("IN")
if (values < 0).any():
    raise ValueError("négative numbers have no root ☃")
return [pb_utils.Tensor("OUT", np.sqrt(values))]
""")
REFUSES = (
    HEAD
    + """class TritonPythonModel:
    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        values = pb_utils.get_input_tensor_by_name(request, "IN").as_numpy()
        if (values < 0).any():
            error = pb_utils.TritonError("IN must not be negative", pb_utils.TritonError.INVALID_ARG)
            return pb_utils.InferenceResponse(output_tensors=[], error=error)
        return pb_utils.InferenceResponse([pb_utils.Tensor("OUT", values)])
"""
)
SETTINGS = answering(
    """
return [pb_utils.Tensor("OUT", np.array([self.text.encode()], dtype=object))]
""",
    initialize="""
import os
config = json.loads(args["model_config"])
self.text = config["parameters"]["APP_GREETING"]["string_value"] + os.environ["APP_SIGN"]
""",
)
PARAMETERS = answering("""
given = json.loads(request.parameters())
text = json.dumps({name: given[name] for name in sorted(given) if name.startswith("app_")}, sort_keys=True)
return [pb_utils.Tensor("OUT", np.array([text.encode()], dtype=object))]
""")
METRICS = answering(
    """
self.counter.increment(1)
pb_utils.Logger.log_info("counted ☃")
return [pb_utils.Tensor("OUT", get("IN"))]
""",
    initialize="""
family = pb_utils.MetricFamily(name="app_calls", description="Calls", kind=pb_utils.MetricFamily.COUNTER)
self.family, self.counter = family, family.Metric(labels={"model": "metrics"})
""",
)
OPTIONAL = answering("""
a, b = get("a"), get("b")
return [pb_utils.Tensor("sum", a + (b if b is not None else 10))]
""")
ALL_OPTIONAL = answering("""
a = get("a")
return [pb_utils.Tensor("sum", a if a is not None else np.array([7], dtype=np.float32))]
""")


def _same(values: Any, **more: Any) -> Request:
    return Request({"IN": values}, [{"OUT": values}], **more)


def _maps(values: Any, answers: Any, **more: Any) -> Request:
    return Request({"IN": values}, [{"OUT": answers}], **more)


VALUES = array([1, 4, 9])
CASES = (
    Case(
        "text-files",
        files(
            {
                "config.pbtxt": f'backend: "python"\n{TEXTS}',
                "1/model.py": VOCABULARY,
                "1/vocabulaire é.txt": "\n".join(WORDS),
            }
        ),
        [_maps(texts(WORDS[41_000], "nichts"), texts("41000", "-1"))],
        like="strings",
    ),
    Case(
        "modules-and-data",
        files(
            {
                "config.pbtxt": f'backend: "python"\n{NUMBERS}',
                "1/model.py": MODULES,
                "1/helper.py": "def scale(values, factor):\n    return values * factor\n",
                "1/parts/__init__.py": "",
                "1/parts/deep/__init__.py": "",
                "1/parts/deep/offset.py": "OFFSET = 0.5\n",
                "1/data/weights.json": '{"factor": 2}',
                "1/data/notes/empty.txt": "",
                "requirements.txt": "numpy\n",
                "README.md": "# A model\n",
            }
        ),
        [_maps(VALUES, VALUES * 2 + np.float32(0.5))],
        like="plain",
    ),
    Case("threads", python(NUMBERS, THREADS), [_maps(VALUES, VALUES * 2)], like="plain"),
    Case(
        "completes-its-config",
        files({"1/model.py": COMPLETES}),
        [_maps(array([[1, 2], [3, 4]]), array([[2, 3], [4, 5]]))],
        has_rows=True,
        notes=[OWN_CONFIG],
    ),
    Case(
        "bare-model",
        files({"model.py": COMPLETES, "weights.bin": bytes(16)}),
        [_maps(array([[1, 2]]), array([[2, 3]]))],
        has_rows=True,
        like="completes-its-config",
        notes=[OWN_CONFIG],
    ),
    Case(
        "model-filename",
        files({"config.pbtxt": f'backend: "python"\ndefault_model_filename: "serve.py"\n{ONE}', "1/serve.py": ECHO}),
        [_same(VALUES)],
        like="plain",
    ),
    Case(
        "model-filename-in-a-folder",
        files(
            {
                "config.pbtxt": f'backend: "python"\ndefault_model_filename: "served/run.py"\n{ONE}',
                "1/served/run.py": ECHO,
            }
        ),
        [_same(VALUES)],
        like="plain",
    ),
    Case("async-execute", python(NUMBERS, ASYNC), [_same(VALUES)], like="plain"),
    Case(
        "raises-on-input",
        python(NUMBERS, RAISES),
        [_maps(VALUES, np.sqrt(VALUES)), Request({"IN": -VALUES}, error="négative numbers have no root ☃")],
    ),
    Case(
        "refuses-an-input",
        python(NUMBERS, REFUSES),
        [_same(VALUES), Request({"IN": -VALUES}, error="IN must not be negative", status=400)],
    ),
    Case(
        "settings",
        python(TEXTS + 'parameters { key: "APP_GREETING" value { string_value: "héllo" } }\n', SETTINGS),
        [_maps(texts("x"), texts("héllo☃"))],
        env={"APP_SIGN": "☃"},
    ),
    Case(
        "request-parameters",
        python(TEXTS, PARAMETERS),
        [
            _maps(
                texts("x"),
                texts('{"app_flag": true, "app_name": "a", "app_number": 3}'),
                parameters={"app_name": "a", "app_number": 3, "app_flag": True},
            ),
        ],
        v1=[V1({"inputs": ["x"]}, {"outputs": ["{}"]})],
    ),
    Case("metrics-and-logs", python(NUMBERS, METRICS), [_same(VALUES)], like="plain"),
    Case(
        "optional-input",
        python(
            tensor("input", "a", "FP32")
            + tensor("input", "b", "FP32", "-1", "optional: true")
            + tensor("output", "sum", "FP32"),
            OPTIONAL,
        ),
        [
            Request({"a": VALUES, "b": VALUES}, [{"sum": VALUES * 2}]),
            Request({"a": VALUES}, [{"sum": VALUES + 10}]),
        ],
    ),
    Case(
        "optional-inputs-only",
        python(tensor("input", "a", "FP32", "-1", "optional: true") + tensor("output", "sum", "FP32"), ALL_OPTIONAL),
        [Request({"a": VALUES}, [{"sum": VALUES}])],
    ),
)
