"""Radio faults as options: of ``reset``, of the environment, and of the evaluation's commands."""

from __future__ import annotations

import json

import numpy as np
import pytest

from ml.envs.vector_env import ConvoyWorkers
from ml.errors import ConfigError
from ml.espnow_emulator import RadioFault
from ml.evaluation.run import main as evaluate
from ml.evaluation.scripted_table import main as table
from ml.types import HEARD_TIME_SINCE_RECEPTION

pytestmark = pytest.mark.integration

NO_DEMAND = np.array([-1.0], dtype=np.float32)
LITTLE_DEMAND = np.array([0.05], dtype=np.float32)
HAZARD = {"kind": "hard_stop", "source_rank": 2, "onset_s": 6.0, "deceleration_mps2": 4.0}
AT_ONSET = {"kind": "blackout", "car": "source", "start_s": "onset", "duration_s": 2.0}


def play(env, num_steps, action=NO_DEMAND, **options):
    """Play some steps and return every observation, what was heard each time, and the last info."""
    observation, info = env.reset(options=options)
    observations, heard = [observation], [env.radio.heard.copy()]
    for _ in range(num_steps):
        observation, *_, info = env.step(action)
        observations.append(observation)
        heard.append(env.radio.heard.copy())
    return observations, np.array(heard), info


@pytest.fixture
def env(base_cfg, make_env):
    return make_env(sumo_cfg=base_cfg, scenario_seed=4, scenario_mode="eval", max_steps=90)


def test_a_reset_option_strikes_at_the_onset_for_one_episode(env):
    _, heard, info = play(env, 90, episode_index=0, hazard=HAZARD, radio_faults=[AT_ONSET])
    _, _, next_info = play(env, 90, episode_index=0, hazard=HAZARD)

    since_s = heard[:, 2, HEARD_TIME_SINCE_RECEPTION]
    assert since_s[:61].max() < 1.0
    assert since_s[79] > 1.8  # 7.9 s: nothing since 6.0 s
    assert since_s[83] < 0.5
    assert info["episode_record"]["radio_faults"] == ["blackout:car=2,start_s=6,duration_s=2"]
    assert next_info["episode_record"]["radio_faults"] == []


@pytest.mark.parametrize("fault", ["forged", "frozen_gps", "reboot", "replay", "gps_jump:car=0"])
def test_with_the_same_seed_nothing_differs_until_the_fault_begins(env, fault):
    joint = "," if ":" in fault else ":"
    plain, _, _ = play(env, 80, episode_index=0)
    struck, _, _ = play(env, 80, episode_index=0, radio_faults=[f"{fault}{joint}start_s=5.0"])

    for name in ("ego", "peers", "peer_mask"):
        np.testing.assert_array_equal(
            [observation[name] for observation in struck[:50]],
            [observation[name] for observation in plain[:50]],
        )


def test_what_the_policy_does_changes_nothing_about_a_fault(env):
    options = {"episode_index": 0, "hazard": HAZARD, "radio_faults": [AT_ONSET, "replay"]}
    _, heard, idle = play(env, 90, NO_DEMAND, **options)
    _, heard_braking, braking = play(env, 90, LITTLE_DEMAND, **options)

    # The loss of a frame does not depend on where the ego is, within a tier of distances
    column = HEARD_TIME_SINCE_RECEPTION
    np.testing.assert_allclose(heard[:, 1:3, column], heard_braking[:, 1:3, column], atol=1e-9)
    for name in ("radio_faults", "radio_frames_rejected_old"):
        assert idle["episode_record"][name] == braking["episode_record"][name]


def test_the_record_counts_what_the_board_rejected(env):
    faults = ["duplicate:car=1,start_s=1,duration_s=2", "forged_position:car=1,start_s=4"]
    _, _, plain = play(env, 90, episode_index=0)
    _, _, struck = play(env, 90, episode_index=0, radio_faults=faults)

    # nominal loss 8.2 %: of 20 frames about 18 arrive, and come twice; 50 forged ones in 5 s
    names = ("radio_frames_rejected_duplicate", "radio_frames_rejected_implausible")
    assert [plain["episode_record"][name] for name in names] == [0, 0]
    assert 12 <= struck["episode_record"][names[0]] <= 20
    assert 40 <= struck["episode_record"][names[1]] <= 51


def test_an_environment_in_another_process_has_its_argument(base_cfg):
    kwargs = {"sumo_cfg": base_cfg, "scenario_seed": 4, "scenario_mode": "eval", "max_steps": 5,
              "radio_faults": [RadioFault("unequipped", 1), "blackout:start_s=1"]}  # fmt: skip
    with ConvoyWorkers(1, kwargs) as workers:
        workers.reset()
        for _ in range(5):
            result = workers.step(NO_DEMAND[None])

    assert result.final_infos[0]["episode_record"]["radio_faults"] == [
        "unequipped:car=1",
        "blackout:car=all,start_s=1",
    ]


@pytest.mark.parametrize(
    ("faults", "said"),
    [
        (["blckout"], "Did you mean 'blackout'"),
        ("blackout", "radio_faults must be a list"),
        ([{"kind": "burst", "value": 0}], "value of the radio fault burst must be a number in"),
        (["forged"] * 5, "must be at most 4"),
    ],
)
def test_a_bad_fault_is_refused_by_reset_and_by_the_constructor(env, base_cfg, faults, said):
    with pytest.raises(ConfigError, match=said):
        env.reset(options={"radio_faults": faults})
    with pytest.raises(ConfigError, match=said):
        type(env)(sumo_cfg=base_cfg, radio_faults=faults)


# --- Commands ------------------------------------------------------------------------------------


def rows_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_every_policy_of_an_evaluation_meets_the_same_faults(base_cfg, tmp_path, capsys):
    evaluate(["--model", "eebl", "--sumo_cfg", str(base_cfg), "--episodes", "1", "--quiet",
              "--radio_fault", "burst:car=source,start_s=onset-0.1,value=5",
              "--radio_fault", "unequipped:car=3", "--output_dir", str(tmp_path)])  # fmt: skip

    own = rows_of(tmp_path / "episodes.jsonl")[0]
    baselines = rows_of(tmp_path / "baseline_episodes.jsonl")
    onset_s, rank = own["hazard_onset_s"], own["hazard_source_rank"]
    expected = [
        f"burst:car={rank},start_s={onset_s - 0.1:.12g},value=5",
        "unequipped:car=3",
    ]
    assert [row["radio_faults"] for row in (own, *baselines)] == [expected] * 5
    config = json.loads((tmp_path / "evaluation.json").read_text())["config"]
    assert config["radio_fault"] == [
        "burst:car=source,start_s=onset-0.1,value=5",
        "unequipped:car=3",
    ]
    assert "radio fault: unequipped:car=3\n" in capsys.readouterr().out


def test_the_driver_alone_hears_no_fault(base_cfg, tmp_path, capsys):
    command = ["--model", "driver", "--sumo_cfg", str(base_cfg), "--episodes", "1", "--quiet",
               "--skip_baselines"]  # fmt: skip
    evaluate([*command, "--output_dir", str(tmp_path / "plain")])
    evaluate([*command, "--output_dir", str(tmp_path / "struck"), "--radio_fault", "blackout"])

    plain, struck = (rows_of(tmp_path / name / "episodes.jsonl")[0] for name in ("plain", "struck"))
    differing = {name for name in plain if plain[name] != struck[name]}
    of_the_radio = {"radio_delivery_ratio", "radio_faults", "age_at_onset_s", "trace_sha256"}
    assert differing == of_the_radio
    assert struck["radio_delivery_ratio"] < 0.1  # the warm-up's frames, 2 s of 52


def test_the_table_names_the_faults(base_cfg, capsys):
    table(["--sumo_cfg", str(base_cfg), "--episodes", "2", "--radio_fault", "blackout:car=1"])

    page = capsys.readouterr().out
    assert "Radio fault of every episode: `blackout:car=1,start_s=0`." in page


@pytest.mark.parametrize("main", [lambda arguments: evaluate(["--model", "driver", *arguments]),
                                  table])  # fmt: skip
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("blckout", "Did you mean 'blackout'?"),
        ("burst:valeu=3", "Did you mean 'value'?"),
        ("burst:start_s=soon", "or from onset, as onset+0.5. Got 'soon'."),
        ("forged_position:car=0", "a rank in [1, 1023]. Got 0."),
    ],
)
def test_a_bad_fault_is_one_line_of_usage(main, text, said, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--radio_fault", text])

    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "argument --radio_fault: " in error
    assert said in error


def test_too_many_faults_are_one_line_of_usage(capsys):
    with pytest.raises(SystemExit):
        table(["--radio_fault", "blackout"] * 65)

    assert "--radio_fault must be given at most 64 times. Got 65." in capsys.readouterr().err
