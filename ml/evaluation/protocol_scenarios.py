"""Writes the scenarios of a protocol as a dataset that the environment opens.

The folder's name is the hash of what it holds. It grows under another name and is renamed as a
whole, so that processes may make the same one side by side.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from ml.envs.scenario_manager import EVAL, MANIFEST_FILE, TRAIN, scenario_content_hash
from ml.errors import RecordError
from ml.evaluation.case_scenarios import CaseRoad, route_text
from ml.evaluation.families import scenario_plans_of
from ml.evaluation.protocol import Protocol
from ml.provenance import sha256_of_file, sha256_of_text, write_json_atomically
from ml.scenarios.scenario_files import ROUTE_FILE, SCENARIO_CONFIGURATION, configuration_text

_NAME_DIGITS = 16


def default_scenario_cache() -> Path:
    """Return the folder of all protocols' scenarios: in XDG_CACHE_HOME, else in ~/.cache."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "roadsense" / "protocols"


def write_protocol_scenarios(protocol: Protocol, folder: str | Path | None = None) -> Path:
    """Make the dataset of a protocol's scenarios, unless it is there already.

    Args:
        protocol: The protocol.
        folder: Where the dataset's folder goes; None takes ``default_scenario_cache()``.

    Returns:
        The dataset's folder, for ``ConvoyEnv(dataset_dir=..., scenario_mode="eval")``.

    Raises:
        ScenarioError: A scenario does not fit its road.
        RecordError: The folder cannot be written.
    """
    plans = scenario_plans_of(protocol)
    roads = {name: CaseRoad(name) for name in sorted({plan.base for plan, _ in plans.values()})}
    routes = {
        name: (plan.base, route_text(plan, protocol.seed, roads[plan.base], longest_s))
        for name, (plan, longest_s) in plans.items()
    }
    content = [f"{base} {sha256_of_file(road.network)}" for base, road in roads.items()]
    content += [f"{name} {base} {sha256_of_text(text)}" for name, (base, text) in routes.items()]
    cache = default_scenario_cache() if folder is None else Path(folder)
    target = cache / sha256_of_text("\n".join(content))[:_NAME_DIGITS]
    if (target / MANIFEST_FILE).is_file():
        return target
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(
            dir=cache, prefix=f".{target.name}.", suffix=".partial"
        ) as workplace:
            staging = Path(workplace) / "dataset"
            _write_dataset(staging, protocol, roads, routes)
            _put_in_place(staging, target)
    except OSError as error:
        raise RecordError(
            f"the folder of scenarios {cache} must be one that can be written. Got: {error}. "
            "Set XDG_CACHE_HOME to another folder."
        ) from error
    return target


def _put_in_place(staging: Path, target: Path) -> None:
    """Rename a finished dataset to its place, unless another process was faster."""
    try:
        staging.rename(target)
    except OSError:
        if not (target / MANIFEST_FILE).is_file():
            raise


def _write_dataset(
    folder: Path,
    protocol: Protocol,
    roads: dict[str, CaseRoad],
    routes: dict[str, tuple[str, str]],
) -> None:
    """Write networks, scenarios and manifest into a new folder."""
    (folder / "networks").mkdir(parents=True)
    for base, road in roads.items():
        shutil.copyfile(road.network, folder / "networks" / f"{base}.net.xml")
    scenarios: dict[str, dict[str, Any]] = {}
    for name, (base, text) in routes.items():
        sumocfg = folder / EVAL / name / SCENARIO_CONFIGURATION
        sumocfg.parent.mkdir(parents=True)
        configuration = configuration_text(f"../../networks/{base}.net.xml")
        sumocfg.write_text(configuration, encoding="utf-8")
        sumocfg.with_name(ROUTE_FILE).write_text(text, encoding="utf-8")
        scenarios[name] = {
            "hash": scenario_content_hash(sumocfg),
            "path": f"{EVAL}/{name}/{SCENARIO_CONFIGURATION}",
        }
    manifest = {
        "dataset_id": f"protocol {protocol.name}",
        "seed": protocol.seed,
        f"{TRAIN}_scenarios": [],
        f"{EVAL}_scenarios": list(scenarios),
        "scenarios": scenarios,
    }
    write_json_atomically(folder / MANIFEST_FILE, manifest)
