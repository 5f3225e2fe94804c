"""Tests of ml.processors: the cores that may be used, and when they are too few."""

import os

import pytest

from ml import processors
from ml.processors import oversubscription_warning, usable_cores


@pytest.fixture
def bound_to_8(monkeypatch, tmp_path):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(processors, "_QUOTA_FILE", tmp_path / "cpu.max")
    monkeypatch.setattr(processors, "_OLD_QUOTA_FOLDER", tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("text", "cores"),
    [("max 100000", 8), ("250000 100000", 2), ("50000 100000", 1), ("1600000 100000", 8), ("", 8)],
)
def test_share_of_a_container_counts(bound_to_8, text, cores):
    (bound_to_8 / "cpu.max").write_text(text + "\n")
    assert usable_cores() == cores


@pytest.mark.parametrize(("quota", "cores"), [("300000", 3), ("-1", 8)])
def test_older_form_of_the_share_counts_too(bound_to_8, quota, cores):
    (bound_to_8 / "cpu.cfs_quota_us").write_text(f"{quota}\n")
    (bound_to_8 / "cpu.cfs_period_us").write_text("100000\n")
    assert usable_cores() == cores


def test_without_a_share_the_cores_it_is_bound_to_count(bound_to_8):
    assert usable_cores() == 8


@pytest.mark.parametrize(
    ("environments", "threads", "cores", "flag"),
    [(4, 1, 1, None), (4, 2, 2, None), (8, 1, 4, None), (5, 1, 2, "--n_envs 5"),
     (9, 1, 4, "--n_envs 9"), (1, 3, 2, "--threads 3")],
)  # fmt: skip
def test_what_exceeds_the_cores_is_named(environments, threads, cores, flag):
    warning = oversubscription_warning(environments, threads, cores)
    assert (warning is None) == (flag is None)
    assert flag is None or flag in warning
