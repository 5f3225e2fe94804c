"""`roadsense doctor` looks, measures and says what it means."""

import json

import pytest

from ml.scripts import doctor_checks
from ml.scripts.doctor import finding_line, main, verdict_text
from ml.scripts.doctor_checks import Finding, State
from ml.training.stage_shares import StageShares
from ml.training.trial import TrialResult

TRIAL = TrialResult(
    num_envs=4, num_steps=8192, duration_s=2.0,
    shares=StageShares(
        simulator=0.5, radio=0.1, observation=0.05, transfer=0.05, inference=0.1, update=0.2
    ),
)  # fmt: skip


def test_without_a_measurement_there_is_a_line_for_each_finding(capsys):
    main(["--seconds", "0"])

    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines[:-2]] == [
        "python", "packages", "SUMO", "cores", "threads", "memory", "kernels", "disk", "display",
    ]  # fmt: skip
    assert lines[-2:] == ["", "RoadSense is ready."]


def test_a_measurement_has_shares_that_add_up_and_a_rate(capsys):
    main(["--seconds", "1", "--json"])

    content = json.loads(capsys.readouterr().out)
    trial = content["trial"]
    assert {finding["state"] for finding in content["findings"]} <= {"ok", "warning"}
    assert sum(trial["shares"].values()) == pytest.approx(1.0)
    assert trial["shares"]["simulator"] > 0.0
    assert trial["shares"]["update"] > 0.0
    assert trial["duration_s"] >= 1.0
    # Whole rollouts of 2,048 steps.
    assert trial["num_steps"] % 2048 == 0
    assert trial["steps_per_s"] == pytest.approx(trial["num_steps"] / trial["duration_s"])


def test_something_that_failed_exits_with_1_and_nothing_is_measured(monkeypatch, capsys):
    failed = Finding("SUMO", State.FAILED, "libGL.so.1 must be there. apt-get install libgl1.")
    monkeypatch.setattr(doctor_checks, "sumo_finding", lambda: failed)

    with pytest.raises(SystemExit) as caught:
        main([])

    assert caught.value.code == 1
    text = capsys.readouterr().out
    assert finding_line(failed) in text
    assert text.endswith("RoadSense does not work here yet: see what failed.\n")


def test_the_verdict_tells_rate_duration_and_what_bounds_it():
    text = verdict_text(True, TRIAL)

    # 8,192 steps in 2 s; 100,000 steps at that rate take 24.4 s.
    assert "4,096 steps a second" in text
    assert "100,000 steps take 24 s" in text
    assert "Most of it is simulator: SUMO and the drivers." in text
    assert text.index("simulator") < text.index("update") < text.index("radio")
