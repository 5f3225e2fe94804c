"""Trains one variant of the recipe with one seed.

    python experiments/train.py VARIANT SEED --dataset_dir DIR [--output_dir DIR]

``variants/VARIANT.json`` holds what it changes: `flags` of ``train_convoy``, arguments of the
training `environment`, and `constants` of modules, as in "ml.training.imitation.ACTION_STD".
"""

from __future__ import annotations

import argparse
import functools
import importlib
import json
from pathlib import Path
from typing import Any

from experiments import dagger
from ml.training import learning, recipe
from ml.training.train_convoy import main as train

FOLDER = Path(__file__).resolve().parent


def main() -> None:
    """Change what the variant changes, and train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("variant")
    parser.add_argument("seed")
    parser.add_argument("--dataset_dir", required=True)
    parser.add_argument("--output_dir", default="/tmp/runs")
    args = parser.parse_args()
    variant = json.loads((FOLDER / "variants" / f"{args.variant}.json").read_text())
    for name, value in variant.get("constants", {}).items():
        module, _, constant = name.rpartition(".")
        setattr(importlib.import_module(module), constant, value)
    _change_environment(variant.get("environment", {}))
    if "imitation" in variant:
        learning.imitate_oracle = functools.partial(dagger.imitate_oracle, variant["imitation"])
    if variant.get("is_learning_rate_decaying"):
        _let_learning_rate_decay()
    flags = [f"--{name}={value}" for name, value in variant["flags"].items()]
    output = Path(args.output_dir) / f"{args.variant}_s{args.seed}"
    train(
        ["--dataset_dir", args.dataset_dir, "--seed", args.seed, "--output_dir", str(output),
         "--dev_episodes", "0", "--skip_eval", "--checkpoint_interval", "1000000000",
         "--overwrite", "--quiet", *flags]
    )  # fmt: skip


def _change_environment(changes: dict[str, Any]) -> None:
    """Let training environments have other arguments."""
    plain = recipe.environment_kwargs

    def changed(args: argparse.Namespace, mode: str) -> dict[str, Any]:
        return {**plain(args, mode), **(changes if mode == "train" else {})}

    recipe.environment_kwargs = changed


def _let_learning_rate_decay() -> None:
    """Let the learning rate fall to 0 over the training."""
    plain = learning.make_model

    def make_model(*args: Any, **kwargs: Any) -> Any:
        model, learner = plain(*args, **kwargs)
        first = model.learning_rate
        model.lr_schedule = lambda progress: first * progress
        return model, learner

    learning.make_model = make_model


if __name__ == "__main__":
    main()
