"""Reading a trained policy back."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ml.errors import PolicyError
from ml.policies.deep_set_policy import has_finite_weights
from ml.policies.optimiser_start import leave_out_compiler

MODEL_FILE = "model_final.zip"
PACKAGED_POLICY = "packaged"
"""What names the trained policy that the package brings, wherever a model can be named."""
PACKAGED_FOLDER = Path(__file__).with_name("packaged")
PACKAGED_MODEL_FILE = "policy.zip"
"""Its two safe files have this stem; there is no zip."""
TENSORS_SUFFIX = ".safetensors"
DESCRIPTION_SUFFIX = ".json"


def model_files(path: str | Path) -> tuple[Path, Path, Path]:
    """Return a model's files: the zip, its tensors and their description.

    >>> [file.name for file in model_files("model_final.zip")]
    ['model_final.zip', 'model_final.safetensors', 'model_final.json']
    """
    model = Path(path)
    return model, model.with_suffix(TENSORS_SUFFIX), model.with_suffix(DESCRIPTION_SUFFIX)


def is_packaged_policy(name: str | Path) -> bool:
    """Return whether ``name`` names the packaged policy; a file or folder of that name goes first.

    >>> is_packaged_policy("packaged"), is_packaged_policy("elsewhere/packaged")
    (True, False)
    """
    return str(name) == PACKAGED_POLICY and not os.path.lexists(PACKAGED_POLICY)


def find_model(path: str | Path) -> Path:
    """Return the model that ``path`` names.

    Args:
        path: A model's file, a run's folder for its final model, or ``packaged`` for the policy
            that the package brings.

    Raises:
        PolicyError: Nothing is there.
    """
    model = Path(path)
    if is_packaged_policy(path):
        model = model_files(PACKAGED_FOLDER / PACKAGED_MODEL_FILE)[2]
    if model.is_dir():
        zipped, _, described = model_files(model / MODEL_FILE)
        model = described if described.is_file() and not zipped.is_file() else zipped
    if not os.path.isfile(model):  # noqa: PTH113 - unlike Path's, false for a name too long
        raise PolicyError(
            f"{path} must be a model saved by train_convoy, a run's folder that holds "
            f"{MODEL_FILE}, or {PACKAGED_POLICY!r}. Got no such file. Check the path."
        )
    return model


def load_policy(path: str | Path, load: Callable[[str], Any]) -> Any:  # noqa: ANN401 - as ``load``
    """Read a model by ``load``, or say in one line why that fails.

    Args:
        path: Path of the model.
        load: What reads it, such as ``PPO.load``.

    Returns:
        What ``load`` returned.

    Raises:
        PolicyError: The model cannot be read.
    """
    leave_out_compiler()
    try:
        return load(str(path))
    except Exception as error:  # a damaged archive can raise anything while it is unpickled
        reason = str(error) or type(error).__name__
        raise PolicyError(
            f"{path} must be a model saved by train_convoy. Got: {reason}. Check the path."
        ) from error


def check_fits(model: Any, env: Any, path: str | Path) -> None:  # noqa: ANN401 - untyped libraries
    """Check that a model acts on what an environment shows, and as it expects.

    Raises:
        PolicyError: The model was made for another environment, or cannot act at all.
    """
    for name in ("observation_space", "action_space"):
        own, wanted = getattr(model, name, None), getattr(env, name)
        if own != wanted:
            raise PolicyError(
                f"{name} of {path} must be the environment's {wanted}. Got {own}. "
                "Train a policy with train_convoy."
            )
    if not has_finite_weights(model.policy):
        raise PolicyError(
            f"weights of {path} must be finite. Got NaN or infinity. Train it again with a lower "
            "--learning_rate."
        )
