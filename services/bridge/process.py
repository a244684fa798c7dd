"""The bridge as a whole: its two servers on their sockets, until it is told to end. What is under way then finishes."""

from __future__ import annotations

import asyncio
import logging
import signal
from dataclasses import dataclass
from pathlib import Path

import grpc
from aiohttp import web

from services.bridge import sockets
from services.bridge.sockets import Sockets

log = logging.getLogger(__name__)

GRACE_SECONDS = 20
"""What is under way when the bridge is told to end may take so long."""


@dataclass(frozen=True)
class Options:
    folder: Path
    """Of the two sockets."""
    table: Path
    """The file that says which services there are."""
    egress: Path
    """The gateway's socket towards the backends."""
    largest_payload: int
    """Bytes of tensor data in one request."""


async def healthz(_request: web.Request) -> web.Response:
    return web.json_response({"status": "ok"})


async def serve(options: Options) -> None:
    """Returns after SIGTERM or SIGINT. Raises sockets.Taken, OSError."""
    ending = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ending.set)
    with sockets.claimed(options.folder) as paths:
        runner, server = await _start(paths)
        log.info("The bridge serves in %s.", options.folder)
        await ending.wait()
        await asyncio.gather(runner.cleanup(), server.stop(GRACE_SECONDS))


async def _start(paths: Sockets) -> tuple[web.AppRunner, grpc.aio.Server]:
    application = web.Application()
    application.router.add_get("/healthz", healthz)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=GRACE_SECONDS)
    await runner.setup()
    await web.UnixSite(runner, str(paths.http)).start()
    server = grpc.aio.server()
    server.add_insecure_port(f"unix:{paths.grpc}")
    await server.start()
    return runner, server
