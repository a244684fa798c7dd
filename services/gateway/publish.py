"""Puts rendered files where Envoy sees them, so that no request meets half of a change.

Each file is complete or absent: written beside, synced, renamed. What Envoy reads is the protobuf of a file
(envoy/encoding.py); its JSON, written after all of them, is the record of what was published. Between files the order
makes before it breaks: clusters are added, and their replicas probed once, before routes lead to them, and removed only
by a later publish, when no route leads to them (retired_clusters.py); the bridge knows of a service before it is sent
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
from services.gateway import bridge_table, changes, credentials, isolation, locks, retired_clusters, status
from services.gateway.discovery_file import Published, Write
from services.gateway.envoy import encoding, names
from services.gateway.envoy.bootstrap import bootstrap, descriptors
from services.gateway.envoy.cluster import PATIENCE_SECONDS
from services.gateway.envoy.document import Document, item_name
from services.gateway.envoy.inside import EGRESS_SOCKET, HOPS_FILE
from services.gateway.envoy.tls import Tls, refresh
from services.gateway.render import Files, render
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
    with locks.exclusive(gateway_dir, locks.SERVICES, WAIT_SECONDS):
        publication = _Publication(gateway_dir, envoy, _bootstrap(gateway_dir))
        snapshot = take()
        refused = {service: why for service in snapshot.services if (why := publication.refusal(service))}
        try:
            changed = publication.carry_out(isolation.without(snapshot, list(refused)))
        except GatewayRefused:
            refused |= publication.isolate(isolation.without(snapshot, list(refused)))
            changed = publication.carry_out(isolation.without(snapshot, list(refused)))
        return Delivered(changed, {service.name: why for service, why in refused.items()})


@dataclass(frozen=True)
class _Plan:
    # In order.
    writes: Sequence[Write]
    changed: bool
    # The version of the clusters when one is new by name: no route may lead there before Envoy has probed it. One that
    # only changed is served by its predecessor until then.
    new_clusters: str

    def carry_out(self) -> None:
        for path, content in self.writes:
            if self.new_clusters and path.name == encoding.file_name(names.ROUTES):
                _wait_until_warm(path.parent, self.new_clusters)
            replace(path, content)


class _Publication:
    """One configuration on its way. Lives as long as the lock is held, and writes once."""

    def __init__(self, gateway_dir: Path, envoy: Path, static: bytes) -> None:
        self._published = Published(gateway_dir)
        self._envoy, self._static = envoy, static
        self._checker = changes.identity(envoy, static)

    def refusal(self, service: GatewayService) -> str:
        """Why the service was refused the last time; "" when it was not. Envoy would say the same of it again."""
        return _refusals.get((self._checker, service), "")

    def carry_out(self, snapshot: Snapshot) -> bool:
        files = render(snapshot)
        if not _pending(files, self._published):
            return False
        plan, unchecked = self._check(files)
        plan.carry_out()
        changes.remember(self._published.gateway_dir, self._checker, unchecked)
        return plan.changed

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
            return changes.services_with_new_lines(render(snapshot), self._published) or every
        except GatewayRefused:
            return every

    def _check(self, files: Files) -> tuple[_Plan, Files | None]:
        """What is to be written, which Envoy takes, and what it was asked about. Raises GatewayRefused."""
        with ThreadPoolExecutor(1) as beside:
            unchecked = changes.unchecked(files, self._published, self._checker)
            checked = beside.submit(validate, unchecked, self._static, self._envoy) if unchecked is not None else None
            plan = _plan(files, self._published)  # meanwhile
            if checked is not None:
                checked.result()
        return plan, unchecked


def publish(files: Files, gateway_dir: Path) -> bool:
    """Replaces the files that differ. False when none did. Callers that may run at once hold the lock."""
    plan = _plan(files, Published(gateway_dir))
    plan.carry_out()
    return plan.changed


def _plan(files: Files, published: Published) -> _Plan:
    pending = _pending(files, published)
    before, clusters = published[names.CLUSTERS].document, files[names.CLUSTERS]
    # Tidying up after an earlier change is none.
    changed = bool(pending - {names.CLUSTERS}) or bool(clusters.new_lines(before))
    kept, note = retired_clusters.keep(clusters, published)
    if kept is not clusters and published[names.CLUSTERS].holds(kept):
        pending.discard(names.CLUSTERS)
    rendered = {**files, names.CLUSTERS: kept}
    writes = _writes({name: rendered[name] for name in ORDER if name in pending}, published)
    adds = names.CLUSTERS in pending and _adds(kept, before)
    return _Plan([*writes, *note], changed, kept.version if adds else "")


def _writes(files: Files, published: Published) -> list[Write]:
    """First what Envoy and the bridge read, then the records of it."""
    forms = [published[name].writes(document) for name, document in files.items()]
    return [*(first for first, *_ in forms), *(record for _, *records in forms for record in records)]


def _adds(clusters: Document, before: Document) -> bool:
    """Whether a cluster is new by name."""
    published_names = {item_name(line) for line in before.lines}
    return any(item_name(line) not in published_names for line in clusters.lines)


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
    for name, content in static.items():
        path = gateway_dir / name
        if not (path.exists() and path.read_bytes() == content):
            replace(path, content)
    published = Published(gateway_dir)
    for name, empty in render(Snapshot(limits=limits or Limits())).items():
        document = published[name].document if published[name].document.content else empty
        if not published[name].holds(document):
            for path, content in published[name].writes(document):
                replace(path, content)
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


def _pending(files: Files, published: Published) -> set[str]:
    return {name for name, document in files.items() if not published[name].holds(document)}
