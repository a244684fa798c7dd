"""The people of every test: Alice owns team vision, Bob is her teammate (a viewer), Charlie is in another team.

And the stacks that tests share. Those that need other settings start one of their own (see stack_run.stack).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import hypothesis
import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client
from pytest_django import Settings

from console import roles
from console.accounts.principal import Principal, for_user
from console.models import Membership, Team
from datasets.samples.llama import make as llama
from tests.integration.live import Live
from tests.integration.stack_run import stack
from tests.ports import free_ports
from tests.servers import s3, vllm
from tests.servers.triton import runtime_root
from tests.services import llama_folder
from tests.services.gateway import pki

# No test measures time: a machine that is busy must not fail one whose examples take longer now and then.
hypothesis.settings.register_profile("unhurried", deadline=None)
hypothesis.settings.load_profile("unhurried")


GROUPS: Final = {"live_llm": "live-text", "live": "live", "rough": "rough", "llama_server": "vllm", "s3_server": "s3"}
"""Fixture of a shared server -> the group of its tests. The first that fits counts."""


@pytest.hookimpl(tryfirst=True)  # before xdist, which reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that share a server run on one worker, so that it is started once: all of its fixture, or of a file."""
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        shared = next((group for fixture, group in GROUPS.items() if fixture in fixtures), None)
        if shared and not item.get_closest_marker("integration"):
            item.add_marker(pytest.mark.integration)
        if item.get_closest_marker("integration") and not item.get_closest_marker("xdist_group"):
            item.add_marker(pytest.mark.xdist_group(shared or item.nodeid.partition("::")[0]))


@pytest.fixture(autouse=True)
def quick_settings(settings: Settings) -> None:
    """The real hashers are slow on purpose, and each test client would list all static files; no test is about them."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    settings.WHITENOISE_AUTOREFRESH = True


@pytest.fixture(autouse=True)
def quick_disk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test pulls the plug, so none waits until the disk has what was written; a closed file is an error as before.

    The order of writes and syncs is tested in datasets/preheat/store/test_crashes.py.
    """
    if not request.node.get_closest_marker("integration"):
        monkeypatch.setattr(os, "fsync", os.fstat)


@pytest.fixture
def team(db: None) -> Team:
    return Team.objects.create(name="vision")


@pytest.fixture
def other_team(db: None) -> Team:
    return Team.objects.create(name="speech")


@pytest.fixture
def alice(team: Team) -> User:
    """Owner of team vision."""
    user = User.objects.create_user("alice", password="alice")
    Membership.objects.create(team=team, user=user, role=roles.OWNER)
    return user


@pytest.fixture
def bob(team: Team) -> User:
    """Teammate of Alice: may look, not touch."""
    user = User.objects.create_user("bob", password="bob")
    Membership.objects.create(team=team, user=user, role=roles.VIEWER)
    return user


@pytest.fixture
def charlie(other_team: Team) -> User:
    """A stranger: owner of team speech."""
    user = User.objects.create_user("charlie", password="charlie")
    Membership.objects.create(team=other_team, user=user, role=roles.OWNER)
    return user


@pytest.fixture
def admin(db: None) -> User:
    return User.objects.create_superuser("root", password="root")


@pytest.fixture
def principal_of() -> Callable[[User], Principal]:
    return for_user


@pytest.fixture
def client_of() -> Callable[[User | None], Client]:
    """A logged-in browser client of somebody; of None, nobody's."""

    def make(user: User | None) -> Client:
        client = Client()
        if user is not None:
            client.force_login(user)
        return client

    return make


@pytest.fixture
def dataset_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory that local datasets may point into."""
    root: Path = settings.DATASET_ROOTS[0]
    root.mkdir(parents=True, exist_ok=True)
    return root


@pytest.fixture(scope="session")
def live() -> Iterator[Live]:
    """READY with the example service, as `make run` leaves it: one for each worker.

    Mark its tests xdist_group("live"), or "live-changes" when they take services down and up again.
    """
    runtime_root()
    with stack() as running:
        [source_port] = free_ports(1)
        running.extra |= {"REPLICA_RETRY_SECONDS": "1", "DATASET_ENDPOINTS": f"127.0.0.1:{source_port}"}
        running.start_with_example()
        yield Live(running, source_port)


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> pki.Pair:
    return pki.authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="session")
def rough(authority: pki.Pair) -> Iterator[Live]:
    """Another one, for tests that break its parts and wait until all is well. Mark its tests xdist_group("rough").

    Its gateway takes TLS too. Its preheats are slow enough to be killed on the way.
    """
    runtime_root()
    server = pki.issue(authority, authority.key.parent, "localhost")
    with stack() as running:
        running.extra["PREHEAT_MIB_PER_SECOND"] = "12"
        running.extra |= {"GATEWAY_TLS_CERT": str(server.certificate), "GATEWAY_TLS_KEY": str(server.key)}
        running.start_with_example()
        yield Live(running)


@pytest.fixture(scope="session")
def live_llm(live: Live) -> Live:
    """The shared stack with the service tiny-llama (vLLM, task chat, LoRA module "pirate") READY behind the gateway.

    Mark its tests xdist_group("live-text"). The question and its answer are tests.servers.vllm.QUESTION and ANSWER.
    """
    vllm.sample_model()
    llama.publish(vllm.runtime_root(), live.stack.home.samples)
    live.create(
        vllm.NAME,
        vllm.NAME,
        framework="vllm",
        resources={"cpu": 0.5, "memory_gib": 2},
        framework_config={"lora_modules": [{"name": vllm.ADAPTER, "path": f"adapters/{vllm.ADAPTER}"}]},
    )
    live.wait(vllm.NAME, seconds=vllm.START_SECONDS)
    return live


@pytest.fixture(scope="session")
def llama_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[vllm.RunningVllm]:
    """vLLM with tiny-llama and its adapter, served as vllm.SHARED, which logs what it reads. Its weights are in shards,
    and its template is where older transformers save it.

    Its run directory is deep: a unix socket's name would not fit into it. Mark its tests xdist_group("vllm").
    """
    config = {
        "lora_modules": [{"name": vllm.ADAPTER, "path": f"adapters/{vllm.ADAPTER}"}],
        "startup_timeout_seconds": vllm.START_SECONDS,
    }
    run_dir = tmp_path_factory.mktemp("deep") / ("d" * 60) / ("e" * 40)
    tree = shutil.copytree(vllm.sample_model(), tmp_path_factory.mktemp("shards") / vllm.SHARED)
    llama_folder.shard(tree)
    llama_folder.move_template(tree)
    context = vllm.context_for(vllm.SHARED, tree, run_dir, config=config)
    with vllm.serve(context, logs_requests=True) as server:
        yield server


@pytest.fixture(scope="session")
def s3_server() -> Iterator[s3.Server]:
    """A real S3 server of this test process. Mark tests xdist_group("s3"), so that one process starts it."""
    with s3.start_s3() as server:
        yield server


@pytest.fixture
def bucket(s3_server: s3.Server) -> s3.Bucket:
    """A new one, empty, without versions."""
    return s3_server.bucket()
