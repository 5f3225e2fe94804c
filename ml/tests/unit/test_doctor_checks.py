"""What `roadsense doctor` makes of what it finds."""

import pytest

from ml.scripts.doctor_checks import (
    SUMO_PACKAGES,
    Finding,
    State,
    all_findings,
    available_memory_bytes,
    cores_finding,
    disk_finding,
    kernels_finding,
    memory_finding,
    packages_finding,
    python_finding,
    threads_finding,
)

GIB = 2**30


def test_this_installation_has_nothing_that_failed():
    assert [finding for finding in all_findings() if finding.state is State.FAILED] == []


def test_an_old_python_fails():
    assert python_finding((3, 11, 0)).state is State.OK
    assert python_finding((3, 10, 9)) == Finding(
        "python", State.FAILED, "must be 3.11 or newer. Got 3.10.9."
    )


def test_an_absent_package_is_named():
    finding = packages_finding(lambda name: "not installed" if name == "traci" else "1.0")

    assert finding.state is State.FAILED
    assert finding.text == "traci must be installed. Run 'make setup'."


def test_sumo_packages_of_two_versions_fail():
    versions = dict.fromkeys(SUMO_PACKAGES, "1.28.0") | {"libsumo": "1.27.0"}

    finding = packages_finding(lambda name: versions.get(name, "1.0"))

    assert finding.state is State.FAILED
    assert "libsumo 1.27.0" in finding.text


@pytest.mark.parametrize(("load", "state"), [(0.5, State.OK), (0.6, State.WARNING)])
def test_cores_that_others_use_are_said(load, state):
    # A quarter of two cores is 0.5.
    finding = cores_finding(2, lambda: (load, 0.0, 0.0))

    assert finding.state is state
    assert finding.text.startswith("2 usable, ")


@pytest.mark.parametrize(
    ("environment", "state"),
    [
        ({}, State.OK),
        ({"OMP_NUM_THREADS": "1"}, State.OK),
        ({"OMP_NUM_THREADS": "8"}, State.WARNING),
    ],
)
def test_more_than_one_thread_is_a_warning(environment, state):
    assert threads_finding(environment).state is state


def test_little_memory_and_little_disk_are_warnings():
    assert memory_finding(2 * GIB).state is State.OK
    assert memory_finding(2 * GIB - 1).state is State.WARNING
    assert disk_finding(GIB).state is State.OK
    assert disk_finding(GIB - 1).state is State.WARNING


def test_a_place_for_kernels_that_cannot_be_written_is_a_warning(tmp_path):
    (tmp_path / "file").write_text("")

    assert kernels_finding(tmp_path / "new").text.startswith("not compiled yet")
    assert kernels_finding(tmp_path / "file" / "below").state is State.WARNING
    (tmp_path / "kernel.nbc").write_text("")
    assert kernels_finding(tmp_path).text.startswith("compiled")


def write(folder, **files):
    folder.mkdir()
    for name, text in files.items():
        (folder / name.replace("_", ".")).write_text(text)
    return folder


def test_the_smaller_of_machine_and_control_group_is_the_free_memory(tmp_path):
    proc = write(tmp_path / "proc", meminfo="MemTotal: 9 kB\nMemAvailable:    4096 kB\n")
    roomy = write(tmp_path / "roomy", memory_max="999999999", memory_current="0")
    tight = write(tmp_path / "tight", memory_max="5000", memory_current="3000")
    over = write(tmp_path / "over", memory_max="3000", memory_current="5000")

    assert available_memory_bytes(proc, tmp_path / "no_group") == 4096 * 1024
    assert available_memory_bytes(proc, roomy) == 4096 * 1024
    assert available_memory_bytes(proc, tight) == 2000
    assert available_memory_bytes(proc, over) == 0
    assert available_memory_bytes(tmp_path / "none", tmp_path / "none") is None
