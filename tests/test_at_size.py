"""Every page and every list with 2,000 services and 10,000 keys: each answers, with few queries and a bounded size.

Nearly everything belongs to one team, waits in one queue and runs on one node, as on an installation of one machine.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import DjangoDbBlocker

from console import roles
from console.models import Membership, Team
from datasets import states as rounds
from datasets.models import Dataset, Round, RoundLine
from services import states
from services.models import ApiKey, Event, Node, Queue, Replica, Revision, Service, Usage, UsageSeries
from services.models.usage import ALWAYS, DAY, HOUR, MINUTE
from services.specs import Affinity, Resources, Rule, ServiceSpec
from tests.test_access import ALL, PUBLIC, filled

SERVICES, KEYS, NODES, QUEUES, DATASETS, TEAMS, ROUNDS, SERIES = 2_000, 10_000, 200, 200, 200, 300, 1_000, 2_000
MOST_QUERIES = 40
MOST_BYTES = 400 << 10
OWNED = {
    "services": "service-0000",
    "datasets": "dataset-000",
    "keys": "1",
    "teams": "vision",
    "queues": "queue-000",
    "nodes": "node-000",
    "store": "0" * 64,
}
WHOLE = {"/usage/export/", "/metrics"}
"""For programs that want everything: a download, and a line for each series that Prometheus reads."""

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("at_size")]


@pytest.fixture(scope="module")
def crowd(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[User]:
    """An administrator who owns one team that has nearly everything, among 300 teams."""
    folder = Path(tempfile.mkdtemp(dir=_root()))
    (folder / "notes.txt").write_text("Models of the team.")
    for n in range(3_000):
        (folder / f"model-{n:04}").mkdir()
    with django_db_blocker.unblock(), transaction.atomic():
        yield _fill(folder)
        transaction.set_rollback(True)
    shutil.rmtree(folder)


def _root() -> Path:
    root: Path = settings.DATASET_ROOTS[0]
    root.mkdir(parents=True, exist_ok=True)
    return root


def _fill(folder: Path) -> User:
    now = timezone.now()
    user = User.objects.create_superuser("owner-of-much", password="x")
    people = User.objects.bulk_create([User(username=f"person-{n:04}", password="!") for n in range(500)])
    teams = Team.objects.bulk_create([Team(name="vision"), *(Team(name=f"team-{n:03}") for n in range(TEAMS - 1))])
    team = teams[0]
    Membership.objects.create(team=team, user=user, role=roles.OWNER)
    Membership.objects.bulk_create([Membership(team=team, user=each, role=roles.EDITOR) for each in people])
    Queue.objects.bulk_create([Queue(name=f"queue-{n:03}", cpu=4, memory_gib=8) for n in range(QUEUES)])
    facts = {"load": 1, "cores": 8, "memory_gib": 64, "memory_free_gib": 3, "disk_gib": 100, "disk_free_gib": 10}
    Node.objects.bulk_create(
        [
            Node(
                name=f"node-{n:03}",
                cpu=64,
                memory_gib=512,
                gpus={"NVIDIA-H200": 8},
                reported_at=now,
                facts=facts,
                labels={f"example.com/label-{i}": f"value-{n}" for i in range(8)},
            )
            for n in range(NODES)
        ]
    )
    datasets = Dataset.objects.bulk_create(
        [
            Dataset(team=team, name=f"dataset-{n:03}", kind="local", options={"path": str(folder)})
            for n in range(DATASETS)
        ]
    )
    jobs = Round.objects.bulk_create(
        [
            Round(
                pk=n + 1,
                dataset=datasets[0],
                path=f"models/{n}",
                node="node-000",
                state=rounds.DONE,
                started_at=now,
                finished_at=now,
                tree="0" * 64,
                files_total=4,
                files_done=4,
            )
            for n in range(ROUNDS)
        ]
    )
    RoundLine.objects.bulk_create([RoundLine(round=jobs[0], text=f"line {n}" * 20) for n in range(2_000)])
    services = Service.objects.bulk_create(
        [
            Service(
                team=team,
                name=f"service-{n:04}",
                state_since=now,
                queued_at=now,
                replicas=2,
                state=states.ALL[n % len(states.ALL)],
                message="It waits for something that is said here. " * 4,
            )
            for n in range(SERVICES)
        ]
    )
    revisions = Revision.objects.bulk_create([_revision(service, jobs, n) for n, service in enumerate(services)])
    for service, revision in zip(services, revisions, strict=True):
        service.target = service.serving = revision
    Service.objects.bulk_update(services, ["target", "serving"], batch_size=500)
    Revision.objects.bulk_create(
        [Revision(service=services[0], number=n, spec=revisions[0].spec, tree="0" * 64) for n in range(2, 500)]
    )
    Replica.objects.bulk_create(
        [
            Replica(
                service=revision.service,
                revision=revision,
                index=index,
                node="node-000",
                pid=n + 1,
                state=Replica.READY,
                started_at=now,
                message="It answers.",
            )
            for n, revision in enumerate(revisions)
            for index in range(64 if n == 0 else 2)
        ]
    )
    Event.objects.bulk_create(
        [Event(service=services[0], kind="edited", message=f"Edited {n}.", detail="log\n" * 40) for n in range(2_000)]
    )
    ApiKey.objects.bulk_create(
        [
            ApiKey(
                pk=n + 1,
                team=team,
                name=f"key {n}",
                key_id=f"{n:012}",
                digest=f"{n:064x}",
                scopes=["infer", "read"],
                services=[f"service-{n % SERVICES:04}"] if n % 2 else [],
                expires_at=now + timedelta(days=n + 1),
            )
            for n in range(KEYS)
        ]
    )
    _use(team)
    return user


def _revision(service: Service, jobs: list[Round], n: int) -> Revision:
    spec = ServiceSpec(
        "triton",
        "dataset-000",
        f"models/{n}",
        "queue-000",
        resources=Resources(1, 1, 1, "NVIDIA-H200"),
        env={"MODE": "fast"},
        affinity=Affinity(required=(Rule("example.com/label-0", "Exists"),)),
    )
    return Revision(service=service, number=1, spec=spec.to_json(), round=jobs[n % ROUNDS], tree="0" * 64)


def _use(team: Team) -> None:
    """A row of each span, for as many series as there are services."""
    series = UsageSeries.objects.bulk_create(
        [
            UsageSeries(
                key_id=f"{n:012}",
                key_name=f"key {n}",
                key_team_id=team.pk,
                key_team=team.name,
                door="v2",
                service=f"service-{n:04}",
                service_team_id=team.pk,
                service_team=team.name,
            )
            for n in range(SERIES)
        ]
    )
    end = int(time.time())
    Usage.objects.bulk_create(
        [
            Usage(series=each, span=span, start=end // span * span if span else 0, requests=5, ms=12, under_5=5)
            for each in series
            for span in (MINUTE, HOUR, DAY, ALWAYS)
        ]
    )


def addresses() -> list[str]:
    """Every address that is looked at, also one that is added tomorrow, and what narrows the lists."""
    plain = [filled(route, OWNED.get(route.removeprefix("/api/v1").split("/")[1], "1")) for route in ALL]
    more = [
        "/services/?q=service",
        "/services/?state=READY&page=2",
        "/services/?team=vision&q=00",
        "/keys/?new",
        "/keys/?page=7",
        "/usage/?by=key&range=1h",
        "/usage/?by=service&range=30d&metric=latency",
        "/datasets/?new",
        "/api/v1/services/?state=READY",
        "/api/v1/services/?page=3",
        "/api/v1/keys/?page=100",
        "/api/v1/usage/?group_by=key",
        "/services/new/?dataset=dataset-000",
        "/queues/queue-000/?waiting=3&running=9",
        "/nodes/node-000/?page=30",
        "/teams/?accounts=4",
        "/teams/vision/?page=5",
        "/api/v1/services/?page_size=1000",
        "/api/v1/keys/?page_size=1000",
    ]
    return [path for path in [*dict.fromkeys(plain), *more] if path not in PUBLIC]


PAGE: dict[str, str] = {}
FRAGMENT = {"HX-Request": "true"}
ASKED = [
    pytest.param(path, headers, id=f"{path} {'fragment' if headers else 'page'}")
    for path in addresses()
    for headers in ((PAGE,) if path.startswith("/api/") else (PAGE, FRAGMENT))
]


@pytest.mark.parametrize(("path", "headers"), ASKED)
def test_every_page_and_list_answers_with_few_queries_and_a_bounded_size(
    crowd: User, db: None, client_of: Callable[[User | None], Client], path: str, headers: dict[str, str]
) -> None:
    client = client_of(crowd)
    client.get("/healthz")  # the session is read once
    with CaptureQueriesContext(connection) as queries:
        answer = client.get(path, headers=headers)
        size = len(b"".join(answer.streaming_content) if answer.streaming else answer.content)  # type: ignore[arg-type]
    assert answer.status_code in {200, 204, 302, 404, 405, 409}, answer.content[:500]
    assert len(queries) <= MOST_QUERIES, [query["sql"][:100] for query in queries]
    if path not in WHOLE and "page_size" not in path:
        assert size <= MOST_BYTES
