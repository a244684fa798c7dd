"""The tasks of this app, by name, so that actions need not import them."""

from __future__ import annotations

from console import dispatch


def reconcile(service_pk: int) -> None:
    dispatch.on_commit("services.reconcile", service_pk)


def end_unknown() -> None:
    dispatch.on_commit("services.end_unknown")


def publish() -> None:
    dispatch.on_commit("services.publish")
