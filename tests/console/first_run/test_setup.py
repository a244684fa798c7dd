"""The last step of `make run`: asking the example service, which a later run finds READY in the database."""

from __future__ import annotations

import pytest
from django.utils import timezone

from console.errors import Unavailable
from console.first_run import example, setup
from console.models import Team
from services import states
from services.models import Service

KNOWN = {"gateway_url": "http://127.0.0.1:1", "api_key": "a key"}


@pytest.fixture
def service(team: Team, monkeypatch: pytest.MonkeyPatch) -> Service:
    monkeypatch.setattr(setup, "_answers", lambda: True)
    return Service.objects.create(team=team, name=example.NAME, state=states.READY, state_since=timezone.now())


def test_nothing_is_said_of_the_state_before_the_gateway_has_answered(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    messages: list[str] = []
    answers: list[float | Exception] = [8.0, Unavailable("503")]

    def ask(url: str, key: str) -> float:
        answer = answers.pop()
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(example, "ask", ask)
    assert setup._wait(KNOWN, messages.append) == "8"
    assert messages == [f"Asking {example.NAME} through the gateway"]


def test_it_asks_for_as_long_as_it_says_however_long_the_start_took(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    times: list[float] = []

    def ask(url: str, key: str) -> float:
        times.append(now[0])
        raise Unavailable("The gateway answered 503.")

    monkeypatch.setattr(example, "ask", ask)
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    monkeypatch.setattr("time.sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    service.state = states.STARTING
    service.save()

    def tell(text: str) -> None:
        """It is READY only after nearly all of the patience is used up."""
        now[0] += setup.PATIENCE - 1
        Service.objects.update(state=states.READY, state_since=timezone.now())

    with pytest.raises(Unavailable, match="503"):
        setup._wait(KNOWN, lambda text: tell(text) if "STARTING" in text else None)
    assert times[-1] - times[0] == pytest.approx(setup.ASK_SECONDS, abs=1)


def test_the_gateway_is_not_asked_before_the_replica_answers(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it refuses would be counted as failed, in the usage of whoever has just started the console."""
    replica = iter([False, False, True])
    urls: list[str] = []
    monkeypatch.setattr(setup, "_answers", lambda: next(replica))
    monkeypatch.setattr("time.sleep", lambda seconds: None)

    def ask(url: str, key: str) -> float:
        urls.append(url)
        return 8.0

    monkeypatch.setattr(example, "ask", ask)
    assert setup._wait(KNOWN, lambda text: None) == "8"
    assert len(urls) == 1 and next(replica, None) is None
