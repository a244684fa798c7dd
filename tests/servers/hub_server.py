"""The process behind tests/servers/hub.py: the Hub's own HTTP API on one port, its storage ("CDN") on another.

    python -m tests.servers.hub_server FOLDER [CERTIFICATE KEY]

It prints {"hub": port, "cdn": port} and serves until its stdin closes, over TLS if it got a certificate.

What it serves lies in FOLDER, which tests/servers/hub.py writes, and is read anew with every request:

    settings.json                 tokens, page size, key and lifetime of signed URLs, faults
    repos/ORG/NAME/repo.json      who may read it, what its branches and tags point at
    repos/ORG/NAME/COMMIT.json    path -> {size, oid, lfs?, xet?} of one commit
    blobs/OID                     the bytes, by git object id or SHA-256
    requests.jsonl                one line for every request that came in
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import ssl
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, parse_qsl, quote, unquote, urlencode, urlsplit

from tests.servers.hub_state import State

API = re.compile(r"/api/models/(?P<repo>.+?)(?:/(?P<verb>revision|tree|paths-info|auth-check)(?P<rest>/.*)?)?")
RESOLVE = re.compile(r"/(?P<repo>.+?)/resolve/(?P<revision>[^/]+)/(?P<path>.+)")
CACHED = re.compile(r"/api/resolve-cache/models/(?P<repo>.+?)/(?P<commit>[0-9a-f]{40})/(?P<path>.+)")
RANGE = re.compile(r"bytes=(\d+)-(\d*)")


class Answer(Exception):
    """An answer that ends the request. `code` is what the Hub sends as X-Error-Code."""

    def __init__(self, status: int, body: Any = None, headers: dict[str, str] | None = None, code: str = "") -> None:
        self.status, self.body, self.headers = status, body, dict(headers or {})
        if code:
            self.headers["X-Error-Code"] = code
        if isinstance(body, dict) and isinstance(body.get("error"), str):
            self.headers["X-Error-Message"] = body["error"]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 1 << 16
    state: State
    side: str

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        self.handle_one("GET")

    def do_HEAD(self) -> None:
        self.handle_one("HEAD")

    def do_POST(self) -> None:
        self.handle_one("POST")

    def handle_one(self, method: str) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.state.log(
            {
                "side": self.side,
                "method": method,
                "path": self.path,
                "range": self.headers.get("Range", ""),
                "authorization": self.headers.get("Authorization", ""),
                "agent": self.headers.get("User-Agent", ""),
                "host": self.headers.get("Host", ""),
                "cookie": self.headers.get("Cookie", ""),
            }
        )
        parts = urlsplit(self.path)
        try:
            self.fault(parts.path)
            if self.side == "cdn":
                self.cdn(parts.path, dict(parse_qsl(parts.query)))
            else:
                self.hub(parts.path, parse_qs(parts.query), body)
        except Answer as answer:
            self.say(answer)

    # What both sides share

    def fault(self, path: str) -> None:
        """Answers that a test asked for: {"match": part of a path, "side", "status", "headers"?, "body"?}."""
        for fault in self.state.settings["faults"]:
            if fault.get("side", "hub") == self.side and fault["match"] in path:
                if fault["status"] == 0:  # a connection that breaks
                    self.close_connection = True
                    self.connection.shutdown(2)
                    raise Answer(0)
                raise Answer(fault["status"], fault.get("body", {"error": "A fault."}), fault.get("headers"))

    def say(self, answer: Answer) -> None:
        if answer.status == 0:
            return
        raw = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
        text = not isinstance(answer.body, (dict, list))
        if answer.body is None:
            raw = b""
        self.send_response(answer.status)
        answer.headers.setdefault("Content-Type", "text/plain" if text else "application/json; charset=utf-8")
        answer.headers["Content-Length"] = str(len(raw))
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(raw)

    def send_blob(self, oid: str, headers: dict[str, str]) -> None:
        path = self.state.folder / "blobs" / oid
        size = path.stat().st_size
        start, end, status = 0, size - 1, 200
        if match := RANGE.fullmatch(self.headers.get("Range", "")):
            start, end = int(match[1]), min(int(match[2] or size - 1), size - 1)
            if start >= size:
                raise Answer(416, headers={"Content-Range": f"bytes */{size}"})
            status, headers["Content-Range"] = 206, f"bytes {start}-{end}/{size}"
        self.send_response(status)
        cut = self.state.settings["cut_after"] if self.side == "cdn" else None
        for name, value in {**headers, "Accept-Ranges": "bytes", "Content-Length": str(end - start + 1)}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        self.wfile.flush()
        with path.open("rb") as source:
            if self.state.settings["damage"] and self.side == "cdn":
                data = bytearray(source.read())
                data[len(data) // 2] ^= 1
                self.wfile.write(data[start : end + 1])
                return
            length = end - start + 1 if cut is None else min(cut, end - start + 1)
            if length:
                self.connection.sendfile(source, start, length)
        if length < end - start + 1:
            self.close_connection = True

    # The storage behind signed URLs

    def cdn(self, path: str, query: dict[str, str]) -> None:
        expires = int(query.get("Expires", "0"))
        if query.get("Signature") != self.state.sign(path, expires) or expires < time.time():
            raise Answer(
                403,
                b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>",
                {"Content-Type": "application/xml"},
            )
        oid = path.rsplit("/", 1)[-1]
        # As S3 has it: an ETag that says nothing of what the Hub calls this content.
        self.send_blob(oid, {"ETag": f'"{hashlib.md5(oid.encode()).hexdigest()}-4"'})

    # The Hub

    def hub(self, path: str, query: dict[str, list[str]], body: bytes) -> None:
        if match := CACHED.fullmatch(path):
            return self.cached(unquote(match["repo"]), match["commit"], unquote(match["path"]))
        if match := RESOLVE.fullmatch(path):
            repo = self.allowed(match["repo"])
            self.gate(match["repo"], repo)
            return self.resolve(match["repo"], repo, unquote(match["revision"]), unquote(match["path"]))
        if match := API.fullmatch(path):
            return self.api(match["repo"], match["verb"], (match["rest"] or "").lstrip("/"), query, body)
        raise Answer(404, {"error": "Sorry, we can't find the page you are looking for."})

    @property
    def token(self) -> str:
        return self.headers.get("Authorization", "").removeprefix("Bearer ").strip()

    def allowed(self, name: str) -> dict[str, Any]:
        """The repository, if whoever asks may know that it is there."""
        token, tokens = self.token, self.state.settings["tokens"]
        if token and token not in tokens:
            raise Answer(401, {"error": "Invalid credentials in Authorization header"})
        repo = self.state.repo(name)
        if repo is None or (repo["private"] and token not in repo["readers"]):
            if token:
                raise Answer(404, {"error": "Repository not found"}, code="RepoNotFound")
            raise Answer(401, {"error": "Invalid username or password."}, {"WWW-Authenticate": "Bearer"})
        if repo["disabled"]:
            raise Answer(403, {"error": "Access to this resource is disabled."})
        if repo["moved"]:
            raise Answer(307, None, {"Location": self.path.replace(name, repo["moved"], 1)})
        return repo

    def gate(self, name: str, repo: dict[str, Any]) -> None:
        """Files of a gated repository are for those that were let in; everybody may see its listing."""
        if not repo["gated"] or self.token in repo["readers"]:
            return
        if not self.token:
            raise Answer(
                401,
                {
                    "error": f"Access to model {name} is restricted. You must have access to it and be "
                    "authenticated to access it. Please log in."
                },
                code="GatedRepo",
            )
        raise Answer(
            403,
            {
                "error": f"Access to model {name} is restricted and you are not in the authorized list. "
                f"Visit https://huggingface.co/{name} to ask for access."
            },
            code="GatedRepo",
        )

    def commit(self, name: str, repo: dict[str, Any], revision: str) -> str:
        if commit := repo["refs"].get(revision):
            return str(commit)
        if re.fullmatch("[0-9a-f]{40}", revision) and self.state.tree(name, revision) is not None:
            return revision
        raise Answer(404, {"error": f"Invalid rev id: {revision}"}, code="RevisionNotFound")

    def api(self, name: str, verb: str | None, rest: str, query: dict[str, list[str]], body: bytes) -> None:
        repo = self.allowed(name)
        if verb == "auth-check":
            self.gate(name, repo)
            raise Answer(200, {"ok": True})
        if verb is None or verb == "revision":
            commit = self.commit(name, repo, unquote(rest) or "main")
            tree = self.state.tree(name, commit)
            raise Answer(
                200,
                {
                    "_id": "6" * 24,
                    "id": name,
                    "modelId": name,
                    "author": name.split("/")[0],
                    "sha": commit,
                    "lastModified": "2024-05-01T10:00:00.000Z",
                    "private": repo["private"],
                    "disabled": False,
                    "gated": "manual" if repo["gated"] else False,
                    "downloads": 7,
                    "likes": 1,
                    "tags": ["safetensors"],
                    "siblings": [{"rfilename": path} for path in sorted(tree)],
                    "createdAt": "2024-01-01T10:00:00.000Z",
                },
            )
        revision, _, folder = rest.partition("/")
        commit = self.commit(name, repo, unquote(revision))
        rows = listing(self.state.tree(name, commit))
        if verb == "paths-info":
            form = parse_qs(body.decode())
            paths = {path.strip("/") for path in form.get("paths", [])}
            raise Answer(200, [row for row in rows if row["path"] in paths])
        self.tree_page(name, commit, rows, unquote(folder).strip("/"), query)

    def tree_page(
        self, name: str, commit: str, rows: list[dict[str, Any]], folder: str, query: dict[str, list[str]]
    ) -> None:
        start = f"{folder}/" if folder else ""
        below = [row for row in rows if row["path"].startswith(start)]
        if folder and not below:
            raise Answer(404, {"error": f'{folder} does not exist on "{commit}"'}, code="EntryNotFound")
        recursive = query.get("recursive", ["false"])[0].lower() in {"true", "1"}
        if not recursive:
            below = [row for row in below if "/" not in row["path"].removeprefix(start)]
        below.sort(key=lambda row: (row["type"] == "file", row["path"]))
        most = self.state.settings["page"]
        limit = min(int(query.get("limit", [str(most)])[0]), most)
        cursor = query.get("cursor", [""])[0]
        offset = int(base64.b64decode(cursor)) if cursor else 0
        page = below[offset : offset + limit]
        headers = {}
        if offset + limit < len(below):
            further = {
                "recursive": str(recursive).lower(),
                "expand": "false",
                "limit": str(limit),
                "cursor": base64.b64encode(str(offset + limit).encode()).decode(),
            }
            own = f"{self.state.scheme}://{self.headers['Host']}{urlsplit(self.path).path}?{urlencode(further)}"
            headers["Link"] = f'<{own}>; rel="next"'
        raise Answer(200, page, headers)

    def resolve(self, name: str, repo: dict[str, Any], revision: str, path: str) -> None:
        commit = self.commit(name, repo, revision)
        row = self.state.tree(name, commit).get(path)
        if row is None:
            raise Answer(404, {"error": "Entry not found"}, {"X-Repo-Commit": commit}, code="EntryNotFound")
        common = {"X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
        if "lfs" not in row:
            cache_path = f"/api/resolve-cache/models/{quote(name)}/{commit}/{quote(path, safe='')}"
            etag = quote(f'"{row["oid"]}"')
            raise Answer(
                307,
                None,
                {
                    **common,
                    "Location": f"{cache_path}?{quote(self.path, safe='')}=&etag={etag}",
                    "ETag": f'"{row["oid"]}"',
                    "X-Linked-Size": str(row["size"]),
                },
            )
        sha256 = row["lfs"]["oid"]
        if self.state.settings["direct"]:  # a mirror that has the bytes itself
            return self.send_blob(sha256, {**common, "ETag": f'"{sha256}"'})
        expires = int(time.time()) + self.state.settings["cdn_seconds"]
        where = f"/{'xet-bridge-us' if 'xetHash' in row else 'repos'}/{commit[:24]}/{sha256}"
        signed = urlencode(
            {
                "response-content-disposition": f"inline; filename*=UTF-8''{quote(path)}",
                "Expires": expires,
                "Signature": self.state.sign(where, expires),
            }
        )
        location = f"{self.state.scheme}://{self.state.settings['cdn_host']}:{self.state.cdn_port}{where}?{signed}"
        headers = {**common, "Location": location, "X-Linked-Size": str(row["size"]), "X-Linked-ETag": f'"{sha256}"'}
        if "xetHash" in row:
            token = f"{self.state.scheme}://{self.headers['Host']}/api/models/{name}/xet-read-token/{commit}"
            headers |= {"X-Xet-Hash": row["xetHash"], "Link": f'<{token}>; rel="xet-auth"'}
        raise Answer(302, f"Found. Redirecting to {location}".encode(), headers)

    def cached(self, name: str, commit: str, path: str) -> None:
        repo = self.allowed(name)
        self.gate(name, repo)
        row = self.state.tree(name, commit)[path]
        self.send_blob(
            row["oid"],
            {
                "ETag": f'"{row["oid"]}"',
                "X-Repo-Commit": commit,
                "Content-Type": "text/plain; charset=utf-8",
                "Content-Security-Policy": "default-src 'none'; sandbox",
            },
        )


def listing(tree: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows as the tree API gives them: files, and the folders above them."""
    folders = {path[:index] for path in tree for index, letter in enumerate(path) if letter == "/"}
    rows = [
        {"type": "directory", "oid": hashlib.sha1(path.encode()).hexdigest(), "size": 0, "path": path}
        for path in folders
    ]
    return rows + [{"type": "file", "path": path, **row} for path, row in tree.items()]


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], (ConnectionError, TimeoutError)):
            super().handle_error(request, client_address)


def main(folder: Path, certificate: str = "", key: str = "") -> None:
    state = State(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if certificate:
        context.load_cert_chain(certificate, key)
        state.scheme = "https"
    servers = {}
    for side in ("hub", "cdn"):
        handler = type(f"{side}Handler", (Handler,), {"state": state, "side": side})
        servers[side] = Server(("127.0.0.1", 0), handler)
        if certificate:
            servers[side].socket = context.wrap_socket(
                servers[side].socket, server_side=True, do_handshake_on_connect=False
            )
        threading.Thread(target=servers[side].serve_forever, daemon=True).start()
    state.cdn_port = servers["cdn"].server_address[1]
    sys.stdout.write(json.dumps({side: server.server_address[1] for side, server in servers.items()}) + "\n")
    sys.stdout.flush()
    sys.stdin.read()  # whoever started this closes it, also by dying


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
