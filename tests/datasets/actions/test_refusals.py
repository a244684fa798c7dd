"""What would do harm is refused with a reason, and counted."""

from __future__ import annotations

from pathlib import Path

import pytest

from console.accounts.principal import SYSTEM
from console.errors import InvalidFields
from console.models import Team
from datasets import states
from datasets.actions import datasets, refusals
from datasets.errors import REFUSED
from datasets.models import Dataset
from services.usage import prometheus
from tests.datasets.looking import fresh
from tests.datasets.worker import Worker

pytestmark = pytest.mark.django_db


def counted() -> dict[str, int]:
    return {reason: count for reason, count in refusals.totals().items() if count}


def test_every_reason_is_there_before_anything_happened() -> None:
    assert refusals.totals() == dict.fromkeys(REFUSED, 0)
    assert 'console_sources_refused_total{reason="address"} 0.0' in prometheus.text(0).decode()


@pytest.mark.parametrize("host", ["169.254.169.254", "2852039166", "0xa9.0xfe.0xa9.0xfe", "[::ffff:169.254.169.254]"])
def test_a_server_that_hands_out_credentials_is_counted_and_no_dataset_is_made(team: Team, host: str) -> None:
    with pytest.raises(InvalidFields, match="link-local"):
        datasets.create(team=team, name="m", kind="http", options={"url": f"http://{host}/m"}, actor=SYSTEM)
    assert counted() == {"address": 1}
    assert not Dataset.objects.exists()
    assert 'console_sources_refused_total{reason="address"} 1.0' in prometheus.text(0).decode()


def test_a_link_that_leads_out_of_its_dataset_fails_its_round_and_is_counted(worker: Worker, files: Path) -> None:
    (files / "svm" / "secrets").symlink_to("/etc/passwd")
    for times in (1, 2):
        job = worker.request()
        assert worker.run(job).state == states.FAILED
        assert "symbolic link" in fresh(job).message
        assert counted() == {"link": times}


def test_a_failure_that_would_do_no_harm_is_not_counted(worker: Worker, files: Path) -> None:
    job = worker.request()
    files.rename(files.with_name("away"))
    worker.run(job)
    assert counted() == {}
