"""Which fields of a spec change what runs? Pure: the one place that says so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from services.policies import affinity as affinities
from services.specs import Affinity, ServiceLimits, ServiceSpec


def same_processes(old: ServiceSpec, new: ServiceSpec) -> bool:
    """Would a replica be started in the same way? What differs is read by the gateway, the console, or placement."""
    return _started_with(old) == _started_with(new)


def same_access(old: ServiceSpec, new: ServiceSpec) -> bool:
    """Does the gateway treat requests in the same way?"""
    return with_access_of(old, new) == old


def with_access_of(spec: ServiceSpec, other: ServiceSpec) -> ServiceSpec:
    """`spec` with what the gateway reads of `other`: who may call, from which pages, and how much."""
    return replace(
        spec,
        auth_policy=other.auth_policy,
        auth_header=other.auth_header,
        auth_parameters=other.auth_parameters,
        cors_origins=other.cors_origins,
        limits=other.limits,
    )


def may_stay(affinity: Affinity, nodes: Iterable[Mapping[str, str]]) -> bool:
    """Do the replicas on nodes with these labels satisfy the required rules where they are?"""
    return all(affinities.evaluate(affinity, labels).matches for labels in nodes)


def _started_with(spec: ServiceSpec) -> ServiceSpec:
    return replace(
        spec,
        queue="",
        affinity=Affinity(),
        auth_policy="",
        auth_header="",
        auth_parameters=(),
        cors_origins=(),
        limits=ServiceLimits(),
        framework_config=dict(spec.framework_config),
        env=dict(spec.env),
    )
