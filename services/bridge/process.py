"""The bridge as a whole: its two servers on their sockets, until it is told to end. What is under way then finishes."""

from __future__ import annotations

import asyncio
import logging
import signal
from dataclasses import dataclass
from pathlib import Path

import grpc

from services.bridge import sockets
from services.bridge.generate import Generator
from services.bridge.http1.server import Server
from services.bridge.predict import Predictor
from services.bridge.servers.grpc import GrpcServer
from services.bridge.servers.http import HttpServer
from services.bridge.sockets import Sockets
from services.bridge.table import TableFile
from services.bridge.upstream import Upstream

log = logging.getLogger(__name__)

GRACE_SECONDS = 20
"""What is under way when the bridge is told to end may take so long."""
FRAMING_BYTES = 64 << 10
"""What a request may have besides its tensors, as at the gateway."""
ANSWER_TIMES, SMALLEST_ANSWER = 4, 64 << 20
"""An answer may have so many times the bytes of the largest request, and at least so many."""


@dataclass(frozen=True)
class Options:
    folder: Path
    """Folder of the two sockets."""
    table: Path
    """The file that says which services there are."""
    egress: Path
    """The gateway's socket towards the backends."""
    largest_payload: int
    """Bytes of tensor data in one request."""


async def serve(options: Options) -> None:
    """Returns after SIGTERM or SIGINT. Raises sockets.Taken, OSError."""
    ending = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ending.set)
    with sockets.claimed(options.folder) as paths:
        watch = TableFile(options.table)
        upstream = Upstream(options.egress, max(ANSWER_TIMES * options.largest_payload, SMALLEST_ANSWER))
        predictor = Predictor(upstream, options.largest_payload)
        watching = asyncio.create_task(watch.run(predictor.models.forget_all_but))
        largest_body = options.largest_payload + FRAMING_BYTES
        http = Server(HttpServer(watch, predictor, largest_body).answer, largest_body)
        await http.start(paths.http)
        grpc_server = await _grpc(GrpcServer(watch, predictor, Generator(upstream)), paths, largest_body)
        log.info("The bridge serves in %s.", options.folder)
        await ending.wait()
        await asyncio.gather(http.stop(GRACE_SECONDS), grpc_server.stop(GRACE_SECONDS))
        watching.cancel()
        upstream.close()


async def _grpc(server: GrpcServer, paths: Sockets, largest_body: int) -> grpc.aio.Server:
    grpc_server = grpc.aio.server(
        options=[
            ("grpc.max_receive_message_length", largest_body),
            ("grpc.max_send_message_length", -1),
        ]
    )
    grpc_server.add_generic_rpc_handlers(server.handlers())
    grpc_server.add_insecure_port(f"unix:{paths.grpc}")
    await grpc_server.start()
    return grpc_server
