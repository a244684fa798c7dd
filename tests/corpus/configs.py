"""config.pbtxt as people write it, and models whose configuration comes from the form."""

from __future__ import annotations

from typing import Any

from tests.corpus.case import Case, Request, array
from tests.corpus.folders import ECHO, ONE, answering, files, python

VALUES = array([1, 2])
ROWS = array([[1, 2], [3, 4]])
BLOCKS = """# Written by hand, one block a tensor.
backend: 'python'
input { name: "IN"; data_type: TYPE_FP32; dims: -1 }
output < name: "OUT" data_type: TYPE_FP32 dims: [-1] >  # the older brackets
parameters: [ { key: "APP_A" value: { string_value: "a" "b" } },
              { key: "APP_B", value: { string_value: "c" } } ]
"""
JSON_LIKE = """{
  "backend": "python"
}
"""
QUOTED = 'backend: "python"\n"max_batch_size": 0\n' + ONE
NO_INPUTS = answering('return [pb_utils.Tensor("OUT", np.array([7], dtype=np.float32))]')
TENSORS = {
    "inputs": [{"name": "IN", "datatype": "FP32", "shape": [-1]}],
    "outputs": [{"name": "OUT", "datatype": "FP32", "shape": [-1]}],
}
TWO_FREE = """input [ { name: "IN" data_type: TYPE_FP32 dims: [ -1, 2 ] } ]
output [ { name: "OUT" data_type: TYPE_FP32 dims: [ -1, 2 ] } ]
"""


def _same(values: Any = VALUES) -> Request:
    return Request({"IN": values}, [{"OUT": values}])


CASES = (
    Case("config-blocks", files({"config.pbtxt": BLOCKS, "1/model.py": ECHO}), [_same()], like="plain"),
    Case("config-other-name", python('name: "another"\n' + ONE), [_same()], like="plain"),
    Case(
        "config-unknown-field",
        python("max_batch_sise: 4\n" + ONE),
        refused=[
            (
                'config.pbtxt is broken at line 2, column 1: Message type "inference.ModelConfig" has no field named '
                '"max_batch_sise" (did you mean max_batch_size?).'
            )
        ],
    ),
    Case(
        "config-quoted",
        files({"config.pbtxt": QUOTED, "1/model.py": ECHO}),
        refused=[
            (
                "config.pbtxt is broken at line 2, column 17: '\"max_batch_size\": 0': Expected identifier or number, "
                "got :."
            )
        ],
    ),
    Case(
        "config-json",
        files({"config.pbtxt": JSON_LIKE, "1/model.py": ECHO}),
        refused=["config.pbtxt is broken at line 1, column 1: '{': Expected identifier or number, got {."],
    ),
    Case(
        "config-agents",
        python('model_repository_agents { agents [ { name: "checksum" } ] }\n' + ONE),
        refused=[
            (
                "config.pbtxt sets model_repository_agents.agents.name: a service loads the files of its folder, and "
                "nothing else. Leave it out."
            )
        ],
    ),
    Case("instances-zero", python("instance_group [ { count: 0 kind: KIND_CPU } ]\n" + ONE), [_same()], like="plain"),
    Case("instances-auto", python("instance_group [ { count: 1 kind: KIND_AUTO } ]\n" + ONE), [_same()], like="plain"),
    Case(
        "capability-files",
        python(ONE + 'cc_model_filenames [ { key: "7.5" value: "other.py" } ]', others={"1/other.py": ECHO}),
        [_same()],
        like="plain",
    ),
    Case("tensors-from-the-form", files({"1/model.py": ECHO}), [_same()], config=TENSORS),
    Case(
        "batches-from-the-form",
        python(TWO_FREE),
        [_same(ROWS)],
        config={"max_batch_size": 4, "dynamic_batching": {}},
        has_rows=True,
        like="batches",
    ),
    Case(
        "parameters-from-the-form",
        python(
            ONE,
            ECHO.replace(
                "self.names", 'assert config["parameters"]["APP_X"]["string_value"] == "é"\n        self.names', 1
            ),
        ),
        [_same()],
        config={"parameters": {"APP_X": "é"}},
        like="plain",
    ),
)
