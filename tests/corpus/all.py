"""Every case of the corpus."""

from __future__ import annotations

from tests.corpus import layouts, refused, repositories, scheduling, tensors

CASES = (*scheduling.CASES, *tensors.CASES, *layouts.CASES, *repositories.CASES, *refused.CASES)
