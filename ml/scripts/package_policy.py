"""Makes a run's policy the packaged one: ``python -m ml.scripts.package_policy --run RUN``.

It copies the final model's two safe files into the package and writes the model card from the
records of the run and, with ``--evaluation``, of an evaluation of these very weights.
"""

from __future__ import annotations

import argparse
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ml.command_line import OneLineArgumentParser, add_debug_flag, path_text, run_command
from ml.envs.scenario_manager import MANIFEST_FILE
from ml.errors import ConfigError, RecordError, RoadSenseError
from ml.evaluation.evaluation_folder import EVALUATION_FILE, RUN_MANIFEST
from ml.policies.checkpoint import (
    MODEL_FILE,
    PACKAGED_FOLDER,
    PACKAGED_MODEL_FILE,
    model_files,
)
from ml.policies.model_file import load_model
from ml.provenance import atomic_path, sha256_of_file
from ml.scripts.arguments import DEFAULT_BASE_DIR, DEFAULT_EMULATOR_PARAMS
from ml.scripts.model_card import TrainedRun, model_card
from ml.training.arguments import parse_args as parse_train_args
from ml.training.run_arguments import flags_of
from ml.types import MAX_PEERS
from ml.verification.records import (
    DATASET_MANIFEST,
    files_below,
    object_in,
    policies_in,
    read_object,
)

CARD_FILE = "model_card.md"
_DATASETS = "ml/scenarios/datasets"
_NO_DIFFERENCE = ("output_dir", "run_id", "overwrite", "resume", "quiet", "debug")
"""Arguments of a training that have no part in its weights."""

Json = dict[str, Any]


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line.

    Args:
        argv: The arguments, without the program's name; the process's own when None.

    Returns:
        The arguments, one attribute a flag.
    """
    parser = OneLineArgumentParser(
        prog="package_policy",
        description="Put a run's final model into the package, with a model card.",
    )
    parser.add_argument(
        "--run", required=True, type=path_text, metavar="DIR", help="Folder of a finished run."
    )
    parser.add_argument(
        "--evaluation",
        type=path_text,
        metavar="DIR",
        help="Folder of an evaluation by a protocol that judged this model (default: none; the "
        "card then claims nothing).",
    )
    parser.add_argument(
        "--dataset_dir",
        type=path_text,
        metavar="DIR",
        help="Where the run's dataset is now (default: where its manifest says).",
    )
    parser.add_argument(
        "--output_dir",
        type=path_text,
        default=str(PACKAGED_FOLDER),
        metavar="DIR",
        help="Folder to write to (default: the package's own, ml/policies/packaged).",
    )
    add_debug_flag(parser)
    return parser.parse_args(argv)


def read_run(folder: Path, dataset_dir: str | None) -> TrainedRun:
    """Read what the card says of a run, with its model checked against the run's hashes.

    Args:
        folder: The run's folder.
        dataset_dir: Where its dataset is now, None for where the manifest says.

    Raises:
        ConfigError: The run is not finished, or was not trained on a dataset.
        RecordError: A file is not as the run's manifest says.
        PolicyError: The model cannot be read.
    """
    path = folder / RUN_MANIFEST
    manifest = read_object(path)
    if manifest.get("status") != "complete":
        raise ConfigError(
            f"--run must be a finished run. Got {str(folder)!r}, whose status is "
            f"{manifest.get('status')!r:.60}. Go on with it by train_convoy --resume."
        )
    _, *safe_files = model_files(folder / MODEL_FILE)
    outputs = object_in(manifest, "outputs", path)
    named = {file.path: file for file in files_below(folder, outputs, f"outputs in {path}")}
    for file in safe_files:
        if file not in named or named[file].state() != "ok":
            state = named[file].state() if file in named else "no hash of it"
            raise RecordError(
                f"{file} must be as {path.name} says. Got: {state}. Restore the run's files."
            )
    dataset = _read_dataset(manifest, path, dataset_dir)
    model = load_model(safe_files[1])
    packaged = model_files(PACKAGED_MODEL_FILE)[1:]
    return TrainedRun(
        manifest=manifest,
        dataset=dataset,
        dataset_command=dataset_command(dataset),
        training_command=training_command(
            object_in(manifest, "config", path), dataset["dataset_id"]
        ),
        description=read_object(safe_files[1]),
        num_weights=sum(weights.numel() for weights in model.policy.parameters()),
        file_hashes={
            new.name: sha256_of_file(old) for new, old in zip(packaged, safe_files, strict=True)
        },
    )


def _read_dataset(manifest: Json, path: Path, dataset_dir: str | None) -> Json:
    """Return the manifest of the run's dataset, checked against the hash that the run names."""
    entry = object_in(object_in(manifest, "inputs", path), DATASET_MANIFEST, path)
    if not entry:
        raise ConfigError(
            f"--run must be trained on a dataset. Got {str(path.parent)!r}, which was trained on "
            "one scenario. Train with --dataset_dir."
        )
    file = Path(str(entry["path"])) if dataset_dir is None else Path(dataset_dir) / MANIFEST_FILE
    dataset = read_object(file)
    if sha256_of_file(file) != entry.get("sha256"):
        raise RecordError(
            f"{file} must be the dataset that {path} names by its hash. Got another one. Name its "
            "folder by --dataset_dir."
        )
    return dataset


def dataset_command(dataset: Json) -> str:
    """Return the command that generates a dataset.

    Args:
        dataset: The dataset's manifest.
    """
    most = max(int(number) for number in dataset["num_peers_distribution"]["train"])
    bases = [base["path"] for base in dataset["base_scenarios"]]
    radio = dataset["emulator_params"]["path"]
    flags = [flag for base in bases if bases != [DEFAULT_BASE_DIR] for flag in ("--base_dir", base)]
    flags += ["--output_dir", f"{_DATASETS}/{dataset['dataset_id']}", "--seed", dataset["seed"]]
    flags += ["--train_count", len(dataset["train_scenarios"])]
    flags += ["--eval_count", len(dataset["eval_scenarios"])]
    flags += ["--train_max_peers", most] if most < MAX_PEERS else []
    flags += ["--emulator_params", radio] if radio != DEFAULT_EMULATOR_PARAMS else []
    return f"python -m ml.scripts.gen_scenarios {shlex.join(map(str, flags))}"


def training_command(config: Json, dataset_id: str) -> str:
    """Return the command of a run, on its dataset as ``dataset_command`` places it.

    Args:
        config: The run's configuration, as its manifest holds it.
        dataset_id: The dataset's id.
    """
    chosen = {"dataset_dir": f"{_DATASETS}/{dataset_id}", "preset": config.get("preset")}
    usual = vars(parse_train_args(flags_of(chosen)))
    for name, value in usual.items():
        if name not in (*chosen, *_NO_DIFFERENCE) and config.get(name, value) != value:
            chosen[name] = config[name]
    return f"python -m ml.training.train_convoy {shlex.join(flags_of(chosen))}"


def read_evaluation(folder: Path, tensors_sha256: str) -> tuple[Json, str]:
    """Return an evaluation by a protocol and the id under which it judged a model.

    Args:
        folder: Its folder.
        tensors_sha256: SHA-256 of the model's tensors.

    Raises:
        RecordError: The record is missing or damaged.
        ConfigError: It is of no protocol, or did not judge these weights.
    """
    path = folder / EVALUATION_FILE
    evaluation = read_object(path)
    if not object_in(evaluation, "protocol", path):
        raise ConfigError(
            f"--evaluation must be by a protocol. Got {str(folder)!r}, which is without one. "
            "Evaluate with --protocol."
        )
    for policy_id, entry in policies_in(evaluation, path).items():
        if entry.get("role") == "judged" and entry.get("sha256") == tensors_sha256:
            return evaluation, policy_id
    raise ConfigError(
        f"--evaluation must have judged the run's final model. Got {str(folder)!r}, in which no "
        f"judged policy has the SHA-256 {tensors_sha256[:12]}.... Evaluate this model."
    )


def _card_of(args: argparse.Namespace) -> str:
    """Return the card, once all that it names was checked."""
    run = read_run(Path(args.run), args.dataset_dir)
    if args.evaluation is None:
        return model_card(run, None, None)
    tensors_sha256 = run.description["tensors_sha256"]
    return model_card(run, *read_evaluation(Path(args.evaluation), tensors_sha256))


def main(argv: Sequence[str] | None = None) -> None:
    """Package a policy as the command line says.

    Args:
        argv: The arguments, without the program's name; the process's own when None.
    """
    args = parse_args(argv)
    try:
        card = _card_of(args)
    except RoadSenseError:
        raise
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise RecordError(
            f"records of {args.run} and of --evaluation must be whole. Got a fault at {error!s:.80}"
            ". Restore them."
        ) from error
    folder = Path(args.output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    _, tensors, description = model_files(Path(args.run) / MODEL_FILE)
    _, new_tensors, new_description = model_files(folder / PACKAGED_MODEL_FILE)
    with (
        atomic_path(new_description) as as_description,
        atomic_path(folder / CARD_FILE) as as_card,
        atomic_path(new_tensors) as as_tensors,
    ):  # left in the opposite order: the JSON, whose hashes make it whole, comes last
        shutil.copyfile(tensors, as_tensors)
        as_card.write_text(card, encoding="utf-8")
        shutil.copyfile(description, as_description)
    sys.stdout.write(f"Packaged policy: {new_tensors}\nModel card: {folder / CARD_FILE}\n")


if __name__ == "__main__":
    run_command(main)
