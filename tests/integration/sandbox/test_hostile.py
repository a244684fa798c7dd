"""A hostile model gets nothing in the box of its replica. Without the box, the same attempts do get something."""

from __future__ import annotations

import os
import platform
from typing import Final

import psutil
import pytest

from services.engines.local import LocalEngine, seccomp
from tests.integration.engine_home import wait_for
from tests.integration.sandbox.attempts.kernel import HARMLESS, own_status
from tests.integration.sandbox.attempts.report import NAMES
from tests.integration.sandbox.outside import Outside
from tests.integration.sandbox.replicas import Hostile

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("sandbox")]

NEEDS_NETWORK: Final = ("port_metadata", "port_gateway_elsewhere")
CERTAIN: Final = (
    *("read_secret_key", "read_secrets_key", "read_database", "read_credentials", "read_gateway_keys"),
    *("read_other_model", "read_other_launch", "read_other_run_dir", "read_supervisor_conf", "read_log_of_another"),
    *("read_shared_memory_of_another", "read_console_code", "list_tmp", "climb_out_of_the_run_directory"),
    *("folders_of_other_replicas", "name_of_the_machine", "inherited_descriptors"),
    *("write_secret_key", "write_database", "write_other_launch", "write_other_model", "write_gateway_keys"),
    *("write_the_model", "write_beside_the_model", "write_the_model_by_a_hard_link", "write_the_runtime"),
    *("socket_redis", "socket_supervisord", "socket_envoy_admin", "socket_envoy_egress", "socket_bridge_http"),
    *("socket_bridge_grpc", "socket_other_replica", "socket_other_replica_by_its_folder", "abstract_socket"),
    *("port_console", "port_gateway", "port_console_v6", "port_gateway_elsewhere", "port_metadata", "datagram"),
    *("interfaces_by_netlink", "connections_of_others", "names_of_sockets", "shared_memory_by_key"),
    *("environment_of_a_process", "command_of_a_process", "memory_of_a_process", "files_by_root_of_a_process"),
    *("priority_of_a_process", "signal_a_process", "signal_supervisord", "signal_by_descriptor", "signal_everything"),
    *("new_privileges",),
)
"""What any process of the console's user can."""
OF_ROOT: Final = (
    *("read_shadow", "capabilities_capeff", "become_user_0", "become_user_2", "become_groups", "change_the_root"),
    *("unshare_new_network", "unshare_new_mounts", "raw_socket", "packet_socket", "write_system", "write_accounts"),
    *("make_a_device", "raise_priority"),
)
"""What root can besides, unless a container holds it."""


def skip_without(world: Outside, name: str) -> None:
    if world.no_network and name in NEEDS_NETWORK:
        pytest.skip(world.no_network)


@pytest.mark.parametrize("name", NAMES)
def test_a_program_in_the_box_gets_nothing(world: Outside, boxed: Hostile, name: str) -> None:
    skip_without(world, name)
    assert boxed.got(name) == ""


@pytest.mark.parametrize("name", NAMES)
def test_a_triton_python_model_in_the_box_gets_nothing(world: Outside, model: Hostile, name: str) -> None:
    skip_without(world, name)
    assert model.got(name) == ""


@pytest.mark.parametrize("name", CERTAIN)
def test_without_the_box_the_same_attempt_gets_something(world: Outside, unboxed: Hostile, name: str) -> None:
    skip_without(world, name)
    assert unboxed.got(name) != "", unboxed.report[name]["why"]


@pytest.mark.parametrize("name", OF_ROOT)
def test_without_the_box_root_gets_more(unboxed: Hostile, name: str) -> None:
    if not is_whole_root():
        pytest.skip("not root, or root held by a container")
    assert unboxed.got(name) != "", unboxed.report[name]["why"]


def is_whole_root() -> bool:
    admin = 1 << 21
    return os.geteuid() == 0 and bool(int(own_status("CapEff"), 16) & admin) and own_status("Seccomp") == "0"


def test_without_the_box_most_calls_reach_the_kernel(unboxed: Hostile) -> None:
    """So that an EPERM in the box is the filter's, and not an argument's."""
    if not is_whole_root():
        pytest.skip("not root, or root held by a container")
    reached = [name for name in HARMLESS if unboxed.got(f"call_{name}")]
    assert len(reached) > len(HARMLESS) * 3 / 4


def test_every_call_that_the_filter_refuses_is_tried() -> None:
    if platform.machine() not in seccomp.ARCHITECTURES:
        pytest.skip(f"no filter for {platform.machine()}")
    assert set(seccomp.refused(platform.machine())) == {*HARMLESS, "vhangup"}


def test_nothing_of_a_replica_outlives_it(world: Outside, boxed: Hostile, engine: LocalEngine) -> None:
    """Neither in a session of its own, nor as somebody else's child, nor deaf to signals."""
    [straggler] = wait_for(lambda: commands_with(boxed.mark), lambda there: len(there) == 1)
    engine.stop(boxed.name)
    wait_for(lambda: psutil.pid_exists(straggler), lambda alive: not alive)
    assert commands_with(boxed.mark) == []


def commands_with(mark: str) -> list[int]:
    return [process.pid for process in psutil.process_iter(["cmdline"]) if mark in (process.info["cmdline"] or [])]
