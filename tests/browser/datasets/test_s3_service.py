"""A service whose model is in a bucket, by clicking: from its keys to an answer; and a server that goes away."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from playwright.sync_api import Page, expect

from console.first_run import example
from tests.browser import pages
from tests.integration.live import Live
from tests.servers import s3
from tests.servers.proxy import Hold, Proxy

pytestmark = [pytest.mark.browser, pytest.mark.integration, pytest.mark.xdist_group("live")]
NAME, FILLER, QUEUE = "br-from-s3", "br-in-the-way", "br-narrow"
MIB = 1 << 20
PADDING = 48 * MIB
"""Bytes beside the model, and of another folder."""
PART, STREAMS = 2 * MIB, 16
"""Bytes in a file of that folder, and how many files come at once."""


class World(NamedTuple):
    live: Live
    bucket: s3.Bucket

    @property
    def secret(self) -> str:
        return self.bucket.server.everything[1]

    def proxy(self) -> Proxy:
        """The bucket's server as the console reaches it."""
        return Proxy(self.bucket.server.port, self.live.source_port)


@pytest.fixture(scope="module")
def world(live: Live, s3_server: s3.Server) -> Iterator[World]:
    """A bucket with a model and what makes it large."""
    bucket, model = s3_server.bucket(), live.stack.home.samples / "mnist-svm"
    for file in sorted(model.rglob("*")):
        if file.is_file():
            bucket.put(f"team/digits/{file.relative_to(model)}", file.read_bytes())
    bucket.put("team/digits/padding.bin", secrets.token_bytes(PADDING))
    for number in range(PADDING // PART):
        bucket.put(f"team/large/part-{number:02d}.bin", secrets.token_bytes(PART))
    yield World(live, bucket)
    for name in (NAME, FILLER):
        if live.api(f"services/{name}/").status == 200:
            live.delete(name)
    live.api(f"queues/{QUEUE}/", method="DELETE")


def test_a_service_made_by_form_from_a_bucket_waits_for_its_files_then_for_its_queue_and_answers_8(
    page: Page, world: World
) -> None:
    live = world.live
    the_queue_is_full(live)
    with world.proxy() as proxy:
        the_dataset_is_made(page, world, "br-bucket")
        page.get_by_role("button", name="Trust the code in this dataset").click()  # the model is a pickle
        expect(page.get_by_role("button", name="Revoke trust")).to_be_visible()
        page.get_by_role("link", name="team/").click()
        page.get_by_role("link", name="digits/").click()
        expect(page.get_by_role("cell", name="config.pbtxt")).to_be_visible()
        expect(page.get_by_text("A Triton model (python)")).to_be_visible()
        the_secret_is_not_in(page, world)
        page.get_by_role("link", name="Create a service from this folder").click()
        expect(page.get_by_label("Model path")).to_have_value("team/digits")
        pages.name_it(page, NAME)
        page.get_by_label("Queue", exact=True).select_option(QUEUE)
        pages.claim(page, "0.5", "0.5")
        hold = proxy.hold_all(PADDING // 4)
        page.get_by_role("button", name="Create service").click()
        expect(page.get_by_text(f"{NAME} was created.")).to_be_visible()
        page.evaluate("window.still = true")
        the_preheat_moves(page, proxy, hold)
        the_secret_is_not_in(page, world)
        expect(page.locator("#status .badge").first).to_have_text("Queued")
    expect(page.locator("#status")).to_contain_text(f"1st in queue {QUEUE}: needs 0.5 CPU, 0 free")
    live.api(f"services/{FILLER}/stop/", method="POST")
    pages.wait_until_ready(page, NAME)

    page.get_by_role("link", name="Test", exact=True).click()
    pages.fill_input(page, str(example.PIXELS))
    pages.send(page, "HTTP")
    expect(page.locator("#panel-answer [data-output=predict]")).to_have_text("[8.0]")
    assert live.infer(NAME).body["outputs"][0]["data"][0] == example.EXPECTED
    assert live.infer(NAME, key="").status == 401
    the_secret_is_not_in(page, world)
    page.get_by_role("link", name="Events", exact=True).click()
    for state in ("Preheating", "Queued", "Starting", "Ready"):
        expect(page.get_by_role("main")).to_contain_text(state)
    the_secret_is_not_in(page, world)
    page.goto("/datasets/br-bucket/edit/")
    secret = page.locator('[name="credentials.secret_key"]')
    expect(secret).to_have_attribute("placeholder", "set")
    expect(secret).to_have_value("")
    the_secret_is_not_in(page, world)
    the_secret_is_in_no_log(world)


def test_a_preheat_says_that_the_server_is_away_and_goes_on_when_it_is_back(page: Page, world: World) -> None:
    name = "br-restarted"
    job = page.locator("#round")
    with world.proxy() as proxy:
        the_dataset_is_made(page, world, name)
        page.goto(f"/datasets/{name}/?path=team/large")
        proxy.hold_all(PADDING // 2)
        page.get_by_role("button", name="Preheat this").click()
        page.locator("#rounds").get_by_role("link", name="team/large").click()
        expect(job.get_by_role("progressbar")).to_have_attribute("value", re.compile("[1-9]"))
        expect(page.locator("#files-there")).not_to_have_text("There 0")
    expect(job).to_contain_text(f"127.0.0.1:{world.live.source_port}")
    expect(job).to_contain_text("Attempt 1 of 5; the next one follows in")
    the_secret_is_not_in(page, world)
    with world.proxy():
        expect(job.locator(".badge").first).to_have_text("Done", timeout=90_000)
    after = world.live.api(f"datasets/{name}/rounds/").body["results"][0]
    assert after["bytes_total"] == after["bytes_done"] == PADDING
    assert after["bytes_copied"] <= PADDING + STREAMS * PART  # what was under way, and no more
    expect(job).to_contain_text("No connection to")  # its log still tells
    the_secret_is_not_in(page, world)
    the_secret_is_in_no_log(world)


def the_dataset_is_made(page: Page, world: World, name: str) -> None:
    """By form. A wrong secret is tried first."""
    page.goto("/datasets/?new")
    page.get_by_role("textbox", name="Name", exact=True).fill(name)
    page.get_by_role("radio", name="S3 bucket").check()
    page.get_by_label("Bucket", exact=True).fill(world.bucket.name)
    page.get_by_label("Endpoint").fill(f"http://127.0.0.1:{world.live.source_port}")
    page.get_by_label("Access key").fill(world.bucket.server.everything[0])
    page.get_by_label("Secret key").fill("not-the-secret")
    page.get_by_role("button", name="Test connection").click()
    result = page.locator("#looked")
    expect(result).to_contain_text("Secret key: The secret key does not fit the access key.")
    expect(page.locator('[id="id_credentials.secret_key_error"]')).to_contain_text("does not fit the access key")
    page.get_by_label("Secret key").fill(world.secret)
    page.get_by_role("button", name="Test connection").click()
    expect(result).to_contain_text(f"{world.bucket.name} at 127.0.0.1:{world.live.source_port} can be read")
    the_secret_is_not_in(page, world)
    page.get_by_role("button", name="Create the dataset").click()
    expect(page.get_by_role("heading", name=name)).to_be_visible()


def the_queue_is_full(live: Live) -> None:
    queue = {"name": QUEUE, "cpu": 0.5, "memory_gib": 4, "gpus": {}}
    assert live.api("queues/", queue, method="POST").status == 201
    live.create(FILLER, "echo", queue=QUEUE)
    live.wait(FILLER)


def the_preheat_moves(page: Page, proxy: Proxy, hold: Hold) -> None:
    """The bar on the page of the service goes on by itself, whenever the server does."""
    status = page.locator("#status")
    expect(status).to_contain_text("no GPU is held meanwhile")
    bar = status.get_by_role("progressbar", name="Model files prepared")
    value = "0"
    for _ in range(3):
        expect(bar).not_to_have_attribute("value", value)
        value = str(bar.get_attribute("value"))
        last, hold = hold, proxy.hold_all(PADDING // 4)
        last.release()
    hold.release()


def the_secret_is_not_in(page: Page, world: World) -> None:
    """Neither in the page as it came and was changed, nor in what forms have been filled with by the console."""
    assert world.secret not in page.content()


def the_secret_is_in_no_log(world: World) -> None:
    stack = world.live.stack
    for path in [stack.output, *Path(stack.home.root, "logs").rglob("*")]:
        if path.is_file():
            assert world.secret.encode() not in path.read_bytes(), path
