"""The calibration command: what it reads, fits, refuses, prints and writes."""

from __future__ import annotations

import hashlib
import json
import runpy
import subprocess
import sys

import numpy as np
import pytest

from ml.errors import ConfigError, RadioParameterError, RecordError, RoadSenseError
from ml.espnow_emulator import RadioEmulator, RadioParameters, calibrate, load_radio_parameters
from ml.espnow_emulator.calibrate import main
from ml.espnow_emulator.calibration import CalibrationRequest
from ml.espnow_emulator.calibration import calibrate as fit_logs
from ml.espnow_emulator.episode_values import drawn_values
from ml.espnow_emulator.parameter_sections import (
    BurstLossParameters,
    LatencyParameters,
    PacketLossParameters,
)
from ml.espnow_emulator.radio_samples import radio_alone
from ml.espnow_emulator.reception_log import read_reception_log
from ml.provenance import REPOSITORY_ROOT
from ml.tests.radio_worlds import ANY_BURST, NO_NOISE
from ml.tests.reception_logs import gilbert_chain, sent_frames, write_log

pytestmark = pytest.mark.integration

TO_BAD, TO_GOOD, JITTER_MS = 0.0688, 0.6944, 1.5
LOSS, MEAN_BURST = TO_BAD / (TO_BAD + TO_GOOD), 1 / TO_GOOD


def one_way_log(path, seed=1, num_frames=3000, **options):
    rng = np.random.default_rng(seed)
    received = gilbert_chain(TO_BAD, TO_GOOD, num_frames, rng)
    received[[0, -1]] = True  # so that the log shows all frames sent
    return write_log(path, sent_frames(received, rng, jitter_ms=JITTER_MS, **options))


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    return one_way_log(tmp_path_factory.mktemp("logs") / "drive.csv")


def run(*arguments):
    main([str(argument) for argument in arguments])


def content_of(path):
    return json.loads(path.read_text(encoding="utf-8"))


def is_near(shown, truth):
    """One log: within twice its interval, about 4 standard errors, which chance never is."""
    return 2 * shown["low"] - shown["value"] <= truth <= 2 * shown["high"] - shown["value"]


# --- One way -------------------------------------------------------------------------------------


def test_the_file_holds_the_link_and_loads(log, tmp_path, capsys):
    output = tmp_path / "link.json"

    run(log, "--output", output, "--name", "my link")

    content = content_of(output)
    fitted = content["_metadata"]["fitted"]
    assert is_near(fitted["loss"], LOSS)
    assert is_near(fitted["mean_burst"], MEAN_BURST)
    assert is_near(fitted["jitter_ms"], JITTER_MS)
    parameters = load_radio_parameters(output)
    assert parameters.packet_loss.tier_rates == (fitted["loss"]["value"],) * 3
    assert parameters.burst_loss.mean_burst_length == fitted["mean_burst"]["value"]
    assert parameters.latency.jitter_std_ms == fitted["jitter_ms"]["value"]
    assert (parameters.mode, parameters.use) == ("simple", "training")
    printed = capsys.readouterr().out
    assert "A -> ego: 3000 frames in 1 session" in printed
    assert f"written: {output}" in printed


def test_the_metadata_say_where_the_values_come_from(log, tmp_path):
    output = tmp_path / "link.json"

    run(log, "--output", output, "--name", "my link", "--quiet")

    metadata = content_of(output)["_metadata"]
    digest = hashlib.sha256(log.read_bytes()).hexdigest()
    (source,) = metadata["logs"]
    assert (source["path"], source["sha256"]) == (str(log), digest)
    assert metadata["name"] == "my link"
    assert metadata["direction"] == "one-way, sender to receiver"
    assert metadata["command"].startswith("python -m ml.espnow_emulator.calibrate ")
    assert {"date", "versions", "code", "limits"} <= set(metadata)
    assert set(metadata["extrapolated"]) == {"rate_tier_1", "rate_tier_2", "rate_tier_3"}
    (link,) = metadata["links"]
    assert (link["sender"], link["receiver"], link["num_sent"]) == ("A", "ego", 3000)
    assert is_near(link["p_good_to_bad"], TO_BAD)
    assert is_near(link["r_bad_to_good"], TO_GOOD)


def test_an_absolute_latency_is_not_made_up(log, tmp_path):
    run(log, "--output", tmp_path / "link.json", "--quiet")

    content = content_of(tmp_path / "link.json")
    assert content["latency"]["base_ms"] == LatencyParameters().base_ms
    assert "nominal" in content["_metadata"]["assumed"]["base_ms"]
    assert content["_metadata"]["fitted"]["base_latency_ms"] is None


def test_the_same_seed_makes_the_same_file_and_quiet_prints_nothing(log, tmp_path, capsys):
    contents = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        run(log, "--output", folder / "link.json", "--seed", "5", "--quiet")
        content = content_of(folder / "link.json")
        for key in ("date", "command", "code"):
            del content["_metadata"][key]
        contents.append(content)

    assert contents[0] == contents[1]
    assert capsys.readouterr().out == ""


def test_intervals_of_whole_logs_hold_the_truth(tmp_path):
    """Forty logs with wrapped numbers, two clocks, and a restart in the middle."""
    num_logs, held = 40, np.zeros(5)
    for seed in range(num_logs):
        rng = np.random.default_rng(seed)
        received = gilbert_chain(TO_BAD, TO_GOOD, 2000, rng)
        first = sent_frames(received[:1000], rng, jitter_ms=JITTER_MS)
        second = sent_frames(
            received[1000:], rng, jitter_ms=JITTER_MS, first_sequence=0, clock_offset_ms=120_000.0
        )
        path = write_log(tmp_path / f"{seed}.csv", [*first, *second])
        request = CalibrationRequest("simple", "test", False, 0.0, seed, path.name)
        found = fit_logs([read_reception_log(path)], request)
        (link,) = found.links
        assert (link.record.num_restarts, len(link.record.sessions)) == (1, 2)
        estimates = (found.one_way.loss, link.losses.to_bad, link.losses.to_good)
        estimates += (found.one_way.mean_burst, found.jitter_ms)
        truths = (LOSS, TO_BAD, TO_GOOD, MEAN_BURST, JITTER_MS)
        held += [e.low <= truth <= e.high for e, truth in zip(estimates, truths, strict=True)]

    # 85 % of 40; Binomial(40, .95) is below 34 in 1 of 300 trials.
    assert held.min() >= 34


LOG_ROWS = runpy.run_path(str(REPOSITORY_ROOT / "examples" / "write_reception_log.py"))["log_rows"]


def emulated_fit(path, radio, seed, *, minutes, farthest_m=10.0, mode="simple"):
    rows = LOG_ROWS(radio, 60.0 * minutes, 10.0, farthest_m, seed)
    log = read_reception_log(write_log(path, rows, extra=["distance_m"]))
    return fit_logs([log], CalibrationRequest(mode, "test", False, 0.0, seed, path.name))


def test_logs_made_by_the_emulator_give_its_parameters_back(tmp_path):
    num_logs, held = 20, np.zeros(3)
    parameters = RadioParameters(
        latency=LatencyParameters(base_ms=10.0, distance_factor=0.0, jitter_std_ms=1.5),
        packet_loss=PacketLossParameters(
            base_rate=0.12, rate_tier_1=0.12, rate_tier_2=0.12, rate_tier_3=0.12
        ),
        burst_loss=BurstLossParameters(mean_burst_length=2.5),
        sensor_noise=NO_NOISE,
        domain_randomization=ANY_BURST,
    )
    radio = RadioEmulator(parameters)
    for seed in range(num_logs):
        found = emulated_fit(tmp_path / "log.csv", radio, seed, minutes=5)
        estimates = (found.one_way.loss, found.one_way.mean_burst, found.jitter_ms)
        truths = (0.12, 2.5, 1.5)
        held += [e.low <= truth <= e.high for e, truth in zip(estimates, truths, strict=True)]

    # Binomial(20, .95) is below 16 in 1 of 390 trials.
    assert held.min() >= 16


def test_logs_made_by_the_emulator_give_the_physical_mode_back(tmp_path):
    """A peer that drives from 10 to 60 m and back for ten minutes; the preset's 38.6 dB and 4 %."""
    num_logs, held = 10, np.zeros(2)
    radio = RadioEmulator(radio_alone(load_radio_parameters("in_car_long_range")))
    for seed in range(num_logs):
        found = emulated_fit(
            tmp_path / "log.csv", radio, seed, minutes=10, farthest_m=60.0, mode="physical"
        ).distance
        margin, floor = found.margin_at_1m_db, found.floor_loss
        held += [margin.low <= 38.6 <= margin.high, floor.low <= 0.04 <= floor.high]

    # Binomial(10, .95) is below 7 in 1 of 970 trials.
    assert held.min() >= 7


def test_a_test_file_has_one_link_in_randomised_episodes_too(log, tmp_path):
    run(log, "--output", tmp_path / "link.json", "--use", "test", "--quiet")

    parameters = load_radio_parameters(tmp_path / "link.json")
    drawn = drawn_values(parameters, np.uint64(3))
    assert parameters.use == "test"
    assert drawn.loss_rates == pytest.approx(parameters.packet_loss.tier_rates)
    assert drawn.mean_burst_lengths == pytest.approx((parameters.burst_loss.mean_burst_length,) * 3)
    assert drawn.jitter_std_ms == pytest.approx(parameters.latency.jitter_std_ms)


def test_the_ranges_of_a_training_file_hold_the_link(tmp_path):
    # 90 % loss in bursts of 15 is far out of the nominal ranges, .02-.40 and 1-5.
    rng = np.random.default_rng(4)
    received = gilbert_chain(0.6, 1 / 15, 6000, rng)

    run(write_log(tmp_path / "log.csv", sent_frames(received, rng)), "--output",
        tmp_path / "bad.json", "--quiet")  # fmt: skip

    ranges = load_radio_parameters(tmp_path / "bad.json").domain_randomization
    assert ranges.loss_rate_range[0] == 0.02
    assert ranges.loss_rate_range[1] >= 0.9
    assert ranges.mean_burst_range[1] >= 15


def test_links_of_several_logs_are_fitted_apart_and_together(tmp_path, capsys):
    first = one_way_log(tmp_path / "one.csv", seed=1, sender="A")
    second = one_way_log(tmp_path / "two.csv", seed=2, sender="B")
    short = one_way_log(tmp_path / "short.csv", seed=3, sender="C", num_frames=150)

    run(first, second, short, "--output", tmp_path / "all.json", "--holdout", "0")

    metadata = content_of(tmp_path / "all.json")["_metadata"]
    assert [link["sender"] for link in metadata["links"]] == ["A", "B"]
    assert [link["sender"] for link in metadata["links_not_fitted"]] == ["C"]
    sizes = [link["num_fitted"] for link in metadata["links"]]
    assert metadata["fitted"]["num_frames"] == sum(sizes)
    assert "C -> ego: not fitted: a link must have at least 200 frames" in capsys.readouterr().out


def test_links_that_differ_are_said_to_differ(tmp_path, capsys):
    rng = np.random.default_rng(1)
    bad = write_log(
        tmp_path / "bad.csv", sent_frames(gilbert_chain(0.3, 0.3, 3000, rng), rng, sender="B")
    )

    run(one_way_log(tmp_path / "good.csv"), bad, "--output", tmp_path / "all.json")

    assert "the links' losses differ by more than their intervals" in capsys.readouterr().out


def test_the_held_out_part_of_a_true_process_is_within_chance(log, tmp_path, capsys):
    run(log, "--output", tmp_path / "link.json")

    (link,) = content_of(tmp_path / "link.json")["_metadata"]["links"]
    check = link["held_out"]
    # 3000 frames, of which .3 are held out, and those lost just before them.
    assert 900 <= check["num_frames"] <= 905
    assert check["age_distance"] <= check["age_distance_expected"] < 0.1
    assert "within chance" in capsys.readouterr().out


def test_a_link_that_changes_is_told_by_what_was_held_out(tmp_path, capsys):
    rng = np.random.default_rng(6)
    received = np.concatenate(
        [gilbert_chain(0.05, 0.9, 2100, rng), gilbert_chain(0.1, 0.2, 900, rng)]
    )
    run(write_log(tmp_path / "log.csv", sent_frames(received, rng)), "--output",
        tmp_path / "link.json")  # fmt: skip

    assert "more than chance" in capsys.readouterr().out


# --- What cannot be known ------------------------------------------------------------------------


def log_of(path, received, seed=0, **options):
    rng = np.random.default_rng(seed)
    return write_log(path, sent_frames(np.array(received, dtype=bool), rng, **options))


def test_without_a_loss_the_burst_stays_nominal_and_the_loss_has_a_limit(tmp_path, capsys):
    run(log_of(tmp_path / "log.csv", [True] * 1000), "--output", tmp_path / "link.json")

    content = content_of(tmp_path / "link.json")
    assert content["packet_loss"]["rate_tier_1"] == 0.0
    assert content["burst_loss"]["mean_burst_length"] == BurstLossParameters().mean_burst_length
    assert content["_metadata"]["assumed"]["mean_burst_length"] == "nominal: no loss was seen"
    # 699 frames in bursts of 1.44 tell as much as 699 / 1.88 = 371.8: 1 - .025^(1/371.8) = .987 %.
    assert content["_metadata"]["fitted"]["loss"]["high"] == pytest.approx(0.00987, abs=2e-5)
    assert "no loss seen in 699 frames" in capsys.readouterr().out


def test_single_losses_are_written_as_independent(tmp_path, capsys):
    received = np.ones(1000, dtype=bool)
    received[[100, 300, 460]] = False

    run(log_of(tmp_path / "log.csv", received), "--output", tmp_path / "link.json")

    assert content_of(tmp_path / "link.json")["burst_loss"]["enabled"] is False
    assert "no bursts" in capsys.readouterr().out


def test_a_log_too_short_to_show_bursts_does_not_rule_them_out(tmp_path):
    """Half of them, with about 7 losses each, have no burst: 1.128 is far above 1 / (1 - loss)."""
    num_logs, held, num_independent = 40, 0, 0
    for seed in range(num_logs):
        rng = np.random.default_rng(seed)
        path = log_of(tmp_path / f"{seed}.csv", gilbert_chain(0.0198, 0.8865, 300, rng))
        request = CalibrationRequest("simple", "test", False, 0.0, seed, path.name)
        found = fit_logs([read_reception_log(path)], request)
        burst = found.one_way.mean_burst
        num_independent += not found.losses.has_bursts
        held += burst is None or burst.low <= 1 / 0.8865 <= burst.high

    # Binomial(40, .95) is below 34 in 1 of 300 trials; half of the logs would be 20.
    assert held >= 34
    assert num_independent >= 10


NOT_FITTED = [
    ([True] * 199, "at least 200 frames.*Got 199"),
    ([True, False, True] * 400, "must not avoid one another"),
]


@pytest.mark.parametrize(("received", "words"), NOT_FITTED)
def test_a_link_that_cannot_be_fitted_is_refused_with_the_reason(tmp_path, received, words):
    path = log_of(tmp_path / "log.csv", received)

    with pytest.raises(RadioParameterError, match=words) as caught:
        run(path, "--output", tmp_path / "link.json")

    assert "link 'A' to 'ego' in" in str(caught.value)
    assert not (tmp_path / "link.json").exists()


def test_a_jitter_beyond_the_file_is_refused(tmp_path):
    path = log_of(tmp_path / "log.csv", [True] * 400, jitter_ms=150.0, base_ms=2000.0)
    rows = sorted(path.read_text().splitlines()[1:], key=lambda line: float(line.split(",")[0]))
    write_log(path, [row.split(",") for row in rows])

    with pytest.raises(RadioParameterError, match=r"jitter \[ms\].*at most 100"):
        run(path, "--output", tmp_path / "link.json")


# --- Two ways ------------------------------------------------------------------------------------


def two_way_log(path, num_frames=6000, seed=9):
    rng = np.random.default_rng(seed)
    both = gilbert_chain(TO_BAD, TO_GOOD, num_frames, rng)
    both &= gilbert_chain(TO_BAD, TO_GOOD, num_frames, rng)
    jitter_ms = JITTER_MS * np.sqrt(2)
    return write_log(path, sent_frames(both, rng, base_ms=20.0, jitter_ms=jitter_ms,
                                       clock_offset_ms=0.0, drift_ppm=0.0))  # fmt: skip


def test_round_trips_are_not_converted_unless_told(tmp_path):
    path = two_way_log(tmp_path / "echoes.csv", num_frames=300)

    with pytest.raises(ConfigError, match=r"with --assume_symmetric.*do not tell which way"):
        run(path, "--output", tmp_path / "link.json", "--two_way")


def test_round_trips_give_one_way_values_if_both_ways_are_alike(tmp_path, capsys):
    path = two_way_log(tmp_path / "echoes.csv")

    run(path, "--output", tmp_path / "link.json", "--two_way", "--assume_symmetric")

    content = content_of(tmp_path / "link.json")
    fitted = content["_metadata"]["fitted"]
    assert is_near(fitted["loss"], LOSS)
    assert is_near(fitted["mean_burst"], MEAN_BURST)
    assert is_near(fitted["base_latency_ms"], 10.0)
    assert is_near(fitted["jitter_ms"], JITTER_MS)
    assert content["latency"]["base_ms"] == fitted["base_latency_ms"]["value"]
    assert "1 - sqrt(1 - two-way loss)" in content["_metadata"]["assumed"]["two_way"]
    assert "base_ms" not in content["_metadata"]["assumed"]
    assert "two-way loss" in capsys.readouterr().out


def test_one_way_intervals_from_whole_logs_of_echoes_hold_the_truth(tmp_path):
    num_logs, held = 40, np.zeros(4)
    for seed in range(num_logs):
        path = two_way_log(tmp_path / f"{seed}.csv", num_frames=2000, seed=seed)
        request = CalibrationRequest("simple", "test", True, 0.0, seed, path.name)
        found = fit_logs([read_reception_log(path, is_two_way=True)], request)
        estimates = (found.one_way.loss, found.one_way.mean_burst)
        estimates += (found.base_latency_ms, found.jitter_ms)
        truths = (LOSS, MEAN_BURST, 10.0, JITTER_MS)
        held += [e.low <= truth <= e.high for e, truth in zip(estimates, truths, strict=True)]

    assert held.min() >= 34


def test_symmetry_means_nothing_without_round_trips(log, tmp_path, capsys):
    with pytest.raises(SystemExit) as caught:
        run(log, "--output", tmp_path / "link.json", "--assume_symmetric")

    assert caught.value.code == 2
    assert "--two_way" in capsys.readouterr().err


# --- Distance ------------------------------------------------------------------------------------


def distance_log(path, distance_m, received, seed=0):
    rng = np.random.default_rng(seed)
    rows = sent_frames(received, rng, columns=[[f"{d:.2f}" for d in distance_m]])
    return write_log(path, rows, extra=["distance_m"])


def test_tiers_come_from_the_distances(tmp_path):
    distance_m = np.tile(np.repeat([30.0, 80.0, 140.0], 500), 4)
    rng = np.random.default_rng(2)
    received = rng.random(6000) >= np.tile(np.repeat([0.05, 0.2, 0.6], 500), 4)

    run(distance_log(tmp_path / "log.csv", distance_m, received), "--output",
        tmp_path / "link.json", "--holdout", "0", "--quiet")  # fmt: skip

    content = content_of(tmp_path / "link.json")
    tiers = content["_metadata"]["fitted"]["tier_losses"]
    assert [is_near(tier, loss) for tier, loss in zip(tiers, (0.05, 0.2, 0.6), strict=True)] == [
        True
    ] * 3
    assert "extrapolated" not in content["_metadata"]
    assert load_radio_parameters(tmp_path / "link.json").packet_loss.tier_rates == pytest.approx(
        [tier["value"] for tier in tiers]
    )
    points = content["_metadata"]["measured_points"]
    assert [set(point) for point in points] == [{"distance_m", "reception", "n"}] * len(points)
    assert sum(point["n"] for point in points) == content["_metadata"]["fitted"]["num_frames"]


@pytest.fixture(scope="module")
def physical_log(tmp_path_factory):
    # In-car long range, floor .04: REFERENCE .956, .934, .883, .713 and .614 at these distances.
    rng = np.random.default_rng(12)
    distance_m = np.tile(np.repeat([10.0, 20.0, 30.0, 50.0, 60.0], 100), 10)
    chance = np.tile(np.repeat([0.956, 0.934, 0.883, 0.713, 0.614], 100), 10)
    path = tmp_path_factory.mktemp("logs") / "physical.csv"
    return distance_log(path, distance_m, rng.random(5000) < chance)


def test_mode_physical_finds_margin_and_floor(physical_log, tmp_path, capsys):
    output = tmp_path / "link.json"

    run(physical_log, "--output", output, "--mode", "physical")

    fitted = content_of(output)["_metadata"]["fitted"]["physical"]
    assert is_near(fitted["margin_at_1m_db"], 38.6)
    assert is_near(fitted["floor_loss"], 0.04)
    parameters = load_radio_parameters(output)
    assert parameters.is_physical
    assert parameters.physical.margin_at_1m_db == fitted["margin_at_1m_db"]["value"]
    assert parameters.physical.interference_loss == 0.0
    check = content_of(output)["_metadata"]["held_out_physical"]
    assert check["age_distance"] <= check["age_distance_expected"]
    printed = capsys.readouterr().out
    assert "margin at 1 m [dB]" in printed
    assert f"held out: {check['num_frames']} frames; KS distance of age" in printed
    assert "interference_loss is left at 0" in printed


def test_a_physical_test_file_has_no_ranges(physical_log, tmp_path):
    output = tmp_path / "link.json"

    run(physical_log, "--output", output, "--mode", "physical", "--use", "test", "--quiet")

    parameters = load_radio_parameters(output)
    ranges = parameters.physical_randomization
    assert ranges.margin_range_db == (parameters.physical.margin_at_1m_db,) * 2
    assert ranges.floor_loss_range == (parameters.physical.floor_loss,) * 2
    assert parameters.use == "test"


def test_mode_physical_needs_distances(log, tmp_path):
    with pytest.raises(RadioParameterError, match=r"column distance_m in .* must be there"):
        run(log, "--output", tmp_path / "link.json", "--mode", "physical")


def test_mode_physical_needs_a_spread_of_distances(tmp_path):
    path = distance_log(tmp_path / "log.csv", np.full(900, 10.0), np.arange(900) % 97 > 1)

    with pytest.raises(RadioParameterError, match="must span a factor of 2"):
        run(path, "--output", tmp_path / "link.json", "--mode", "physical")


def test_silences_of_more_frames_than_memory_is_meant_for_are_refused(tmp_path):
    # 400 frames with 29,999 lost between each two: 399 * 30,000 + 1.
    lines = [[f"{3e6 * index:.0f}", "A", index * 30_000 % 65_536, f"{3e6 * index:.0f}", "10"]
             for index in range(400)]  # fmt: skip
    path = write_log(tmp_path / "log.csv", lines, extra=["distance_m"])

    with pytest.raises(RadioParameterError, match=r"at most 10000000 frames.*Got 11970001"):
        run(path, "--output", tmp_path / "link.json", "--holdout", "0")


# --- Files ---------------------------------------------------------------------------------------


def test_a_file_is_replaced_only_with_overwrite(log, tmp_path):
    output = tmp_path / "link.json"
    output.write_text("old")

    with pytest.raises(ConfigError, match=r"--output must not be there already.*--overwrite"):
        run(log, "--output", output)
    assert output.read_text() == "old"
    run(log, "--output", output, "--overwrite", "--quiet")

    assert load_radio_parameters(output).mode == "simple"


def test_outputs_that_cannot_be_are_refused(log, tmp_path):
    copy = tmp_path / "log.csv"
    copy.write_bytes(log.read_bytes())
    for output, words in (
        (tmp_path, "must be a file"),
        (tmp_path / "missing" / "link.json", "folder that exists"),
        (copy, "must not be one of the logs"),
    ):
        with pytest.raises(ConfigError, match=words):
            run(copy, "--output", output, "--overwrite")
    assert copy.read_bytes() == log.read_bytes()


def test_the_same_log_twice_is_refused(log, tmp_path):
    copy = tmp_path / "copy.csv"
    copy.write_bytes(log.read_bytes())

    with pytest.raises(RadioParameterError, match="must not have the content of another log"):
        run(log, copy, "--output", tmp_path / "link.json")


@pytest.mark.parametrize("failure", [KeyboardInterrupt, MemoryError, OSError])
def test_a_run_that_fails_while_writing_leaves_nothing(log, tmp_path, monkeypatch, failure):
    def fail(_path):
        raise failure

    monkeypatch.setattr(calibrate, "load_radio_parameters", fail)

    with pytest.raises((failure, RecordError)):
        run(log, "--output", tmp_path / "link.json")

    assert list(tmp_path.iterdir()) == []


def test_a_run_that_is_killed_while_writing_leaves_the_old_file(log, tmp_path):
    output = tmp_path / "link.json"
    output.write_text("old")
    code = (
        "import os, signal, sys\n"
        "from ml.espnow_emulator import calibrate\n"
        "calibrate.load_radio_parameters = lambda path: os.kill(os.getpid(), signal.SIGKILL)\n"
        "calibrate.main(sys.argv[1:])\n"
    )

    ended = subprocess.run(
        [sys.executable, "-c", code, str(log), "--output", str(output), "--overwrite"],
        cwd=REPOSITORY_ROOT,
        check=False,
    )

    assert ended.returncode == -9
    assert output.read_text() == "old"


BAD_ARGUMENTS = [
    ["--output", "x.json"],
    ["log.csv"],
    ["log.csv", "--output", "x.json", "--mode", "complex"],
    ["log.csv", "--output", "x.json", "--use", "both"],
    ["log.csv", "--output", "x.json", "--holdout", "0.9"],
    ["log.csv", "--output", "x.json", "--seed", "-1"],
    ["log.csv", "--output", "x.json", "--name", " "],
    ["log.csv", "--output", "x.json", "--name", "a\nb"],
    ["log.csv", "--output", ""],
    ["log.csv", "--output", "x.json", "--two-way"],
]


@pytest.mark.parametrize("arguments", BAD_ARGUMENTS)
def test_a_bad_argument_is_one_line(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)

    errors = capsys.readouterr().err
    assert caught.value.code == 2
    assert errors.count("\n") == 1
    assert errors.startswith("calibrate: error: ")


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"a,b\n1,2\n", b"\x00" * 9])
def test_a_bad_log_is_one_line_of_the_command(tmp_path, content):
    (tmp_path / "log.csv").write_bytes(content)

    with pytest.raises(RoadSenseError, match=r"log\.csv"):
        run(tmp_path / "log.csv", "--output", tmp_path / "link.json")
    ended = subprocess.run(
        [sys.executable, "-m", "ml.espnow_emulator.calibrate", str(tmp_path / "log.csv"),
         "--output", str(tmp_path / "link.json")],
        cwd=REPOSITORY_ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert ended.returncode == 1
    assert ended.stderr.startswith("error: ")
    assert ended.stderr.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log.csv"]
