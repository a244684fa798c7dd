"""What the console clears away by itself."""

from __future__ import annotations

import time
from datetime import timedelta

from datasets import reading
from services.models import Revision

STORE_KEEPS = timedelta(days=7)
"""How long model files that no service needs stay in the store, counted from when they were last asked for."""


def evict_unused() -> list[str]:
    """Remove trees that no revision of any service has, and that nobody asked for in a while. Their digests."""
    wanted = set(Revision.objects.exclude(tree="").values_list("tree", flat=True))
    return reading.store().evict(wanted, not_used_since=time.time() - STORE_KEEPS.total_seconds())
