"""Checks the scenarios of a dataset against its manifest."""

from __future__ import annotations

from collections.abc import Iterator

from ml.envs.scenario_manager import TRAIN, ScenarioManager
from ml.errors import RoadSenseError
from ml.verification.records import Line


def check_scenarios(dataset_dir: str, split: str = TRAIN) -> Iterator[Line]:
    """Give a line for each scenario that is not what the dataset's manifest says, or one for all.

    Args:
        dataset_dir: The dataset's folder.
        split: A split that holds scenarios.
    """
    try:
        manager = ScenarioManager(dataset_dir, 0, split)
        names = [
            name for split in ("train", "eval") for name in manager.manifest[f"{split}_scenarios"]
        ]
    except RoadSenseError as error:
        yield "changed", f"dataset: {error}"
        return
    num_bad = 0
    for name in dict.fromkeys(names):
        try:
            manager.scenario_path(name)
        except RoadSenseError as error:
            num_bad += 1
            yield "changed", f"scenario {name}: {error}"
    if not num_bad:
        yield "ok", f"{len(names)} scenarios of the dataset"
