"""An evaluation by a protocol on the real SUMO: killed, continued, refused, the same for all."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time

import pytest
from stable_baselines3 import PPO

from ml.envs.convoy_env import ConvoyEnv
from ml.errors import ConfigError, PolicyError, RecordError
from ml.evaluation.recording_file import read_recording
from ml.evaluation.run import main as evaluate
from ml.policies.deep_set_policy import create_deep_set_policy_kwargs
from ml.policies.model_file import copy_model
from ml.training.callbacks import save_model_atomically

pytestmark = pytest.mark.integration

# Two cases of H, one each of M and C; nine policies, and a variant each of the network and of eebl.
PROTOCOL = """
name = "tiny"
seed = 7
episode_s = 16
onset_s = [5, 6]
friction_mps2 = 9.8
radio_presets = ["nominal"]
[stress_presets]
[families.H]
episodes = 2
speed_mps = [20, 25]
headway_s = [0.5, 1.0]
deceleration_mps2 = [8.0, 9.8]
scenarios_per_size = 1
[families.M]
episodes = 1
ranks = [2]
speed_mps = [15, 20]
headway_s = [0.5, 1.0]
deceleration_mps2 = [8.0, 9.8]
scenarios_per_size = 1
[families.C]
episodes = 1
variants = ["cruise"]
speed_mps = [15, 20]
headway_s = [1.0, 2.0]
scenarios_per_variant = 1
[gates]
min_null_collision_rate = 0.95
max_oracle_collision_rate = 0.02
hard_half_deceleration_mps2 = 6.4
max_floor_crash_rate = 0.005
max_floor_age_s = 0.15
alarms_per_hour = [10]
max_radio_off_excess = 0.01
confidence = 0.95
[operating_curve]
policy_mps2 = [0, 2]
eebl_mps2 = [3]
[followers]
headway_s = [0.6, 1.0, 2.0]
delay_s = [0.75]
"""
NUM_CASES = 4
BASELINES = {"null", "driver", "always", "aeb", "r157", "eebl", "rss", "oracle"}
POLICIES = BASELINES | {"net", "net@2.0", "eebl@3.0"}


@pytest.fixture(scope="module")
def place(tmp_path_factory, base_cfg):
    """A folder with the protocol and an untrained network; scenarios are cached below it."""
    folder = tmp_path_factory.mktemp("protocol_evaluation")
    (folder / "tiny.toml").write_text(PROTOCOL)
    env = ConvoyEnv(sumo_cfg=base_cfg)
    model = PPO(
        "MultiInputPolicy", env, policy_kwargs=create_deep_set_policy_kwargs(), device="cpu", seed=1
    )
    save_model_atomically(model, folder / "net.zip")
    (folder / "eebl").mkdir()
    copy_model(folder / "net.zip", folder / "eebl" / "model_final.zip")
    return folder


def command(place, output, *more):
    return ["--model", str(place / "net.zip"), "--protocol", str(place / "tiny.toml"),
            "--output_dir", str(place / output), *more]  # fmt: skip


def run_to_its_end(arguments):
    """Run an evaluation that may fail gates, but nothing else."""
    try:
        evaluate([*arguments, "--quiet"])
    except SystemExit as exit_:
        assert exit_.code == 1


@pytest.fixture(scope="module")
def finished(place):
    """An evaluation that two processes played without interruption."""
    run_to_its_end(command(place, "finished", "--workers", "2"))
    return place / "finished"


def rows_of(folder, policy):
    lines = (folder / "records" / f"{policy}.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def evaluation_of(folder):
    return json.loads((folder / "evaluation.json").read_text())


def wait_for_rows(folder, number, process):
    """Wait until so many rows are on the disk."""
    deadline_s = time.monotonic() + 500.0
    while sum(path.read_bytes().count(b"\n") for path in folder.glob("records/*")) < number:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline_s
        time.sleep(0.05)


def test_every_policy_meets_every_case(finished):
    played = {path.stem: rows_of(finished, path.stem) for path in finished.glob("records/*")}

    assert set(played) == POLICIES
    assert {len(rows) for rows in played.values()} == {NUM_CASES}
    identities = {
        policy: [(row["case_id"], row["hazard_onset_s"], row["headway_s"]) for row in rows]
        for policy, rows in played.items()
    }
    assert len({tuple(each) for each in identities.values()}) == 1


def test_a_row_says_what_it_is_of(finished):
    row = next(row for row in rows_of(finished, "net@2.0") if row["family"] == "M")

    assert row["policy"] == "net@2.0"
    assert row["radio_preset"] == "nominal"
    assert row["case_source_rank"] == row["hazard_source_rank"] == 2
    assert row["case_num_peers"] == row["num_peers"]
    assert row["case_headway_s"] == row["headway_s"]
    assert 8.0 <= row["case_deceleration_mps2"] <= 9.8
    assert row["num_followers"] == 3
    assert "time_to_braking_s" in row


def test_evaluation_says_what_was_covered_judged_and_with_what(finished, place):
    evaluation = evaluation_of(finished)

    assert evaluation["coverage"]["planned"] == evaluation["coverage"]["counted"] == 44
    assert evaluation["coverage"]["shortfalls"] == []
    assert {entry["id"]: entry["role"] for entry in evaluation["policies"]} == {
        **dict.fromkeys(BASELINES, "baseline"),
        "net": "judged", "net@2.0": "variant", "eebl@3.0": "variant",
    }  # fmt: skip
    assert set(evaluation["summaries"]["null"]) == {"H", "M", "C"}
    assert [gate["name"] for gate in evaluation["gates"]["net"]] == [
        "canary", "safety floor", "extra saves", "operating curve", "radio off",
    ]  # fmt: skip
    assert [point["policy"] for point in evaluation["operating_curves"]["net"]] == [
        "net", "net@2.0",
    ]  # fmt: skip
    assert evaluation["result"] in {"FAIL", "INCONCLUSIVE"}
    assert (finished / "protocol.toml").read_text() == PROTOCOL


def test_an_ego_that_never_brakes_hits_a_car_that_stops(finished):
    hard_stops = [row for row in rows_of(finished, "null") if row["family"] == "H"]

    assert [row["collision"] for row in hard_stops] == [True, True]


def test_the_judged_policys_worst_episodes_are_recorded(finished):
    paths = sorted((finished / "recordings").glob("*.json"))

    assert len(paths) == NUM_CASES
    for path in paths:
        recording = read_recording(path)
        assert path.name == f"net--nominal--{recording['case_id']}.json"
        assert recording["record"] in rows_of(finished, "net")
        assert len(recording["ego"]["gap_m"]) == recording["record"]["steps"]


def test_a_report_of_it_stands_in_the_folder_with_the_worst_episodes(finished):
    page = (finished / "report.html").read_text(encoding="utf-8")

    recordings = list((finished / "recordings").iterdir())
    assert "<h1>Evaluation report: tiny</h1>" in page
    assert page.count('class="show"') == len(recordings) > 0


def test_a_killed_and_an_interrupted_evaluation_end_as_an_uninterrupted_one(
    finished, place, start_interruptible
):
    folder = place / "continued"
    arguments = [sys.executable, "-m", "ml.evaluation.run",
                 *command(place, "continued", "--workers", "1")]  # fmt: skip
    process = start_interruptible(arguments, stdout=subprocess.PIPE)
    wait_for_rows(folder, 3, process)
    process.kill()
    process.communicate()
    with (folder / "records" / "null.jsonl").open("a") as stream:
        stream.write('{"policy": "nu')
    process = start_interruptible(arguments, stdout=subprocess.PIPE)
    wait_for_rows(folder, 8, process)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate()

    assert process.returncode == 130
    assert "of 44 episodes are kept in" in error
    assert "the same command continues there" in error
    assert "Traceback" not in error
    assert not (folder / "evaluation.json").exists()
    run_to_its_end(command(place, "continued", "--workers", "2"))

    for policy in POLICIES:
        name = f"records/{policy}.jsonl"
        assert (folder / name).read_bytes() == (finished / name).read_bytes()
    timeless = [{**evaluation_of(each), "timestamp": None} for each in (folder, finished)]
    assert json.dumps(timeless[0]) == json.dumps(timeless[1])


def test_a_finished_evaluation_is_judged_again_without_an_episode(
    finished, place, monkeypatch, capsys
):
    before = evaluation_of(finished)
    monkeypatch.setattr(
        "ml.evaluation.protocol_run.open_workers", lambda *_: pytest.fail("an episode was played")
    )

    run_to_its_end(command(place, "finished"))

    assert {**evaluation_of(finished), "timestamp": None} == {**before, "timestamp": None}
    assert f"Evaluation saved to: {finished}" in capsys.readouterr().out


def test_a_failed_gate_is_exit_status_1_and_named(finished, place, monkeypatch, capsys):
    monkeypatch.setattr(
        "ml.evaluation.protocol_report.judge_gates",
        lambda *_, **__: [{"name": "canary", "status": "fail", "text": "none", "case_ids": []}],
    )

    with pytest.raises(SystemExit) as caught:
        evaluate(command(place, "finished", "--quiet"))

    assert caught.value.code == 1
    assert capsys.readouterr().out.endswith("Failed: net: canary\n")


def test_a_lost_row_is_played_again_and_the_same(finished, place):
    copy = place / "lost"
    shutil.copytree(finished, copy)
    path = copy / "records" / "net.jsonl"
    kept = path.read_text().splitlines(keepends=True)
    path.write_text("".join(kept[:1] + kept[2:]))

    run_to_its_end(command(place, "lost", "--workers", "1"))

    assert path.read_text() == "".join(kept)


def test_code_that_changed_meanwhile_starts_no_more_processes(finished, place, monkeypatch):
    shutil.copytree(finished, place / "changed")
    (place / "changed" / "records" / "net.jsonl").unlink()
    monkeypatch.setattr("ml.evaluation.protocol_run.code_sha256", lambda: "0" * 64)

    with pytest.raises(RecordError, match="code of ml must stay as it is"):
        evaluate(command(place, "changed", "--quiet"))

    assert not (place / "changed" / "records" / "net.jsonl").exists()


def test_other_weights_of_the_same_name_are_refused(finished, place, base_cfg, tmp_path):
    kwargs = create_deep_set_policy_kwargs()
    env = ConvoyEnv(sumo_cfg=base_cfg)
    model = PPO("MultiInputPolicy", env, policy_kwargs=kwargs, device="cpu", seed=2)
    save_model_atomically(model, tmp_path / "net.zip")

    with pytest.raises(RecordError, match="Got other weights of net"):
        evaluate(["--model", str(tmp_path / "net.zip"), *command(place, "finished")[2:]])


def test_another_protocol_of_the_same_name_is_refused(finished, place, tmp_path):
    (tmp_path / "tiny.toml").write_text(PROTOCOL.replace("seed = 7", "seed = 8"))
    arguments = command(place, "finished")
    arguments[3] = str(tmp_path / "tiny.toml")

    with pytest.raises(RecordError, match=r"Got protocol tiny [0-9a-f]{12} instead of tiny"):
        evaluate(arguments)


def test_a_trained_policy_must_not_have_a_baselines_name(place, tmp_path):
    with pytest.raises(ConfigError, match="Got 'eebl' for a policy and a baseline"):
        evaluate(["--model", str(place / "eebl"), "--protocol", "smoke",
                  "--output_dir", str(tmp_path / "new")])  # fmt: skip

    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("protocol", "error"),
    [("smok", "Did you mean 'smoke'"), ("missing.toml", "missing.toml must be readable TOML")],
)
def test_a_protocol_that_is_none_is_one_line_and_leaves_no_folder(tmp_path, protocol, error):
    with pytest.raises(ConfigError, match=error):
        evaluate(["--model", "eebl", "--protocol", protocol,
                  "--output_dir", str(tmp_path / "new")])  # fmt: skip

    assert not (tmp_path / "new").exists()


def test_a_missing_policy_leaves_no_folder(tmp_path):
    with pytest.raises(PolicyError, match="must be a model saved by train_convoy"):
        evaluate(["--model", "no/such", "--protocol", "smoke",
                  "--output_dir", str(tmp_path / "new")])  # fmt: skip

    assert not (tmp_path / "new").exists()
