"""The command line of a box. What it keeps from a model: tests/integration/sandbox."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from services.engines.local import box
from services.engines.local.box import SITE, Box, interpreter
from services.hardware import Device


@pytest.fixture
def runtime(tmp_path: Path) -> Path:
    return environment(tmp_path / "runtimes" / "triton", python(tmp_path / "home" / "it" / ".pyenv" / "3.11"))


def python(prefix: Path) -> Path:
    (prefix / "bin").mkdir(parents=True)
    (prefix / "bin" / "python3.11").touch()
    return prefix / "bin" / "python3.11"


def environment(root: Path, binary: Path) -> Path:
    (root / "bin").mkdir(parents=True)
    (root / "bin" / "python").symlink_to(binary)
    return root


@pytest.fixture
def command(runtime: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    monkeypatch.setattr(box, "find_bwrap", lambda: Path("/opt/bwrap"))
    return Box(Path("/home/it/run/replicas/svc-a-r1-0"), Path("/home/it/store/tree"), runtime, 64).command()


def of(option: str, command: tuple[str, ...], arguments: int = 2) -> Iterator[tuple[str, ...]]:
    for index, word in enumerate(command):
        if word == option:
            yield command[index + 1 : index + 1 + arguments]


def test_it_shares_no_namespace_with_the_machine_and_has_no_privilege(command: tuple[str, ...]) -> None:
    assert {f"--unshare-{name}" for name in ("user", "pid", "net", "ipc", "uts")} < set(command)
    assert {"--disable-userns", "--die-with-parent", "--new-session"} < set(command)
    assert list(of("--cap-drop", command, 1)) == [("ALL",)]
    assert not [
        word for word in command if word.startswith(("--share", "--cap-add", "--dev-bind", "--unshare-user-try"))
    ]


def test_only_its_own_folder_is_for_writing(command: tuple[str, ...]) -> None:
    assert list(of("--bind", command)) == [("/home/it/run/replicas/svc-a-r1-0", "/run/replica")]
    assert [last for (last,) in of("--remount-ro", command, 1)] == ["/dev", "/"]
    assert not [word for word in command if word.startswith(("--overlay", "--bind-", "--bind-fd"))]


def test_the_files_that_it_sees_are_the_system_the_runtime_and_its_models(
    command: tuple[str, ...], runtime: Path, tmp_path: Path
) -> None:
    programs = tmp_path / "home" / "it" / ".pyenv" / "3.11" / "bin"
    binds = {*of("--ro-bind", command), *of("--ro-bind-try", command)}
    outside = {pair for pair in binds if not pair[1].startswith(("/proc/", "/sys/", "/etc/"))}
    assert outside - {(f"/{name}", f"/{name}") for name in box.MERGED} == {
        ("/usr", "/usr"),
        (str(programs), str(programs)),
        (str(runtime), str(runtime)),
        ("/home/it/store/tree", "/models"),
    }
    of_etc = {source for source, target in binds if target.startswith("/etc/")}
    assert {Path(source).parent for source in of_etc} == {Path("/etc"), box.ETC}
    assert {source for source in of_etc if source.startswith("/etc/")} == {"/etc/ld.so.cache", "/etc/localtime"}


def test_a_runtime_in_a_folder_that_a_box_has_of_its_own_is_not_hidden_by_it(
    command: tuple[str, ...], runtime: Path
) -> None:
    """Later options lie above earlier ones. Runtimes of tests are below /tmp."""
    assert command.index("/tmp") < command.index(str(runtime))
    assert command.index(str(runtime)) < command.index(str(SITE.models)) < len(command)


def test_memory_that_is_shared_has_the_size_of_the_replicas(command: tuple[str, ...]) -> None:
    index = command.index("/dev/shm")
    assert command[index - 3 : index + 1] == ("--size", str(64 << 20), "--tmpfs", "/dev/shm")


def test_the_python_below_a_home_is_seen_and_nothing_above_it(runtime: Path, tmp_path: Path) -> None:
    prefix = tmp_path / "home" / "it" / ".pyenv" / "3.11"
    (prefix / "lib").mkdir()
    (prefix / "secret").mkdir()
    assert interpreter(runtime) == [prefix / "bin", prefix / "lib", runtime]


def test_the_python_of_the_system_or_in_the_runtime_needs_no_bind_of_its_own(tmp_path: Path) -> None:
    of_system = environment(tmp_path / "a", Path("/usr/bin/python3"))
    assert interpreter(of_system) == [of_system]
    inside = tmp_path / "b"
    python(inside).with_name("python").symlink_to("python3.11")
    assert interpreter(inside) == [inside]


def test_a_python_right_below_the_root_does_not_show_the_whole_machine(tmp_path: Path) -> None:
    root = environment(tmp_path / "c", Path("/bin-of-nobody/python3"))
    assert interpreter(root) == [root]


def test_files_of_the_kernel_that_are_for_root_are_hidden(command: tuple[str, ...]) -> None:
    hidden = {target for source, target in of("--ro-bind", command) if source == "/dev/null"}
    assert hidden == {str(path) for path in box.HIDDEN if path.exists()}
    read_only = {target for source, target in of("--ro-bind", command) if source == target}
    assert "/proc/sys" in read_only


def test_without_gpus_there_is_nothing_of_nvidia(command: tuple[str, ...]) -> None:
    assert not [word for word in command if "nvidia" in word]


def test_with_gpus_there_are_these_only_and_what_the_driver_needs(runtime: Path) -> None:
    device = Device("MIG-1", "NVIDIA-A100-MIG-3g.20gb", 20, minor=6, parent="GPU-6", capabilities=(61, 62))
    files = (Path("/dev/nvidia3"), *device.files)
    with_gpus = Box(Path("/run/x"), Path("/store/x"), runtime, 64, files).command()
    assert [source for source, target in of("--dev-bind-try", with_gpus) if source == target] == [
        "/dev/nvidia3",
        "/dev/nvidia6",
        "/dev/nvidia-caps/nvidia-cap61",
        "/dev/nvidia-caps/nvidia-cap62",
        "/dev/nvidiactl",
        "/dev/nvidia-uvm",
        "/dev/nvidia-uvm-tools",
        "/dev/nvidia-modeset",
    ]
