"""Writes a dataset: scenarios drawn, tried in SUMO, hashed and listed in one manifest.

The dataset grows in a temporary folder beside its place and is renamed as a whole at the end, so
that a run that is killed leaves nothing that looks like a dataset.
"""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ml.envs.scenario_manager import EVAL, MANIFEST_FILE, TRAIN, scenario_content_hash
from ml.envs.sumo_connection import SumoConnection, read_scenario_files
from ml.errors import RecordError, ScenarioError
from ml.provenance import (
    container_image,
    git_state,
    installed_version,
    sha256_of_file,
    write_json_atomically,
)
from ml.scenarios.convoy_placement import ego_finds_its_place, path_position_m, put_on_path
from ml.scenarios.scenario_draws import (
    AugmentationRanges,
    ScenarioDraw,
    draw_scenario,
    peer_counts,
    place_convoy,
)
from ml.scenarios.scenario_files import (
    ROUTE_FILE,
    SCENARIO_CONFIGURATION,
    PlacedVehicle,
    configuration_text,
    route_file_text,
)
from ml.scripts.base_scenario import BaseScenario, recorded_path, trainable
from ml.scripts.scenario_check import (
    DUPLICATE,
    OFF_FIRST_EDGE,
    OFF_ROAD,
    REJECTION_REASONS,
    find_fault,
)
from ml.seeding import indexed_generator
from ml.types import MAX_PEERS

GENERATOR_VERSION = "2"
SPLITS = (TRAIN, EVAL)
MAX_ATTEMPTS = 20
EPISODE_DURATION_S = 52.0
"""Longest episode: 50 s and 2 s of warm-up [s]."""
MIN_ID_DIGITS = 3


@dataclass(frozen=True)
class DatasetRequest:
    """What to make, all of it checked.

    Attributes:
        bases: The bases to draw from.
        output_dir: The dataset's folder.
        seed: The master seed.
        counts: Number of scenarios of each split.
        emulator_params: The radio parameter file that the dataset refers to.
        ranges: The range of every drawn value.
        is_replacing: Whether a dataset in ``output_dir`` gives way to the new one.
        train_max_peers: Most peers of a training scenario.
    """

    bases: tuple[BaseScenario, ...]
    output_dir: Path
    seed: int
    counts: dict[str, int]
    emulator_params: Path
    ranges: AugmentationRanges = field(default_factory=AugmentationRanges)
    is_replacing: bool = False
    train_max_peers: int = MAX_PEERS


def build_dataset(request: DatasetRequest, on_scenario: Callable[[str], None]) -> dict[str, Any]:
    """Make the dataset and put it in its place.

    Args:
        request: What to make.
        on_scenario: Called with the id of each scenario when it is done.

    Returns:
        The manifest.

    Raises:
        ScenarioError: A scenario could not be made in ``MAX_ATTEMPTS`` attempts.
        RecordError: The folder cannot be written.
    """
    output_dir = request.output_dir.resolve()
    try:
        output_dir.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(
            dir=output_dir.parent, prefix=f".{output_dir.name}.", suffix=".partial"
        ) as workplace:
            staging = Path(workplace) / "dataset"
            staging.mkdir()
            manifest = _DatasetBuilder(request, staging).build(on_scenario)
            _put_in_place(staging, output_dir, is_replacing=request.is_replacing)
    except OSError as error:
        raise RecordError(
            f"--output_dir {request.output_dir} must be a folder that can be written. "
            f"Got: {error}. Choose another folder."
        ) from error
    return manifest


def _put_in_place(staging: Path, output_dir: Path, *, is_replacing: bool) -> None:
    """Rename the finished dataset to its place; what it replaces goes only when that succeeded."""
    if not is_replacing:
        if output_dir.exists():
            output_dir.rmdir()
        staging.rename(output_dir)
        return
    replaced = staging.with_name("replaced")
    output_dir.rename(replaced)
    try:
        staging.rename(output_dir)
    except OSError:
        replaced.rename(output_dir)
        raise


class _DatasetBuilder:
    """One dataset in the making."""

    def __init__(self, request: DatasetRequest, folder: Path) -> None:
        """Prepare to write the dataset into an empty ``folder``."""
        self._request = request
        self._folder = folder
        self._bases = {base.name: base for base in request.bases}
        self._bases_of = {TRAIN: trainable(self._bases), EVAL: self._bases}
        self._connection = SumoConnection()
        self._hashes: set[str] = set()
        self._rejected = {split: Counter[str]() for split in SPLITS}
        self._scenarios: dict[str, dict[str, Any]] = {}

    def build(self, on_scenario: Callable[[str], None]) -> dict[str, Any]:
        """Write everything and return the manifest."""
        networks = self._folder / "networks"
        networks.mkdir()
        for base in self._bases.values():
            shutil.copyfile(base.files.network, networks / f"{base.name}.net.xml")
        try:
            for split in SPLITS:
                self._build_split(split, on_scenario)
        finally:
            self._connection.close()
        manifest = self._manifest()
        write_json_atomically(self._folder / MANIFEST_FILE, manifest)
        return manifest

    def _build_split(self, split: str, on_scenario: Callable[[str], None]) -> None:
        """Make the scenarios of one split."""
        request = self._request
        count = request.counts[split]
        ranges = request.ranges
        if split == TRAIN:
            fewest, most = ranges.num_peers
            ranges = replace(ranges, num_peers=(fewest, min(most, request.train_max_peers)))
        num_peers = peer_counts(request.seed, SPLITS.index(split), count, ranges)
        num_digits = max(MIN_ID_DIGITS, len(str(count - 1)))
        for index in range(count):
            scenario_id = f"{split}_{index:0{num_digits}d}"
            self._scenarios[scenario_id] = self._build_scenario(
                split, index, scenario_id, num_peers[index]
            )
            on_scenario(scenario_id)

    def _build_scenario(
        self, split: str, index: int, scenario_id: str, num_peers: int
    ) -> dict[str, Any]:
        """Draw a scenario until one holds; each attempt has its own place in the seed tree."""
        request = self._request
        settings = {name: base.settings for name, base in self._bases_of[split].items()}
        for attempt in range(MAX_ATTEMPTS):
            generator = indexed_generator(request.seed, SPLITS.index(split), index, attempt)
            draw = draw_scenario(generator, num_peers, settings, request.ranges)
            name = f"{split}/{scenario_id}/{SCENARIO_CONFIGURATION}"
            fault = self._write_and_try(draw, self._folder / name)
            if fault is None:
                content_hash = scenario_content_hash(self._folder / name)
                self._hashes.add(content_hash)
                return {
                    "hash": content_hash,
                    "path": name,
                    "attempt": attempt,
                    "draws": draw.record(),
                }
            self._rejected[split][fault] += 1
        raise ScenarioError(
            f"scenario {scenario_id} must hold within {MAX_ATTEMPTS} attempts. Got rejections of "
            f"this split: {dict(self._rejected[split])}. Try another --base_dir or --seed."
        )

    def _write_and_try(self, draw: ScenarioDraw, sumocfg: Path) -> str | None:
        """Write a scenario's files and return why it must be drawn again, or None."""
        base = self._bases[draw.base]
        vehicles = put_on_path(place_convoy(draw), base.path)
        if vehicles is None or not self._has_road_ahead(base, vehicles[-1]):
            return OFF_ROAD
        if not ego_finds_its_place(vehicles, base.path):
            return OFF_FIRST_EDGE
        sumocfg.parent.mkdir(parents=True, exist_ok=True)
        configuration = configuration_text(f"../../networks/{base.name}.net.xml")
        sumocfg.write_text(configuration, encoding="utf-8")
        routes = route_file_text(vehicles, *base.path.edges)
        (sumocfg.parent / ROUTE_FILE).write_text(routes, encoding="utf-8")
        if scenario_content_hash(sumocfg) in self._hashes:
            return DUPLICATE
        return find_fault(self._connection, read_scenario_files(sumocfg), vehicles, base.path)

    def _has_road_ahead(self, base: BaseScenario, leader: PlacedVehicle) -> bool:
        """Return whether the road lasts for an episode at the base's top speed."""
        top_speed_mps = self._request.ranges.on_base(base.settings).top_speed_mps()
        end_m = path_position_m(leader, base.path) + top_speed_mps * EPISODE_DURATION_S
        return end_m <= base.path.length_m

    def _manifest(self) -> dict[str, Any]:
        """Return the dataset's manifest."""
        request = self._request
        bases = [base.record() for base in request.bases]
        return {
            "dataset_id": request.output_dir.resolve().name,
            "generator_version": GENERATOR_VERSION,
            "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "seed": request.seed,
            "base_scenario": bases[0],
            "base_scenarios": bases,
            "augmentation_ranges": asdict(request.ranges),
            **{f"{split}_scenarios": self._ids_of(split) for split in SPLITS},
            "num_peers_distribution": {split: self._num_peers_of(split) for split in SPLITS},
            "rejected": {split: self._rejections_of(split) for split in SPLITS},
            "emulator_params": {
                "path": recorded_path(request.emulator_params),
                "hash": sha256_of_file(request.emulator_params),
            },
            "environment": {
                "sumo_version": installed_version("libsumo"),
                "git_commit": git_state()["commit"],
                "container_image": container_image(),
            },
            "scenarios": self._scenarios,
        }

    def _ids_of(self, split: str) -> list[str]:
        """Return the ids of a split in order."""
        return [name for name in self._scenarios if name.startswith(f"{split}_")]

    def _num_peers_of(self, split: str) -> dict[str, int]:
        """Return how many scenarios of a split have each number of peers."""
        fewest, most = self._request.ranges.num_peers
        counts = Counter(
            self._scenarios[name]["draws"]["num_peers"] for name in self._ids_of(split)
        )
        return {str(number): counts[number] for number in range(fewest, most + 1)}

    def _rejections_of(self, split: str) -> dict[str, int]:
        """Return how many attempts of a split were rejected for each reason."""
        return {reason: self._rejected[split][reason] for reason in REJECTION_REASONS}
