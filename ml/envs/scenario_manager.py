"""Which scenario comes next: at random in training, in order in evaluation and development.

The development split is the last tenth of the training scenarios. Training that is evaluated on it
along the way holds it out.

Draw i of a split depends only on the seed and on i, so that ``seek(i)`` gives the same scenario
as i earlier draws would. Every scenario's content is checked against the manifest the first time
it is selected.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from pathlib import Path
from typing import Any

from ml.bounded_files import LARGEST_DOCUMENT_BYTES, UnusableFileError
from ml.envs.sumo_connection import read_scenario_files
from ml.errors import ConfigError, ScenarioError
from ml.json_files import read_json
from ml.provenance import REPOSITORY_ROOT, sha256_of_file, sha256_of_text
from ml.seeding import check_master_seed, indexed_generator

MANIFEST_FILE = "manifest.json"
TRAIN = "train"
EVAL = "eval"
DEV = "dev"
MODES = (TRAIN, EVAL, DEV)
_LISTED_MODES = (TRAIN, EVAL)
_DEVELOPMENT_DIVISOR = 10
_LONGEST_ID = 100
_SCENARIO_ID = re.compile(rf"[A-Za-z0-9_][A-Za-z0-9._-]{{0,{_LONGEST_ID - 1}}}")
_GENERATE_COMMAND = "python -m ml.scripts.gen_scenarios --output_dir"


def scenario_content_hash(sumocfg: str | Path) -> str:
    """Return the SHA-256 over a scenario's configuration, routes and network.

    Only contents count: the hash of the files' own hashes, in the order configuration, network,
    route files, additional files.

    Args:
        sumocfg: Path of the scenario's configuration.

    Returns:
        64 hex digits.

    Raises:
        ScenarioError: The configuration cannot be read or names missing files.
    """
    files = read_scenario_files(sumocfg)
    paths = (files.sumocfg, files.network, *files.routes, *files.additional)
    return sha256_of_text("\n".join(sha256_of_file(path) for path in paths))


class ScenarioManager:
    """The scenarios of one dataset, and the order in which they come."""

    def __init__(
        self,
        dataset_dir: str | Path,
        seed: int,
        mode: str = TRAIN,
        *,
        hold_out_development: bool = False,
    ) -> None:
        """Read a dataset's manifest.

        Args:
            dataset_dir: Folder that holds ``manifest.json``.
            seed: Seed of the order in training, in [0, 2**32 - 1].
            mode: ``"train"`` draws at random; ``"eval"``, and ``"dev"`` in the last tenth of the
                training scenarios, walk in order and wrap round.
            hold_out_development: Never draw the development scenarios in training, as long as
                there are two training scenarios or more.

        Raises:
            ScenarioError: The folder or its manifest is missing or broken, the split is empty, or
                the mode is unknown.
            ConfigError: The seed breaks its rule.
        """
        self._dataset_dir = Path(dataset_dir)
        self._seed = check_master_seed(seed)
        self._manifest = _read_manifest(self._dataset_dir)
        self._listed = {mode: _split_of(self._manifest, mode, self._path) for mode in _LISTED_MODES}
        fitting, development = divide_training_scenarios(self._listed[TRAIN])
        self._splits = {
            TRAIN: fitting if hold_out_development else self._listed[TRAIN],
            EVAL: self._listed[EVAL],
            DEV: development,
        }
        self.is_development_disjoint = not set(self._splits[TRAIN]) & set(development)
        self._mode = self._checked_mode(mode)
        self._next_index = 0
        self._verified: dict[str, Path] = {}

    @property
    def _path(self) -> Path:
        """Path of the manifest."""
        return self._dataset_dir / MANIFEST_FILE

    @property
    def manifest(self) -> dict[str, Any]:
        """The dataset's manifest, as read."""
        return self._manifest

    @property
    def mode(self) -> str:
        """The current mode: ``"train"``, ``"eval"`` or ``"dev"``."""
        return self._mode

    @property
    def emulator_params_path(self) -> Path | None:
        """The radio parameter file the dataset was made for, or None when it names none.

        Raises:
            ScenarioError: The file is missing or is not the one whose hash was recorded.
        """
        entry = self._manifest.get("emulator_params")
        if entry is None:
            return None
        if not isinstance(entry, dict) or not isinstance(entry.get("path"), str):
            raise ScenarioError(
                f"emulator_params in {self._path} must be an object with a path. Got {entry!r}. "
                "Make the dataset again."
            )
        path: Path = REPOSITORY_ROOT / entry["path"]
        if not _is_file(path):
            raise ScenarioError(
                f"emulator_params.path in {self._path} must be an existing file. Got "
                f"{entry['path']!r}. Restore it, or name another with --emulator_params."
            )
        if "hash" in entry and sha256_of_file(path) != entry["hash"]:
            raise ScenarioError(
                f"{path} must be the file that the dataset {self._dataset_dir.name} was made "
                "for. Got another SHA-256. Restore it, or name it with --emulator_params."
            )
        return path

    def select_scenario(self) -> tuple[Path, str]:
        """Return the next scenario of the current split.

        Returns:
            The path of its ``scenario.sumocfg`` and its id.

        Raises:
            ScenarioError: The scenario is missing, or its content is not what was recorded.
        """
        scenario_ids = self._splits[self._mode]
        index = self._next_index
        self._next_index += 1
        if self._mode == TRAIN:
            position = int(indexed_generator(self._seed, index).integers(len(scenario_ids)))
        else:
            position = index % len(scenario_ids)
        scenario_id = scenario_ids[position]
        return self.scenario_path(scenario_id), scenario_id

    def scenario_path(self, scenario_id: str) -> Path:
        """Return the path of a scenario's ``scenario.sumocfg``, its content checked once.

        Args:
            scenario_id: An id of any split.

        Returns:
            The path.

        Raises:
            ScenarioError: The id is unknown, the file is missing or leaves the dataset's folder,
                or the content is not what was recorded.
        """
        if scenario_id not in self._verified:
            sumocfg = self._locate(scenario_id)
            self._verify(scenario_id, sumocfg)
            self._verified[scenario_id] = sumocfg
        return self._verified[scenario_id]

    def set_train_mode(self) -> None:
        """Draw at random from the training split, starting with draw 0."""
        self._mode = self._checked_mode(TRAIN)
        self._next_index = 0

    def set_eval_mode(self) -> None:
        """Walk through the evaluation split, starting with its first scenario."""
        self._mode = self._checked_mode(EVAL)
        self._next_index = 0

    def set_dev_mode(self) -> None:
        """Walk through the development split, starting with its first scenario."""
        self._mode = self._checked_mode(DEV)
        self._next_index = 0

    def get_scenario_count(self) -> int:
        """Return the number of scenarios in the current split."""
        return len(self._splits[self._mode])

    def seek(self, index: int) -> None:
        """Make draw ``index`` of the current split, counted from 0, the next one.

        Raises:
            ConfigError: The index is negative.
        """
        if index < 0:
            raise ConfigError(f"index of the next scenario must be 0 or more. Got {index}.")
        self._next_index = index

    def reseed(self, seed: int) -> None:
        """Take another seed and start again with draw 0."""
        self._seed = check_master_seed(seed)
        self._next_index = 0

    def _checked_mode(self, mode: str) -> str:
        """Return ``mode`` when it is known and its split is not empty."""
        if mode not in MODES:
            raise ScenarioError(f"scenario_mode must be one of {', '.join(MODES)}. Got {mode!r}.")
        if not self._splits[mode]:
            listed = TRAIN if mode == DEV else mode
            raise ScenarioError(
                f"{listed}_scenarios in {self._path} must name at least one scenario. Got none. "
                f"Make the dataset again with a larger --{listed}_count."
            )
        return mode

    def _entry(self, scenario_id: str) -> dict[str, Any]:
        """Return what the manifest says of one scenario; a manifest without details says {}."""
        details = self._manifest.get("scenarios")
        if details is None:
            return {}
        entry = details.get(scenario_id) if isinstance(details, dict) else None
        if not isinstance(entry, dict):
            raise ScenarioError(
                f"scenarios in {self._path} must hold an object for {scenario_id!r}. "
                f"Got {entry!r}. Make the dataset again."
            )
        return entry

    def _locate(self, scenario_id: str) -> Path:
        """Return where a scenario's configuration lies, inside the dataset's folder."""
        mode = next((mode for mode, ids in self._listed.items() if scenario_id in ids), None)
        if mode is None:
            raise ScenarioError(
                f"scenario_id must be one that {self._path} lists. Got {scenario_id!r}."
            )
        default = f"{mode}/{scenario_id}/scenario.sumocfg"
        name = self._entry(scenario_id).get("path", default)
        sumocfg = self._dataset_dir / str(name)
        self._check_inside(sumocfg, f"path of {scenario_id} in {self._path}")
        if not _is_file(sumocfg):
            raise ScenarioError(
                f"scenario {scenario_id} of {self._path} must lie at {sumocfg}. Got no such file. "
                "Restore it or make the dataset again."
            )
        return sumocfg

    def verify_all(self) -> None:
        """Check every scenario of the dataset now, instead of when it is first selected.

        Raises:
            ScenarioError: A scenario is missing or changed, or a training scenario is also one of
                the evaluation split.
        """
        hashes: dict[str, dict[str, str]] = {}
        for mode, scenario_ids in self._listed.items():
            for scenario_id in scenario_ids:
                sumocfg = self.scenario_path(scenario_id)
                hashes.setdefault(mode, {})[scenario_content_hash(sumocfg)] = scenario_id
        for content_hash in hashes.get(TRAIN, {}).keys() & hashes.get(EVAL, {}).keys():
            raise ScenarioError(
                f"the splits of {self._path} must share no scenario. Got the same content in "
                f"{hashes[TRAIN][content_hash]} and {hashes[EVAL][content_hash]}. "
                "Make the dataset again."
            )

    def _verify(self, scenario_id: str, sumocfg: Path) -> None:
        """Check a scenario's content against the recorded hash, and that it stays inside."""
        files = read_scenario_files(sumocfg)
        for path in (files.network, *files.routes, *files.additional):
            self._check_inside(path, f"input of {sumocfg}")
        recorded = self._entry(scenario_id).get("hash")
        if recorded is not None and scenario_content_hash(sumocfg) != recorded:
            raise ScenarioError(
                f"content of {sumocfg} and the files it names must match its hash in "
                f"{self._path}. Got another SHA-256. Restore the files or make the dataset again."
            )

    def _check_inside(self, path: Path, name: str) -> None:
        """Refuse a path that leaves the dataset's folder."""
        try:
            is_inside = path.resolve().is_relative_to(self._dataset_dir.resolve())
        except (OSError, ValueError, RuntimeError):  # a name that cannot be, or a loop of links
            is_inside = False
        if not is_inside:
            raise ScenarioError(
                f"{name} must stay inside the dataset's folder. Got {str(path)!r}. "
                "Make the dataset again."
            )


def _is_file(path: Path) -> bool:
    """Return whether a path is a file; False for one that no system could hold."""
    return os.path.isfile(path)  # noqa: PTH113 - Path's own raises for a name too long


def divide_training_scenarios(
    scenario_ids: tuple[str, ...],
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the scenarios to fit to and the development split, the last tenth but at least one.

    A single scenario is both.

    >>> divide_training_scenarios(("a", "b", "c"))
    (('a', 'b'), ('c',))
    """
    num_development = max(1, len(scenario_ids) // _DEVELOPMENT_DIVISOR)
    development = scenario_ids[-num_development:]
    return scenario_ids[:-num_development] or development, development


def _read_manifest(dataset_dir: Path) -> dict[str, Any]:
    """Read a dataset's manifest; whatever is wrong with it is one line."""
    if not os.path.isdir(dataset_dir):  # noqa: PTH112 - as in _is_file
        raise ScenarioError(
            f"dataset_dir must be a folder. Got {str(dataset_dir)!r}. Make it with: "
            f"{_GENERATE_COMMAND} {dataset_dir}"
        )
    path = dataset_dir / MANIFEST_FILE
    if not path.is_file():
        raise ScenarioError(
            f"dataset_dir must hold {MANIFEST_FILE}. Got none in {str(dataset_dir)!r}. Make a "
            f"dataset with: {_GENERATE_COMMAND} ml/scenarios/datasets/v1"
        )
    try:
        manifest = read_json(path, LARGEST_DOCUMENT_BYTES)
    except UnusableFileError as error:
        raise ScenarioError(
            f"{path} must be readable JSON in UTF-8. Got: {error}. Make the dataset again."
        ) from error
    if not isinstance(manifest, dict):
        raise ScenarioError(
            f"{path} must hold a JSON object. Got {type(manifest).__name__}. "
            "Make the dataset again."
        )
    return manifest


def _split_of(manifest: dict[str, Any], mode: str, path: Path) -> tuple[str, ...]:
    """Return the scenario ids of one split."""
    key = f"{mode}_scenarios"
    if key not in manifest:
        raise ScenarioError(f"{path} must hold {key}. Got no such key. Make the dataset again.")
    scenario_ids = manifest[key]
    if not isinstance(scenario_ids, list) or not all(
        isinstance(scenario_id, str) for scenario_id in scenario_ids
    ):
        raise ScenarioError(
            f"{key} in {path} must be a list of scenario ids. Got {scenario_ids!r:.80}. "
            "Make the dataset again."
        )
    _check_ids(scenario_ids, key, path)
    return tuple(scenario_ids)


def _check_ids(scenario_ids: list[str], key: str, path: Path) -> None:
    """Refuse ids that are no name of a folder, or that a terminal would not show as they are."""
    for scenario_id in scenario_ids:
        if not _SCENARIO_ID.fullmatch(scenario_id):
            raise ScenarioError(
                f"{key} in {path} must hold ids of 1 to {_LONGEST_ID} letters, digits, '.', '_' "
                f"and '-' that begin with none of '.' and '-'. Got {scenario_id[:_LONGEST_ID]!r}. "
                "Rename the scenario."
            )
    if len(set(scenario_ids)) < len(scenario_ids):
        ((scenario_id, count),) = Counter(scenario_ids).most_common(1)
        raise ScenarioError(
            f"{key} in {path} must list each scenario once. Got {scenario_id!r} {count} times. "
            "Make the dataset again."
        )
