"""`python -m services.bridge --folder F --table T --egress S`: reads the command line, runs the event loop.

No Django and no database: inference goes on while the console is down.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
from pathlib import Path

import uvloop

from console import env
from services.bridge import sockets
from services.bridge.process import Options, serve


def options(arguments: list[str]) -> Options:
    parser = argparse.ArgumentParser(prog="python -m services.bridge")
    parser.add_argument("--folder", type=Path, required=True, help="where the two sockets are made")
    parser.add_argument("--table", type=Path, required=True, help="the file that says which services there are")
    parser.add_argument("--egress", type=Path, required=True, help="the gateway's socket towards the backends")
    given = parser.parse_args(arguments)
    return Options(given.folder, given.table, given.egress, env.bounded("MAX_PAYLOAD_MIB", 16, 1, 1024) << 20)


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    os.umask(0o077)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(options(sys.argv[1:])))
    except sockets.Taken as error:
        logging.error("%s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
