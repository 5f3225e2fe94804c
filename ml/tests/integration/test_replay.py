"""``roadsense replay`` on the real SUMO: its files, opened again, and what it refuses."""

from __future__ import annotations

import itertools
import json
import os

import numpy as np
import pytest
from PIL import Image

from ml.envs.convoy_env import ConvoyEnv
from ml.envs.top_view import EGO_AT_PX
from ml.errors import RecordError
from ml.evaluation.recording_file import read_recording
from ml.evaluation.replay import main as replay
from ml.evaluation.run import main as evaluate
from ml.tests.contract.bad_input_cases import check_line
from ml.training.train_convoy import main as train

pytestmark = pytest.mark.integration

NUM_STEPS = 25
EGO = (247, 196, 49)


@pytest.fixture
def short_episodes(monkeypatch):
    """Let every episode end after 2.5 s."""
    whole = ConvoyEnv.__init__

    def short(self, **arguments):
        whole(self, **{**arguments, "max_steps": NUM_STEPS})

    monkeypatch.setattr(ConvoyEnv, "__init__", short)


def pictures_of(path):
    """Return every picture of a video, and for how long each stands."""
    pictures, durations_ms = [], []
    with Image.open(path) as video:
        for index in range(video.n_frames):
            video.seek(index)
            durations_ms.append(video.info["duration"])
            pictures.append(np.asarray(video.convert("RGB")))
    return pictures, durations_ms


def test_a_video_is_the_episode_in_real_time(short_episodes, base_cfg, tmp_path, capsys):
    video = tmp_path / "eebl.gif"
    replay(["--model", "eebl", "--sumo_cfg", str(base_cfg), "--video", str(video)])

    pictures, durations_ms = pictures_of(video)
    assert len(pictures) == NUM_STEPS
    assert durations_ms == [100] * (NUM_STEPS - 1) + [2000]
    assert {picture.shape for picture in pictures} == {(320, 960, 3)}
    assert all(not np.array_equal(*pair) for pair in itertools.pairwise(pictures))
    said = capsys.readouterr()
    assert said.out == f"Video saved to: {video}\n"
    assert said.err.startswith("video: 25/25 pictures")
    assert [path.name for path in tmp_path.iterdir()] == ["eebl.gif"]


def test_the_camera_follows_the_ego_and_the_road_passes(short_episodes, base_cfg, tmp_path):
    video = tmp_path / "null.gif"
    replay(["--model", "null", "--sumo_cfg", str(base_cfg), "--video", str(video), "--quiet"])
    pictures, _ = pictures_of(video)

    egos = [np.nonzero((picture[44:250] == EGO).all(axis=2))[1].max() for picture in pictures]
    posts = [(picture[44:250] == (160, 166, 156)).all(axis=2) for picture in pictures]
    assert egos == pytest.approx([EGO_AT_PX] * NUM_STEPS, abs=2)
    assert all(not np.array_equal(*pair) for pair in itertools.pairwise(posts))


def test_a_recording_gives_the_same_video_as_the_episode(short_episodes, base_cfg, tmp_path):
    replay(
        ["--model", "eebl", "--sumo_cfg", str(base_cfg), "--episode", "2", "--quiet",
         "--recording", str(tmp_path / "r.json"), "--video", str(tmp_path / "1.gif")]
    )  # fmt: skip
    replay([str(tmp_path / "r.json"), "--video", str(tmp_path / "2.gif"), "--quiet"])

    assert (tmp_path / "1.gif").read_bytes() == (tmp_path / "2.gif").read_bytes()
    assert read_recording(tmp_path / "r.json")["policy"] == "eebl"


def test_a_recording_with_whole_numbers_is_shown(short_episodes, base_cfg, tmp_path):
    path = tmp_path / "r.json"
    replay(["--model", "eebl@3.0", "--sumo_cfg", str(base_cfg), "--recording", str(path)])
    content = json.loads(path.read_text())
    content["road"]["lanes"] = [{"width_m": 3, "points_m": [[0, 0], [700, 0], [700, 0]]}]
    content["cars"][1]["width_m"] = 2
    path.write_text(json.dumps(content))

    replay([str(path), "--video", str(tmp_path / "v.gif"), "--quiet"])

    assert len(pictures_of(tmp_path / "v.gif")[0]) == NUM_STEPS


def test_an_episode_is_the_one_that_evaluate_runs(dataset_dir, tmp_path, capsys):
    folder = tmp_path / "run"
    train(["--dataset_dir", str(dataset_dir), "--output_dir", str(folder), "--total_timesteps",
           "64", "--n_envs", "1", "--dev_episodes", "0", "--skip_eval", "--quiet"])  # fmt: skip
    options = ["--seed", "9", "--emulator_params", "roof", "--radio_fault", "unequipped:car=1"]
    evaluate(["--model", str(folder), "--episodes", "2", "--skip_baselines", "--quiet",
              "--output_dir", str(tmp_path / "e"), *options])  # fmt: skip
    replay(["--model", str(folder), "--episode", "1", *options,
            "--recording", str(tmp_path / "r.json")])  # fmt: skip

    rows = (tmp_path / "e" / "episodes.jsonl").read_text().splitlines()
    recording = read_recording(tmp_path / "r.json")
    assert recording["record"] == json.loads(rows[1])
    assert (recording["policy"], recording["radio_preset"]) == ("run", "roof")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--video", "a.gif"], "either a RECORDING or --model must be given. Got none."),
        (["r.json", "--model", "eebl", "--video", "a.gif"], "must be given. Got both."),
        (["--model", "eebl"], "--video or --recording must be given"),
        (["r.json", "--recording", "a.json"], "--recording must come with --model"),
        (["--model", "eebl", "--video", "a.mp4"], "--video must be a file whose name ends in .gif"),
        (["--model", "eebl", "--recording", "a"], "--recording must be a file whose name ends in"),
        (["--model", "eebl", "--video", "no/a.gif"], "--video must be in an existing folder"),
        (["--model", "eebl", "--video", "folder.gif"], "--video must be a file. Got the folder"),
        (["--model", "eebl", "--video", "there.gif"], "--video must be a new file"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_played(
    arguments, message, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.gif").mkdir()
    (tmp_path / "there.gif").write_text("x")

    with pytest.raises(SystemExit) as stopped:
        replay(arguments)

    assert stopped.value.code == 2
    said = capsys.readouterr().err.removesuffix("\n")
    assert message in said
    check_line(said)
    assert (tmp_path / "there.gif").read_text() == "x"


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path, monkeypatch, capsys):
    # Root ignores permission bits, so the question itself is answered with no.
    monkeypatch.setattr(os, "access", lambda *_, **__: False)

    with pytest.raises(SystemExit):
        replay(["--model", "eebl", "--video", str(tmp_path / "a.gif")])

    assert "--video must be in a folder that can be written" in capsys.readouterr().err


def test_overwrite_replaces_a_video_and_a_full_disk_leaves_the_old_one(
    short_episodes, base_cfg, tmp_path, monkeypatch
):
    (tmp_path / "a.gif").write_text("old")
    command = ["--model", "eebl", "--sumo_cfg", str(base_cfg), "--quiet", "--overwrite",
               "--video", str(tmp_path / "a.gif")]  # fmt: skip

    def fill(*_, **__):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Image.Image, "save", fill)
        with pytest.raises(RecordError, match="No space left"):
            replay(command)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a.gif", "old")]

    replay(command)
    assert pictures_of(tmp_path / "a.gif")[0]
