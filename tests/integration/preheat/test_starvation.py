"""One team takes what it can get: sources that drip, a claim that never fits, trees that are read again, 200 services
that wait. Another team's inference, preheat and new service go on.

The bounds are stated in what the others do meanwhile, not in seconds:

- no inference fails;
- the preheat is done, and the service ready, before the four drips have given a tenth of what they would give first;
- both while reading again never ends, and while the 200 wait on.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import pytest

from console.first_run import example
from datasets.preheat.store.trees import Store, make_manifest
from datasets.specs import StoredFile
from tests.integration.engine_home import wait_for
from tests.integration.live import Live
from tests.integration.preheat.drip_server import SIZE, DripServer
from tests.integration.stack_run import stack
from tests.servers.triton import runtime_root

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("starvation")]
DRIPS, TREES, WAITING = 4, 8, 200
DRIPPED = DRIPS * SIZE // 10
CROWD = """
import json, os
from datetime import timedelta
from django.utils import timezone
from console.accounts import teams
from console.accounts.principal import SYSTEM
from services import states
from services.models import Revision, Service
red, blue = (teams.create(name=name, actor=SYSTEM) for name in ("red", "blue"))
spec = Service.objects.get(name=os.environ["EXAMPLE"]).target.spec
spec = {**spec, "resources": {"cpu": 7.5, "memory_gib": 0.5, "gpu": 0, "gpu_type": ""}}
since = timezone.now()
rows = Service.objects.bulk_create(
    Service(team=red, name=f"red-{number}", state=states.QUEUED, state_since=since, queued_at=since)
    for number in range(int(os.environ["WAITING"]) - 1)
)
for row in Service.objects.filter(team=red):
    row.target = Revision.objects.create(service=row, number=1, spec=spec)
    row.save(update_fields=["target"])
"""


@pytest.fixture(scope="module")
def drip() -> Iterator[DripServer]:
    server = DripServer()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def crowded(drip: DripServer) -> Iterator[Live]:
    """READY with the example service, and with all that team red could think of."""
    runtime_root()
    with stack() as running:
        digests = publish_trees(Store(running.home.store))
        running.extra["DATASET_ENDPOINTS"] = drip.address
        running.start("--no-color")
        wait_for(running.read_output, lambda text: f"{example.NAME} says 8" in text, 120)
        live = Live(running)
        running.manage(CROWD, EXAMPLE=example.NAME, WAITING=str(WAITING))
        live.api("queues/default/", {"cpu": 8}, method="PATCH")
        live.create("red-big", "mnist-onnx", team="default", resources={"cpu": 7.9, "memory_gib": 0.5})
        for number in range(DRIPS):
            options = {"url": f"http://{drip.address}/{number}/weights.bin"}
            name = f"drip-{number}"
            assert live.api("datasets/", body(name, "red", "http", options), method="POST").status == 201
            assert live.api(f"datasets/{name}/preheat/", {"path": ""}, method="POST").status in {201, 202}
        live.until(lambda: drip_states(live), lambda states: states == ["COPYING"] * DRIPS)
        with again_and_again(lambda: [live.api(f"store/{digest}/verify/", method="POST") for digest in digests]):
            yield live


def body(name: str, team: str, kind: str, options: dict[str, str]) -> dict[str, Any]:
    return {"name": name, "team": team, "kind": kind, "options": options}


def publish_trees(store: Store) -> list[str]:
    """Trees that share one large content: each takes its time to be read, and none much room."""
    store.make()
    block, digest = bytes(range(256)) * 4096, hashlib.sha256()
    with store.staging("large") as staging:
        with (staging.parts / "large").open("wb") as file:
            for _ in range(256):
                file.write(block)
                digest.update(block)
        large = StoredFile("weights.bin", 256 * len(block), digest.hexdigest())
        part, digests = staging.parts / "large", []
        for number in range(TREES):
            name = staging.parts / str(number)
            name.write_text(str(number))
            small = StoredFile("number", len(str(number)), hashlib.sha256(str(number).encode()).hexdigest())
            parts = {"weights.bin": part, "number": name}
            tree = store.publish(staging, parts, make_manifest((large, small)), fingerprint=f"{number:064x}")
            digests.append(tree.digest)
            part = store.blob(large.sha256)
    store.discard_staging("large")
    return digests


def drip_states(live: Live) -> list[str]:
    rounds = [live.api(f"datasets/drip-{number}/rounds/").body["results"][0] for number in range(DRIPS)]
    return [each["state"] for each in rounds]


@contextmanager
def again_and_again(work: Callable[[], object]) -> Iterator[list[object]]:
    """What `work` gave each time, while the context lasts."""
    over, given = threading.Event(), list[object]()

    def loop() -> None:
        while not over.is_set():
            given.append(work())
            over.wait(0.2)

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        yield given
    finally:
        over.set()
        thread.join(60)


def reads_again(live: Live) -> int:
    return sum(tree["to_verify"] for tree in live.api("store/").body["trees"])


def reported_at(live: Live) -> datetime:
    return datetime.fromisoformat(live.api("nodes/local/").body["reported_at"])


def test_another_teams_work_goes_on(crowded: Live, drip: DripServer) -> None:
    live, before, reported = crowded, drip.sent, reported_at(crowded)
    live.until(lambda: reads_again(live), bool)
    with again_and_again(lambda: live.infer().status) as statuses:
        samples = {"path": str(live.stack.home.samples)}
        assert live.api("datasets/", body("blue-models", "blue", "local", samples), method="POST").status == 201
        round_body = live.api("datasets/blue-models/preheat/", {"path": "mnist-svm"}, method="POST").body
        where = f"datasets/blue-models/rounds/{round_body['id']}/"
        live.until(lambda: live.api(where).body["state"], lambda state: state == "DONE", 120)
        assert drip.sent - before < DRIPPED
        live.create(
            "blue-service",
            "mnist-onnx",
            team="blue",
            dataset="blue-models",
            resources={"cpu": 0.1, "memory_gib": 0.1},
        )
        live.wait("blue-service", seconds=150)
    assert drip.sent - before < DRIPPED
    assert reads_again(live) > 0, "reading has gone on all the time"
    assert statuses and set(statuses) == {200}
    assert reported_at(live) > reported, "the control loop has turned"

    assert live.api("queues/default/").body["waiting"] == WAITING
    big = live.service("red-big")
    assert big["state"] == "QUEUED" and "needs 7.9 CPU" in big["message"] and "went ahead" in big["message"]
    events = live.api("services/blue-service/events/").body["results"]
    ahead = [event["message"] for event in events if "It went ahead of" in event["message"]]
    assert ahead == [
        f"Queue default granted 0.1 CPU, 0.1 GiB. It went ahead of {WAITING} services that cannot start yet."
    ]


def test_the_drips_lose_nothing_by_it(crowded: Live) -> None:
    rounds = [crowded.api(f"datasets/drip-{number}/rounds/").body["results"][0] for number in range(DRIPS)]
    assert [(each["state"], each["attempts"]) for each in rounds] == [("COPYING", 0)] * DRIPS
    logs = [crowded.api(f"datasets/drip-{number}/rounds/{each['id']}/log/").body for number, each in enumerate(rounds)]
    assert "go first" in json.dumps(logs) or "Makes room" in json.dumps(logs)
