"""Every case of the corpus."""

from __future__ import annotations

from tests.corpus import scheduling, tensors

CASES = (*scheduling.CASES, *tensors.CASES)
