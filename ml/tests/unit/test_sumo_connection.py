"""Reading scenarios and finding the simulator: what can be wrong, said in one line."""

from __future__ import annotations

import importlib

import pytest

from ml.envs import sumo_connection
from ml.envs.sumo_connection import SumoConnection, read_scenario_files
from ml.errors import ConfigError, ScenarioError, SimulatorError

GOOD = """<configuration>
<input><net-file value="a.net.xml"/><route-files value="a.rou.xml"/></input>
<output><fcd-output value="trace.xml"/></output></configuration>"""


@pytest.fixture
def folder(tmp_path):
    for name in ("a.net.xml", "a.rou.xml"):
        (tmp_path / name).write_text("<x/>", encoding="utf-8")
    return tmp_path


def write_cfg(folder, text):
    path = folder / "scenario.sumocfg"
    path.write_text(text, encoding="utf-8")
    return path


def test_only_the_input_files_of_a_configuration_are_used(folder):
    files = read_scenario_files(write_cfg(folder, GOOD))

    assert files.network == folder / "a.net.xml"
    assert files.routes == (folder / "a.rou.xml",)
    assert not any("fcd" in option for option in files.options())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "well-formed XML"),
        (GOOD[:60], "well-formed XML"),
        ("<configuration/>", "must name one <net-file>"),
        (GOOD.replace("a.rou.xml", "b.rou.xml"), "does not exist"),
        (GOOD.replace("a.net.xml", ""), "must name one <net-file>"),
    ],
)
def test_a_broken_configuration_is_refused_in_one_line(folder, text, message):
    with pytest.raises(ScenarioError, match=message) as caught:
        read_scenario_files(write_cfg(folder, text))
    assert "\n" not in str(caught.value)


def test_a_configuration_in_another_encoding_is_refused(folder):
    path = folder / "scenario.sumocfg"
    path.write_bytes(b"\xff\xfe\x00<configuration")

    with pytest.raises(ScenarioError, match="must be in UTF-8"):
        read_scenario_files(path)


# SUMO 1.28 takes all of these: --net-file is also --net and -n, and an element's "value" also "v".
@pytest.mark.parametrize(
    "elements",
    [
        '<net-file v="a.net.xml"/><route-files v="a.rou.xml"/><additional-files v="a.rou.xml"/>',
        '<net value="a.net.xml"/><routes value="a.rou.xml"/><additional value="a.rou.xml"/>',
        '<n value="a.net.xml"/><r v="a.rou.xml"/><a v="a.rou.xml"/>',
    ],
)
def test_input_files_go_by_every_name_that_sumo_knows(folder, caplog, elements):
    path = write_cfg(folder, f"<configuration><input>{elements}</input></configuration>")

    files = read_scenario_files(path)

    assert files.network == folder / "a.net.xml"
    assert files.routes == files.additional == (folder / "a.rou.xml",)
    assert caplog.records == []


@pytest.mark.parametrize("name", ["a,b", "${HOME}", "a${b"])
def test_a_folder_whose_name_sumo_reads_otherwise_is_refused(folder, name):
    path = write_cfg(folder, GOOD)
    renamed = folder.rename(folder.with_name(name))

    with pytest.raises(ScenarioError, match=r"must hold no ',' and no '\$\{'.*Rename it") as caught:
        read_scenario_files(renamed / path.name)

    assert "\n" not in str(caught.value)


def test_a_folder_is_no_configuration(tmp_path):
    with pytest.raises(ScenarioError, match=r"must be an existing \.sumocfg file"):
        read_scenario_files(tmp_path)


def test_a_missing_system_library_is_answered_with_the_packages_to_install(monkeypatch):
    def fail(name):
        raise ImportError("libGL.so.1: cannot open shared object file")

    monkeypatch.setattr(sumo_connection.importlib, "import_module", fail)

    with pytest.raises(SimulatorError, match=r"libGL\.so\.1.*apt-get install libgl1") as caught:
        SumoConnection()
    assert "\n" not in str(caught.value)


def test_the_window_needs_a_display(monkeypatch):
    monkeypatch.delenv("DISPLAY", raising=False)

    with pytest.raises(ConfigError, match="--gui needs a display"):
        SumoConnection(gui=True)


def test_closing_a_connection_that_never_started_is_harmless():
    connection = SumoConnection()
    connection.close()
    connection.close()


def test_the_simulator_of_the_package_is_the_pinned_one():
    assert importlib.import_module("libsumo").simulation.getVersion()[1] == "SUMO 1.28.0"


def settings_cfg(folder, settings, input_more=""):
    return write_cfg(
        folder,
        '<configuration><input><net-file value="a.net.xml"/><route-files value="a.rou.xml"/>'
        f"{input_more}</input>{settings}</configuration>",
    )


def test_settings_that_are_ignored_are_named_once_a_file(folder, caplog):
    path = settings_cfg(
        folder,
        '<output><fcd-output value="a.xml"/></output><time><step-length value="0.5"/></time>'
        '<report><verbose v="true"/></report>',
        '<gui-settings-file value="x"/>',
    )

    read_scenario_files(path)
    read_scenario_files(path)

    assert [record.getMessage() for record in caplog.records] == [
        "scenario.sumocfg: ignored its settings gui-settings-file, fcd-output, step-length, "
        "verbose: RoadSense sets SUMO's options itself."
    ]
    assert caplog.records[0].name == "ml"
    assert caplog.records[0].levelname == "WARNING"


@pytest.mark.parametrize(
    "settings",
    [
        "",
        "<output/>",
        '<time><begin value="0"/><step-length value="0.10"/></time>',
        '<time><begin value="0.0"/></time><processing><time-to-teleport value="-1"/></processing>',
    ],
)
def test_settings_that_equal_ours_are_not_worth_a_line(folder, caplog, settings):
    read_scenario_files(settings_cfg(folder, settings))

    assert caplog.records == []


def test_the_workers_of_a_command_do_not_repeat_the_line(folder, caplog, monkeypatch):
    monkeypatch.setattr(sumo_connection.multiprocessing, "parent_process", object)

    read_scenario_files(settings_cfg(folder, '<time><begin value="5"/></time>'))

    assert caplog.records == []


def test_our_own_scenarios_have_nothing_to_ignore(base_cfg, caplog):
    for cfg in sorted(base_cfg.parent.parent.glob("base*/scenario.sumocfg")):
        read_scenario_files(cfg)

    assert caplog.records == []
