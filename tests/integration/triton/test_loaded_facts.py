"""What a replica's refusal tells of a Python model that completes its configuration when it is loaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.clients.probes import kserve_v2
from services.specs import Tensor
from tests.servers.triton import OpenTriton

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


def test_a_name_with_the_word_decoupled_makes_no_model_decoupled(opened: OpenTriton, tmp_path: Path) -> None:
    facts = {}
    for name, more in MORE.items():
        (tmp_path / name / "1").mkdir(parents=True)
        (tmp_path / name / "config.pbtxt").write_text('backend: "python"\n')
        (tmp_path / name / "1" / "model.py").write_text(CODE.replace("{more}", more))
        inputs = [Tensor("decoupled", "FP32", (-1,))]
        with opened.serve(name, tmp_path / name) as triton:
            facts[name] = kserve_v2.loaded_facts(triton.listeners.http, name, inputs)
    assert facts == {"decoupled": (frozenset(), False), "streaming": (frozenset(), True)}
