"""The page and the endpoint of the store: administrators only, and what their buttons do."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from datasets import dispatch, wiring
from datasets.models import Dataset
from tests.datasets.looking import OLD, Prepare
from tests.rest import Api

ClientOf = Callable[[User | None], Client]
NOWHERE = "0" * 64


def test_the_page_shows_copies_and_what_goes_next(
    prepare: Prepare, needed: dict[str, set[str]], admin: User, client_of: ClientOf
) -> None:
    kept, old = prepare("svm"), prepare("README.txt", 2 * OLD)
    needed[kept] = {"echo"}
    page = client_of(admin).get(reverse("store")).content.decode()
    assert "<b>models/README.txt</b>: 7 B become free without it." in page
    assert page.index(old[:12]) < page.index(kept[:12]) and "team vision" in page
    assert f'href="{reverse("service", args=["echo"])}"' in page
    assert reverse("store-evict", args=[old]) in page and reverse("store-evict", args=[kept]) not in page
    assert reverse("store-verify", args=[kept]) in page


def test_only_administrators_open_it_and_are_offered_it(
    dataset: Dataset, alice: User, bob: User, charlie: User, admin: User, client_of: ClientOf
) -> None:
    url = reverse("store")
    assert [client_of(user).get(url).status_code for user in (admin, alice, bob, charlie, None)] == [
        200,
        403,
        403,
        403,
        302,
    ]
    assert f'href="{url}"' in client_of(admin).get(reverse("dashboard")).content.decode()
    assert f'href="{url}"' not in client_of(alice).get(reverse("dashboard")).content.decode()


def test_a_copy_is_evicted_by_button(prepare: Prepare, admin: User, client_of: ClientOf) -> None:
    old, young = prepare("svm"), prepare("README.txt", 0)
    client = client_of(admin)
    content = client.post(reverse("store-evict", args=[old]), follow=True).content.decode()
    assert "250 KiB became free" in content and wiring.tree(old) is None
    refused = client.post(reverse("store-evict", args=[young]), follow=True).content.decode()
    assert "about to be used" in refused and wiring.tree(young) is not None
    assert client.post(reverse("store-evict", args=[NOWHERE])).status_code == 404
    assert client.get(reverse("store-evict", args=[young])).status_code == 405


def test_a_copy_is_read_again_by_button(
    prepare: Prepare, admin: User, client_of: ClientOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[str] = []
    monkeypatch.setattr(dispatch, "verify_asked", lambda: sent.append("asked"))
    digest = prepare("svm")
    assert client_of(admin).post(reverse("store-verify", args=[digest])).status_code == 302
    assert sent == ["asked"]


@pytest.mark.parametrize("verb", ["evict", "verify"])
def test_who_is_no_administrator_presses_nothing(
    verb: str,
    prepare: Prepare,
    alice: User,
    bob: User,
    charlie: User,
    client_of: ClientOf,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sent: list[str] = []
    monkeypatch.setattr(dispatch, "verify_asked", lambda: sent.append("asked"))
    digest = prepare("svm")
    url = reverse(f"store-{verb}", args=[digest])
    assert [client_of(user).post(url).status_code for user in (alice, bob, charlie, None)] == [403, 403, 403, 302]
    for user, status in ((alice, 403), (charlie, 403), (None, 401)):
        assert Api(user).post(f"store/{digest}/{verb}/").status == status
    assert sent == [] and wiring.tree(digest) is not None


def test_the_store_over_rest(
    prepare: Prepare,
    admin: User,
    alice: User,
    needed: dict[str, set[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sent: list[str] = []
    monkeypatch.setattr(dispatch, "verify_asked", lambda: sent.append("asked"))
    api, digest, kept = Api(admin), prepare("svm"), prepare("README.txt")
    needed[kept] = {"echo"}
    data = api.get("store/").data
    assert (data["node"], data["used"], data["damaged"]) == ("local", 256_052, 0)
    tree, other = data["trees"]
    assert (tree["digest"], tree["files"], tree["wanted"], tree["users"]) == (digest, 3, False, [])
    assert tree["origins"] == [{"dataset": "models", "team": "vision", "path": "svm", "round": 1}]
    assert (other["wanted"], other["users"], other["leaves"]) == (True, ["echo"], 0)
    assert [Api(user).get("store/").status for user in (alice, None)] == [403, 401]
    assert api.post(f"store/{digest}/verify/").status == 202 and sent == ["asked"]
    assert api.post(f"store/{kept}/evict/").status == 409
    assert api.post(f"store/{digest}/evict/").data == {"freed": 256_045}
    assert api.post(f"store/{digest}/evict/").status == api.post(f"store/{NOWHERE}/verify/").status == 404
