"""The commands that made the results, and the hashes of what went in."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ml.bounded_files import LARGEST_DOCUMENT_BYTES, UnusableFileError
from ml.errors import one_line
from ml.evaluation.evaluation_folder import PROTOCOL_FILE, RUN_MANIFEST
from ml.evaluation.protocol import PACKAGED_PROTOCOLS
from ml.json_files import read_json
from ml.reporting.results_folder import Evaluation, SeedResults
from ml.reporting.results_numbers import NONE, code_text, markdown_table, plain

_TRAINING = "python -m ml.training.train_convoy"
_SCRIPT = "train_convoy"
_RESULTS = "python -m ml.reporting.results_page"


class PagePlan(NamedTuple):
    """What the command was asked for.

    Attributes:
        folders: Of the evaluations.
        page: Where the page goes.
        readme: The file with the short version, None for none.
        policies: The judged policies that were named as the seeds.
    """

    folders: Sequence[Path]
    page: Path
    readme: Path | None = None
    policies: Sequence[str] = ()


def training_command(results: SeedResults, seed: str) -> str | None:
    """Return the command line that trained a seed, None where its run is not here any more.

    The run is that which ``--model`` named, if what it made still has the recorded weights.
    """
    policy = results.holders[seed].policies[seed]
    place = Path(policy.get("model") or "")
    for folder in (place, place.parent):
        try:
            manifest = read_json(folder / RUN_MANIFEST, LARGEST_DOCUMENT_BYTES)
        except UnusableFileError:
            continue
        if not isinstance(manifest, dict):
            continue
        outputs, words = manifest.get("outputs"), manifest.get("command_line")
        is_same = isinstance(outputs, dict) and policy["sha256"] in outputs.values()
        if is_same and isinstance(words, list) and all(isinstance(word, str) for word in words):
            return one_line(_python_command(words))
    return None


def _python_command(words: Sequence[str]) -> str:
    """Return the command of a run that was started with these words: a module, a verb or a script.

    >>> _python_command(["/x/train_convoy.py", "--seed", "1"])
    'python -m ml.training.train_convoy --seed 1'
    >>> _python_command(["roadsense train", "--seed", "1"])
    'roadsense train --seed 1'
    >>> _python_command(["experiments/train.py", "urgent", "1"])
    'python experiments/train.py urgent 1'
    """
    script = words[0] if words else _SCRIPT
    called = ["python", script]
    if Path(script).stem == _SCRIPT:
        called = _TRAINING.split()
    elif script.startswith("roadsense "):
        called = script.split()
    return shlex.join([*called, *words[1:]])


def evaluation_command(evaluation: Evaluation) -> str:
    """Return the command line of an evaluation."""
    policies = [evaluation.policies[name] for name in evaluation.judged]
    models = [str(policy.get("model") or policy["id"]) for policy in policies]
    protocol = evaluation.content["protocol"]["name"]
    if protocol not in PACKAGED_PROTOCOLS:
        protocol = str(evaluation.folder / PROTOCOL_FILE)
    words = ["roadsense", "evaluate", "--model", *models, "--protocol", protocol]
    return one_line(shlex.join([*words, "--output_dir", str(evaluation.folder)]))


def results_command(plan: PagePlan) -> str:
    """Return the command line that made the page."""
    words = [*_RESULTS.split(), "--evaluation", *map(str, plan.folders)]
    words += ["--policies", *plan.policies] if plan.policies else []
    words += ["--output_page", str(plan.page)]
    words += [] if plan.readme is None else ["--readme", str(plan.readme)]
    return one_line(shlex.join(words))


def commands_section(results: SeedResults, plan: PagePlan) -> list[str]:
    """Return the commands, and the hashes of protocol, code and policies."""
    trained = {seed: training_command(results, seed) for seed in results.seeds}
    lost = [plain(seed) for seed, command in trained.items() if command is None]
    note = [f"Not here, or with other weights now: the run of {', '.join(lost)}.", ""]
    lines = [
        "## How it was made",
        "",
        "```bash",
        *(command for command in trained.values() if command is not None),
        *(evaluation_command(evaluation) for evaluation in results.evaluations),
        results_command(plan),
        "```",
        "",
        *(note if lost else []),
    ]
    return [*lines, *markdown_table(["what", "is"], _facts(results)), ""]


def _facts(results: SeedResults) -> list[Sequence[str]]:
    """Return names and hashes of what went in."""
    protocol, provenance = results.first["protocol"], results.first["provenance"]
    versions = ", ".join(f"{name} {version}" for name, version in provenance["versions"].items())
    rows: list[Sequence[str]] = [
        [f"protocol {plain(protocol['name'])}", code_text(protocol["sha256"])],
        ["scenarios", code_text(provenance["scenarios_sha256"])],
        ["code", code_text(provenance["code_sha256"])],
        ["versions", plain(versions) or NONE],
    ]
    rows += [
        [f"policy {plain(seed)}", code_text(evaluation.policies[seed]["sha256"])]
        for seed, evaluation in results.holders.items()
    ]
    rows += [
        [f"SHA256SUMS of {code_text(str(evaluation.folder))}", code_text(evaluation.sums_sha256)]
        for evaluation in results.evaluations
    ]
    return rows
