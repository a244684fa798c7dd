"""Every case of the corpus."""

from __future__ import annotations

from tests.corpus import layouts, refused, scheduling, tensors

CASES = (*scheduling.CASES, *tensors.CASES, *layouts.CASES, *refused.CASES)
