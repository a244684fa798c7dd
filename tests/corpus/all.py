"""Every case of the corpus."""

from __future__ import annotations

from tests.corpus import (
    configs,
    graphs,
    huggingface,
    layouts,
    outputs,
    programs,
    repositories,
    requests,
    scheduling,
    sequences,
    tensors,
)
from tests.corpus.faulty import failing, refused

CASES = (
    *scheduling.CASES,
    *sequences.CASES,
    *tensors.CASES,
    *outputs.CASES,
    *programs.CASES,
    *configs.CASES,
    *layouts.CASES,
    *graphs.CASES,
    *requests.CASES,
    *repositories.CASES,
    *huggingface.CASES,
    *refused.CASES,
    *failing.CASES,
)
