"""How soon a change counts that is made through the console: `python -m bench.parts.console_rows`, the plan on stdin.

A process of its own with a home of its own, because Django reads its settings once. Fills a database with that many
services and keys, lets the product publish them to a real gateway, and then does what people do: `actions.keys.create`,
`actions.keys.revoke`, and a service whose first replica has answered. Times are from the call to the first request
that meets the change.

plan: {"services", "keys", "changes", "backend"}: `backend` is the unix socket of a null backend
result, one line: {"delays" {kind: [seconds]}, "called" {kind: [seconds that the call took]}}
environment: CONSOLE_HOME, GATEWAY_PORT, DJANGO_SETTINGS_MODULE
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import django

django.setup()

from django.conf import settings  # noqa: E402  (Django has to be set up before models are imported)
from django.core.management import call_command  # noqa: E402
from django.utils import timezone  # noqa: E402

from bench.parts.effects import Effects, time_to  # noqa: E402
from bench.targets import servers  # noqa: E402
from bench.targets.requests import REST  # noqa: E402
from console import models  # noqa: E402
from console.accounts import principal  # noqa: E402
from console.first_run import example  # noqa: E402
from services import states, wiring  # noqa: E402
from services.actions import keys  # noqa: E402
from services.control import publishing  # noqa: E402
from services.control.snapshot import limits  # noqa: E402
from services.gateway import keys as format  # noqa: E402
from services.gateway.binary import argv, find_envoy  # noqa: E402
from services.gateway.publish import prepare  # noqa: E402
from services.models import ApiKey, Replica, Revision, Service  # noqa: E402
from services.specs import ServiceSpec, process_name  # noqa: E402

TEAMS = 50


def add_services(names: list[str], teams: list[models.Team], backend: Path) -> None:
    """READY, each with one replica that has answered: the backend, under the names of the replica's own sockets."""
    now = timezone.now()
    spec = ServiceSpec(framework="triton", dataset="samples", model_path="mnist-svm", queue="default").to_json()
    services = Service.objects.bulk_create(
        Service(team=teams[number % len(teams)], name=name, state=states.READY, state_since=now, created_by="bench")
        for number, name in enumerate(names)
    )
    revisions = Revision.objects.bulk_create(
        Revision(service=service, number=1, spec=spec, created_by="bench") for service in services
    )
    Replica.objects.bulk_create(
        Replica(
            service=service,
            revision=revision,
            index=0,
            node="local",
            state=Replica.READY,
            started_at=now,
        )
        for service, revision in zip(services, revisions, strict=True)
    )
    for name in names:
        give_sockets(name, backend)
    for service, revision in zip(services, revisions, strict=True):
        service.target = service.serving = revision
    Service.objects.bulk_update(services, ["target", "serving"], batch_size=200)


def give_sockets(service: str, backend: Path) -> None:
    listeners = wiring.engine().listeners(process_name(service, 1, 0))
    for address in (listeners.http, listeners.grpc):
        Path(address.path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.link(backend, address.path)


def add_keys(count: int, teams: list[models.Team]) -> None:
    new = [format.generate() for _ in range(count)]
    ApiKey.objects.bulk_create(
        (
            ApiKey(
                team=teams[number % len(teams)],
                name=f"key-{number}",
                key_id=key.id,
                digest=key.digest,
                scopes=["infer"],
                services=[],
                created_by="bench",
            )
            for number, key in enumerate(new)
        ),
        batch_size=500,
    )


def run(plan: dict[str, Any]) -> Effects:
    call_command("migrate", verbosity=0)
    teams = [models.Team.objects.create(name=f"team-{number}") for number in range(TEAMS)]
    others = [f"{'a' if number % 2 else 'z'}-{number:05d}" for number in range(plan["services"] - 1)]
    add_services([example.NAME, *others], teams, Path(plan["backend"]))
    add_keys(plan["keys"] - 1, teams)
    port, files = settings.GATEWAY_PORT, settings.HOME.gateway
    prepare(files, host=servers.HOST, port=port, limits=limits())
    mine = keys.create(team=teams[0], name="mine", all_teams=True, actor=principal.SYSTEM)
    publishing.publish()
    ready = servers.answers(f"http://{servers.HOST}:{port}/v2/health/ready")
    with servers.process(tuple(argv(files, find_envoy())), files, ready):
        servers.wait_for_service(port, REST, mine.key, seconds=120)
        return measure(plan, port, mine.key, teams)


def measure(plan: dict[str, Any], port: int, key: str, teams: list[models.Team]) -> Effects:
    effects = Effects()

    def change(kind: str, act: Callable[[], Any], path: str, key: str, status: int) -> None:
        call = replace(REST, path=path)
        effects.add(kind, *time_to(act, lambda: servers.status_of(port, call, key) == status))

    for number in range(plan["changes"]):
        new_keys: list[keys.NewKey] = []
        name = f"new-{number}"

        def create(new_keys: list[keys.NewKey] = new_keys, number: int = number) -> None:
            new_keys.append(keys.create(team=teams[0], name=f"fresh-{number}", actor=principal.SYSTEM))

        def answered(name: str = name) -> None:
            add_services([name], teams[:1], Path(plan["backend"]))
            publishing.publish()

        # Nobody can use a key before it is known, so the time of the first is taken as that of the whole call.
        create_seconds = timed(create)
        effects.add("a key is made", create_seconds + until(port, new_keys[0].key), create_seconds)
        change(
            "a key is revoked",
            lambda new_keys=new_keys: keys.revoke(new_keys[0].row, actor=principal.SYSTEM),  # type: ignore[misc]
            REST.path,
            new_keys[0].key,
            401,
        )
        change("a service is ready", answered, f"/v2/models/{name}/infer", key, 200)
        time.sleep(2)  # the next one is measured on a gateway at rest
    return effects


def timed(act: Callable[[], Any]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def until(port: int, key: str) -> float:
    """Seconds until this key opens the digit's service."""
    return time_to(lambda: None, lambda: servers.status_of(port, REST, key) == 200)[0]


if __name__ == "__main__":
    json.dump(run(json.load(sys.stdin)).to_json(), sys.stdout)
