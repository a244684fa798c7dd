"""Services of the corpus as the product runs them: under supervisord, behind the gateway and the bridge.

Everything is real but Celery: the tests take the steps themselves, so that several services start while another one is
called. Rows live in one transaction, which is rolled back at the end; files live in a home of their own.
"""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Lock
from typing import Any, Final

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from console import roles
from console.accounts.principal import for_user
from console.home import CHECKOUT
from console.models import Membership, Team
from datasets.actions import datasets, trust
from datasets.jobs import rounds
from datasets.models import Round
from services import states, wiring
from services.actions import keys
from services.control import publishing
from services.control.reconcile import reconcile
from services.gateway.snapshot import Snapshot
from services.models import Node, Queue, Service
from tests import clients
from tests.corpus.case import Case
from tests.integration.corpus.interpreter import Interpreter
from tests.integration.corpus.server import Server
from tests.integration.engine_home import running, short_home
from tests.servers.gateway.relay import Relay
from tests.servers.gateway.rig import Gateway, until
from tests.servers.triton import runtime_root

DATASET: Final = "corpus"
AHEAD: Final = 5
"""How many services start while one is tested."""
STEP_SECONDS: Final = 0.5
"""Between two looks at services that start: each look costs them time of the processor."""
MOVING: Final = (states.PREHEATING, states.QUEUED, states.STARTING, states.STOPPING)
START_SECONDS: Final = 150
LIBRARIES: Final = {
    "clients": ("numpy", "ml_dtypes", "tritonclient.http", "tritonclient.grpc"),
    "clients-tensorflow": ("grpc",),
}
"""What is loaded once in each environment of clients."""
_ENDED: Final[Future[None]] = Future()
_ENDED.set_result(None)


class World(ExitStack):
    """`enter_all` first. One owner of one team, whose trusted dataset holds a folder for each case."""

    gateway: Gateway
    bridge_log: Path
    key: str

    def __init__(self, cases: Iterable[Case]) -> None:
        super().__init__()
        self._cases = cases
        self._interpreters: dict[str, Interpreter] = {}
        self._starting = Lock()
        self._ending: dict[int, Future[None]] = {}
        self._enders = self.enter_context(ThreadPoolExecutor(4))
        self.trees = settings.DATASET_ROOTS[0] / DATASET

    def enter_all(self) -> World:
        runtime_root()
        patch = self.enter_context(pytest.MonkeyPatch.context())
        patch.setattr(settings, "REPLICA_DRAIN_SECONDS", 0)  # nothing is under way when a test has ended
        root = self.enter_context(short_home("ic-")).root
        patch.setattr(settings, "HOME", dataclasses.replace(settings.HOME, root=root))
        self.enter_context(running(settings.HOME))
        self.gateway = Gateway.prepared(settings.HOME.gateway, Snapshot())
        self.callback(self.gateway.kill)
        self.gateway.run()
        self._bridge()
        patch.setattr(settings, "GATEWAY_PORT", self.gateway.port)
        self.enter_context(transaction.atomic())
        self.callback(transaction.set_rollback, True)
        self._people()
        self._models()
        self.callback(self._end_all)
        return self

    def _bridge(self) -> None:
        home = settings.HOME
        paths = {"--folder": home.bridge, "--table": home.bridge_table, "--egress": home.gateway_egress}
        options = [str(part) for pair in paths.items() for part in pair]
        command = [sys.executable, "-m", "services.bridge", *options]
        self.bridge_log = home.root / "corpus-bridge.log"
        log = self.enter_context(self.bridge_log.open("ab"))
        process = subprocess.Popen(command, cwd=CHECKOUT, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.callback(process.wait, 10)
        self.callback(process.kill)
        until(home.bridge_http.exists)

    def python(self, environment: str) -> Interpreter:
        """The interpreter of clients that others wrote."""
        with self._starting:
            if environment not in self._interpreters:
                interpreter = Interpreter(clients.python(environment), LIBRARIES[environment], clients.variables())
                self._interpreters[environment] = interpreter
                self.callback(interpreter.end)
            return self._interpreters[environment]

    def _people(self) -> None:
        self.team = Team.objects.create(name="corpus")
        user = User.objects.create_user("corpus")
        Membership.objects.create(team=self.team, user=user, role=roles.OWNER)
        self.actor = for_user(user)
        self.browser = Client(SERVER_NAME="127.0.0.1")
        self.browser.force_login(user)
        Queue.objects.create(name="default", cpu=64, memory_gib=64)
        Node.objects.create(name=settings.NODE_NAME, cpu=64, memory_gib=64)
        self.protoset = self.browser.get(reverse("protoset")).content
        self.key = keys.create(team=self.team, name="corpus", actor=self.actor).key
        self.server = Server(self.gateway.address, self.gateway.address, {"x-api-key": self.key})

    def _models(self) -> None:
        for case in self._cases:
            case.write(self.trees / case.name)
        options = {"path": str(self.trees)}
        self.dataset = datasets.create(team=self.team, name=DATASET, kind="local", options=options, actor=self.actor)
        trust.trust(self.dataset, actor=self.actor)

    def create(self, case: Case, name: str = "") -> Any:
        """The answer of the REST API to a new service of this folder, named like it or `name`."""
        self._report_node()
        body = {
            "name": name or case.name,
            "framework": case.framework,
            "dataset": DATASET,
            "model_path": case.model_path,
            "queue": "default",
            "team": self.team.name,
            "framework_config": dict(case.config),
            "env": dict(case.env),
        }
        return self.browser.post("/api/v1/services/", body, content_type="application/json")

    def start(self, case: Case, following: Iterable[Case] = ()) -> Service:
        """READY or FAILED. The `following` ones are started meanwhile."""
        for one in (case, *following):
            if not Service.objects.filter(name=one.name).exists():
                answer = self.create(one)
                assert answer.status_code == 201 or one is not case, answer.content.decode()
        deadline = time.monotonic() + START_SECONDS
        while (service := Service.objects.get(name=case.name)).state not in {states.READY, states.FAILED}:
            assert time.monotonic() < deadline, f"{service.state}: {service.message}\n{self.log(case)}"
            self.step()
            time.sleep(STEP_SECONDS)
        return service

    @contextmanager
    def replica(self, case: Case) -> Iterator[Server]:
        """Triton itself, of a case that is READY. Its own client for HTTP knows no unix sockets."""
        row = Service.objects.get(name=case.name).replica_set.get()
        listeners = wiring.engine().listeners(row.process_name)
        relay = Relay(listeners.http)
        try:
            yield Server(f"127.0.0.1:{relay.port}", listeners.grpc.target)
        finally:
            relay.close()

    def _report_node(self) -> None:
        """As beat does: a node that is silent for 2 minutes takes nothing new."""
        Node.objects.update(reported_at=timezone.now())

    def step(self) -> None:
        self._report_node()
        for job in Round.objects.active():
            rounds.run(job.pk)
        for pk, state in list(Service.objects.values_list("pk", "state")):
            ended = self._ending.get(pk, _ENDED).done()
            if ended and (state in MOVING or pk in self._ending):
                reconcile(pk)

    def stop(self, case: Case) -> None:
        """Delete it. Triton takes seconds to end, which nobody waits for: see `step`."""
        service = Service.objects.get(name=case.name)
        assert self.browser.delete(f"/api/v1/services/{case.name}/").status_code == 202
        names = [row.process_name for row in service.replica_set.all()]
        publishing.publish()
        self._ending[service.pk] = self._enders.submit(_end, names)

    def _end_all(self) -> None:
        self.gateway.kill()  # Triton waits for open connections
        list(self._enders.map(wiring.engine().stop, wiring.engine().names()))

    def log(self, case: Case) -> str:
        paths = sorted((settings.HOME.logs / "replicas").glob(f"svc-{case.name}-*.log"))
        return "".join(path.read_text(errors="replace")[-6000:] for path in paths)


def _end(names: list[str]) -> None:
    for name in names:
        wiring.engine().stop(name)
