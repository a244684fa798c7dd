"""What this machine has. Its GPUs are those of a stand-in for NVML: none was at hand."""

from __future__ import annotations

from pathlib import Path

import pynvml
import pytest

from services.clients.kernel import gpus, machine
from tests.services.nvml import HALF, QUARTER, WHOLE, FakeNvml, gpu_uuid, mig_uuid


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeNvml:
    return FakeNvml().install(monkeypatch, tmp_path)


def test_whole_gpus_and_instances_are_devices_and_a_gpu_that_is_cut_is_none(nvml: FakeNvml) -> None:
    readings, lost = gpus.read()
    assert lost == ""
    devices = [reading.device for reading in readings]
    assert [device.product for device in devices] == [WHOLE] * 6 + [HALF] * 3 + [QUARTER] * 2
    assert [device.uuid for device in devices[:6]] == [gpu_uuid(number) for number in range(6)]
    assert devices[6].uuid == mig_uuid(6, 0) and devices[6].parent == gpu_uuid(6)
    assert gpu_uuid(6) not in {device.uuid for device in devices}
    assert not any(device.problem for device in devices)


def test_the_files_of_a_device_are_its_own(nvml: FakeNvml) -> None:
    devices = [reading.device for reading in gpus.read()[0]]
    assert [str(path) for path in devices[3].files] == ["/dev/nvidia3"]
    assert [str(path) for path in devices[7].files] == [
        "/dev/nvidia6",
        "/dev/nvidia-caps/nvidia-cap62",
        "/dev/nvidia-caps/nvidia-cap602",
    ]


def test_memory_and_utilisation_are_measured_and_of_an_instance_only_memory(nvml: FakeNvml) -> None:
    readings, _ = gpus.read()
    assert (readings[3].memory_used_gib, readings[3].device.memory_gib, readings[3].utilisation) == (3, 80, 3)
    assert readings[6].utilisation is None and readings[6].device.memory_gib == pytest.approx(39.9, abs=0.01)


def test_a_driver_that_does_not_name_an_instance_gets_the_name_of_the_device_plugin(nvml: FakeNvml) -> None:
    for gpu in nvml.gpus:
        for part in gpu.instances:
            part.name = "NVIDIA A100-SXM4-80GB"
    assert [reading.device.product for reading in gpus.read()[0]][6:] == [HALF, HALF, HALF, QUARTER, QUARTER]


def test_a_gpu_that_answers_with_an_error_is_listed_with_it(nvml: FakeNvml, tmp_path: Path) -> None:
    nvml.fail(gpu_uuid(2))
    facts = machine.read(tmp_path)
    assert [gpu.device.problem for gpu in facts.gpus if gpu.device.uuid == gpu_uuid(2)] == ["NVML: GPU is lost."]
    assert len(facts.gpus) == 11
    assert machine.labels(facts)["gpu.count"] == "10" and machine.labels(facts)["gpu.product"] == WHOLE


def test_an_instance_that_fails_takes_no_other_with_it(nvml: FakeNvml) -> None:
    nvml.fail(mig_uuid(7, 0))
    problems = {reading.device.uuid: reading.device.problem for reading in gpus.read()[0] if reading.device.problem}
    assert problems == {mig_uuid(7, 0): "NVML: GPU is lost."}


def test_a_gpu_without_a_handle_is_lost_and_the_others_are_there(nvml: FakeNvml) -> None:
    nvml.unreachable = {0}
    readings, lost = gpus.read()
    assert lost == "NVML: GPU is lost." and len(readings) == 10


@pytest.mark.parametrize("error", [pynvml.NVML_ERROR_LIBRARY_NOT_FOUND, pynvml.NVML_ERROR_DRIVER_NOT_LOADED])
def test_no_driver_is_no_gpus_and_no_error(nvml: FakeNvml, error: int) -> None:
    nvml.init_error = error
    assert gpus.read() == ([], "")


def test_a_driver_that_fails_is_told(nvml: FakeNvml) -> None:
    nvml.init_error = pynvml.NVML_ERROR_UNKNOWN
    assert gpus.read() == ([], "NVML: Unknown Error.")
