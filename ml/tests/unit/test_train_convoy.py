"""Tests of the training command: its flags, its evaluation, its record, what it refuses."""

import json
import shutil
from argparse import Namespace
from pathlib import Path
from unittest.mock import MagicMock, patch

import jsonschema
import numpy as np
import pytest

from ml.errors import ConfigError, PolicyError, RadioParameterError, RecordError, ScenarioError
from ml.evaluation.verdict import build_report
from ml.provenance import REPOSITORY_ROOT
from ml.training import old_run as old_run_module
from ml.training import presets, recipe, rollout, run_folder, train_convoy
from ml.training.development import training_report
from ml.training.train_convoy import (
    EvaluationResult,
    TrainingResult,
    evaluate,
    main,
    parse_args,
    save_metrics,
    train,
)

SCHEMA_PATH = Path(run_folder.__file__).with_name("metrics.schema.json")
BASE_SCENARIO = REPOSITORY_ROOT / "ml/scenarios/base/scenario.sumocfg"
TRAINING = {"training_timesteps": 100}


def spec_namespace(**changes):
    """The arguments with the specified fields and nothing else."""
    fields = {
        "dataset_dir": "somewhere",
        "sumo_cfg": None,
        "eval_episodes": 3,
        "emulator_params": None,
        "seed": 42,
        "total_timesteps": 100,
        "learning_rate": 3e-4,
        "n_steps": 2048,
        "ent_coef": 0.01,
        "output_dir": None,
        "run_id": "test_run",
        "skip_eval": False,
        "gui": False,
    }
    return Namespace(**{**fields, **changes})


@pytest.fixture
def mock_model():
    model = MagicMock()
    model.predict.return_value = (np.array([0.25]), None)
    with patch("ml.training.train_convoy.PPO") as ppo:
        ppo.load.return_value = model
        yield model


@pytest.fixture
def mock_env():
    """Episodes of 2 steps with rewards 1.0 and 0.5: collision, truncation, collision, ..."""
    env = MagicMock()
    env.reset.side_effect = [(np.zeros(4), {"scenario_id": f"eval_{i:03d}"}) for i in range(50)]
    env.step.side_effect = [
        (np.zeros(4), 1.0, False, False, {}),
        (np.zeros(4), 0.5, True, False, {}),
        (np.zeros(4), 1.0, False, False, {}),
        (np.zeros(4), 1.5, False, True, {}),
        (np.zeros(4), 1.0, False, False, {}),
        (np.zeros(4), 0.5, True, False, {}),
    ]
    with patch("ml.training.train_convoy.gym") as gym:
        gym.make.return_value = env
        env.make = gym.make
        yield env


class TestTrainConvoyCLI:
    def test_parse_args_defaults(self):
        args = parse_args([])
        assert args.dataset_dir is None
        assert args.sumo_cfg == "ml/scenarios/base/scenario.sumocfg"
        assert args.eval_episodes == 10
        assert args.emulator_params is None
        assert args.seed == 42
        assert args.total_timesteps == 100_000
        assert args.learning_rate == 3e-4
        assert args.n_steps == 2048
        assert args.ent_coef == 0.01
        assert args.output_dir is None
        assert args.run_id is None
        assert args.skip_eval is False
        assert args.gui is False

    def test_parse_args_reads_the_process_arguments(self, monkeypatch):
        monkeypatch.setattr("sys.argv", ["train_convoy.py", "--seed", "7"])
        assert parse_args().seed == 7

    def test_parse_args_dataset_dir(self):
        args = parse_args(["--dataset_dir", "ml/scenarios/datasets/v1"])
        assert args.dataset_dir == "ml/scenarios/datasets/v1"
        assert args.sumo_cfg is None

    def test_parse_args_mutual_exclusion(self, capsys):
        with pytest.raises(SystemExit) as exit_info:
            parse_args(["--dataset_dir", "a", "--sumo_cfg", "b"])
        assert exit_info.value.code == 2
        error = capsys.readouterr().err
        assert "Cannot specify both --dataset_dir and --sumo_cfg" in error
        assert len(error.splitlines()) == 1

    def test_parse_args_all_hyperparams(self):
        args = parse_args(
            [
                "--sumo_cfg=s.sumocfg", "--eval_episodes=20", "--emulator_params=p.json",
                "--seed=7", "--total_timesteps=500", "--learning_rate=1e-4", "--n_steps=64",
                "--ent_coef=0", "--output_dir=out", "--run_id=r1", "--skip_eval", "--gui",
            ]
        )  # fmt: skip
        given = {name: getattr(args, name) for name in vars(spec_namespace())}
        assert given == {
            "dataset_dir": None, "sumo_cfg": "s.sumocfg", "eval_episodes": 20,
            "emulator_params": "p.json", "seed": 7, "total_timesteps": 500,
            "learning_rate": 1e-4, "n_steps": 64, "ent_coef": 0.0, "output_dir": "out",
            "run_id": "r1", "skip_eval": True, "gui": True,
        }  # fmt: skip

    @pytest.mark.parametrize(
        "argument",
        [
            "--eval_episodes=0",
            "--seed=-1",
            "--seed=4294967296",
            "--seed=1.5",
            "--total_timesteps=0",
            "--learning_rate=nan",
            "--learning_rate=0",
            "--learning_rate=1.1",
            "--n_steps=1",
            "--n_steps=1000001",  # 404 bytes of observation a step: 13 + 8 + 8 * 10 float32
            "--ent_coef=-0.1",
            "--ent_coef=inf",
            "--threads=0",
            "--n_envs=0",
            "--n_envs=65",
            "--batch_size=1",
            "--n_epochs=0",
            "--device=tpu",
            "--dev_interval=0",
            "--dev_episodes=-1",
            "--run_id=../../elsewhere",
            "--run_id=",
            "--output_dir=",
            "--dataset_dir=",
        ],
    )
    def test_value_out_of_range_is_a_usage_error_on_one_line(self, argument, capsys):
        with pytest.raises(SystemExit) as exit_info:
            parse_args([argument])
        assert exit_info.value.code == 2
        error = capsys.readouterr().err
        assert argument.split("=")[0] in error
        assert len(error.splitlines()) == 1

    def test_mistyped_flag_is_answered_with_the_nearest_one(self, capsys):
        with pytest.raises(SystemExit):
            parse_args(["--total_timestep_s", "5"])
        assert "--total_timesteps" in capsys.readouterr().err

    def test_help_lists_every_specified_flag(self, capsys):
        with pytest.raises(SystemExit) as exit_info:
            parse_args(["--help"])
        text = capsys.readouterr().out
        assert exit_info.value.code == 0
        assert [name for name in vars(spec_namespace()) if f"--{name}" not in text] == []


class TestRollout:
    def message_of(self, arguments, capsys):
        with pytest.raises(SystemExit) as exit_info:
            parse_args(arguments)
        assert exit_info.value.code == 2
        (line,) = capsys.readouterr().err.splitlines()
        return line

    @pytest.mark.parametrize(
        ("arguments", "num_envs"),
        [
            ([], 4),
            (["--n_steps=1000"], 4),
            (["--total_timesteps=99"], 3),  # 99 = 3 x 33
            (["--total_timesteps=101"], 1),  # a prime
            (["--total_timesteps=1"], 2),  # a rollout has at least 2 steps
            (["--n_envs=16"], 16),
            (["--gui"], 1),
        ],
    )
    def test_environments_divide_the_rollout_that_is_used(self, arguments, num_envs):
        assert parse_args(arguments).n_envs == num_envs

    def test_number_of_environments_that_does_not_divide_is_answered_with_its_neighbours(
        self, capsys
    ):
        message = self.message_of(["--n_envs=3"], capsys)
        assert "--n_envs must divide the rollout of 2048 steps" in message
        assert "Got 3. Use 2 or 4." in message

    def test_batch_that_does_not_divide_is_answered_with_its_neighbours(self, capsys):
        # 100 = 2 x 2 x 5 x 5: its divisors next to 30 are 25 and 50.
        message = self.message_of(["--total_timesteps=100", "--batch_size=30"], capsys)
        assert "--batch_size must divide the rollout of 100 steps" in message
        assert "Got 30. Use 25 or 50." in message

    def test_window_shows_one_environment(self, capsys):
        message = self.message_of(["--gui", "--n_envs=2"], capsys)
        assert "--n_envs must be 1 with --gui" in message

    def test_threads_of_the_learner_have_one_name(self, capsys):
        message = self.message_of(["--torch_threads=2"], capsys)
        assert "unknown argument --torch_threads=2" in message


class TestPreset:
    FIELDS = ("n_steps", "batch_size", "n_epochs", "total_timesteps")

    def test_preset_takes_the_place_of_defaults(self):
        args = parse_args(["--preset=fast"])
        assert [getattr(args, name) for name in self.FIELDS] == [8192, 1024, 4, 100_000]

    def test_flags_that_are_given_go_before_it(self):
        args = parse_args(["--n_epochs=10", "--preset=fast", "--batch_size=512"])
        assert [getattr(args, name) for name in self.FIELDS] == [8192, 512, 10, 100_000]

    def test_batch_divides_a_rollout_that_is_shorter(self):
        # 3,000 = 2^3 x 3 x 5^3: of its divisors 1,000 is nearest to 1,024 in ratio.
        args = parse_args(["--preset=fast", "--total_timesteps=3000"])
        assert recipe.learner_settings(args)["batch_size"] == 1000

    def test_given_batch_that_does_not_divide_is_refused(self, capsys):
        with pytest.raises(SystemExit):
            parse_args(["--preset=fast", "--batch_size=1000"])
        assert "--batch_size must divide the rollout of 8192 steps" in capsys.readouterr().err

    def test_without_it_nothing_changes(self):
        args = parse_args([])
        assert [getattr(args, name) for name in self.FIELDS] == [2048, None, 10, 100_000]

    def test_unknown_one_is_answered_with_those_there_are(self, capsys):
        with pytest.raises(SystemExit):
            parse_args(["--preset=quick"])
        assert "fast" in capsys.readouterr().err

    def test_every_preset_names_flags_within_their_rules(self):
        for name, values in presets.PRESETS.items():
            typed = [f"--{flag}={value}" for flag, value in values.items()]
            args = vars(parse_args(typed))
            assert {**args, "preset": name} == vars(parse_args([f"--preset={name}"]))


class TestEvaluate:
    def test_evaluate_returns_metrics(self, mock_model, mock_env, capsys):
        metrics = evaluate("does/not/exist.zip", spec_namespace())
        # Rewards 1.5, 2.5, 1.5: mean 5.5 / 3, variance 2 / 9.
        assert metrics == {
            "eval_episodes": 3,
            "avg_reward": pytest.approx(5.5 / 3),
            "std_reward": pytest.approx((2 / 9) ** 0.5),
            "min_reward": 1.5,
            "max_reward": 2.5,
            "avg_length": 2.0,
            "collisions": 2,
            "collision_rate": pytest.approx(2 / 3),
            "truncations": 1,
            "truncation_rate": pytest.approx(1 / 3),
            "scenarios_evaluated": ["eval_000", "eval_001", "eval_002"],
        }
        train_convoy.PPO.load.assert_called_once_with("does/not/exist.zip")
        printed = capsys.readouterr().out
        assert "Starting evaluation: 3 episodes" in printed
        assert "  Episode 2/3: reward=2.50, length=2, scenario=eval_001" in printed
        assert "  Avg Reward: 1.83 (+/- 0.47)" in printed
        assert "  Avg Length: 2.0" in printed
        assert "  Collisions: 2/3 (66.7%)" in printed

    def test_evaluate_uses_deterministic(self, mock_model, mock_env):
        evaluate("model.zip", spec_namespace())
        assert mock_model.predict.call_count == 6
        assert all(
            call.kwargs == {"deterministic": True} for call in mock_model.predict.call_args_list
        )

    def test_evaluate_counts_collisions(self, mock_model, mock_env):
        mock_env.step.side_effect = None
        mock_env.step.return_value = (np.zeros(1), -1.0, True, False, {"scenario_id": "x"})
        metrics = evaluate("model.zip", spec_namespace(eval_episodes=4))
        assert metrics["collisions"] == 4
        assert metrics["collision_rate"] == 1.0
        assert metrics["truncations"] == 0

    def test_evaluation_walks_the_eval_split_in_order(self, mock_model, mock_env):
        evaluate("model.zip", spec_namespace(emulator_params="p.json"))
        mock_env.make.assert_called_once_with(
            "RoadSense-Convoy-v0",
            render_mode=None,
            gui=False,
            dataset_dir="somewhere",
            scenario_mode="eval",
            scenario_seed=42,
            emulator_params_path="p.json",
        )

    def test_single_scenario_is_evaluated_in_eval_mode_too(self, mock_model, mock_env):
        evaluate("model.zip", spec_namespace(dataset_dir=None, sumo_cfg="s.sumocfg"))
        kwargs = mock_env.make.call_args.kwargs
        assert kwargs["sumo_cfg"] == "s.sumocfg"
        assert kwargs["scenario_mode"] == "eval"
        assert "dataset_dir" not in kwargs

    def test_default_scenario_is_found_from_any_folder(
        self, mock_model, mock_env, tmp_path, monkeypatch
    ):
        monkeypatch.chdir(tmp_path)
        evaluate("model.zip", spec_namespace(dataset_dir=None, sumo_cfg=parse_args([]).sumo_cfg))
        assert Path(mock_env.make.call_args.kwargs["sumo_cfg"]) == BASE_SCENARIO

    def test_window_is_passed_on(self, mock_model, mock_env):
        evaluate("model.zip", spec_namespace(gui=True))
        kwargs = mock_env.make.call_args.kwargs
        assert (kwargs["gui"], kwargs["render_mode"]) == (True, "human")

    def test_episode_without_scenario_id_is_unknown(self, mock_model, mock_env):
        mock_env.reset.side_effect = None
        mock_env.reset.return_value = ({"any": "shape"}, {})
        metrics = evaluate("model.zip", spec_namespace(eval_episodes=1))
        assert metrics["scenarios_evaluated"] == ["unknown"]

    def test_environment_is_closed_after_a_failure(self, mock_model, mock_env):
        mock_env.step.side_effect = KeyboardInterrupt
        with pytest.raises(KeyboardInterrupt):
            evaluate("model.zip", spec_namespace())
        mock_env.close.assert_called_once_with()

    @pytest.mark.parametrize("content", [None, b"", b"no zip at all"])
    def test_unreadable_model_is_one_error(self, tmp_path, mock_env, content):
        path = tmp_path / "model.zip"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(PolicyError, match=r"model\.zip must be a model"):
            evaluate(str(path), spec_namespace())


class TestSaveMetrics:
    @pytest.fixture
    def eval_metrics(self, mock_model, mock_env):
        return evaluate("model.zip", spec_namespace())

    def test_save_metrics_creates_file(self, tmp_path):
        path = save_metrics(str(tmp_path), TRAINING, None, spec_namespace())
        assert path == str(tmp_path / "metrics.json")
        assert Path(path).exists()
        assert [entry.name for entry in tmp_path.iterdir()] == ["metrics.json"]

    def test_save_metrics_schema(self, tmp_path, eval_metrics):
        path = save_metrics(str(tmp_path), TRAINING, dict(eval_metrics), spec_namespace())
        metrics = json.loads(Path(path).read_text())
        jsonschema.validate(metrics, json.loads(SCHEMA_PATH.read_text()))
        assert metrics["run_id"] == "test_run"
        assert metrics["training"] == TRAINING
        assert metrics["evaluation"] == dict(eval_metrics)
        assert metrics["config"] == {
            "dataset_dir": "somewhere", "sumo_cfg": None, "emulator_params": None, "seed": 42,
            "total_timesteps": 100, "learning_rate": 3e-4, "n_steps": 2048, "ent_coef": 0.01,
        }  # fmt: skip

    def test_what_is_added_has_keys_of_its_own(self, tmp_path, eval_metrics):
        eval_metrics.report = build_report(eval_metrics.records, {})
        path = save_metrics(str(tmp_path), TRAINING, eval_metrics, spec_namespace())
        metrics = json.loads(Path(path).read_text())
        jsonschema.validate(metrics, json.loads(SCHEMA_PATH.read_text()))
        assert metrics["evaluation"] == dict(eval_metrics)
        assert metrics["verdict"]["result"] == "INCONCLUSIVE"

    def test_replaced_workers_are_counted_by_what_they_played(self, tmp_path, eval_metrics):
        counts = {"lost": 1, "hung": 0, "recycled": 2, "replayed_steps": 30}
        result = TrainingResult(TRAINING, {})
        result.workers = {"training": counts, "development": None}
        eval_metrics.workers["baselines"] = counts
        path = save_metrics(str(tmp_path), result, eval_metrics, spec_namespace())
        metrics = json.loads(Path(path).read_text())
        jsonschema.validate(metrics, json.loads(SCHEMA_PATH.read_text()))
        assert metrics["training"] == TRAINING
        assert metrics["workers"] == {
            "training": counts, "development": None, "evaluation": None, "baselines": counts,
        }  # fmt: skip

    def test_models_and_development_have_keys_of_their_own(self, tmp_path):
        for name in ("model_final.zip", "model_best.zip"):
            (tmp_path / name).write_bytes(b"abc")
        row = {
            "steps": 64, "time_s": 1.0, "evaluation_s": 0.5, "episodes": 2, "mean_return": -3.0,
            "collisions": 0, "hours": 0.02, "false_alarms_3mps2": None,
        }  # fmt: skip
        judge = MagicMock(best=row, evaluations=[row])
        report = training_report(
            {"episodes": 2, "interval_steps": 64}, tmp_path,
            is_disjoint=True, judge=judge, num_steps=128,
        )  # fmt: skip
        result = train_convoy.TrainingResult(TRAINING, report)
        path = save_metrics(str(tmp_path), result, None, spec_namespace())
        metrics = json.loads(Path(path).read_text())
        jsonschema.validate(metrics, json.loads(SCHEMA_PATH.read_text()))
        assert metrics["training"] == TRAINING
        assert metrics["development"]["best"] == {"steps": 64, "mean_return": -3.0}
        # SHA-256 of "abc", FIPS 180-2 appendix B.1.
        assert metrics["models"]["best"] == {
            "file": "model_best.zip",
            "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            "steps": 64,
        }

    def test_training_too_short_to_be_judged_keeps_its_final_policy_as_the_best(self, tmp_path):
        (tmp_path / "model_final.zip").write_bytes(b"abc")
        report = training_report(
            {"episodes": 2, "interval_steps": 64}, tmp_path,
            is_disjoint=True, judge=None, num_steps=32,
        )  # fmt: skip
        assert (tmp_path / "model_best.zip").read_bytes() == b"abc"
        assert report["development"]["evaluations"] == []
        assert report["models"]["best"]["steps"] == 32

    def test_skipped_evaluation_is_null(self, tmp_path):
        path = save_metrics(str(tmp_path), TRAINING, None, spec_namespace())
        metrics = json.loads(Path(path).read_text())
        jsonschema.validate(metrics, json.loads(SCHEMA_PATH.read_text()))
        assert metrics["evaluation"] is None

    def test_numpy_and_nan_become_strict_json(self, tmp_path):
        odd = {"loss": float("nan"), "mean": np.float32(0.5), "counts": np.array([1, 2])}
        path = save_metrics(str(tmp_path), odd, {"x": np.inf}, spec_namespace())
        metrics = json.loads(Path(path).read_text(), parse_constant=pytest.fail)
        assert metrics["training"] == {"loss": None, "mean": 0.5, "counts": [1, 2]}
        assert metrics["evaluation"] == {"x": None}

    def test_folder_that_is_not_there_is_one_error(self, tmp_path):
        with pytest.raises(RecordError, match="cannot be written"):
            save_metrics(str(tmp_path / "none"), TRAINING, None, spec_namespace())


class TestTrainRefuses:
    """Whatever cannot work is refused before anything is created."""

    @pytest.fixture
    def arguments(self, tmp_path):
        return {
            "dataset_dir": None,
            "sumo_cfg": str(BASE_SCENARIO),
            "output_dir": str(tmp_path / "runs" / "r1"),
        }

    def refuse(self, tmp_path, error, match, arguments):
        with pytest.raises(error, match=match):
            train(spec_namespace(**arguments))
        assert not (tmp_path / "runs").exists()

    def test_missing_scenario(self, tmp_path, arguments):
        arguments["sumo_cfg"] = str(tmp_path / "none.sumocfg")
        self.refuse(tmp_path, ScenarioError, "none.sumocfg", arguments)

    def test_missing_dataset(self, tmp_path, arguments):
        arguments |= {"sumo_cfg": None, "dataset_dir": str(tmp_path / "none")}
        self.refuse(tmp_path, ScenarioError, "none", arguments)

    def test_unreadable_radio_parameters(self, tmp_path, arguments):
        (tmp_path / "radio.json").write_text("{")
        arguments["emulator_params"] = str(tmp_path / "radio.json")
        self.refuse(tmp_path, RadioParameterError, "radio.json", arguments)

    def test_radio_parameters_that_are_for_testing(self, tmp_path, arguments):
        (tmp_path / "radio.json").write_text('{"_metadata": {"use": "test"}}')
        arguments["emulator_params"] = str(tmp_path / "radio.json")
        self.refuse(tmp_path, RadioParameterError, "must not be 'test' for training", arguments)

    def test_base_that_is_held_out(self, tmp_path, arguments):
        shutil.copytree(BASE_SCENARIO.parent, tmp_path / "road")
        (tmp_path / "road" / "base.json").write_text('{"held_out": true}')
        arguments["sumo_cfg"] = str(tmp_path / "road" / "scenario.sumocfg")
        self.refuse(tmp_path, ScenarioError, "must not be a base that is held out", arguments)

    def test_number_of_environments_that_does_not_divide_the_rollout(self, tmp_path, arguments):
        arguments["n_envs"] = 3
        self.refuse(tmp_path, ConfigError, "--n_envs must divide the rollout of 100", arguments)

    def test_device_that_is_not_there(self, tmp_path, arguments):
        arguments["device"] = "cuda"
        with patch("torch.cuda.is_available", return_value=False):
            self.refuse(tmp_path, ConfigError, "--device cuda must be available", arguments)

    def test_output_folder_below_a_file(self, tmp_path, arguments):
        (tmp_path / "file").write_text("")
        arguments["output_dir"] = str(tmp_path / "file" / "r1")
        self.refuse(tmp_path, ConfigError, "must be a folder", arguments)

    @pytest.mark.parametrize("name", ["model_final.zip", "metrics.json", "manifest.json"])
    def test_output_folder_with_a_run(self, tmp_path, arguments, name):
        (tmp_path / name).write_text("precious")
        with pytest.raises(ConfigError, match="must not hold a run already"):
            train(spec_namespace(**{**arguments, "output_dir": str(tmp_path)}))
        assert [path.name for path in tmp_path.iterdir()] == [name]
        assert (tmp_path / name).read_text() == "precious"


class TestOverwrite:
    @pytest.fixture
    def old_run(self, tmp_path):
        folder = tmp_path / "r1"
        run_folder.start_run(folder, {"run_id": "r1", "status": "complete", "learning": {}})
        (folder / "tensorboard" / "PPO_1").mkdir()
        for name in (
            "model_final.zip", "model_best.zip", "metrics.json", "development.jsonl", "notes.txt",
            "model_final.safetensors", "model_final.json", "model_best.safetensors",
            "model_best.json", "checkpoints/deep_sets_10000_steps.safetensors",
            "checkpoints/deep_sets_10000_steps.json",
            "checkpoints/deep_sets_10000_steps.zip", "checkpoints/mine.zip",
            "tensorboard/PPO_1/events.out.tfevents.1",
        ):  # fmt: skip
            (folder / name).write_text("precious")
        return folder

    def names_in(self, folder):
        return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())

    def test_only_files_of_a_run_are_removed(self, old_run):
        old_run_module.remove_run(old_run)
        assert self.names_in(old_run) == ["checkpoints/mine.zip", "notes.txt"]
        assert not (old_run / "tensorboard" / "PPO_1").exists()

    def test_linked_folder_is_not_followed(self, old_run, tmp_path):
        kept = tmp_path / "elsewhere"
        (old_run / "checkpoints").rename(kept)
        (old_run / "checkpoints").symlink_to(kept)
        old_run_module.remove_run(old_run)
        assert (kept / "deep_sets_10000_steps.zip").exists()

    def test_run_is_not_removed_where_an_input_is_wrong(self, old_run):
        before = self.names_in(old_run)
        with pytest.raises(ScenarioError):
            train(spec_namespace(output_dir=str(old_run), overwrite=True))  # no such dataset
        assert self.names_in(old_run) == before

    def test_manifest_that_is_none_of_a_run_is_kept(self, old_run):
        (old_run / "manifest.json").write_text('{"dataset_id": "v1"}')
        with pytest.raises(ConfigError, match="--overwrite must replace a run"):
            old_run_module.check_removable(old_run, [])

    def test_file_that_is_an_input_is_kept(self, old_run):
        with pytest.raises(ConfigError, match="--overwrite must not remove an input"):
            old_run_module.check_removable(old_run, [old_run / "metrics.json"])


class TestRunFolder:
    def test_interrupted_run_says_so_in_its_manifest(self, tmp_path):
        run_folder.start_run(tmp_path, {"status": "running"})
        with pytest.raises(KeyboardInterrupt), run_folder.failures_recorded(tmp_path):
            raise KeyboardInterrupt
        assert json.loads((tmp_path / "manifest.json").read_text())["status"] == "interrupted"

    def test_failed_run_says_why_in_its_manifest(self, tmp_path):
        run_folder.start_run(tmp_path, {"status": "running"})
        with pytest.raises(RecordError), run_folder.failures_recorded(tmp_path):
            raise RecordError("disk full")
        manifest = json.loads((tmp_path / "manifest.json").read_text())
        assert (manifest["status"], manifest["failure"]) == ("failed", "disk full")

    def test_manifest_gets_the_hash_of_the_weights(self, tmp_path):
        run_folder.start_run(tmp_path, {"status": "running"})
        (tmp_path / "model_final.zip").write_bytes(b"abc")
        run_folder.update_manifest(tmp_path, {"status": "complete"})
        manifest = json.loads((tmp_path / "manifest.json").read_text())
        # SHA-256 of "abc", FIPS 180-2 appendix B.1.
        assert manifest["outputs"]["model_final.zip"] == (
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        )

    @pytest.mark.parametrize("image", ["roadsense@sha256:0123abcd", None])
    def test_manifest_names_the_image_that_the_run_is_made_in(self, monkeypatch, image):
        monkeypatch.delenv("ROADSENSE_CONTAINER_IMAGE", raising=False)
        for value in filter(None, [image]):
            monkeypatch.setenv("ROADSENSE_CONTAINER_IMAGE", value)
        manifest = run_folder.build_manifest(
            parse_args(["--run_id", "r1"]), run_folder.RunInputs({}, None), {}
        )
        assert manifest["container_image"] == image

    def test_folder_without_manifest_is_left_alone(self, tmp_path):
        run_folder.update_manifest(tmp_path, {"status": "complete"})
        run_folder.update_manifest(None, {"status": "complete"})
        assert list(tmp_path.iterdir()) == []

    def test_two_runs_named_in_the_same_second_get_folders_of_their_own(self, tmp_path):
        moment = "run_20260115_143000"
        (tmp_path / "models" / "runs" / moment).mkdir(parents=True)
        args = spec_namespace(run_id=None)
        with (
            patch("ml.training.run_folder.datetime") as clock,
            patch("ml.training.run_folder.__file__", str(tmp_path / "training" / "x.py")),
        ):
            clock.now.return_value.astimezone.return_value.strftime.return_value = moment
            run_folder.name_run(args)
        assert args.run_id == f"{moment}_2"
        assert Path(args.output_dir) == tmp_path / "models" / "runs" / f"{moment}_2"


class TestLearnerSettings:
    @pytest.mark.parametrize(
        ("n_steps", "batch_size"),
        [(2048, 512), (1000, 500), (2, 2), (512, 512), (101, 101), (1536, 512), (7, 7)],
    )
    def test_batch_size_divides_the_rollout(self, n_steps, batch_size):
        assert rollout.batch_size_for(n_steps) == batch_size

    @pytest.mark.parametrize(("total", "n_steps"), [(1, 2), (100, 100), (100_000, 2048)])
    def test_rollout_is_never_longer_than_the_training(self, total, n_steps):
        settings = recipe.learner_settings(spec_namespace(total_timesteps=total))
        assert settings["n_steps"] == n_steps

    def test_environments_share_the_rollout(self):
        settings = recipe.learner_settings(parse_args(["--n_envs=8"]))
        assert settings["n_steps"] == 256  # 2048 / 8
        assert settings["batch_size"] == 512

    def test_flags_win_over_the_recipe(self):
        args = parse_args(["--batch_size=64", "--n_epochs=3", "--device=auto"])
        with patch("torch.cuda.is_available", return_value=True):
            settings = recipe.learner_settings(args)
        assert [settings[name] for name in ("batch_size", "n_epochs", "device")] == [64, 3, "cuda"]

    def test_development_scenarios_are_held_out_only_where_they_are_used(self):
        used, unused = parse_args([]), parse_args(["--dev_episodes=0"])
        assert recipe.environment_kwargs(used, "train")["hold_out_development"] is True
        assert "hold_out_development" not in recipe.environment_kwargs(unused, "train")
        assert "hold_out_development" not in recipe.environment_kwargs(used, "eval")

    def test_development_episodes_are_of_the_evaluation_s_kind(self):
        args = parse_args([])
        development = recipe.environment_kwargs(args, "dev")
        assert {**development, "scenario_mode": "eval"} == recipe.environment_kwargs(args, "eval")


class TestMain:
    def run_main(self, arguments, **results):
        """Run main with its stages replaced, and return the doubles by name."""
        doubles = {
            "train": MagicMock(return_value=("model.zip", {"training_timesteps": 1})),
            "evaluate": MagicMock(return_value=EvaluationResult({"eval_episodes": 1}, [])),
            "compare_with_baselines": MagicMock(),
            "save_metrics": MagicMock(),
            "format_report": MagicMock(return_value="Verdict: PASS"),
            **results,
        }
        with patch.multiple("ml.training.train_convoy", **doubles):
            main(arguments)
        return doubles

    def test_stages_run_in_order_and_end_with_where_everything_is(self, tmp_path, capsys):
        doubles = self.run_main(["--output_dir", str(tmp_path), "--run_id", "r1"])
        doubles["evaluate"].assert_called_once()
        doubles["compare_with_baselines"].assert_called_once()
        assert doubles["save_metrics"].call_args.args[:2] == (
            str(tmp_path),
            {"training_timesteps": 1},
        )
        assert capsys.readouterr().out.splitlines() == [
            "",
            "Verdict: PASS",
            "",
            "Run complete: r1",
            f"Output: {tmp_path}",
        ]
        assert (tmp_path / "episodes.jsonl").read_text() == ""

    def test_skip_eval_runs_no_episode(self, tmp_path):
        doubles = self.run_main(["--output_dir", str(tmp_path), "--skip_eval"])
        doubles["evaluate"].assert_not_called()
        assert doubles["save_metrics"].call_args.args[2] is None
        assert not (tmp_path / "episodes.jsonl").exists()

    def test_plain_dict_from_an_evaluation_is_saved_as_it_is(self, tmp_path):
        doubles = self.run_main(
            ["--output_dir", str(tmp_path)], evaluate=MagicMock(return_value={"collisions": 0})
        )
        assert doubles["save_metrics"].call_args.args[2] == {"collisions": 0}


class TestBaselines:
    def records(self, scenario_id="eval_000"):
        return [{"scenario_id": scenario_id, "terminated": False, "truncated": True}]

    def test_every_baseline_meets_the_evaluation_episodes(self):
        result = EvaluationResult({}, self.records())
        args = parse_args(["--eval_episodes", "1", "--quiet"])
        run = MagicMock(side_effect=lambda *_: self.records())
        with patch("ml.evaluation.baseline_runs.run_scripted_policy", run):
            train_convoy.compare_with_baselines(result, args)
        names = [call.args[0].name for call in run.call_args_list]
        assert names == ["null", "driver", "oracle", "eebl"]
        assert set(result.report["baselines"]) == set(names)

    def test_baseline_on_other_episodes_is_refused(self):
        result = EvaluationResult({}, self.records())
        args = parse_args(["--eval_episodes", "1", "--quiet"])
        run = MagicMock(return_value=self.records("eval_001"))
        with (
            patch("ml.evaluation.baseline_runs.run_scripted_policy", run),
            pytest.raises(RecordError, match="scenario_id of null"),
        ):
            train_convoy.compare_with_baselines(result, args)

    def test_skip_baselines_leaves_the_verdict_open(self):
        result = EvaluationResult({}, self.records())
        train_convoy.compare_with_baselines(result, parse_args(["--skip_baselines"]))
        assert result.report["baselines"] == {}
        assert result.report["verdict"]["result"] == "INCONCLUSIVE"
