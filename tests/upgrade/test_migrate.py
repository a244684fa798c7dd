"""An installation of an earlier release starts with this one: its database is migrated, and its data stay."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connections
from django.db.utils import ConnectionHandler
from django.test import Client
from pytest_django import DjangoDbBlocker, Settings

from console import settings as console_settings
from console.home import Home
from datasets import credentials
from datasets.models import Dataset, Round
from services.actions.keys import authenticate
from services.gateway import keys as key_format
from services.models import ApiKey, Event, Queue, Replica, Revision, Service, Usage
from services.models.usage import DAY
from services.specs import Affinity, Auth, Header, PreferredRule, Resources, ServiceLimits, ServiceSpec
from tests.upgrade import earlier
from tests.upgrade.earlier import CALLS, PASSWORD, REFUSED, SECRET

# The oldest shape: neither limits nor headers nor rules.
pytestmark = pytest.mark.slow
COUNTED = ("requests", "succeeded", "client_errors", "server_errors", "bytes_in", "bytes_out")
HASHERS = console_settings.PASSWORD_HASHERS
FIRST = ServiceSpec(
    framework="triton",
    dataset="models",
    model_path="echo",
    queue="small",
    resources=Resources(cpu=0.5, memory_gib=0.5),
    env={"GREETING": "hello"},
)
AUTH = Auth(header="x-shop-key", parameters=(Header("x-tenant", "shop"),))
LIMITS = ServiceLimits(max_payload_mib=4, timeout_seconds=60, concurrency=8, stall_seconds=30)


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory, django_db_blocker: DjangoDbBlocker) -> Home:
    """With the database of that home instead of the tests' own, whichever that is: earlier homes are SQLite."""
    home = earlier.restore(tmp_path_factory.mktemp("home"), Path("/nowhere"))
    with django_db_blocker.unblock(), database(home.database):
        call_command("migrate", verbosity=0, interactive=False)
    return home


@pytest.fixture(autouse=True)
def home(migrated: Home, tmp_path: Path, settings: Settings, django_db_blocker: DjangoDbBlocker) -> Iterator[Home]:
    """A copy for each test."""
    root = tmp_path / "home"
    shutil.copytree(migrated.root, root)
    settings.HOME = Home(root, Path("/nowhere"))
    settings.SECRETS_KEYS = []
    settings.DATASET_ROOTS = [migrated.root / "datasets"]
    with django_db_blocker.unblock(), database(root / "console.sqlite3"):
        yield settings.HOME


@contextmanager
def database(path: Path) -> Iterator[None]:
    """Django's connection is to this SQLite file meanwhile."""
    before = connections["default"]
    options = {"transaction_mode": "IMMEDIATE"}
    file = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(path), "OPTIONS": options}
    connections["default"] = ConnectionHandler({"default": file})["default"]
    try:
        yield
    finally:
        connections["default"].close()
        connections["default"] = before


@pytest.fixture
def api() -> Api:
    return Api(earlier.keys()["first run"])


class Api:
    """The REST API with a key."""

    def __init__(self, key: str) -> None:
        self._client, self._headers = Client(), {"X-API-Key": key}

    def get(self, path: str) -> Any:
        response = self._client.get(f"/api/v1/{path}", headers=self._headers)
        assert response.status_code == 200, response.content
        return response.json()

    def post(self, path: str, body: Any) -> Any:
        response = self._client.post(f"/api/v1/{path}", body, content_type="application/json", headers=self._headers)
        assert response.status_code == 202, response.content
        return response.json()


def test_services_are_as_they_were_left(api: Api) -> None:
    listed = {service["name"]: service for service in api.get("services/")["results"]}
    assert {name: service["state"] for name, service in listed.items()} == {"archive": "STOPPED", "echo": "READY"}
    echo = api.get("services/echo/")
    assert (echo["team"], echo["dataset"], echo["model_path"], echo["queue"]) == ("vision", "models", "echo", "small")
    assert echo["auth"] == {
        "policy": "api_key",
        "header": "x-shop-key",
        "parameters": [{"name": "x-tenant", "value": "shop"}],
    }
    assert echo["limits"] == {
        "max_payload_mib": 4,
        "timeout_seconds": 60,
        "concurrency": 8,
        "stall_seconds": 30,
    }
    assert echo["framework_config"] == {"instances": 2}
    assert (echo["serving_revision"], echo["revision"]) == (3, 3)
    assert api.get("services/archive/")["auth"]["policy"] == "public"


def test_revisions_of_every_age_are_read() -> None:
    rules = (PreferredRule("zone", "In", ("a", "b"), weight=10),)
    second = replace(FIRST, auth=AUTH, limits=LIMITS)
    third = replace(second, framework_config={"instances": 2}, affinity=Affinity(preferred=rules))
    revisions = Revision.objects.filter(service__name="echo").order_by("number")
    assert [revision.parsed() for revision in revisions] == [FIRST, second, third]
    assert [bool(revision.served_at) for revision in revisions] == [False, False, True]
    assert {revision.dataset.name for revision in revisions if revision.dataset} == {"models"}


def test_a_variable_that_is_no_longer_passed_is_named_in_an_event() -> None:
    event = Event.objects.filter(service__name="echo").latest("pk")
    assert event.message.endswith("were removed from its revisions: TMP.")


@pytest.mark.parametrize(
    "path",
    [
        "",
        "services/",
        "services/echo/",
        "services/echo/access/",
        "services/echo/events/",
        "services/echo/revisions/",
        "services/echo/logs/",
        "services/echo/edit/",
        "services/archive/",
        "datasets/",
        "datasets/models/",
        "datasets/bucket/edit/",
        "datasets/models/rounds/1/",
        "queues/small/",
        "nodes/local/",
        "keys/",
        "usage/",
        "teams/vision/",
    ],
)
def test_pages_are_shown(path: str) -> None:
    client = Client()
    client.force_login(User.objects.get(username="alice"))
    assert client.get(f"/{path}").status_code == 200


def test_people_sign_in_with_their_passwords(settings: Settings) -> None:
    settings.PASSWORD_HASHERS = HASHERS
    client = Client()
    assert client.post("/login/", {"username": "alice", "password": "another"}).status_code == 200
    assert client.post("/login/", {"username": "alice", "password": PASSWORD}).status_code == 302
    assert client.get("/services/").status_code == 200


def test_the_credential_of_a_dataset_is_decrypted_by_the_key_of_the_home() -> None:
    bucket = Dataset.objects.get(name="bucket")
    assert SECRET not in str(bucket.credentials)
    assert credentials.unseal("bucket", bucket.credentials) == {"secret_key": SECRET}
    assert bucket.options == {"bucket": "models", "region": "eu-west-1", "access_key": "reader"}


def test_datasets_keep_their_trust_and_their_rounds(home: Home) -> None:
    models = Dataset.objects.get(name="models")
    assert models.trusted and models.trust_covers_changes
    done = Round.objects.filter(dataset=models)
    assert [(one.state, one.files_done, one.bytes_done) for one in done] == [("DONE", 2, 599)] * 4
    assert [one.lines.count() for one in done.order_by("pk")] == [6] * 4
    assert (home.store / "trees" / done[0].tree / "config.pbtxt").is_file()


def test_keys_are_those_of_before() -> None:
    keys = earlier.keys()
    callers = {name: authenticate(key) for name, key in keys.items()}
    assert {name for name, caller in callers.items() if caller is None} == {"revoked"}
    shop, rotated = (ApiKey.objects.get(key_id=key_format.parse(keys[name])) for name in ("shop front", "rotated"))
    assert (shop.rate_limit_per_minute, shop.tokens_per_minute, shop.max_concurrent) == (600, 100_000, 4)
    assert shop.service_ids == [Service.objects.get(name="echo").pk]
    assert rotated.replaces == shop
    # They take from one budget, as keys do that are rotated now.
    assert rotated.shares == {"rate": shop.key_id, "tokens": shop.key_id, "slots": [[shop.key_id, 4]]}


def test_queues_and_replicas_stay() -> None:
    small = Queue.objects.get(name="small")
    assert (small.description, small.cpu, small.memory_gib, small.order) == ("For trying", 2, 2, "fair")
    replica = Replica.objects.get()
    assert (replica.service.name, replica.revision.number, replica.state) == ("echo", 3, "READY")


def test_usage_is_kept(api: Api) -> None:
    day = datetime.fromtimestamp(Usage.objects.filter(span=DAY)[0].start, UTC)
    window = f"from={day:%FT%TZ}&to={day + timedelta(days=1):%FT%TZ}"
    for interval in ("", "&interval=minute", "&interval=hour", "&interval=day"):
        totals: Counter[tuple[str, str]] = Counter()
        for point in api.get(f"usage/?{window}{interval}")["results"]:
            totals.update({(point["group"], name): point["used"][name] for name in COUNTED})
        assert {key: count for key, count in totals.items() if count} == {
            ("echo", "requests"): CALLS,
            ("echo", "succeeded"): CALLS,
            ("echo", "bytes_in"): 385,
            ("echo", "bytes_out"): 555,
            ("archive", "requests"): REFUSED,
            ("archive", "server_errors"): REFUSED,
            ("archive", "bytes_in"): 154,
            ("archive", "bytes_out"): 148,
        }


def test_a_service_goes_back_to_its_oldest_revision(api: Api) -> None:
    rolled = api.post("services/echo/rollback/", {"revision": 1})
    assert rolled["revision"] == 4
    fourth = Revision.objects.get(service__name="echo", number=4)
    first = Revision.objects.get(service__name="echo", number=1)
    assert (fourth.parsed(), fourth.tree) == (FIRST, first.tree)
