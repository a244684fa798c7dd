"""A stack that tests break, and what has to be as it was afterwards: services, keys, sessions, rounds, processes."""

from __future__ import annotations

import http.client
import http.cookiejar
import re
import threading
import time
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import redis
import tritonclient.grpc as grpcclient
from tritonclient.utils import InferenceServerException

from console.first_run import example
from tests.integration.engine_home import wait_for
from tests.integration.live import Live, send
from tests.integration.stack_run import Stack

T = TypeVar("T")
DIGITS = np.array([example.PIXELS], np.float32)


@dataclass(frozen=True)
class Belongings:
    """`settled` must be equal afterwards; nothing of `history` may be missing."""

    settled: dict[str, Any]
    history: frozenset[tuple[str, ...]]


class Survivor(Live):
    """READY with so many replicas of the example, a key that works, one that was revoked, a person who is signed in."""

    def __init__(self, stack: Stack, replicas: int = 2) -> None:
        super().__init__(stack)
        self.browser = self._signed_in()
        self.good = self._make_key("good")["key"]
        revoked = self._make_key("revoked")
        assert self.api(f"keys/{revoked['id']}/revoke/", method="POST").status in {200, 202}
        self.revoked = revoked["key"]
        assert self.api(f"services/{example.NAME}/", {"replicas": replicas}, method="PATCH").status == 200
        self.wait_for_replicas(replicas)
        self.programs = self.processes()

    def _make_key(self, name: str) -> dict[str, Any]:
        body = {"name": name, "scopes": ["infer"], "services": [example.NAME], "team": "default"}
        answer = self.api("keys/", body, method="POST")
        assert answer.status in {201, 202}, answer.body
        created: dict[str, Any] = answer.body
        return created

    def _signed_in(self) -> urllib.request.OpenerDirector:
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()))
        page = opener.open(f"{self.console}/login/", timeout=60).read().decode()
        match = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)
        assert match
        form = {name: self.credentials[name] for name in ("username", "password")}
        data = urllib.parse.urlencode({**form, "csrfmiddlewaretoken": match[1]}).encode()
        opener.open(f"{self.console}/login/", data, timeout=60).close()
        return opener

    def wait_for_replicas(self, count: int = 2) -> list[dict[str, Any]]:
        """Until so many replicas of the example are READY."""

        def ready() -> list[dict[str, Any]]:
            nothing: dict[str, Any] = {}
            service = attempt(lambda: self.service(example.NAME), nothing)
            rows: list[dict[str, Any]] = service.get("replica_list", []) if service.get("state") == "READY" else []
            return [row for row in rows if row["state"] == "READY"]

        replicas: list[dict[str, Any]] = self.until(ready, lambda rows: len(rows) == count)
        return replicas

    def came_back(self, name: str, before: int) -> None:
        """Waits until the program is another process than before."""
        wait_for(lambda: self.stack.pid(name), lambda pid: pid not in (0, before))

    def health(self) -> tuple[int, str]:
        """What /healthz says; (0, "") while nobody answers."""
        answer = attempt(lambda: send(f"{self.console}/healthz", timeout=20), None)
        return (answer.status, answer.body.decode()) if answer else (0, "")

    def is_well(self) -> None:
        """Waits until it is."""
        wait_for(self.stack.doors_answer, bool)
        wait_for(self.health, lambda health: health == (200, "ok\n"))

    @contextmanager
    def messages(self) -> Iterator[None]:
        """Redis has them before the block and after it."""
        with redis.Redis(unix_socket_path=str(self.stack.home.redis_socket)) as client:
            client.rpush("a-queue", *[f"message {number}" for number in range(1000)])
        yield
        wait_for(self.stack.doors_answer, bool)
        with redis.Redis(unix_socket_path=str(self.stack.home.redis_socket)) as client:
            assert client.llen("a-queue") == 1000
            client.delete("a-queue")

    def belongings(self) -> Belongings:
        services = self._list("services/")
        keys = self._list("keys/")
        history: set[tuple[str, ...]] = {
            ("event", service["name"], str(event["id"]))
            for service in services
            for event in self._list(f"services/{service['name']}/events/")
        }
        datasets = self._list("datasets/")
        for dataset in datasets:
            rounds = self._list(f"datasets/{dataset['name']}/rounds/")
            history |= {("round", str(each["id"]), each["path"], each["state"]) for each in rounds}
        fields = ("name", "team", "desired", "state", "replicas", "revision", "serving_revision", "created_at")
        settled = {
            "services": [{name: service[name] for name in fields} for service in services],
            "replicas": sorted(row["name"] for service in services for row in service["replica_list"]),
            "keys": [(key["id"], key["name"], key["revoked_at"]) for key in keys],
            "datasets": [(dataset["name"], dataset["created_at"]) for dataset in datasets],
            "queues": [queue["name"] for queue in self._list("queues/")],
            "nodes": [node["name"] for node in self._list("nodes/")],
            "trees": sorted(path.name for path in (self.stack.home.store / "trees").iterdir()),
            "credentials": self.stack.home.credentials.read_text(),
        }
        return Belongings(settled, frozenset(history))

    def _list(self, path: str) -> list[dict[str, Any]]:
        answer = self.api(f"{path}?page_size=1000")
        assert answer.status == 200, (path, answer)
        results: list[dict[str, Any]] = answer.body["results"]
        return results

    def recovered(self, before: Belongings) -> None:
        """Fails unless the service answers again within a minute, and nothing was lost and nothing made twice."""
        self.wait_for_replicas()
        self.until(self.ask, lambda status: status == 200)
        assert self.ask(self.good) == self.ask_grpc(self.good) == 200
        assert self.ask(self.revoked) == self.ask_grpc(self.revoked) == 401
        assert not self.browser.open(f"{self.console}/services/", timeout=60).url.startswith(f"{self.console}/login")
        now = self.belongings()
        assert now.settled == before.settled
        assert before.history <= now.history
        self.until(self.strangers, lambda processes: not processes)
        self.work_is_done()

    def work_is_done(self) -> None:
        """Redis takes a message and the worker acts on it."""
        round_body = self.api("datasets/samples/preheat/", {"path": "mnist-svm"}, method="POST")
        assert round_body.status in {201, 202}, round_body
        where = f"datasets/samples/rounds/{round_body.body['id']}/"
        self.until(lambda: self.api(where).body["state"], lambda state: state == "DONE", 30)

    def strangers(self) -> list[str]:
        """Programs that there are more or fewer of than before the first kill."""
        now = self.processes()
        return [name for name in {*now, *self.programs} if now[name] != self.programs[name]]

    def processes(self) -> Counter[str]:
        """How many there are of each program. Of Triton's words the first two tell the replicas apart.

        An Envoy that checks a configuration before it is published comes and goes.
        """
        lines = [line.split(": ", 1)[1].split() for line in self.stack.left() if "--mode validate" not in line]
        return Counter(" ".join(words[: 2 if "triton" in Path(words[0]).name else 6]) for words in lines)

    def ask(self, key: str | None = None, service: str = example.NAME) -> int:
        """The status of one REST inference, 0 when there is none. A 200 must hold the right answer.

        `service`: any that reads the example's pixels.
        """
        answer = attempt(lambda: self.infer(service, key=key), None)
        if answer is not None and answer.status == 200:
            assert [8.0] in [output["data"] for output in answer.body["outputs"]]
        return answer.status if answer else 0

    def ask_grpc(self, key: str | None = None, service: str = example.NAME) -> int:
        """The same over gRPC, on a connection of its own; 401 stands for UNAUTHENTICATED, 0 for any other failure."""
        tensor = grpcclient.InferInput("predict", [1, 64], "FP32")
        tensor.set_data_from_numpy(DIGITS)
        options = [("grpc.use_local_subchannel_pool", 1)]
        with grpcclient.InferenceServerClient(self.grpc_target, channel_args=options) as client:
            try:
                headers = {"authorization": f"Bearer {key or self.key}"}
                result = client.infer(service, [tensor], headers=headers, client_timeout=30)
            except InferenceServerException as error:
                return 401 if error.status() == "StatusCode.UNAUTHENTICATED" else 0
        assert [8.0] in [result.as_numpy(output.name).tolist() for output in result.get_response().outputs]
        return 200

    @contextmanager
    def traffic(self, *, key: str | None = None, service: str = example.NAME) -> Iterator[Traffic]:
        """Three callers, each with one request at a time, for as long as the block runs."""
        calls = [partial(ask, key, service) for ask in (self.ask, self.ask, self.ask_grpc)]
        going = Traffic()
        threads = [threading.Thread(target=going.call, args=(call,)) for call in calls]
        for thread in threads:
            thread.start()
        try:
            yield going
        finally:
            going.enough.set()
            for thread in threads:
                thread.join()


@dataclass
class Traffic:
    answered: list[float] = field(default_factory=list)
    """When requests that got their answer were sent (monotonic), and, below, those that did not."""
    failed: list[float] = field(default_factory=list)
    enough: threading.Event = field(default_factory=threading.Event)

    def call(self, ask: Callable[[], int]) -> None:
        while not self.enough.wait(0.02):
            sent = time.monotonic()
            (self.answered if ask() == 200 else self.failed).append(sent)


def attempt(call: Callable[[], T], otherwise: T) -> T:
    """What the call gives; `otherwise` when nobody is there to answer it."""
    try:
        return call()
    except (OSError, http.client.HTTPException):
        return otherwise
