"""What a person does on the pages of a service: sends the test panel as it stands, and copies snippets into a shell."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from tests.corpus.case import Case
from tests.integration.corpus.world import World

GRPCURL = Path(__file__).parent / "grpcurl.py"


@dataclass
class Page(HTMLParser):
    """Reads a page: the fields of one form, as a browser sends them, and the texts of elements with an id."""

    form: str = ""
    """Its id."""
    fields: dict[str, str] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    action: str = ""

    def __post_init__(self) -> None:
        super().__init__()
        self._inside = False
        self._select = self._code = self._area = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        name = attributes.get("name", "")
        if tag == "form":
            self._inside = attributes.get("id") == self.form
            self.action = attributes["action"] if self._inside else self.action
        elif tag == "code" and "id" in attributes:
            self._code = attributes["id"]
            self.texts[self._code] = ""
        elif not self._inside:
            return
        elif tag == "select":
            self._select = name
        elif tag == "option" and self._select and ("selected" in attributes or self._select not in self.fields):
            self.fields[self._select] = attributes["value"]
        elif tag == "textarea":
            self._area = name
            self.fields[name] = ""
        elif tag == "input" and attributes.get("type") in {"radio", "checkbox"}:
            if "checked" in attributes:
                self.fields[name] = attributes.get("value", "on")
        elif tag == "input" and attributes.get("type") != "file":
            self.fields[name] = attributes.get("value", "")

    def handle_data(self, data: str) -> None:
        if self._code:
            self.texts[self._code] += data
        if self._area:
            # A browser leaves the first newline of a text area out.
            self.fields[self._area] += data.removeprefix("\n") if not self.fields[self._area] else data

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._inside = False
        elif tag == "select":
            self._select = ""
        elif tag == "textarea":
            self._area = ""
        elif tag == "code":
            self._code = ""


def read(content: bytes, form: str = "") -> Page:
    page = Page(form)
    page.feed(content.decode())
    page.close()
    return page


def send_panel(world: World, case: Case) -> Any:
    """Send the panel of a fresh page; the answer that the page shows. Fails the test unless that is a good one."""
    shown = world.browser.get(f"/services/{case.name}/test/")
    page = read(shown.content, "panel-form")
    assert page.fields, shown.content.decode()
    result = world.browser.post(page.action, page.fields, headers={"HX-Request": "true"})
    answer = result.context.get("answer")
    assert result.status_code == 200 and answer is not None, result.content.decode()
    assert answer.ok, f"{page.fields}\n{answer.status}: {answer.error}"
    return answer


def snippets(world: World, case: Case) -> dict[str, str]:
    """Those of the access page, by id, in its order."""
    shown = world.browser.get(f"/services/{case.name}/access/")
    texts = read(shown.content).texts
    return {id.removeprefix("call-"): text for id, text in texts.items() if id.startswith("call-")}


def run(world: World, snippet: str, name: str, directory: Path) -> str:
    """What it prints, run as the page says: in a shell or by Python, with the key in the environment."""
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(directory),
        "API_KEY": world.key,
        "LC_ALL": "C.UTF-8",
        "NO_PROXY": "*",
    }
    if name.startswith("python"):
        environment = "clients-tensorflow" if name == "python_tfserving" else "clients"
        done = world.python(environment).run(snippet, env, directory)
    elif name == "grpcurl":
        done = _run_grpcurl(world, snippet, env, directory)
    else:
        done = _run(["bash", "-uc", snippet], env, directory)
    assert done.returncode == 0, f"{snippet}\n{done.stdout[-2000:]}{done.stderr[-4000:]}"
    return done.stdout


def _run(command: list[str], env: dict[str, str], directory: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, env=env, cwd=directory, capture_output=True, text=True, errors="replace", timeout=60, check=False
    )


def _run_grpcurl(world: World, snippet: str, env: dict[str, str], directory: Path) -> subprocess.CompletedProcess[str]:
    """The shell takes the snippet apart; what would be grpcurl's arguments and input go to grpcurl.py."""
    (directory / "inference.protoset").write_bytes(world.protoset)
    function = """grpcurl() { printf '%s\\0' "$@" > arguments; case "$*" in *' -d @ '*) cat > input;; esac; }"""
    done = _run(["bash", "-uc", f"{function}\n: > input\n{snippet}"], env, directory)
    if done.returncode:
        return done
    arguments = (directory / "arguments").read_text().split("\0")[:-1]
    program = f"import runpy, sys\nsys.argv = {['grpcurl', *arguments]!r}\nsys.stdin = open('input')\n"
    return world.python("clients").run(
        f"{program}runpy.run_path({str(GRPCURL)!r}, run_name='__main__')", env, directory
    )


def check(name: str, printed: str, directory: Path) -> None:
    """curl ends well whatever it is answered."""
    if name == "curl" and "answer.bin" in printed:
        assert printed.startswith("HTTP 200"), printed + (directory / "answer.bin").read_text(errors="replace")[:2000]
    elif name == "curl":
        assert "outputs" in json.loads(printed), printed
    elif name == "curl_v1":
        assert json.loads(printed).keys() & {"predictions", "outputs"}, printed
    else:
        assert printed.strip()
