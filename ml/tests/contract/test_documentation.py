"""What the pages say has to be so: links, commands, flags, files, keys, examples."""

import contextlib
import importlib.util
import io
import json
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from xml.etree import ElementTree

import gymnasium as gym
import numpy as np
import pytest

import ml
from ml.cli import VERBS
from ml.envs import ENVIRONMENT_ID, conditions
from ml.envs import convoy_env as environment
from ml.envs.hazards import HAZARD_KINDS
from ml.envs.observation import EGO_FEATURES, PEER_FEATURES, observation_space
from ml.envs.reward import REWARD_TERMS
from ml.espnow_emulator import fault_from_text
from ml.policies import deep_set_policy, model_file
from ml.provenance import REPOSITORY_ROOT, sha256_of_file
from ml.scripts.write_docs import environment_page, with_fault_table
from ml.tests.unit.learner_cases import make_model
from ml.training import arguments, run_folder
from ml.training.callbacks import save_model_atomically

PAGES = sorted(
    path.relative_to(REPOSITORY_ROOT).as_posix()
    for path in (*REPOSITORY_ROOT.glob("*.md"), *REPOSITORY_ROOT.glob("docs/**/*.md"))
)
DECISIONS = [page for page in PAGES if page.startswith("docs/decisions/")]
MODULE_OF_VERB = {name: verb.module for name, verb in VERBS.items()}
COMMAND = re.compile(r"(?:python -m (ml[\w.]+)|roadsense ([a-z]+))([^\n`]*)")
FLAG = re.compile(r"--[a-z][a-z_]*")


def text_of(page):
    return (REPOSITORY_ROOT / page).read_text(encoding="utf-8")


def prose_of(page):
    """Return a page without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", text_of(page), flags=re.DOTALL | re.MULTILINE)


def blocks_of(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", text_of(page), re.DOTALL | re.MULTILINE)


def anchor_of(heading):
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def commands_of(page):
    """Return (module, rest of the command line) for every command that a page shows."""
    joined = text_of(page).replace("\\\n", " ")
    return [
        (module or MODULE_OF_VERB[verb], rest) for module, verb, rest in COMMAND.findall(joined)
    ]


@cache
def flags_of(module):
    """Return every flag of a command, as its own help lists them."""
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown), pytest.raises(SystemExit):
        importlib.import_module(module).main(["--help"])
    return frozenset(FLAG.findall(shown.getvalue()))


# --- README --------------------------------------------------------------------------------------


def test_readme_has_at_most_150_lines():
    assert len(text_of("README.md").splitlines()) <= 150


def test_readme_names_the_two_commands():
    (install, *_) = blocks_of("README.md", "bash")
    assert {"make demo", "make check"} <= set(install.splitlines())


def test_readme_names_every_file_of_a_run():
    names = [
        value for name, value in vars(run_folder).items() if name.endswith(("_FILE", "_FOLDER"))
    ]
    missing = [
        name for name in (*names, run_folder.RUN_MANIFEST) if name not in text_of("README.md")
    ]
    assert missing == []


def test_readme_has_one_place_for_results():
    text = text_of("README.md")
    assert text.count("<!-- results -->") == text.count("<!-- /results -->") == 1
    assert text.index("<!-- results -->") < text.index("<!-- /results -->")


# --- Links, words, flags -------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES)
def test_every_relative_link_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", prose_of(page)):
        if target.startswith(("http://", "https://")):
            continue
        name, _, anchor = target.partition("#")
        path = (REPOSITORY_ROOT / page).parent / name if name else REPOSITORY_ROOT / page
        assert path.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in [anchor_of(heading) for heading in headings], target


@pytest.mark.parametrize("page", PAGES)
def test_every_word_of_make_is_a_target(page):
    targets = re.findall(r"^([a-z]+):", text_of("Makefile"), re.MULTILINE)
    named = re.findall(r"(?:^|`)make ([a-z]+)", text_of(page), re.MULTILINE)
    assert set(named) <= set(targets)


@pytest.mark.parametrize("page", PAGES)
def test_every_command_shown_has_the_flags_it_is_shown_with(page):
    for module, rest in commands_of(page):
        flags = set(FLAG.findall(rest))
        assert importlib.util.find_spec(module) is not None
        assert flags <= (flags_of(module) if flags else flags), module


@pytest.mark.parametrize("page", [page for page in PAGES if page not in DECISIONS])
def test_every_flag_named_belongs_to_a_command_of_the_page(page):
    named = set(re.findall(r"`(--[a-z][a-z_]*)", prose_of(page)))
    modules = [module for module, _ in commands_of(page)]
    if page == "CHANGELOG.md":  # it tells of every command
        modules = list(MODULE_OF_VERB.values())
    known = [flags_of(module) for module in modules] if named else []
    assert named - frozenset().union(*known) == set()


@pytest.mark.parametrize(
    ("module", "page"),
    [
        ("ml.training.train_convoy", "docs/training.md"),
        ("ml.scripts.gen_scenarios", "docs/scenarios.md"),
        ("ml.espnow_emulator.report", "docs/radio_report.md"),
        ("ml.evaluation.compare", "docs/compare.md"),
        ("ml.evaluation.replay", "docs/replay.md"),
        ("ml.evaluation.robustness", "docs/robustness.md"),
        ("ml.reporting.report", "docs/report.md"),
        ("ml.reporting.results_page", "docs/report.md"),
    ],
)
def test_every_flag_of_a_command_is_on_its_page(module, page):
    named = re.findall(r"`(--[a-z][a-z_]*)`", prose_of(page))
    assert flags_of(module) - {"--help"} - set(named) == set()


def test_documentation_target_of_make_has_flags_that_exist():
    recipe = text_of("Makefile").replace("$(BIN)/", "")
    for module, _, rest in COMMAND.findall(recipe):
        flags = set(FLAG.findall(rest))
        assert flags <= (flags_of(module) if flags else flags), module


# --- Environment ---------------------------------------------------------------------------------


def test_environment_page_is_what_the_code_makes_now():
    assert text_of("docs/environment.md") == environment_page(), "run make docs"


def test_environment_docstring_names_every_feature_and_reward_term():
    names = [entry.name for entry in (*EGO_FEATURES, *PEER_FEATURES, *REWARD_TERMS)]
    assert [name for name in names if f"| {name} |" not in environment.ConvoyEnv.__doc__] == []


def test_environment_docstring_has_no_place_left_to_fill():
    assert "{" not in environment.ConvoyEnv.__doc__


def test_environment_docstring_names_every_kind_of_hazard():
    assert [kind for kind in HAZARD_KINDS if kind not in environment.ConvoyEnv.__doc__] == []


def test_every_reset_option_is_on_the_page_and_in_the_docstring():
    _, _, section = text_of("docs/environment.md").partition("## `reset(options=...)`")
    assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == list(conditions.RESET_OPTIONS)
    doc = environment.ConvoyEnv.__doc__
    assert [name for name in conditions.RESET_OPTIONS if f"``{name}``" not in doc] == []


def test_table_of_radio_faults_is_what_the_code_makes_now():
    page = text_of("docs/radio_faults.md")
    assert page == with_fault_table(page), "run make docs"


def test_every_fault_shown_is_one_that_the_code_accepts():
    page = text_of("docs/radio_faults.md")
    shown = re.findall(r"--radio_fault ([a-z][^ \n`]*)", page)
    shown += re.findall(r"^\| `([a-z_]+:[^`]+)` \|", page, re.MULTILINE)
    assert len(shown) > 10
    for text in shown:
        fault_from_text(text)


# --- Training's files ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def training_page():
    return text_of("docs/training.md")


def test_every_key_of_an_episode_is_documented(training_page, base_cfg):
    env = gym.make(
        ENVIRONMENT_ID, sumo_cfg=base_cfg, scenario_seed=1, scenario_mode="eval", max_steps=3
    )
    try:
        env.reset()
        is_over = False
        while not is_over:
            *_, terminated, truncated, info = env.step(np.array([-1.0], dtype=np.float32))
            is_over = terminated or truncated
    finally:
        env.close()
    assert [key for key in info["episode_record"] if f"`{key}`" not in training_page] == []


def test_every_key_of_the_metrics_schema_is_documented(training_page):
    schema = json.loads(
        Path(run_folder.__file__).with_name("metrics.schema.json").read_text(encoding="utf-8")
    )
    keys = set(schema["properties"])
    for name in ("config", "training", "verdict", "provenance"):
        keys |= set(schema["properties"][name]["properties"])
    keys |= set(schema["properties"]["evaluation"]["oneOf"][1]["properties"])
    keys |= set(schema["$defs"]["comparison"]["properties"])
    keys |= set(schema["$defs"]["collisions"]["properties"])
    keys |= set(schema["$defs"]["rate"]["properties"])
    assert [key for key in sorted(keys) if f"`{key}`" not in training_page] == []


def test_every_key_of_the_manifest_is_documented(training_page):
    args = arguments.parse_args(["--run_id", "r1"])
    manifest = run_folder.build_manifest(args, run_folder.RunInputs({}, None), {})
    assert [key for key in manifest if f"`{key}`" not in training_page] == []


def test_every_reference_is_documented(training_page):
    assert [name for name in arguments.BASELINES if f"| `{name}` |" not in training_page] == []


# --- Examples ------------------------------------------------------------------------------------


@pytest.mark.parametrize("index", range(len(blocks_of("docs/quickstart.md", "python"))))
def test_example_of_the_quickstart_runs_without_a_warning(index):
    code = blocks_of("docs/quickstart.md", "python")[index]
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        check=False,
        cwd=REPOSITORY_ROOT,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout


def test_example_of_the_models_page_runs_without_a_warning(tmp_path):
    (code,) = blocks_of("docs/models.md", "python")
    folder = tmp_path / "ml" / "models" / "runs" / "demo"
    folder.mkdir(parents=True)
    (tmp_path / "ml" / "scenarios").symlink_to(REPOSITORY_ROOT / "ml" / "scenarios")
    model = make_model(
        space=observation_space(), policy_kwargs=deep_set_policy.create_deep_set_policy_kwargs()
    )
    save_model_atomically(model, folder / "model_final.zip")
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY_ROOT)},
    )
    assert result.returncode == 0, result.stderr
    assert sha256_of_file(folder / "model_final.safetensors") in result.stdout


def test_every_key_of_a_models_description_is_documented():
    schema = json.loads(
        Path(model_file.__file__).with_name("model_file.schema.json").read_text(encoding="utf-8")
    )
    keys = {*schema["properties"], *schema["properties"]["network"]["properties"]}
    page = text_of("docs/models.md")
    assert [key for key in sorted(keys) if f"`{key}`" not in page] == []


@pytest.mark.parametrize("page", PAGES)
def test_every_python_block_is_python(page):
    for code in blocks_of(page, "python"):
        compile(code, page, "exec")


def test_picture_is_well_formed_and_has_words_for_those_who_cannot_see_it():
    root = ElementTree.fromstring(text_of("docs/images/convoy.svg"))  # noqa: S314 - our own file
    namespace = "{http://www.w3.org/2000/svg}"
    assert root.find(f"{namespace}title").text
    assert root.find(f"{namespace}desc").text


# --- Records of change ---------------------------------------------------------------------------


def test_changelog_has_the_present_version_with_its_date():
    newest = re.findall(
        r"^## \[(\d+\.\d+\.\d+)\] - (\d{4}-\d\d-\d\d)$", text_of("CHANGELOG.md"), re.M
    )
    assert newest[0][0] == ml.__version__


def test_decisions_are_numbered_without_a_gap():
    numbers = [int(Path(page).name[:4]) for page in DECISIONS]
    assert numbers == list(range(1, len(DECISIONS) + 1))


@pytest.mark.parametrize("page", DECISIONS)
def test_decision_has_its_four_parts_on_one_page(page):
    text = text_of(page)
    headings = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert headings == ["Context", "Options", "Decision", "What would change our mind"]
    assert text.startswith(f"# {int(Path(page).name[:4])}. ")
    assert len(text.splitlines()) <= 50
