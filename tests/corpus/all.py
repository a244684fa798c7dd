"""Every case of the corpus."""

from __future__ import annotations

from tests.corpus import (
    configs,
    failing,
    graphs,
    huggingface,
    layouts,
    outputs,
    programs,
    refused,
    repositories,
    requests,
    scheduling,
    sequences,
    streams,
    tensors,
)

CASES = (
    *scheduling.CASES,
    *sequences.CASES,
    *tensors.CASES,
    *outputs.CASES,
    *programs.CASES,
    *streams.CASES,
    *configs.CASES,
    *layouts.CASES,
    *graphs.CASES,
    *requests.CASES,
    *repositories.CASES,
    *huggingface.CASES,
    *refused.CASES,
    *failing.CASES,
)
