"""What other apps may listen to. Datasets know nothing about services; services know this."""

from __future__ import annotations

from django.dispatch import Signal

dataset_deleting = Signal()
"""Sent with `dataset` before a dataset is deleted. A receiver that still needs it raises Conflict, saying who does."""

trees_wanted = Signal()
"""Sent without arguments before trees are evicted. A receiver returns the set of digests that it still needs."""

trees_used = Signal()
"""Sent without arguments when somebody looks at the store. A receiver returns {digest: names of what needs it}."""

rounds_wanted = Signal()
"""Sent with `rounds`, a set of primary keys, before these are removed. A receiver returns those that it still needs."""

round_finished = Signal()
"""Sent with `round` after a round became DONE, FAILED or CANCELLED, once that is committed."""
