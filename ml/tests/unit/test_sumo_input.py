"""What is checked before SUMO reads it, each state of a file once."""

from __future__ import annotations

import shutil

import pytest

from ml.envs import sumo_input
from ml.envs.sumo_input import check_input
from ml.errors import ScenarioError

ROUTES = "<routes/>"


@pytest.fixture
def files(tmp_path, base_cfg):
    network = shutil.copy(base_cfg.with_name("network.net.xml"), tmp_path)
    routes = tmp_path / "a.rou.xml"
    routes.write_text(ROUTES, encoding="utf-8")
    return tmp_path / network, routes


def test_files_that_stay_as_they_are_are_read_once(files, monkeypatch):
    network, routes = files
    check_input(network, [routes])
    monkeypatch.setattr(sumo_input, "read_xml", pytest.fail)
    monkeypatch.setattr(sumo_input, "sha256_of_file", pytest.fail)

    check_input(network, [routes])


def test_a_route_file_that_is_written_to_is_checked_again(files):
    network, routes = files
    check_input(network, [routes])
    routes.write_text("<routes>>"[: len(ROUTES)], encoding="utf-8")  # as many bytes as before

    with pytest.raises(ScenarioError, match="well-formed XML"):
        check_input(network, [routes])


def test_a_network_that_is_replaced_is_checked_again(files):
    network, routes = files
    check_input(network, [routes])
    shutil.copy(routes, network)

    with pytest.raises(ScenarioError, match="must be a SUMO network"):
        check_input(network, [routes])


def test_a_file_that_has_gone_is_said_in_one_line(files):
    network, routes = files
    routes.unlink()

    with pytest.raises(ScenarioError, match=r"must be a readable file\. Got: No such file"):
        check_input(network, [routes])
