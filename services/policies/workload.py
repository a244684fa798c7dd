"""Which fields of a spec change what runs? Pure. Each field says who reads it: see ServiceSpec."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from services.policies import affinity as affinities
from services.specs import Affinity, ReadBy, ServiceSpec, fields_read_by


def same_processes(old: ServiceSpec, new: ServiceSpec) -> bool:
    """Would a replica be started in the same way? What differs is read by the gateway, the console, or placement."""
    return _started_with(old) == _started_with(new)


def same_access(old: ServiceSpec, new: ServiceSpec) -> bool:
    """Does the gateway treat requests in the same way?"""
    return with_access_of(old, new) == old


def with_access_of(spec: ServiceSpec, other: ServiceSpec) -> ServiceSpec:
    """`spec` with what the gateway reads of `other`: who may call, from which pages, and how much."""
    return replace(spec, **{name: getattr(other, name) for name in fields_read_by(ReadBy.GATEWAY)})


def may_stay(affinity: Affinity, nodes: Iterable[Mapping[str, str]]) -> bool:
    """Do the replicas on nodes with these labels satisfy the required rules where they are?"""
    return all(affinities.evaluate(affinity, labels).matches for labels in nodes)


def _started_with(spec: ServiceSpec) -> dict[str, Any]:
    return {name: getattr(spec, name) for name in fields_read_by(None)}
