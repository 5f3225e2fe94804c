"""The import rule: folders are stages, and imports run one way along the data flow."""

import ast
import graphlib
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2]

LEAF_MODULES = {
    "ml.errors",
    "ml.units",
    "ml.seeding",
    "ml.provenance",
    "ml.command_line",
    "ml.folder_lock",
    "ml.html_page",
    "ml.kernels",
    "ml.processors",
    "ml.progress",
    "ml.records",
    "ml.xml_files",
    "ml.bounded_files",
    "ml.json_files",
    "ml.json_schema",
    "ml.file_sums",
}
BORDERS = {"ml", "ml.types"}
STAGES = {"ml.metrics", "ml.espnow_emulator", "ml.policies", "ml.scenarios", "ml.envs"}

# What a module may import of the project besides leaf modules, ml.types and its own folder.
# The longest prefix of the module's name decides.
PROJECT_IMPORTS = {
    "ml": set(),
    **{module: frozenset() for module in LEAF_MODULES},
    "ml.types": set(),
    "ml.cli": set(),
    **{folder: frozenset() for folder in STAGES},
    "ml.envs.reward_kernels": {"ml.metrics"},
    "ml.envs.episode_recorder": {"ml.metrics"},
    "ml.envs.convoy_env": {"ml.metrics", "ml.espnow_emulator"},
    "ml.policies.baselines": {"ml.metrics.safety_kernels"},
    "ml.envs.convoy_view": {"ml.espnow_emulator"},
    "ml.evaluation.arguments": {
        "ml.espnow_emulator.fault_requests",
        "ml.espnow_emulator.faults",
    },
    "ml.evaluation.protocol": {"ml.espnow_emulator.parameters"},
    "ml.evaluation.case_scenarios": {"ml.scenarios"},
    "ml.evaluation.protocol_command": {"ml.reporting.report"},
    "ml.evaluation.other_radios": {"ml.envs", "ml.espnow_emulator"},
    "ml.evaluation.radio_meter": {"ml.envs"},
    "ml.evaluation.robustness": {"ml.reporting.robustness_page"},
    "ml.evaluation.robustness_arguments": set(),
    "ml.evaluation.robustness_levels": {"ml.espnow_emulator.closed_forms"},
    "ml.evaluation.robustness_plan": set(),
    "ml.evaluation.robustness_points": set(),
    "ml.evaluation.protocol_scenarios": {"ml.envs", "ml.scenarios"},
    "ml.scripts": {"ml.envs", "ml.scenarios", "ml.espnow_emulator.parameters"},
    "ml.scripts.doctor": {"ml.training.trial"},
    "ml.scripts.model_card_results": {"ml.evaluation.verdict"},
    "ml.scripts.package_policy": {
        "ml.envs.scenario_manager",
        "ml.evaluation.evaluation_folder",
        "ml.policies",
        "ml.training.arguments",
        "ml.training.run_arguments",
        "ml.verification.records",
    },
    "ml.scripts.write_docs": {"ml.envs", "ml.espnow_emulator.faults"},
    "ml.evaluation": {"ml.envs", "ml.policies", "ml.metrics"},
    "ml.reporting": {
        "ml.evaluation.age_curve",
        "ml.evaluation.evaluation_folder",
        "ml.evaluation.gates",
        "ml.evaluation.kinematic_reference",
        "ml.evaluation.protocol",
        "ml.evaluation.record_files",
        "ml.evaluation.recording_file",
        "ml.evaluation.seed_statistics",
        "ml.evaluation.statistics",
        "ml.evaluation.verdict",
        "ml.evaluation.worst_rows",
    },
    "ml.training": {"ml.evaluation", "ml.policies", "ml.envs", "ml.espnow_emulator.parameters"},
    "ml.verification": {"ml.envs", "ml.evaluation", "ml.policies", "ml.training"},
    "ml.training.run_folder": {
        "ml.evaluation",
        "ml.policies",
        "ml.envs",
        "ml.espnow_emulator.parameters",
        "ml.scenarios.base_settings",
    },
}

# Third-party packages that a module may import; the longest prefix decides here too.
PACKAGES = {
    "ml": set(),
    "ml.seeding": {"numpy"},
    "ml.progress": {"rich"},
    "ml.json_schema": {"jsonschema"},
    "ml.records": {"numpy"},
    "ml.kernels": {"numba", "numpy"},
    "ml.types": {"numpy"},
    "ml.metrics": {"numpy"},
    "ml.espnow_emulator": {"numpy"},
    "ml.espnow_emulator.closed_forms": {"numpy", "scipy"},
    "ml.espnow_emulator.distance_fit": {"numpy", "scipy"},
    "ml.espnow_emulator.distance_holdout": {"numpy", "scipy"},
    "ml.espnow_emulator.link_fit": {"numpy", "scipy"},
    "ml.espnow_emulator.report_figures": {"numpy", "matplotlib"},
    "ml.espnow_emulator.sampling_intervals": {"numpy", "scipy"},
    "ml.envs": {"numpy", "gymnasium"},
    "ml.scenarios": {"numpy", "sumo"},
    "ml.envs.top_view": {"numpy", "PIL"},
    "ml.scripts": {"numpy", "rich"},
    "ml.policies": {"numpy", "gymnasium", "torch", "stable_baselines3"},
    "ml.policies.model_file": {
        "numpy",
        "gymnasium",
        "torch",
        "stable_baselines3",
        "safetensors",
    },
    "ml.evaluation": {"numpy", "gymnasium", "scipy"},
    "ml.evaluation.replay": {"gymnasium", "torch", "stable_baselines3"},
    "ml.evaluation.video": {"numpy", "PIL"},
    "ml.evaluation.run": {"gymnasium", "torch", "stable_baselines3"},
    "ml.reporting": {"numpy"},
    "ml.evaluation.player_files": {"torch", "stable_baselines3"},
    "ml.training": {"numpy", "gymnasium", "rich", "torch", "stable_baselines3"},
    "ml.training.failure_state": {"safetensors", "stable_baselines3"},
    "ml.training.run_state": {"numpy", "safetensors"},
    "ml.verification": {"gymnasium", "torch"},
    "ml.training.fast_update": {"numpy", "scipy", "threadpoolctl", "torch", "stable_baselines3"},
}


def name_of(path):
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES = {
    name_of(path): path
    for path in sorted(PACKAGE.rglob("*.py"))
    if path.relative_to(PACKAGE).parts[0] not in {"tests", "models"}
}


def is_within(name, prefix):
    return name == prefix or name.startswith(f"{prefix}.")


def rule_for(module, rules):
    return rules[max((prefix for prefix in rules if is_within(module, prefix)), key=len)]


def folder_of(module):
    return ".".join(module.split(".")[:2])


def imported_names(source):
    """Return every module that a source imports, wherever in it the import stands."""
    names = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            origin = "." * node.level + (node.module or "")
            submodules = [f"{origin}.{alias.name}" for alias in node.names]
            names += [name if name in SOURCES else origin for name in submodules]
    return list(dict.fromkeys(names))


def is_allowed(module, imported):
    if not is_within(imported, "ml"):
        package = imported.split(".")[0]
        return package in sys.stdlib_module_names or package in rule_for(module, PACKAGES)
    if imported in LEAF_MODULES:
        return True
    if imported in BORDERS:
        return module not in LEAF_MODULES
    is_own_folder = module != "ml" and is_within(imported, folder_of(module))
    allowed = rule_for(module, PROJECT_IMPORTS)
    return is_own_folder or any(is_within(imported, prefix) for prefix in allowed)


def violations(module, source):
    return [name for name in imported_names(source) if not is_allowed(module, name)]


@pytest.mark.parametrize("module", SOURCES)
def test_module_imports_only_what_its_stage_may(module):
    assert violations(module, SOURCES[module].read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("module", SOURCES)
def test_module_has_a_rule_of_its_own_folder(module):
    assert module == "ml" or any(is_within(module, rule) for rule in set(PROJECT_IMPORTS) - {"ml"})


def test_no_module_imports_itself_through_others():
    graph = {
        module: [
            name
            for name in imported_names(path.read_text(encoding="utf-8"))
            if name in SOURCES and name != module
        ]
        for module, path in SOURCES.items()
    }
    order = list(graphlib.TopologicalSorter(graph).static_order())  # raises CycleError on a cycle
    assert set(order) == set(SOURCES)


@pytest.mark.parametrize(
    ("module", "source", "expected"),
    [
        ("ml.metrics.broken", "import torch", ["torch"]),
        ("ml.metrics.broken", "from ml.envs.convoy_env import ConvoyEnv", ["ml.envs.convoy_env"]),
        ("ml.espnow_emulator.broken", "import ml.envs", ["ml.envs"]),
        ("ml.envs.broken", "from ml.metrics import episode", ["ml.metrics.episode"]),
        ("ml.envs.broken", "def f():\n    import torch.nn", ["torch.nn"]),
        ("ml.policies.broken", "from ml import envs", ["ml.envs"]),
        ("ml.errors", "import numpy", ["numpy"]),
        ("ml.errors", "from ml.types import MAX_PEERS", ["ml.types"]),
        ("ml.types", "from ml.metrics.episode import alarm_events", ["ml.metrics.episode"]),
        ("ml.evaluation.broken", "from ml.training import callbacks", ["ml.training.callbacks"]),
        ("ml.scripts.broken", "from ml.policies import baselines", ["ml.policies.baselines"]),
        ("ml.cli", "import ml.training.train_convoy", ["ml.training.train_convoy"]),
        ("ml.envs.broken", "from . import hazards", ["."]),
    ],
)  # fmt: skip
def test_rule_names_an_import_that_breaks_it(module, source, expected):
    assert violations(module, source) == expected


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("ml.metrics.fine", "import math\nimport numpy as np\nfrom ml.errors import ConfigError"),
        ("ml.metrics.fine", "from ml.metrics.episode import alarm_events"),
        ("ml.envs.reward_kernels", "from ml.metrics.safety_kernels import bumper_gap_m"),
        ("ml.training.fine", "from ml.evaluation import verdict\nimport torch"),
    ],
)
def test_rule_accepts_imports_down_the_flow(module, source):
    assert violations(module, source) == []


@pytest.mark.parametrize(
    "module", ["ml.envs.convoy_env", "ml.espnow_emulator", "ml.metrics.episode", "ml.cli"]
)
def test_module_runs_without_torch_being_loaded(module):
    heavy = {"torch", "stable_baselines3", "safetensors"}
    code = f"import sys, {module}; print(sorted({heavy} & set(sys.modules)))"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=PACKAGE.parent
    )
    assert result.stdout.strip() == "[]"
