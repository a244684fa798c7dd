"""Which engine and which runtime a row of the database means. The one place that builds them from the settings."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings

from services.engines import registry as engines
from services.engines.base import Engine
from services.frameworks import registry as frameworks
from services.frameworks.base import Framework


def engine() -> Engine:
    return engines.get("local", settings.HOME, settings.REPLICA_SANDBOX)


def framework(name: str) -> Framework:
    return frameworks.get(name)


def runtime(framework_name: str) -> Path:
    path: Path = settings.HOME.runtimes / framework_name
    return path
