"""Puts rendered files where Envoy sees them, so that no request meets half of a change.

Each file is complete or absent: written beside, synced, renamed. What Envoy reads is the protobuf of a file
(envoy/encoding.py); its JSON, written after all of them, is the record of what was published. Between files the order
makes before it breaks: clusters are added, and their replicas probed once, before routes lead to them, and removed only
by a later publish, when nothing leads to them any more (lingering.py); the bridge knows of a service before it is sent
requests for it. A process that dies between two renames leaves a state that serves, and the next publish completes it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from console.files import replace
from services.errors import GatewayError, GatewayRefused
from services.gateway import bridge_table, changes, credentials, isolation, lingering, locks, status
from services.gateway.envoy import document, encoding, names
from services.gateway.envoy.bootstrap import bootstrap, descriptors
from services.gateway.envoy.cluster import PATIENCE_SECONDS
from services.gateway.envoy.inside import EGRESS_SOCKET, HOPS_FILE
from services.gateway.envoy.tls import Tls, refresh
from services.gateway.render import render
from services.gateway.snapshot import GatewayService, Limits, Snapshot
from services.gateway.validate import validate

ORDER = (names.CLUSTERS, bridge_table.FILE, names.ROUTES, HOPS_FILE)
"""Clusters before the routes that lead to them, and those before it is told that keys may lead there."""
WAIT_SECONDS = 120.0
"""Longest wait for another publisher: longer than Envoy may take to check a configuration."""
REMEMBERED_REFUSALS = 1000
_refusals: dict[tuple[str, GatewayService], str] = {}
"""By whom a service was refused as it is, and why: so that it is not asked again every few seconds."""
WARM_SECONDS = PATIENCE_SECONDS + 2
"""Longest wait for the first probe of new replicas: each has PATIENCE_SECONDS to answer it."""
Writes = list[tuple[Path, bytes]]
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Delivered:
    changed: bool
    refused: Mapping[str, str]
    """Name of each service that was left out -> why."""


def deliver(take: Callable[[], Snapshot], gateway_dir: Path, envoy: Path) -> Delivered:
    """Takes a snapshot, renders, validates and publishes it; keys are apart (credentials.py).

    The snapshot is taken under the lock, so of two concurrent calls the later never publishes the older state. A
    service that Envoy refuses is left out. Raises GatewayError for everything else, and leaves what is published.
    """
    with locks.exclusive(gateway_dir, locks.SERVICES, WAIT_SECONDS), document.remembering():
        publication = _Publication(gateway_dir, envoy, _bootstrap(gateway_dir))
        snapshot = take()
        refused = {service: why for service in snapshot.services if (why := publication.refusal(service))}
        try:
            changed = publication.carry_out(isolation.without(snapshot, list(refused)))
        except GatewayRefused:
            refused |= publication.isolate(isolation.without(snapshot, list(refused)))
            changed = publication.carry_out(isolation.without(snapshot, list(refused)))
        return Delivered(changed, {service.name: why for service, why in refused.items()})


class _Publication:
    """One configuration on its way. Lives as long as the lock is held."""

    def __init__(self, gateway_dir: Path, envoy: Path, static: bytes) -> None:
        self._gateway_dir, self._envoy, self._static = gateway_dir, envoy, static
        self._checker = changes.identity(envoy, static)

    def refusal(self, service: GatewayService) -> str:
        """Why the service was refused the last time; "" when it was not. Envoy would say the same of it again."""
        return _refusals.get((self._checker, service), "")

    def carry_out(self, snapshot: Snapshot) -> bool:
        files = render(snapshot)
        if not _pending(files, self._gateway_dir):
            return False
        (writes, changed), unchecked = self._check(files)
        _carry_out(writes)
        changes.remember(self._gateway_dir, self._checker, unchecked)
        return changed

    def isolate(self, snapshot: Snapshot) -> dict[GatewayService, str]:
        def check(part: Snapshot) -> None:
            self._check(render(part))

        if len(_refusals) > REMEMBERED_REFUSALS:
            _refusals.clear()
        refused = isolation.isolate(snapshot, self._suspects(snapshot), check, self._record)
        for service, why in refused.items():
            logger.error("The service %s is left out of the gateway: %s", service.name, why)
        return refused

    def _record(self, service: GatewayService, why: str) -> None:
        _refusals[self._checker, service] = why

    def _suspects(self, snapshot: Snapshot) -> list[str]:
        every = [service.name for service in snapshot.services]
        try:
            return changes.services_with_new_lines(render(snapshot), self._gateway_dir) or every
        except GatewayRefused:
            return every

    def _check(self, files: dict[str, bytes]) -> tuple[tuple[Writes, bool], dict[str, bytes] | None]:
        """What is to be written, which Envoy takes, and what it was asked about. Raises GatewayRefused."""
        with ThreadPoolExecutor(1) as beside:
            unchecked = changes.unchecked(files, self._gateway_dir, self._checker)
            checked = beside.submit(validate, unchecked, self._static, self._envoy) if unchecked is not None else None
            plan = _plan(files, self._gateway_dir)  # meanwhile
            if checked is not None:
                checked.result()
        return plan, unchecked


def publish(files: dict[str, bytes], gateway_dir: Path) -> bool:
    """Replaces the files that differ. False when none did. Callers that may run at once hold the lock."""
    with document.remembering():
        writes, changed = _plan(files, gateway_dir)
        _carry_out(writes)
        return changed


def _plan(files: dict[str, bytes], gateway_dir: Path) -> tuple[Writes, bool]:
    """What is to be written, in order, and whether it is a change."""
    pending = _pending(files, gateway_dir)
    clusters = gateway_dir / names.CLUSTERS
    wanted = {gateway_dir / name: files[name] for name in sorted(pending, key=ORDER.index)}
    kept, note = lingering.keep(files[names.CLUSTERS], gateway_dir)
    # Tidying up after an earlier change is none.
    changed = bool(pending - {names.CLUSTERS}) or not _only_removes(files[names.CLUSTERS], clusters)
    if clusters in wanted and _published_as(clusters, kept):
        del wanted[clusters]
    elif clusters in wanted:
        wanted[clusters] = kept
    writes = _writes(wanted)
    if note != lingering.note(gateway_dir):
        writes.append((gateway_dir / lingering.LEFT, note))
    return writes, changed


def _writes(wanted: dict[Path, bytes]) -> Writes:
    """First what Envoy and the bridge read, then the records of it."""
    encoded, records = [], []
    for path, content in wanted.items():
        if _encoded(path) == path:
            encoded.append((path, content))
        else:
            before = document.published(path), document.published(_encoded(path))
            encoded.append((_encoded(path), encoding.encode(path.name, content, *before)))
            records.append((path, content))
    return [*encoded, *records]


def _carry_out(writes: Writes) -> None:
    clusters = next(((path, content) for path, content in writes if path.name == names.CLUSTERS), None)
    version = document.version(clusters[1]) if clusters is not None and _adds(*clusters) else ""
    for path, content in writes:
        if version and path.name == encoding.file_name(names.ROUTES):
            _wait_until_warm(path.parent, version)
        replace(path, content)


def _adds(clusters: Path, content: bytes) -> bool:
    """Whether a cluster is new by name. One that only changed is served by its predecessor until it is warm."""
    before = {document.item_name(line) for line in document.split(document.published(clusters))[1]}
    return any(document.item_name(line) not in before for line in document.split(content)[1])


def _wait_until_warm(gateway_dir: Path, clusters: str) -> None:
    """Until then a route to a new cluster is answered 503, although its replica answers."""
    deadline = time.monotonic() + WARM_SECONDS
    while not status.is_warm(gateway_dir, clusters):
        if time.monotonic() > deadline:
            logger.warning("Envoy has not taken the new clusters within %d s", WARM_SECONDS)
            return
        time.sleep(0.02)


def prepare(
    gateway_dir: Path,
    *,
    host: str,
    port: int,
    limits: Limits | None = None,
    access_log: Path | None = None,
    bridge_dir: Path | None = None,
    tls: Tls | None = None,
    proxies: Sequence[str] = (),
) -> None:
    """All that Envoy needs to start, before the console has anything to publish. Keeps what is published already.

    Raises GatewayError for a path that is too long, and for a certificate that cannot be used.
    """
    gateway_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    socket = max((gateway_dir / name for name in (names.ADMIN_SOCKET, EGRESS_SOCKET)), key=lambda path: len(str(path)))
    if len(str(socket).encode()) > 107:
        raise GatewayError(
            f"The path of the gateway's socket is too long for this system: {socket}.",
            hint="Set CONSOLE_HOME to a directory with a shorter path.",
        )
    _place_log(gateway_dir)
    if tls is not None:
        refresh(tls, gateway_dir)
    static = {
        names.BOOTSTRAP: bootstrap(
            gateway_dir,
            host=host,
            port=port,
            limits=limits,
            access_log=access_log,
            bridge_dir=bridge_dir,
            tls=tls,
            proxies=proxies,
        ),
        names.DESCRIPTORS: descriptors(),
    }
    with document.remembering():
        for name, content in static.items():
            if not _same(gateway_dir / name, content):
                replace(gateway_dir / name, content)
        for name, content in render(Snapshot(limits=limits or Limits())).items():
            there = document.published(gateway_dir / name) or content
            if not _published_as(gateway_dir / name, there):
                _carry_out(_writes({gateway_dir / name: there}))
    credentials.prepare(gateway_dir)


def is_prepared(gateway_dir: Path) -> bool:
    """Whether nothing is missing of what only `prepare` makes."""
    parts = (gateway_dir / names.BOOTSTRAP, gateway_dir / names.DESCRIPTORS, (gateway_dir / names.ACCESS_LOG).parent)
    return all(part.exists() for part in parts)


def _place_log(gateway_dir: Path) -> None:
    """The access log's folder, with what an earlier release wrote into the one above. Called while no Envoy runs."""
    folder = (gateway_dir / names.ACCESS_LOG).parent
    folder.mkdir(exist_ok=True, mode=0o700)
    for old in gateway_dir.glob("access.log*"):
        if not (folder / old.name).exists():
            old.rename(folder / old.name)


def _bootstrap(gateway_dir: Path) -> bytes:
    try:
        return (gateway_dir / names.BOOTSTRAP).read_bytes()
    except FileNotFoundError:
        raise GatewayError("The gateway has not been prepared.", hint="`make run` does that when it starts.") from None


def _pending(files: dict[str, bytes], gateway_dir: Path) -> set[str]:
    return {name for name, content in files.items() if not _published_as(gateway_dir / name, content)}


def _published_as(path: Path, content: bytes) -> bool:
    """Whether both forms of a file are this one: whoever died between the two left them apart."""
    if not _same(path, content):
        return False
    encoded = _encoded(path)
    return encoded == path or encoding.version(document.published(encoded)) == document.version(content)


def _encoded(path: Path) -> Path:
    return path.with_name(encoding.file_name(path.name))


def _same(path: Path, content: bytes) -> bool:
    return path.exists() and document.published(path) == content


def _only_removes(content: bytes, published: Path) -> bool:
    return not document.new_lines(document.split(document.published(published))[1], document.split(content)[1])
