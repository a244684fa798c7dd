"""A typed client of supervisord's XML-RPC on its unix socket. Knows nothing of replicas or of the stack's programs."""

from __future__ import annotations

import http.client
import xmlrpc.client
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.clients.unix_http import UnixConnection
from services.errors import EngineError

TIMEOUT = 10.0
"""Seconds. supervisord answers at once: no call here asks it to wait for a process."""

SHUTDOWN_STATE = 6
BAD_NAME = 10
ALREADY_STARTED = 60
NOT_RUNNING = 70
ALREADY_ADDED = 90
CANT_REREAD = 92

NOT_THERE = "The process supervisor is not running; start it with `make run`."


@dataclass(frozen=True)
class ProcessInfo:
    name: str
    state: str
    """STOPPED STARTING RUNNING BACKOFF STOPPING EXITED FATAL UNKNOWN, as supervisord says it."""
    pid: int
    uptime: float
    """Seconds, 0 when it does not run."""
    exit_status: int
    spawn_error: str

    @property
    def alive(self) -> bool:
        return self.state in {"STARTING", "RUNNING", "STOPPING"}


class _Transport(xmlrpc.client.Transport):
    """XML-RPC over a unix socket, with a timeout.

    `supervisor.xmlrpc.SupervisorTransport` has no timeout: a supervisord that hangs would hold a page or a worker for
    ever. It also keeps its connection between calls.
    """

    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__()
        self._path, self._timeout = path, timeout

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        # A new connection for each call: supervisord may have been replaced since the last one.
        self.close()
        self._connection = (host, UnixConnection(self._path, self._timeout))
        return self._connection[1]


class Supervisor:
    """Each method is one call. Raises EngineError when supervisord is away or refuses."""

    def __init__(self, path: Path, timeout: float = TIMEOUT) -> None:
        self._path, self._timeout = path, timeout

    def call(self, method: str, *arguments: object, accept: Iterable[int] = ()) -> Any:
        """None when supervisord answers with one of the fault codes in `accept`."""
        transport = _Transport(self._path, self._timeout)
        proxy = xmlrpc.client.ServerProxy("http://localhost", transport=transport)
        try:
            return getattr(proxy.supervisor, method)(*arguments)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode in accept:
                return None
            raise EngineError(_sentence(fault), permanent=fault.faultCode == CANT_REREAD) from fault
        except TimeoutError as error:
            raise EngineError("The process supervisor does not answer.") from error
        except (OSError, http.client.HTTPException, xmlrpc.client.Error) as error:
            raise EngineError(NOT_THERE) from error
        finally:
            transport.close()

    def answers(self) -> bool:
        """Whether it runs and takes orders (it takes none while it shuts down)."""
        try:
            return bool(self.call("getState")["statename"] == "RUNNING")
        except EngineError:
            return False

    def reload(self) -> tuple[list[str], list[str]]:
        """Read the configuration again. Names of programs that are new and that have changed."""
        [[added, changed, _removed]] = self.call("reloadConfig")
        return added, changed

    def add(self, name: str) -> None:
        """Take the program over from the configuration; it starts by itself."""
        self.call("addProcessGroup", name, accept=[ALREADY_ADDED])

    def remove(self, name: str) -> None:
        self.call("removeProcessGroup", name, accept=[BAD_NAME])

    def start(self, name: str) -> None:
        self.call("startProcess", name, False, accept=[ALREADY_STARTED])

    def stop(self, name: str) -> None:
        """Ask for the end; look at `info` for when it has come."""
        self.call("stopProcess", name, False, accept=[NOT_RUNNING, BAD_NAME])

    def info(self, name: str) -> ProcessInfo | None:
        process = self.call("getProcessInfo", name, accept=[BAD_NAME])
        return None if process is None else _info(process)

    def all(self) -> list[ProcessInfo]:
        return [_info(process) for process in self.call("getAllProcessInfo")]

    def shutdown(self) -> None:
        self.call("shutdown", accept=[SHUTDOWN_STATE])


def _info(process: Mapping[str, Any]) -> ProcessInfo:
    running = process["pid"] > 0
    return ProcessInfo(
        name=process["name"],
        state=process["statename"],
        pid=process["pid"],
        uptime=max(0.0, float(process["now"] - process["start"])) if running else 0.0,
        exit_status=process["exitstatus"],
        spawn_error=process["spawnerr"],
    )


def _sentence(fault: xmlrpc.client.Fault) -> str:
    if fault.faultCode == SHUTDOWN_STATE:
        return "The process supervisor is shutting down."
    if fault.faultCode == CANT_REREAD:
        return f"The process supervisor cannot read its configuration: {fault.faultString}"
    return f"The process supervisor refused: {fault.faultString}"
