"""Every case of the corpus."""

from __future__ import annotations

from tests.corpus import graphs, layouts, refused, repositories, scheduling, tensors

CASES = (*scheduling.CASES, *tensors.CASES, *layouts.CASES, *graphs.CASES, *repositories.CASES, *refused.CASES)
