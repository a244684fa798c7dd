"""What a replica's refusal tells of a Python model that completes its configuration when it is loaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.clients.probes import kserve_v2
from services.specs import Tensor
from tests.servers.triton import serve_several

pytestmark = [pytest.mark.integration]

CODE = """\
class TritonPythonModel:
    @staticmethod
    def auto_complete_config(config):
        config.add_input({"name": "decoupled", "data_type": "TYPE_FP32", "dims": [-1]})
        config.add_output({"name": "y", "data_type": "TYPE_FP32", "dims": [-1]})
        {more}
        return config

    def execute(self, requests):
        return []
"""
MORE = {"decoupled": "pass", "streaming": 'config.set_model_transaction_policy({"decoupled": True})'}


def test_a_name_with_the_word_decoupled_makes_no_model_decoupled(tmp_path: Path) -> None:
    trees = {name: tmp_path / "models" / name for name in MORE}
    for name, tree in trees.items():
        (tree / "1").mkdir(parents=True)
        (tree / "config.pbtxt").write_text('backend: "python"\n')
        (tree / "1" / "model.py").write_text(CODE.replace("{more}", MORE[name]))
    inputs = [Tensor("decoupled", "FP32", (-1,))]
    with serve_several(trees, tmp_path / "run") as triton:
        facts = {name: kserve_v2.loaded_facts("127.0.0.1", triton.ports.http, name, inputs) for name in trees}
    assert facts == {"decoupled": (frozenset(), False), "streaming": (frozenset(), True)}
