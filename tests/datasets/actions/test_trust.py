"""Whether a team trusts what of a dataset runs as code: who may say so, and that it is recorded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from console import roles
from console.accounts.principal import Principal, for_user
from console.errors import Conflict, Forbidden
from console.models import Membership
from datasets import states
from datasets.actions import datasets, trust
from datasets.actions.rounds import request_round
from datasets.jobs import rounds
from datasets.models import Dataset, Round
from datasets.queries import reports
from tests.datasets.looking import Prepare

ClientOf = Callable[[User | None], Client]


def test_a_new_dataset_is_not_trusted_until_an_owner_says_so(dataset: Dataset, owner: Principal) -> None:
    assert not dataset.trusted
    trust.trust(dataset, actor=owner)
    dataset.refresh_from_db()
    assert dataset.trusted and dataset.trusted_by == "alice" and dataset.trusted_at is not None


def test_who_trusted_it_first_stays_on_record(dataset: Dataset, owner: Principal, admin: User) -> None:
    trust.trust(dataset, actor=owner)
    trust.trust(dataset, actor=for_user(admin))
    assert dataset.trusted_by == "alice"


def test_trust_can_be_taken_back(dataset: Dataset, owner: Principal, admin: User) -> None:
    trust.trust(dataset, actor=owner)
    trust.withdraw(dataset, actor=for_user(admin))
    dataset.refresh_from_db()
    assert not dataset.trusted and dataset.trusted_by == "root"


@pytest.mark.parametrize("role", [roles.VIEWER, roles.EDITOR])
def test_only_an_owner_may_say_so(dataset: Dataset, bob: User, role: str) -> None:
    Membership.objects.filter(user=bob).update(role=role)
    for verb in (trust.trust, trust.withdraw):
        with pytest.raises(Forbidden, match="role owner"):
            verb(dataset, actor=for_user(bob))
    dataset.refresh_from_db()
    assert not dataset.trusted


def test_the_page_shows_it_and_its_button_changes_it(dataset: Dataset, alice: User, client_of: ClientOf) -> None:
    browser, page = client_of(alice), reverse("dataset", args=[dataset.name])
    assert "not trusted" in browser.get(page).content.decode()
    form = {"trusted": "yes", "seen": trust.digest(dataset)}
    assert browser.post(reverse("dataset-trust", args=[dataset.name]), form)["Location"] == page
    content = browser.get(page).content.decode()
    assert "Revoke trust" in content and "by alice" in content
    browser.post(reverse("dataset-trust", args=[dataset.name]), {"trusted": "no"})
    assert "Trust the code in this dataset" in browser.get(page).content.decode()


def test_who_may_not_sees_no_button_and_is_refused(
    dataset: Dataset, bob: User, charlie: User, client_of: ClientOf
) -> None:
    page = client_of(bob).get(reverse("dataset", args=[dataset.name])).content.decode()
    assert "An owner of team vision can change that." in page and "Trust the code" not in page
    where = reverse("dataset-trust", args=[dataset.name])
    assert client_of(bob).post(where, {"trusted": "yes"}).status_code == 403
    assert client_of(charlie).post(where, {"trusted": "yes"}).status_code == 404
    assert client_of(None).post(where, {"trusted": "yes"}).status_code == 302
    dataset.refresh_from_db()
    assert not dataset.trusted


def test_the_api_says_it_too(dataset: Dataset, alice: User, bob: User, client_of: ClientOf) -> None:
    where = reverse("api-dataset-trust", args=[dataset.name])
    digest = client_of(alice).get(reverse("api-dataset-detail", args=[dataset.name])).json()["digest"]
    body = {"trusted": True, "digest": digest}
    answer = client_of(alice).post(where, body, content_type="application/json")
    assert answer.status_code == 200 and answer.json()["trusted"] and answer.json()["trusted_by"] == "alice"
    assert client_of(bob).post(where, {"trusted": False}, content_type="application/json").status_code == 403
    assert client_of(alice).post(where, {}, content_type="application/json").status_code == 400
    dataset.refresh_from_db()
    datasets.update(dataset, actor=for_user(alice), options=elsewhere(dataset))
    assert client_of(alice).post(where, body, content_type="application/json").status_code == 409
    dataset.refresh_from_db()
    assert not dataset.trusted
    answer = client_of(alice).post(where, {"trusted": True, "later_changes": True}, content_type="application/json")
    assert answer.json()["trusted"] and answer.json()["trust_covers_changes"]
    shown = client_of(bob).get(reverse("api-dataset-detail", args=[dataset.name])).json()
    assert shown["trusted"] and shown["trusted_at"]


def elsewhere(dataset: Dataset) -> dict[str, Any]:
    folder = Path(dataset.options["path"]).parent / "elsewhere"
    folder.mkdir(exist_ok=True)
    return {"path": str(folder)}


@pytest.fixture
def editor(bob: User) -> Principal:
    Membership.objects.filter(user=bob).update(role=roles.EDITOR)
    return for_user(bob)


def test_trust_is_for_the_location_and_lost_elsewhere(dataset: Dataset, owner: Principal, editor: Principal) -> None:
    trust.trust(dataset, actor=owner)
    before = dataset.options
    datasets.update(dataset, actor=editor, options=elsewhere(dataset))
    assert not dataset.trusted
    datasets.update(dataset, actor=editor, options=before, description="Other words.")
    assert dataset.trusted, "it is the place that was trusted"


def test_a_write_that_no_verb_made_loses_it_as_well(dataset: Dataset, owner: Principal) -> None:
    trust.trust(dataset, actor=owner)
    Dataset.objects.filter(pk=dataset.pk).update(options=elsewhere(dataset))
    dataset.refresh_from_db()
    assert not dataset.trusted


@pytest.mark.parametrize(
    ("kind", "options", "changed"),
    [
        ("huggingface", {"repository": "a/b"}, {"revision": "refs/pr/1"}),
        ("huggingface", {"repository": "a/b"}, {"include": "*.py"}),
        ("s3", {"bucket": "b", "prefix": "models"}, {"prefix": "evil"}),
        ("s3", {"bucket": "b"}, {"endpoint": "https://evil.example"}),
        ("http", {"url": "https://a.example/m"}, {"url": "https://a.example/n"}),
    ],
)
def test_every_option_that_says_which_files_come_counts(
    dataset: Dataset, owner: Principal, kind: str, options: dict[str, Any], changed: dict[str, Any]
) -> None:
    dataset.kind, dataset.options = kind, options
    dataset.save()
    trust.trust(dataset, actor=owner)
    dataset.options = {**options, "region": "", **changed}
    assert not dataset.trusted
    dataset.options = {**options, "region": ""}
    assert dataset.trusted, "an option that is empty says nothing"


def test_one_that_is_made_anew_under_the_same_name_is_not_trusted(dataset: Dataset, owner: Principal) -> None:
    trust.trust(dataset, actor=owner)
    fields = {"team": dataset.team, "name": dataset.name, "kind": dataset.kind, "options": dataset.options}
    datasets.delete(dataset, actor=owner)
    assert not datasets.create(**fields, actor=owner).trusted


def test_the_button_trusts_what_was_on_the_page_or_nothing(
    dataset: Dataset, editor: Principal, alice: User, client_of: ClientOf
) -> None:
    browser, where = client_of(alice), reverse("dataset-trust", args=[dataset.name])
    page = browser.get(reverse("dataset", args=[dataset.name])).content.decode()
    [seen] = [part.split('"')[0] for part in page.split('name="seen" value="')[1:]]
    datasets.update(dataset, actor=editor, options=elsewhere(dataset))
    answer = browser.post(where, {"trusted": "yes", "seen": seen})
    assert answer.status_code == 409 and "since you looked at it. It was not trusted." in answer.content.decode()
    assert browser.post(where, {"trusted": "yes"}).status_code == 409
    dataset.refresh_from_db()
    assert not dataset.trusted


def test_a_copy_that_was_made_meanwhile_is_not_trusted_unseen(dataset: Dataset, owner: Principal) -> None:
    seen = trust.digest(dataset)
    Round.objects.create(
        dataset=dataset,
        path="svm",
        node="local",
        state=states.DONE,
        tree="t",
        location=dataset.location,
        requested_by="bob",
    )
    with pytest.raises(Conflict, match="copied again"):
        trust.trust(dataset, actor=owner, seen=seen)


def test_what_a_page_says_of_the_copy_is_of_where_the_dataset_points(
    dataset: Dataset, owner: Principal, prepare: Prepare
) -> None:
    prepare("svm")
    assert trust.copies_of(dataset) and reports.read(dataset, "svm").copied_at
    options = elsewhere(dataset)
    (Path(options["path"]) / "svm").mkdir()
    (Path(options["path"]) / "svm" / "README.md").write_text("Another model.")
    datasets.update(dataset, actor=owner, options=options)
    assert not trust.copies_of(dataset) and reports.read(dataset, "svm").copied_at is None


def test_files_that_stay_from_another_location_are_not_mixed_in(
    dataset: Dataset, owner: Principal, prepare: Prepare
) -> None:
    trusted = dataset.options
    options = elsewhere(dataset)
    (Path(options["path"]) / "svm").mkdir()
    (Path(options["path"]) / "svm" / "evil.py").write_text("evil = True\n")
    datasets.update(dataset, actor=owner, options=options)
    prepare("svm")
    datasets.update(dataset, actor=owner, options=trusted)
    job = request_round(dataset, "svm", mode=states.KEEP, actor=owner)
    rounds.run(job.pk)
    job.refresh_from_db()
    assert job.tree and not any("evil" in name for name in trust.files_of("svm", job.tree))
