"""Datasets and rounds over REST."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from console.home import Home
from datasets.models import Dataset, Round
from tests.datasets.guarded import WORD, guard
from tests.datasets.worker import Worker
from tests.rest import REFUSED, SEEN, Api, who_may


def body(files: Path, **changes: Any) -> dict[str, Any]:
    return {"name": "models", "kind": "local", "options": {"path": str(files)}, **changes}


def test_a_dataset_is_created_and_shown(mine: Api, home: Home, files: Path) -> None:
    response = mine.post("datasets/", body(files, description="Ours.", credentials={}))
    assert response.status == 201 and response.headers["Location"] == "http://testserver/api/v1/datasets/models/"
    assert response.data["team"] == "vision" and response.data["options"] == {"path": str(files)}
    assert mine.get("datasets/models/").data == response.data == mine.get("datasets/").data["results"][0]


def test_who_may_create_a_dataset(people: dict[str, Api], home: Home, files: Path) -> None:
    assert who_may(people, lambda api: api.post("datasets/", body(files, team="vision"))) == {
        **REFUSED,
        "stranger": 400,
        "owner": 201,
    }
    assert Dataset.objects.count() == 1


def test_who_sees_a_dataset(people: dict[str, Api], dataset: Dataset) -> None:
    for part in ("", "files/", "rounds/"):
        assert who_may(people, lambda api, part=part: api.get(f"datasets/models/{part}")) == SEEN, part  # type: ignore[misc]
    assert people["stranger"].get("datasets/").data["count"] == 0


def test_who_may_change_a_dataset(people: dict[str, Api], dataset: Dataset) -> None:
    assert who_may(people, lambda api: api.patch("datasets/models/", {"description": "New."})) == {
        **REFUSED,
        "owner": 200,
    }
    assert people["owner"].get("datasets/models/").data["description"] == "New."


def test_who_may_delete_a_dataset(people: dict[str, Api], dataset: Dataset) -> None:
    assert who_may(people, lambda api: api.delete("datasets/models/")) == {**REFUSED, "owner": 204}
    assert not Dataset.objects.exists()


def test_who_may_preheat(people: dict[str, Api], dataset: Dataset) -> None:
    assert who_may(people, lambda api: api.post("datasets/models/preheat/", {"path": "svm"})) == {
        **REFUSED,
        "owner": 202,
    }


def test_a_round_is_followed_from_request_to_tree(worker: Worker, mine: Api) -> None:
    response = mine.post("datasets/models/preheat/", {"path": "svm"})
    assert response.data["state"] == "PENDING" and response.data["percent"] == 0
    again = mine.post("datasets/models/preheat/", {"path": "svm/"})
    assert again.data["id"] == response.data["id"]
    worker.run(Round.objects.get())
    done = mine.get(response.headers["Location"].removeprefix("http://testserver/api/v1/")).data
    assert done["state"] == "DONE" and done["percent"] == 100 and done["files_done"] == 3 and len(done["tree"]) == 64
    assert mine.post(f"datasets/models/rounds/{done['id']}/cancel/").status == 409


def test_files_are_browsed_in_pages(mine: Api, dataset: Dataset) -> None:
    root = mine.get("datasets/models/files/").data
    assert [(entry["name"], entry["is_dir"]) for entry in root["entries"]] == [("svm", True), ("README.txt", False)]
    svm = mine.get("datasets/models/files/", path="svm").data
    assert svm["recognised"]["kind"] == "triton_model"
    page = mine.get("datasets/models/files/", path="svm/1", after="1", limit=1).data
    assert [entry["path"] for entry in page["entries"]] == ["svm/1/weights.bin"] and page["next"] == ""
    assert page["entries"][0]["size"] == 256_000


def test_nothing_outside_the_dataset_can_be_browsed(mine: Api, dataset: Dataset, files: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    (files / "link").symlink_to(tmp_path)
    for path in ("..", "svm/../..", "/etc", str(tmp_path), "link", "link/secret.txt", "svm/\0"):
        answer = mine.get("datasets/models/files/", path=path)
        assert answer.status == 400 and "secret" not in str(answer.data.get("entries")), path
    for path in ("../x", "/etc", "link", "nowhere"):
        assert set(mine.post("datasets/models/preheat/", {"path": path}).errors) == {"path"}
    assert set(mine.get("datasets/models/files/", limit="x").errors) == {"limit"}
    assert not Round.objects.exists()


def test_every_wrong_field_of_a_dataset_is_named(mine: Api, home: Home, files: Path, tmp_path: Path) -> None:
    assert set(mine.post("datasets/", {}).errors) == {"name", "kind"}
    assert set(mine.post("datasets/", body(files, name="Not A Name", kind="ftp")).errors) == {"name", "kind"}
    assert set(mine.post("datasets/", body(files, options={"path": 1, "more": 2})).errors) == {
        "options.path",
        "options.more",
    }
    assert set(mine.post("datasets/", body(files, colour="red", name="x")).errors) == {"colour"}
    assert set(mine.post("datasets/", body(files, credentials={"key": "x"})).errors) == {"credentials.key"}
    assert set(mine.post("datasets/", body(files, name=[], options=[], description={})).errors) == {
        "name",
        "options",
        "description",
    }
    assert "text" in mine.post("datasets/", body(files, options={"path": ["/"]})).errors["options.path"][0]
    assert set(mine.post("datasets/", body(files, options={"path": ""}, description="x" * 201)).errors) == {
        "options.path",
        "description",
    }
    assert "no source of kind" in mine.post("datasets/", body(files, kind="ftp")).errors["kind"][0]
    (files.parent / "way-out").symlink_to(tmp_path)
    for path in (tmp_path / "elsewhere", files.parent / "way-out"):
        [refusal] = mine.post("datasets/", body(path)).errors["options.path"]
        assert "DATASET_ROOTS" in refusal and str(tmp_path / "allowed") in refusal
    assert not Dataset.objects.exists()


def test_a_name_in_use_is_refused_whoever_has_it(people: dict[str, Api], dataset: Dataset, files: Path) -> None:
    for who in ("owner", "stranger"):
        assert "Choose another name" in people[who].post("datasets/", body(files)).errors["name"][0]


def test_name_team_and_kind_cannot_be_changed(mine: Api, dataset: Dataset) -> None:
    errors = mine.patch("datasets/models/", {"name": "a", "team": "b", "kind": "c"}).errors
    assert errors == {field: ["Cannot be changed."] for field in ("name", "team", "kind")}
    wrong = {"options": {"path": "/etc"}, "description": "new"}
    assert set(mine.patch("datasets/models/", wrong).errors) == {"options.path"}
    dataset.refresh_from_db()
    assert dataset.options["path"].endswith("models") and dataset.description == ""


def guarded(files: Path, **changes: Any) -> dict[str, Any]:
    guard(files)
    return {"kind": "guarded", "options": {"place": str(files)}, "credentials": {"word": WORD}, **changes}


def test_of_credentials_only_names_come_out(mine: Api, guarded_kind: None, home: Home, files: Path) -> None:
    response = mine.post("datasets/", guarded(files, name="models"))
    assert response.status == 201 and response.data["credentials"] == {"word": "set"} and WORD not in str(response.data)
    patched = mine.patch("datasets/models/", {"credentials": {"second": "two"}})
    assert patched.data["credentials"] == {"word": "set", "second": "set"}
    assert mine.patch("datasets/models/", {"credentials": {"second": ""}}).data["credentials"] == {"word": "set"}
    assert mine.get("datasets/").data["results"][0]["credentials"] == {"word": "set"}
    assert mine.get("datasets/models/files/").status == 200


def test_a_new_dataset_is_tried_without_making_it(mine: Api, guarded_kind: None, home: Home, files: Path) -> None:
    assert "The folder opened." in mine.post("datasets/check/", guarded(files)).data["reached"]
    wrong = mine.post("datasets/check/", guarded(files, credentials={"word": "guess"}))
    assert wrong.errors == {"credentials.word": ["That is not the word."]}
    assert set(mine.post("datasets/check/", guarded(files, kind="floppy")).errors) == {"kind"}
    whole = guarded(files, name="x", description="y")
    assert "The folder opened." in mine.post("datasets/check/", whole).data["reached"]
    assert set(mine.post("datasets/check/", guarded(files, colour="x")).errors) == {"colour"}
    assert not Dataset.objects.exists()


def test_a_dataset_is_tried_as_it_is_and_with_changes(mine: Api, guarded_dataset: Dataset, files: Path) -> None:
    assert "The folder opened." in mine.post("datasets/guarded/check/", {}).data["reached"]
    assert mine.post("datasets/guarded/check/").status == 200
    rude = {"options": {"place": str(files), "manner": "rude"}, "credentials": {"word": WORD}}
    assert set(mine.post("datasets/guarded/check/", rude).errors) == {"options.manner"}
    moved = {"options": {"place": str(files.parent)}}
    assert set(mine.post("datasets/guarded/check/", moved).errors) == {"credentials.word"}
    assert set(mine.patch("datasets/guarded/", moved).errors) == {"credentials.word"}


def test_who_may_try_a_dataset(people: dict[str, Api], guarded_dataset: Dataset, files: Path) -> None:
    new = guarded(files, team="vision")
    assert who_may(people, lambda api: api.post("datasets/check/", new)) == {**REFUSED, "stranger": 400, "owner": 200}
    assert who_may(people, lambda api: api.post("datasets/guarded/check/", {})) == {**REFUSED, "owner": 200}


def test_a_name_that_is_an_address_is_refused(mine: Api, home: Home, files: Path) -> None:
    assert "address of the console" in mine.post("datasets/", body(files, name="check")).errors["name"][0]
