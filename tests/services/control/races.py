"""Workers that do something in the same moment, and the services that they do it with."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.db import connections
from django.utils import timezone

from console.models import Team
from services import states
from services.models import Revision, Service
from tests.services.nvml import WHOLE


def at_once(*works: Callable[[], Any]) -> list[Any]:
    """What each gave, or the exception that it raised; each has a thread and a connection of its own."""
    outcomes: list[Any] = [None] * len(works)
    ready = threading.Barrier(len(works))

    def run(number: int) -> None:
        try:
            ready.wait(30)
            outcomes[number] = works[number]()
        except Exception as error:
            outcomes[number] = error
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(works))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return outcomes


def waiting(team: Team, name: str, queue: str, cpu: float, gpu: int = 0, gpu_type: str = WHOLE) -> Service:
    since = timezone.now() - timedelta(minutes=1)
    service: Service = Service.objects.create(
        team=team, name=name, state=states.QUEUED, state_since=since, queued_at=since
    )
    resources = {"cpu": cpu, "memory_gib": 0.1, "gpu": gpu, "gpu_type": gpu_type if gpu else ""}
    spec = {"framework": "triton", "dataset": "models", "model_path": "echo", "queue": queue, "resources": resources}
    service.target = Revision.objects.create(service=service, number=1, spec={**spec, "auth": {"policy": "api_key"}})
    service.save()
    return service
