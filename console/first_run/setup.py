"""What the first `make run` makes: administrator, key, samples, example service. Later runs change nothing.

Each step looks whether it was done, so that a run that was cut off is completed by the next one.
"""

from __future__ import annotations

import logging
import secrets
import subprocess
import time
from collections.abc import Callable

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction

from console.accounts.principal import SYSTEM
from console.errors import Unavailable
from console.first_run import credentials, example
from console.home import CHECKOUT, Home
from console.models import Team
from console.stack.addresses import authority, reachable
from datasets.actions import datasets, trust
from datasets.models import Dataset
from datasets.samples.llama import make as llama
from services import states, wiring
from services.actions import keys, places
from services.actions import services as verbs
from services.clients.probes import kserve_v2
from services.control import publishing
from services.gateway import keys as key_format
from services.models import ApiKey, Replica, Service

logger = logging.getLogger(__name__)
Announce = Callable[[str], None]
TEAM = "default"
DATASET = "samples"
KEY_NAME = "first run"
PATIENCE = 180.0
"""Seconds for the example to become READY."""
ASK_SECONDS = 30.0
"""Seconds for the gateway to answer once it is: on a later run READY is what was true when the last one ended."""


def ensure(home: Home, announce: Announce) -> dict[str, str]:
    """What to tell the user at the end, by label; raises ConsoleError when the example cannot be brought up."""
    places.report_node()
    places.ensure_default_queue()
    team, _ = Team.objects.get_or_create(name=TEAM)
    values = credentials.read(home.credentials)
    first = "example" not in values
    values = _account(home, values, announce)
    values = _key(home, values, team)
    publishing.publish_now()
    if first:
        _samples(home, announce)
        _example(team, announce)
        credentials.write(home.credentials, {**values, "example": example.NAME})
    _language_sample(home)
    answered = _wait(values, announce)
    return _summary(home, values, answered)


def _account(home: Home, values: dict[str, str], announce: Announce) -> dict[str, str]:
    """The password is written down before the account is made: a crash between the two leaves nobody locked out."""
    host = reachable(settings.CONSOLE_BIND)
    values = {
        **values,
        "console_url": f"http://{authority(host, settings.CONSOLE_PORT)}",
        "gateway_url": f"http://{authority(host, settings.GATEWAY_PORT)}",
    }
    if "password" not in values:
        values |= {"username": "admin", "password": secrets.token_urlsafe(15)}
    credentials.write(home.credentials, values)
    if not User.objects.filter(is_superuser=True).exists():
        announce("Making the administrator's account")
        User.objects.create_superuser(values["username"], password=values["password"])
    return values


def _key(home: Home, values: dict[str, str], team: Team) -> dict[str, str]:
    if key_format.parse(values.get("api_key", "")):
        return values
    for lost in ApiKey.objects.filter(name=KEY_NAME, revoked_at=None):
        keys.revoke(lost, actor=SYSTEM)
    new_key = keys.create(team=team, name=KEY_NAME, scopes=("infer", "read", "manage"), all_teams=True, actor=SYSTEM)
    values = {**values, "api_key": new_key.key}
    credentials.write(home.credentials, values)
    return values


def _samples(home: Home, announce: Announce) -> None:
    announce("Training and writing the sample models")
    python = home.runtimes / "triton" / "bin" / "python"
    done = subprocess.run(
        [str(python), "-P", str(CHECKOUT / "datasets" / "samples" / "generate.py"), str(home.samples)],
        capture_output=True,
        text=True,
        check=False,
        cwd=home.root,
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise Unavailable(
            f"The sample models could not be created: {last}", hint="`make runtime-triton` repairs the runtime."
        )


def _language_sample(home: Home) -> None:
    """What `make runtime-vllm` has trained, at whatever time it was run. A sample that is missing stops nothing."""
    try:
        llama.publish(home.runtimes / "vllm", home.samples)
    except OSError as error:
        logger.warning("The sample model tiny-llama could not be copied: %s", error)


@transaction.atomic
def _example(team: Team, announce: Announce) -> None:
    if not Dataset.objects.filter(name=DATASET).exists():
        dataset = datasets.create(
            team=team,
            name=DATASET,
            kind="local",
            options={"path": str(settings.HOME.samples)},
            description="Small real models to try things with.",
            actor=SYSTEM,
        )
        # The samples are Python models of ours, and only the console writes them: also those of a later release.
        trust.trust(dataset, actor=SYSTEM, later_changes=True)
    if not Service.objects.filter(name=example.NAME).exists():
        announce(f"Creating the service {example.NAME}")
        verbs.create(
            {
                "name": example.NAME,
                "framework": "triton",
                "dataset": DATASET,
                "model_path": "mnist-svm",
                "queue": "default",
                "resources": {"cpu": 1, "memory_gib": 1},
            },
            team=team,
            actor=SYSTEM,
        )


def _wait(values: dict[str, str], announce: Announce) -> str:
    """What the example answered, once it does; "" when somebody stopped or deleted it, which is theirs to decide."""
    deadline = time.monotonic() + PATIENCE
    announced = ""
    while time.monotonic() < deadline:
        service = Service.objects.filter(name=example.NAME).first()
        if service is None or service.state in {states.STOPPED, states.STOPPING}:
            return ""
        if service.state == states.FAILED:
            raise Unavailable(f"{example.NAME} failed: {service.message}")
        if service.state == states.READY:
            announce(f"Asking {example.NAME} through the gateway")
            return _ask(values)
        now = f"{example.NAME} is {service.state}. {service.message}".strip()
        if now != announced:
            announce(now)
            announced = now
        time.sleep(0.25)
    raise Unavailable(f"{example.NAME} is not READY after {PATIENCE:.0f} s.", hint="Its page in the console says why.")


def _ask(values: dict[str, str]) -> str:
    """Again and again for ASK_SECONDS: the replica may be starting, the gateway not know of it yet.

    The gateway is asked only once the replica itself answers: what it refuses meanwhile counts as failed, in usage.
    """
    deadline = time.monotonic() + ASK_SECONDS
    while not _answers() and time.monotonic() < deadline:
        time.sleep(0.25)
    while True:
        try:
            return f"{example.ask(values['gateway_url'], values['api_key']):g}"
        except Unavailable:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.25)


def _answers() -> bool:
    replicas = Replica.objects.filter(service__name=example.NAME).select_related("revision", "service")
    listeners = [wiring.engine().listeners(replica.process_name) for replica in replicas]
    return any(kserve_v2.probe(each.http, example.NAME, timeout=2.0).ready for each in listeners)


def _summary(home: Home, values: dict[str, str], answered: str) -> dict[str, str]:
    doors = "every protocol, https too" if settings.GATEWAY_TLS_CERTIFICATE else "every protocol"
    summary = {
        "Console": values["console_url"],
        "Sign in": f"{values['username']} / {values['password']}",
        "Gateway": f"{values['gateway_url']}  ({doors})",
        "API key": values["api_key"],
        "Kept in": str(home.credentials),
    }
    if answered:
        summary["Answer"] = f"{example.NAME} says {answered}"
        summary["Try it"] = example.curl(values["gateway_url"], values["api_key"])
    if not (containment := wiring.engine().containment()).boxed:
        summary["Warning"] = containment.sentence
    if not (home.runtimes / "vllm").is_dir():
        summary["More"] = "language models: make runtime-vllm"
    return summary
