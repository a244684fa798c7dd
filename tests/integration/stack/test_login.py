"""Wrong passwords at a running console: many at once, from callers who say that they forward for others."""

from __future__ import annotations

import re
import urllib.parse
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from console.web.login import MOST_FAILURES
from tests.integration.live import Live, send

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("live")]
GUESSES = 3 * MOST_FAILURES


def test_of_many_guesses_at_once_no_more_are_looked_at_than_of_one_after_the_other(live: Live) -> None:
    page = send(f"{live.console}/login/")
    token = re.search(rb'name="csrfmiddlewaretoken" value="([^"]+)"', page.body)
    assert token is not None
    cookie = page.headers["set-cookie"].partition(";")[0]
    fields = {"username": "nobody-there", "password": "guess", "csrfmiddlewaretoken": token[1].decode()}
    body = urllib.parse.urlencode(fields).encode()

    def guess(number: int) -> str:
        forwarded = {"X-Forwarded-For": f"203.0.113.{number}"}
        answer = send(f"{live.console}/login/", body, headers={"Cookie": cookie, "Referer": live.console, **forwarded})
        assert answer.status == 200
        return "refused" if b"Too many wrong passwords" in answer.body else "looked at"

    with ThreadPoolExecutor(GUESSES) as pool:
        answers = Counter(pool.map(guess, range(GUESSES)))
    assert answers == {"looked at": MOST_FAILURES, "refused": GUESSES - MOST_FAILURES}
