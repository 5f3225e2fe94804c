"""Reads the evaluations of a recipe's training seeds, and holds them against each other.

Only counts are kept, as ``evaluation.json`` holds them; SHA256SUMS says that it is as it was
written, and which records it was made from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from ml.bounded_files import LARGEST_DOCUMENT_BYTES, UnusableFileError
from ml.errors import ConfigError, RecordError, nearest_name_hint
from ml.evaluation.evaluation_folder import EVALUATION_FILE
from ml.evaluation.record_files import RECORDS_FOLDER
from ml.evaluation.statistics import Interval, clopper_pearson, poisson_rate_interval
from ml.evaluation.verdict import FALSE_ALARM_LEVEL_MPS2
from ml.file_sums import SUMS_FILE, read_sums
from ml.json_files import read_json
from ml.json_schema import check_form
from ml.provenance import sha256_of_file

Json = dict[str, Any]
_SCHEMA_FILE = Path(__file__).with_name("results.schema.json")
_SHARED = (("protocol", "sha256"), ("provenance", "scenarios_sha256"),
           ("provenance", "code_sha256"))  # fmt: skip


class Collisions(NamedTuple):
    """Collisions in so many episodes, at least one."""

    events: int
    episodes: int

    @property
    def rate(self) -> float:
        """The share of episodes."""
        return self.events / self.episodes

    @property
    def interval(self) -> Interval:
        """Clopper and Pearson's 95 % interval of the share."""
        return clopper_pearson(self.events, self.episodes)


class Alarms(NamedTuple):
    """False alarms in so many hours, more than none."""

    events: int
    hours: float

    @property
    def rate(self) -> float:
        """Alarms per hour."""
        return self.events / self.hours

    @property
    def interval(self) -> Interval:
        """Garwood's 95 % interval of the rate."""
        return poisson_rate_interval(self.events, self.hours)


@dataclass(frozen=True)
class Evaluation:
    """One evaluation by a protocol.

    Attributes:
        folder: Where it is, as it was given.
        content: The checked content of ``evaluation.json``.
        sums_sha256: Hash of its SHA256SUMS, which stands for the whole folder.
    """

    folder: Path
    content: Json
    sums_sha256: str

    @cached_property
    def policies(self) -> dict[str, Json]:
        """What is said of each policy, by its id."""
        return {policy["id"]: policy for policy in self.content["policies"]}

    @property
    def judged(self) -> list[str]:
        """Ids of the judged policies, in the order of the evaluation."""
        return [name for name, policy in self.policies.items() if policy["role"] == "judged"]


@dataclass(frozen=True)
class SeedResults:
    """The evaluations of one recipe's seeds.

    Attributes:
        evaluations: Each of them.
        holders: The evaluation of each seed's policy, by the policy's id.
    """

    evaluations: Sequence[Evaluation]
    holders: Mapping[str, Evaluation]

    @property
    def seeds(self) -> list[str]:
        """Ids of the seeds' policies."""
        return list(self.holders)

    @property
    def first(self) -> Json:
        """An evaluation; what does not depend on a seed is the same in all."""
        return self.evaluations[0].content

    @property
    def gate_presets(self) -> list[str]:
        """The radio presets of the gates."""
        return list(self.first["protocol"]["radio_presets"])

    @property
    def presets(self) -> list[str]:
        """All radio presets, those of the gates first."""
        found = {
            preset
            for families in self.first["summaries"].values()
            for by_preset in families.values()
            for preset in by_preset
        }
        return list(dict.fromkeys([*self.gate_presets, *sorted(found)]))

    def baselines(self) -> list[str]:
        """Return the ids of the baselines, in the order of the evaluation."""
        policies = self.evaluations[0].policies
        return [name for name, policy in policies.items() if policy["role"] == "baseline"]

    def of_policy(self, part: str, policy: str) -> Any:  # noqa: ANN401 - a part of the JSON
        """Return a part of an evaluation that is kept by policy, None without this one."""
        holder = self.holders.get(policy, self.evaluations[0])
        return holder.content[part].get(policy)

    def summary(self, policy: str, family: str, preset: str) -> Json | None:
        """Return a policy's summary of a family under a radio preset, None if it was not run."""
        families = self.of_policy("summaries", policy) or {}
        summary: Json | None = families.get(family, {}).get(preset)
        return summary

    def collisions(self, policy: str, families: str, preset: str) -> Collisions | None:
        """Return a policy's collisions in families of one letter each, None without an episode."""
        found = [self.summary(policy, family, preset) for family in families]
        return pooled([summary["collisions"] for summary in found if summary is not None])

    def collisions_at_rank(self, policy: str, rank: int, preset: str) -> Collisions | None:
        """Return a policy's collisions in H where the car of this rank ahead brakes."""
        cells = (self.summary(policy, "H", preset) or {}).get("by_num_peers_and_rank", [])
        return pooled([cell for cell in cells if cell["source_rank"] == rank])

    def alarms(self, policy: str, preset: str) -> Alarms | None:
        """Return a policy's false alarms in C, None without an hour."""
        alarms = (self.summary(policy, "C", preset) or {}).get("false_alarms")
        if alarms is None:
            return None
        level = alarms[f"{FALSE_ALARM_LEVEL_MPS2}mps2"]
        return counted_alarms({"count": level["count"], "hours": alarms["hours"]})


def pooled(counts: Sequence[Json]) -> Collisions | None:
    """Return the collisions of all entries together, None without an episode."""
    episodes = sum(entry["episodes"] for entry in counts)
    collisions = sum(entry["collisions"] for entry in counts)
    return Collisions(collisions, episodes) if episodes else None


def counted_alarms(alarms: Json) -> Alarms | None:
    """Return the false alarms of an entry with count and hours, None without an hour."""
    is_known = alarms["count"] is not None and alarms["hours"] > 0.0
    return Alarms(alarms["count"], alarms["hours"]) if is_known else None


def read_seed_results(folders: Sequence[Path], policies: Sequence[str] = ()) -> SeedResults:
    """Read the evaluations of a recipe's seeds.

    Args:
        folders: Folders that ``roadsense evaluate --protocol`` wrote.
        policies: Ids of the judged policies to take as the seeds; all where there are none.

    Raises:
        ConfigError: A folder holds no evaluation, or the seeds are fewer than two.
        RecordError: A file cannot be used, or the evaluations do not belong together.
    """
    evaluations = [_read_evaluation(folder) for folder in folders]
    _check_equal(evaluations)
    judged: dict[str, Evaluation] = {}
    for evaluation in evaluations:
        for name in evaluation.judged:
            if name in judged:
                raise ConfigError(
                    f"--evaluation must hold each policy once. Got {name!r} in {evaluation.folder} "
                    f"and {judged[name].folder}. Rename a run, or leave one out."
                )
            judged[name] = evaluation
    for name in policies:
        if name not in judged:
            hint = nearest_name_hint(name, judged)
            raise ConfigError(f"--policies must name judged policies. Got {name!r}. {hint}")
    holders = {name: judged[name] for name in policies or judged}
    if len(holders) < 2:
        raise ConfigError(
            "--evaluation must hold at least two judged policies, one for each training seed: "
            f"there is no interval over fewer. Got {', '.join(holders) or 'none'}. Evaluate more "
            "seeds."
        )
    for name, evaluation in holders.items():
        _check_judged(name, evaluation)
    return SeedResults([one for one in evaluations if one in holders.values()], holders)


def _read_evaluation(folder: Path) -> Evaluation:
    """Return the evaluation of a folder, checked against its hashes."""
    path = folder / EVALUATION_FILE
    if not path.is_file():
        raise ConfigError(
            f"--evaluation must be a folder with {EVALUATION_FILE}, as roadsense evaluate "
            f"--protocol writes it. Got {str(folder)!r}. Choose another folder."
        )
    sums = read_sums(folder)
    try:
        content = read_json(path, LARGEST_DOCUMENT_BYTES)
        check_form(content, _SCHEMA_FILE)
    except UnusableFileError as error:
        raise _no_evaluation(path, str(error)) from error
    if sums.get(EVALUATION_FILE) != sha256_of_file(path):
        raise RecordError(
            f"{path} must be as {SUMS_FILE} says. Got another hash. Restore it, or evaluate again."
        )
    for name, sha256 in content["provenance"]["records_sha256"].items():
        if sums.get(f"{RECORDS_FOLDER}/{name}.jsonl") != sha256:
            raise RecordError(
                f"records of {name!r:.60} in {folder} must be those that {EVALUATION_FILE} was "
                f"made from. Got another hash in {SUMS_FILE}. Evaluate again."
            )
    return Evaluation(folder, content, sha256_of_file(folder / SUMS_FILE))


def _no_evaluation(path: Path, reason: str) -> RecordError:
    """Return the error for a file that holds something else."""
    return RecordError(
        f"{path} must be what roadsense evaluate --protocol wrote. Got {reason}. Evaluate again."
    )


def _check_equal(evaluations: Sequence[Evaluation]) -> None:
    """Refuse evaluations by different protocols, scenarios or code, or with other baselines."""
    first = evaluations[0]
    for other in evaluations[1:]:
        for part, name in _SHARED:
            if other.content[part][name] != first.content[part][name]:
                raise RecordError(
                    f"{name} of {part} must be the same in all evaluations. Got another one in "
                    f"{other.folder} than in {first.folder}. Evaluate the seeds in the same way."
                )
        records = (one.content["provenance"]["records_sha256"] for one in (first, other))
        mine, others = records
        for name, policy in first.policies.items():
            if policy["role"] == "baseline" and mine.get(name) != others.get(name):
                raise RecordError(
                    f"records of {name!r:.60} must be the same in all evaluations. Got other ones "
                    f"in {other.folder} than in {first.folder}. Evaluate the seeds in the same way."
                )


def _check_judged(name: str, evaluation: Evaluation) -> None:
    """Refuse a seed of which a part of the evaluation is missing."""
    for part in ("summaries", "operating_curves", "age_curve", "gates", "verdict"):
        if name not in evaluation.content[part]:
            raise _no_evaluation(evaluation.folder / EVALUATION_FILE, f"no {part} of {name!r:.60}")
