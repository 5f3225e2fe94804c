"""Every bad input: one line that says what is wrong, no traceback, no half-written file."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import shutil
import subprocess
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ml.cli import VERBS
from ml.envs.observation import observation_space
from ml.errors import RadioParameterError, RoadSenseError
from ml.espnow_emulator.parameter_sections import SECTIONS
from ml.espnow_emulator.parameters import DEFAULT_PARAMETERS_PATH, load_radio_parameters
from ml.espnow_emulator.presets import preset_path
from ml.evaluation.recording import record_episode
from ml.evaluation.recording_file import write_recording
from ml.evaluation.run import main as evaluate
from ml.policies.baselines import make_scripted_policy
from ml.policies.deep_set_policy import create_deep_set_policy_kwargs
from ml.provenance import REPOSITORY_ROOT
from ml.scripts.gen_scenarios import main as generate
from ml.tests.contract.bad_input_cases import (
    BASES,
    NEVER_VALID,
    PATHS,
    TEXTS,
    check_line,
    contents,
    damaged_bytes,
    damaged_json,
    damaged_xml,
    example_evaluation,
    example_records,
    flags_of,
    least_command,
    make_places,
    run,
    stop_where_work_begins,
    write_new,
)
from ml.tests.evaluation_folders import JUDGED
from ml.tests.poisoned_models import poisoned_zip
from ml.tests.unit.learner_cases import make_model
from ml.training.callbacks import save_model_atomically

FLAGS = [(verb, flag) for verb in VERBS for flag in flags_of(verb)]
EXAMPLES = settings(
    max_examples=40,
    derandomize=True,
    deadline=10_000,
    database=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture
def stopped(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    stop_where_work_begins(monkeypatch)
    return tmp_path


@pytest.fixture(scope="module")
def small_dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bad_input") / "dataset"
    generate(["--output_dir", str(folder), "--train_count", "2", "--eval_count", "2", "--quiet"])
    return folder


# --- Flags --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("verb", "flag"), FLAGS)
def test_every_flag_that_takes_a_value_has_a_rule(verb, flag):
    assert flags_of(verb)[flag] is not None


@pytest.mark.parametrize(("verb", "flag"), FLAGS)
def test_a_bad_value_is_one_line_that_names_the_flag(verb, flag, stopped):
    for value in sorted(NEVER_VALID[flags_of(verb)[flag]]):
        ending, text = run(verb, {**least_command(verb, stopped), flag: value})

        assert ending == "usage", (value, ending, text)
        check_line(text)
        assert flag in text

    assert list(stopped.iterdir()) == []


PATH_FLAGS = [(verb, flag) for verb, flag in FLAGS if flags_of(verb)[flag] == "path"]


@pytest.mark.parametrize(("verb", "flag"), PATH_FLAGS)
def test_a_path_to_the_wrong_thing_is_used_or_refused_on_one_line(verb, flag, stopped):
    make_places(stopped)
    before = contents(stopped)
    for value in (*PATHS, *sorted(set(TEXTS) - NEVER_VALID["path"])):
        is_output = flag in {
            "--output", "--output_dir", "--output_file", "--output_page", "--recording", "--video"
        }  # fmt: skip
        if is_output and value not in {"file", "full", "loop", "loop/x", "file/below", "/"}:
            continue

        ending, text = run(verb, {**least_command(verb, stopped), flag: value})

        is_foreign_folder = verb != "generate" and is_output and value in {"full", "/"}
        is_file = flag == "--output_page" and value == "file"
        assert ending in {"usage", "refused"} or is_foreign_folder or is_file, (value, ending)
        if ending in {"usage", "refused"}:
            check_line(text)
            assert value in text or flag in text

    assert before.items() <= contents(stopped).items()


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["generate", "--output_dir", "out", "--base_dir", "missing\x1b"], 2),
        (["evaluate", "--model", "driver", "--sumo_cfg", "missing.sumocfg"], 1),
        (["evaluate", "--model", "driver", "--protocol", "x.toml", "--output_dir", "out"], 1),
        (["evaluate", "--model", "driver", "eebl", "--output_dir", "out"], 2),
        (["evaluate", "--model", "driver", "--trust=yes"], 2),
        (["evaluate", "--model", "/dev/zero", "--trust"], 1),
        (["replay", "--model", "driver", "--video", "out.gif", "--trust=yes"], 2),
        (["replay", "--model", "/dev/zero", "--video", "out.gif", "--trust"], 1),
        (["train", "--dataset_dir", "missing"], 1),
        (["replay", "--model", "driver", "--video", "out.mp4"], 2),
        (["replay", "missing.json", "--video", "out.gif"], 1),
        (["table", "--emulator_params", "/dev/zero"], 1),
        (["radio", "/dev/zero", "--output_dir", "out"], 1),
        (["report", "missing"], 1),
        (["results", "--evaluation", "missing", "--output_page", "page.md"], 1),
        (["results", "--evaluation", "missing"], 2),
        (["calibrate", "/dev/zero", "--output", "out.json"], 1),
        (["compare", "/dev/zero", "missing"], 1),
        (["robustness", "--output_dir", "out", "--model", "missing.zip"], 1),
        (["robustness", "--output_dir", "out", "--axes", "los"], 2),
        (["robustness", "--output_dir", "out", "--baselines", "eebl", "--episodes", "0"], 2),
        (["compare", "--group", "x=missing", "--group", "y="], 2),
    ],
)
def test_the_command_itself_says_one_line_and_exits_1_or_2(arguments, status, tmp_path):
    result = subprocess.run(
        [sys.executable, "-m", "ml.cli", *arguments],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(REPOSITORY_ROOT)},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip

    lines = [line for line in result.stderr.splitlines() if "error:" in line]
    assert result.returncode == status, result.stderr
    assert len(lines) == 1
    assert "Traceback" not in result.stderr
    assert result.stdout == ""
    assert list(tmp_path.iterdir()) == []


# --- Files --------------------------------------------------------------------------------------


def expect_a_line_or_success(verb, flags):
    ending, text = run(verb, flags)
    assert ending in {"done", "begun", "refused"}
    if ending == "refused":
        check_line(text)


def damaged(path, kind):
    content = path.read_bytes()
    return st.one_of(damaged_bytes(content), kind(content))


@EXAMPLES
@given(content=damaged(DEFAULT_PARAMETERS_PATH, damaged_json))
def test_a_damaged_parameter_file_is_one_line(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "damaged_params.json"
    write_new(path, content)

    try:
        load_radio_parameters(path)
    except RadioParameterError as error:
        check_line(str(error))
        assert str(path) in str(error)


def test_a_damaged_parameter_file_is_drawn_or_refused_on_one_line(stopped):
    numbers = itertools.count()

    @EXAMPLES
    @given(content=damaged(preset_path("roof"), damaged_json))
    def check(content):
        write_new(stopped / "damaged.json", content)
        flags = {**least_command("radio", stopped), "PARAMS": stopped / "damaged.json"}
        expect_a_line_or_success("radio", {**flags, "--output_dir": stopped / f"o{next(numbers)}"})

    check()


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("base.json", damaged_json),
        ("scenario.sumocfg", damaged_xml),
        ("network.net.xml", damaged_xml),
        ("vehicles.rou.xml", damaged_xml),
    ],
)
@pytest.mark.parametrize("verb", ["generate", "train"])
def test_a_damaged_base_is_one_line(name, kind, verb, stopped):
    base = stopped / "base"
    shutil.copytree(BASES / "base_curve", base)
    numbers = itertools.count()

    @EXAMPLES
    @given(content=damaged(BASES / "base_curve" / name, kind))
    def check(content):
        write_new(base / name, content)
        scenario = {"--base_dir": base} if verb == "generate" else {
            "--sumo_cfg": base / "scenario.sumocfg"
        }  # fmt: skip
        flags = {**least_command(verb, stopped), **scenario}
        expect_a_line_or_success(verb, {**flags, "--output_dir": stopped / f"o{next(numbers)}"})

    check()

    assert not [path for path in stopped.iterdir() if path.name.startswith(".")]


def test_a_damaged_recording_is_one_line(make_env, base_cfg, tmp_path):
    env = make_env(sumo_cfg=base_cfg, scenario_seed=1, max_steps=3)
    write_recording(tmp_path / "good.json", record_episode(make_scripted_policy("eebl"), env))
    numbers = itertools.count()

    @EXAMPLES
    @given(content=damaged(tmp_path / "good.json", damaged_json))
    def check(content):
        write_new(tmp_path / "damaged.json", content)
        video = tmp_path / f"{next(numbers)}.gif"
        expect_a_line_or_success(
            "replay", {"RECORDING": tmp_path / "damaged.json", "--video": video}
        )

    check()

    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("verb", ["evaluate", "train"])
def test_a_damaged_dataset_manifest_is_one_line(verb, small_dataset, stopped):
    folder = stopped / "dataset"
    shutil.copytree(small_dataset, folder)
    numbers = itertools.count()

    @EXAMPLES
    @given(content=damaged(small_dataset / "manifest.json", damaged_json))
    def check(content):
        write_new(folder / "manifest.json", content)
        flags = {**least_command(verb, stopped), "--dataset_dir": folder}
        expect_a_line_or_success(verb, {**flags, "--output_dir": stopped / f"o{next(numbers)}"})

    check()


def test_damaged_records_are_compared_or_refused_on_one_line(stopped):
    first, second = example_records()
    content = second.read_bytes().splitlines(keepends=True)
    path = stopped / "damaged.jsonl"

    @EXAMPLES
    @given(
        line=st.one_of(damaged_bytes(content[0]), damaged_json(content[0])),
        groups=st.booleans(),
    )
    def check(line, groups):
        write_new(path, line + b"".join(content[1:]))
        flags = {"DIR_A": first, "DIR_B": path}
        if groups:
            flags = {"A": "--group", "B": f"x={first}", "C": "--group", "D": f"y={path}"}
        expect_a_line_or_success("compare", flags)

    check()


def test_a_damaged_run_manifest_or_model_is_one_line(stopped):
    folder = stopped / "run"
    folder.mkdir()
    scenario = str(BASES / "base" / "scenario.sumocfg")
    config = {"dataset_dir": None, "sumo_cfg": scenario, "emulator_params": None}
    content = json.dumps({"run_id": "r", "config": config}).encode()

    @EXAMPLES
    @given(
        manifest=st.one_of(damaged_bytes(content), damaged_json(content)),
        model=st.sampled_from((b"", b"x", b"PK\x03\x04", b"PK\x05\x06" + b"\0" * 18)),
    )
    def check(manifest, model):
        write_new(folder / "manifest.json", manifest)
        write_new(folder / "model_final.zip", model)
        flags = {"--model": folder, "--episodes": "1", "A": "--trust"}
        ending, text = run("evaluate", flags)
        assert ending == "refused"
        check_line(text)

    check()


def test_a_damaged_description_of_a_model_is_one_line(stopped):
    path = stopped / "model_final.zip"
    kwargs = create_deep_set_policy_kwargs()
    save_model_atomically(make_model(space=observation_space(), policy_kwargs=kwargs), path)
    content = path.with_suffix(".json").read_bytes()

    @EXAMPLES
    @given(description=st.one_of(damaged_bytes(content), damaged_json(content)))
    def check(description):
        write_new(path.with_suffix(".json"), description)
        ending, text = run("evaluate", {"--model": path.with_suffix(".safetensors")})
        assert ending in {"refused", "begun"}
        if ending == "refused":
            check_line(text)

    check()


@pytest.mark.parametrize(
    ("verb", "flags"),
    [
        ("evaluate", {"--episodes": "1"}),
        ("evaluate", {"--protocol": "smoke", "--output_dir": "out"}),
        ("replay", {"--video": "out.gif"}),
    ],
)
def test_no_command_runs_the_code_of_a_models_zip_unless_it_is_trusted(
    verb, flags, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    poisoned_zip("model.zip", "created")

    ending, text = run(verb, {"--model": "model.zip", **flags})

    assert ending == "refused"
    assert "--trust" in text
    assert not (tmp_path / "created").exists()
    assert run(verb, {"--model": "model.zip", **flags, "A": "--trust"})[0] == "refused"
    assert (tmp_path / "created").exists()


@pytest.mark.parametrize(
    "name",
    ["evaluation.json", f"records/{JUDGED}.jsonl", "recordings/*.json"],
)
def test_a_damaged_evaluation_is_reported_or_refused_on_one_line(name, stopped):
    folder = stopped / "evaluation"
    shutil.copytree(example_evaluation(), folder)
    (path,) = folder.glob(name)
    content = path.read_bytes().splitlines(keepends=True)
    page = stopped / "page.html"

    @EXAMPLES
    @given(first=st.one_of(damaged_bytes(content[0]), damaged_json(content[0])))
    def check(first):
        write_new(path, first + b"\n" + b"".join(content[1:]))
        expect_a_line_or_success("report", {"DIR": folder, "--output_file": page})

    check()

    assert {path.name for path in stopped.iterdir()} <= {"evaluation", "page.html"}


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text.replace(' version="1.20"', "", 1),
        lambda text: '<net version="1.20"><include href="network.net.xml"/></net>',
        lambda text: f'<net version="1.20">{"<edge>" * 100_000}',
    ],
)
def test_a_network_that_would_kill_sumo_is_one_line(damage, tmp_path):
    base = tmp_path / "base"
    shutil.copytree(BASES / "base", base)
    network = base / "network.net.xml"
    network.write_text(damage(network.read_text()))

    result = subprocess.run(
        [sys.executable, "-m", "ml.cli", "evaluate", "--model", "driver", "--episodes", "1",
         "--quiet", "--sumo_cfg", str(base / "scenario.sumocfg")],
        cwd=REPOSITORY_ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip

    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.count("\n") == 1
    assert "network.net.xml must" in result.stderr


def test_a_crossing_without_one_of_its_connections_does_not_kill_the_process(stopped):
    base = stopped / "base"
    shutil.copytree(BASES / "base_urban", base)
    network = base / "network.net.xml"
    lines = network.read_text().splitlines()
    inside = next(line for line in lines if '<connection from=":joint_11_5"' in line)
    network.write_text("\n".join(line for line in lines if line is not inside))

    ending, text = run(
        "evaluate",
        {"--model": "driver", "--episodes": "1", "--sumo_cfg": base / "scenario.sumocfg"},
    )

    assert ending == "refused"
    assert "network.net.xml must be a network that SUMO can load" in text


# --- Absurd numbers -----------------------------------------------------------------------------

KEYS = [
    (section, entry)
    for section, kind in SECTIONS.items()
    for entry in dataclasses.fields(kind)
    if not isinstance(entry.default, bool)
]
ABSURD = (1e9, 10**400, "3", None, True, float("nan"), float("inf"), {})


def rule_of(entry):
    """Return the allowed values as an error names them, and a number just below them."""
    if "choices" in entry.metadata:
        choices = entry.metadata["choices"]
        return ", ".join(f"{value:g}" for value in choices), min(choices) - 1.0
    low, high = entry.metadata["low"], entry.metadata["high"]
    return f"[{low:g}, {high:g}]", low - 1.0


@pytest.mark.parametrize(
    ("section", "entry"), KEYS, ids=[f"{section}.{entry.name}" for section, entry in KEYS]
)
def test_an_absurd_number_names_file_key_range_and_value(section, entry, tmp_path):
    path = tmp_path / "params.json"
    mode = "physical" if section.startswith("physical") else "simple"
    rule, too_low = rule_of(entry)
    for value in (too_low, *ABSURD):
        written = [value, value] if isinstance(entry.default, tuple) else value
        path.write_text(json.dumps({"mode": mode, section: {entry.name: written}}))

        with pytest.raises(RadioParameterError) as caught:
            load_radio_parameters(path)

        text = str(caught.value)
        check_line(text)
        assert f"{entry.name} in {path} [{section}] must be" in text
        assert rule in text
        assert "Got " in text
        if not isinstance(value, int) or abs(value) < 10**9:
            assert repr(value) in text


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("sensor_noise", "gps_std_m", 33_000.0),
        ("packet_loss", "base_rate", -0.1),
        ("packet_loss", "base_rate", 1.7),
        ("observation", "staleness_threshold_ms", 0),
        ("observation", "staleness_threshold_ms", -5.0),
        ("latency", "base_ms", 1e9),
        ("relay", "max_relay_hops", 99),
    ],
)
def test_the_examples_of_absurd_numbers_are_refused_by_the_command(section, key, value, stopped):
    path = stopped / "params.json"
    path.write_text(json.dumps({section: {key: value}}))

    ending, text = run(
        "evaluate", {**least_command("evaluate", stopped), "--emulator_params": path}
    )

    assert ending == "refused"
    assert key in text
    assert str(path) in text
    assert repr(value) in text


def test_a_burst_that_no_process_can_have_is_refused_with_the_least_one(tmp_path):
    # A loss of 0.75 needs bursts of at least 0.75 / 0.25 = 3 frames.
    path = tmp_path / "params.json"
    content = {"packet_loss": {"rate_tier_3": 0.75}, "burst_loss": {"mean_burst_length": 2.0}}
    path.write_text(json.dumps(content))

    with pytest.raises(RadioParameterError, match=r"at least .* = 3 for the loss 0\.75.*Got 2\."):
        load_radio_parameters(path)


def test_a_model_of_another_environment_is_one_line(tmp_path):
    import gymnasium as gym
    from stable_baselines3 import PPO

    PPO("MlpPolicy", gym.make("Pendulum-v1"), n_steps=8, batch_size=8).save(tmp_path / "other.zip")

    with pytest.raises(RoadSenseError, match="must be the environment's"):
        evaluate(["--model", str(tmp_path / "other.zip"), "--trust", "--quiet"])
