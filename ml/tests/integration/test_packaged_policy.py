"""The trained policy that the package brings: its files, name and card, and how it is put in."""

from __future__ import annotations

import json
import pickle
import re
import shlex
import shutil
import subprocess
import sys
from contextlib import closing

import numpy as np
import pytest
import torch

from ml.envs.convoy_env import ConvoyEnv
from ml.errors import ConfigError, PolicyError, RecordError
from ml.evaluation.player_files import find_named_model, read_players
from ml.evaluation.replay import main as replay
from ml.policies.baselines import is_scripted_policy
from ml.policies.checkpoint import PACKAGED_FOLDER, PACKAGED_POLICY
from ml.policies.model_file import load_model
from ml.provenance import REPOSITORY_ROOT, sha256_of_file
from ml.scripts import package_policy
from ml.scripts.arguments import parse_args as parse_generate
from ml.training.arguments import parse_args as parse_train
from ml.training.train_convoy import main as train

pytestmark = pytest.mark.integration

CARD = PACKAGED_FOLDER / package_policy.CARD_FILE
FILES = ("policy.json", "policy.safetensors")
HEADINGS = [
    "Model details", "Intended use", "Factors", "Metrics", "Evaluation data", "Training data",
    "Quantitative analyses", "Ethical considerations", "Caveats and recommendations",
]  # fmt: skip
"""The nine of Mitchell et al. 2019, in their order."""
FLAGS = ["--total_timesteps=64", "--n_envs=1", "--dev_episodes=0", "--seed=7", "--skip_eval",
         "--quiet"]  # fmt: skip
HASH = re.compile(r"SHA-256 of `(policy\.\w+)` \| `([0-9a-f]{64})`")


# --- What is in the package ----------------------------------------------------------------------


def test_the_card_names_the_hashes_of_the_packaged_files():
    named = dict(HASH.findall(CARD.read_text(encoding="utf-8")))
    assert named == {name: sha256_of_file(PACKAGED_FOLDER / name) for name in FILES}


def test_the_card_has_the_headings_of_model_cards_in_their_order():
    found = re.findall(r"^## (.*)$", CARD.read_text(encoding="utf-8"), re.MULTILINE)
    assert [heading for heading in found if heading in HEADINGS] == HEADINGS


def test_commands_that_the_card_reproduces_it_by_are_understood():
    text = CARD.read_text(encoding="utf-8").partition("## How to reproduce it")[2]
    generate, learn = re.findall(r"^python -m [\w.]+ (.*)$", text, re.MULTILINE)
    dataset, run = parse_generate(shlex.split(generate)), parse_train(shlex.split(learn))
    assert run.dataset_dir == dataset.output_dir
    assert f"seed {run.seed} |" in CARD.read_text(encoding="utf-8")


def test_it_is_read_without_a_pickle_and_acts_in_the_environment(monkeypatch, base_cfg):
    def refuse(*_, **__):
        raise AssertionError("unpickled")

    for module, name in ((torch, "load"), (pickle, "load"), (pickle, "loads")):
        monkeypatch.setattr(module, name, refuse)
    monkeypatch.setattr(pickle, "Unpickler", refuse)
    model = load_model(PACKAGED_POLICY)
    monkeypatch.undo()

    assert model.is_safe
    with closing(ConvoyEnv(sumo_cfg=base_cfg)) as env:
        assert model.observation_space == env.observation_space
        env.observation_space.seed(1)
        seen = [env.reset(seed=1)[0], *(env.observation_space.sample() for _ in range(50))]
    actions = np.array([model.predict(one, deterministic=True)[0] for one in seen])
    assert actions.shape == (51, 1)
    assert np.isfinite(actions).all()
    assert len(np.unique(actions)) > 1


def test_a_wheel_has_its_files():
    code = (
        "from setuptools import Distribution\n"
        "from setuptools.config.pyprojecttoml import apply_configuration\n"
        "project = apply_configuration(Distribution(), 'pyproject.toml')\n"
        "project.include_package_data = False\n"  # its rules alone, whatever git knows
        "build = project.get_command_obj('build_py')\n"
        "build.ensure_finalized()\n"
        "print(*(f'{package}/{file}' for package, *_, files in build.data_files for file in files),"
        " sep='\\n')"
    )
    listed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        cwd=REPOSITORY_ROOT,
    ).stdout.splitlines()  # fmt: skip
    packaged = {line.rsplit("/", 1)[1] for line in listed if "policies/packaged/" in line}
    assert packaged == {*FILES, package_policy.CARD_FILE}


# --- Its name ------------------------------------------------------------------------------------


def test_its_name_is_no_scripted_policys():
    assert not is_scripted_policy(PACKAGED_POLICY)


def test_it_plays_under_its_name():
    (player,) = read_players([PACKAGED_POLICY])
    assert (player.policy_id, player.model) == ("packaged", "packaged")
    assert player.sha256 == sha256_of_file(PACKAGED_FOLDER / "policy.safetensors")


def test_a_folder_of_its_name_goes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / PACKAGED_POLICY).mkdir()
    with pytest.raises(PolicyError, match="Got no such file"):
        load_model(PACKAGED_POLICY)
    for name in FILES:
        shutil.copy(
            PACKAGED_FOLDER / name, tmp_path / "packaged" / name.replace("policy", "model_final")
        )

    found = find_named_model(PACKAGED_POLICY)

    assert found.resolve() == tmp_path / "packaged" / "model_final.json"


def test_a_misspelt_name_is_answered_with_it():
    with pytest.raises(PolicyError, match="Did you mean 'packaged'"):
        find_named_model("pakaged")


def test_an_episode_of_it_is_replayed(tmp_path, base_cfg):
    recording = tmp_path / "packaged.json"
    replay(["--model", "packaged", "--sumo_cfg", str(base_cfg), "--recording", str(recording)])
    assert json.loads(recording.read_text())["policy"] == "packaged"


# --- How it is put in ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def made(dataset_dir, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "short"
    train([*FLAGS, "--dataset_dir", str(dataset_dir), "--output_dir", str(folder)])
    return folder


@pytest.fixture
def run_dir(made, tmp_path):
    return shutil.copytree(made, tmp_path / "run")


def put_in(run, folder, *more):
    package_policy.main(["--run", str(run), "--output_dir", str(folder), *map(str, more)])


def counts(collisions, episodes):
    rate = {"collisions": collisions, "episodes": episodes, "interval_95": [0.25, 0.75]}
    alarms = {"hours": 0.5, "3mps2": {"per_hour": 4.0, "per_hour_interval_95": [0.5, 14.0]}}
    return {"nominal": {"collisions": rate, "false_alarms": alarms}}


def write_evaluation(folder, sha256):
    """Write the parts of an evaluation's record that a card is made from."""
    folder.mkdir()
    names = {"net": 3, "driver": 11, "eebl": 5, "oracle": 0}
    record = {
        "protocol": {"name": "screening", "sha256": "ab" * 32, "num_cases": 20, "seed": 9,
                     "radio_presets": ["nominal"], "stress_presets": []},
        "provenance": {"scenarios_sha256": "cd" * 32, "code_sha256": "ef" * 32},
        "coverage": {"counted": 79, "planned": 80},
        "policies": [{"id": "driver", "role": "baseline", "sha256": "0" * 64},
                     {"id": "net", "role": "judged", "sha256": sha256}],
        "summaries": {name: {"H": counts(count, 20), "C": counts(0, 20)}
                      for name, count in names.items()},
        "gates": {"net": [{"name": "canary", "status": "open", "text": "too few"}]},
        "verdict": {"net": {"result": "INCONCLUSIVE", "text": "Nothing is decided."}},
    }  # fmt: skip
    (folder / "evaluation.json").write_text(json.dumps(record))
    return folder


def test_a_runs_final_model_becomes_the_packaged_one(run_dir, dataset_dir, tmp_path, capsys):
    put_in(run_dir, tmp_path / "new")

    assert {path.name for path in (tmp_path / "new").iterdir()} == {*FILES, "model_card.md"}
    for name in FILES:
        copied = (tmp_path / "new" / name).read_bytes()
        assert copied == (run_dir / name.replace("policy", "model_final")).read_bytes()
    card = (tmp_path / "new" / "model_card.md").read_text(encoding="utf-8")
    assert dict(HASH.findall(card)) == {
        name: sha256_of_file(tmp_path / "new" / name) for name in FILES
    }
    manifest = json.loads((dataset_dir / "manifest.json").read_text())
    place = f"ml/scenarios/datasets/{manifest['dataset_id']}"
    assert f"gen_scenarios --output_dir {place} --seed {manifest['seed']} " in card
    (flags,) = re.findall(r"^python -m ml\.training\.train_convoy (.*)$", card, re.MULTILINE)
    asked = vars(parse_train([*FLAGS, f"--dataset_dir={place}"]))
    assert vars(parse_train(shlex.split(flags))) == {**asked, "quiet": False}
    assert sha256_of_file(dataset_dir / "manifest.json") in card
    assert "nothing is claimed for it" in card


def test_the_card_has_counts_intervals_alarms_and_gates(run_dir, tmp_path):
    sha256 = sha256_of_file(run_dir / "model_final.safetensors")
    put_in(run_dir, tmp_path / "new", "--evaluation", write_evaluation(tmp_path / "e", sha256))

    card = (tmp_path / "new" / "model_card.md").read_text(encoding="utf-8")
    interval = "(25.00 to 75.00 %)"
    assert (
        f"| H | nominal | 3 of 20 {interval} | 11 of 20 {interval} | 5 of 20 {interval} | "
        f"0 of 20 {interval} |"
    ) in card
    assert f"| C | nominal | {' | '.join(['4.00 (0.50 to 14.00; 0.50 h)'] * 4)} |" in card
    assert "- **canary: open.** too few" in card
    assert "`screening`, SHA-256 `" + "ab" * 32 in card
    assert "Nothing is decided." in card


def test_an_evaluation_of_other_weights_is_refused(run_dir, tmp_path):
    evaluation = write_evaluation(tmp_path / "e", "0" * 64)
    with pytest.raises(ConfigError, match="must have judged the run's final model"):
        put_in(run_dir, tmp_path / "new", "--evaluation", evaluation)
    assert not (tmp_path / "new").exists()


def test_an_evaluation_that_lacks_something_is_one_line(run_dir, tmp_path):
    sha256 = sha256_of_file(run_dir / "model_final.safetensors")
    evaluation = write_evaluation(tmp_path / "e", sha256)
    record = json.loads((evaluation / "evaluation.json").read_text())
    del record["verdict"]
    (evaluation / "evaluation.json").write_text(json.dumps(record))
    with pytest.raises(RecordError, match=r"must be whole\. Got a fault at 'verdict'"):
        put_in(run_dir, tmp_path / "new", "--evaluation", evaluation)


def test_an_evaluation_without_a_protocol_is_refused(run_dir, tmp_path):
    (tmp_path / "evaluation.json").write_text("{}")
    with pytest.raises(ConfigError, match="must be by a protocol"):
        put_in(run_dir, tmp_path / "new", "--evaluation", tmp_path)


@pytest.mark.parametrize("name", ["model_final.safetensors", "model_final.json"])
def test_a_model_that_is_not_as_recorded_is_refused(run_dir, tmp_path, name):
    (run_dir / name).write_bytes((run_dir / name).read_bytes() + b" ")
    with pytest.raises(RecordError, match=rf"{name} must be as manifest.json says. Got: changed"):
        put_in(run_dir, tmp_path / "new")


def test_a_run_that_is_not_finished_is_refused(run_dir, tmp_path):
    manifest = json.loads((run_dir / "manifest.json").read_text())
    (run_dir / "manifest.json").write_text(json.dumps({**manifest, "status": "interrupted"}))
    with pytest.raises(ConfigError, match="status is 'interrupted'"):
        put_in(run_dir, tmp_path / "new")


def test_another_dataset_is_refused(run_dir, tmp_path, dataset_dir):
    other = tmp_path / "other"
    other.mkdir()
    text = (dataset_dir / "manifest.json").read_text()
    (other / "manifest.json").write_text(text + " ")
    with pytest.raises(RecordError, match="Name its folder by --dataset_dir"):
        put_in(run_dir, tmp_path / "new", "--dataset_dir", other)


def test_what_was_packaged_before_stays_whole_where_the_disk_is_full(
    run_dir, tmp_path, monkeypatch
):
    folder = tmp_path / "new"
    put_in(run_dir, folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    (run_dir / "manifest.json").write_text(
        (run_dir / "manifest.json").read_text().replace('"run_id": "', '"run_id": "x')
    )

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(package_policy.shutil, "copyfile", fail)
    with pytest.raises(RecordError, match="No space left"):
        put_in(run_dir, folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
