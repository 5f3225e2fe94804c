"""Models as files that hold numbers only: ``<stem>.safetensors`` with ``<stem>.json`` beside it.

A zip of stable-baselines3 holds pickles, and reading one runs whatever its author put there. These
two files hold tensors and a description of the network; all of both is checked before a policy is
built, and only our own network is. The JSON names the hashes of the tensors and of the zip.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from gymnasium import spaces
from safetensors import SafetensorError, deserialize
from safetensors.torch import save as tensor_bytes
from stable_baselines3 import PPO
from stable_baselines3.common.policies import ActorCriticPolicy

from ml.bounded_files import MIB, UnusableFileError, read_bounded
from ml.errors import PolicyError
from ml.json_schema import check_form
from ml.policies.checkpoint import (
    DESCRIPTION_SUFFIX,
    TENSORS_SUFFIX,
    find_model,
    load_policy,
    model_files,
)
from ml.policies.network_description import (
    build_policy,
    describe_network,
    named_tensors,
    why_unusable,
)
from ml.provenance import atomic_path, installed_version, sha256_of_file, software_versions

FORMAT_VERSION = 1
LARGEST_DESCRIPTION_BYTES = MIB
LARGEST_TENSORS_BYTES = 64 * MIB

_PACKAGE = "roadsense-v2v"
_SCHEMA_PATH = Path(__file__).with_name("model_file.schema.json")


@dataclass(frozen=True)
class LoadedModel:
    """A trained policy that was read from a file.

    Attributes:
        policy: The network, in stable-baselines3's class.
        num_timesteps: Steps that it was trained for.
        sha256: Hash of the file that the weights came from.
        is_safe: Whether that was a file of numbers; False for a zip that was trusted.
    """

    policy: Any
    num_timesteps: int
    sha256: str
    is_safe: bool

    @property
    def observation_space(self) -> spaces.Space[Any]:
        """What it acts on."""
        space: spaces.Space[Any] = self.policy.observation_space
        return space

    @property
    def action_space(self) -> spaces.Space[Any]:
        """What its actions are."""
        space: spaces.Space[Any] = self.policy.action_space
        return space

    def predict(
        self,
        observation: Any,  # noqa: ANN401 - a dict of arrays, typed otherwise by the library
        state: Any = None,  # noqa: ANN401 - as the library's
        episode_start: Any = None,  # noqa: ANN401 - as the library's
        deterministic: bool = False,
    ) -> tuple[np.ndarray[Any, Any], Any]:
        """Return the actions, as the ``predict`` of stable-baselines3's models does.

        Args:
            observation: Of one moment, or several with a leading axis.
            state: Not used: the policy has none.
            episode_start: Not used.
            deterministic: Whether to return the action's mean instead of a draw.
        """
        actions: tuple[np.ndarray[Any, Any], Any] = self.policy.predict(
            observation, state, episode_start, deterministic
        )
        return actions


# --- Writing -------------------------------------------------------------------------------------


def write_model(model: Any, path: str | Path, save_zip: Callable[[Path], None]) -> None:  # noqa: ANN401 - a model, or a test's double
    """Write a model's zip with its safe pair, each file whole or not at all.

    All are written before the first takes its place, and the JSON comes last: until then its old
    version names other hashes, so that a mixture is refused and never read. A policy of another
    kind than our own gets the zip alone.

    Args:
        model: The model.
        path: Path of the zip.
        save_zip: Writes the zip to a path.

    Raises:
        RecordError: A file cannot be written.
    """
    network = describe_network(getattr(model, "policy", None))
    if network is None:
        with atomic_path(path) as temporary:
            save_zip(temporary)
        return
    tensors = tensors_of(model.policy)
    zip_path, tensors_path, description_path = model_files(path)
    with (
        atomic_path(description_path) as new_description,
        atomic_path(zip_path) as new_zip,
        atomic_path(tensors_path) as new_tensors,
    ):  # left in the opposite order
        save_zip(new_zip)
        new_tensors.write_bytes(tensors)
        description = {
            "format_version": FORMAT_VERSION,
            "num_timesteps": int(model.num_timesteps),
            "network": network,
            "tensors_sha256": hashlib.sha256(tensors).hexdigest(),
            "zip_sha256": sha256_of_file(new_zip),
            "versions": {_PACKAGE: installed_version(_PACKAGE), **software_versions()},
        }
        text = json.dumps(description, indent=2, allow_nan=False)
        new_description.write_text(f"{text}\n", encoding="utf-8")


def tensors_of(policy: ActorCriticPolicy) -> bytes:
    """Return a policy's weights and scales as the content of a `.safetensors` file."""
    return tensor_bytes(
        {name: tensor.detach().cpu() for name, tensor in named_tensors(policy).items()}
    )


def copy_model(source: str | Path, target: str | Path) -> None:
    """Copy a model's zip and, where it has one, its safe pair, in the order of ``write_model``.

    Args:
        source: Path of the zip.
        target: Path of the new zip.

    Raises:
        RecordError: A file cannot be written.
    """
    pairs = zip(model_files(source), model_files(target), strict=True)
    there = [(old, new) for old, new in pairs if old.is_file()]
    with ExitStack() as stack:
        # Entered from last to first, since they are left in the opposite order.
        order = sorted(there, key=lambda pair: pair[1].suffix == DESCRIPTION_SUFFIX, reverse=True)
        for old, new in order:
            shutil.copyfile(old, stack.enter_context(atomic_path(new)))


# --- Reading -------------------------------------------------------------------------------------


def load_model(path: str | Path, *, is_trusted: bool = False) -> LoadedModel:
    """Read a trained policy; unless told to trust a zip, run nothing that the files hold.

    Args:
        path: A run's folder, a model's `.zip`, `.json` or `.safetensors`, or ``packaged``.
        is_trusted: Whether a zip without a safe pair that names its hash may be unpickled.

    Returns:
        What acts through ``predict``.

    Raises:
        PolicyError: The model cannot be read, or is a zip that only unpickling could read.
    """
    model = find_model(path)
    if model.suffix in {DESCRIPTION_SUFFIX, TENSORS_SUFFIX}:
        return _read_pair(model)
    try:
        return _read_pair_of_zip(model)
    except PolicyError:
        if not is_trusted:
            raise
    loaded = load_policy(model, PPO.load)
    sha256 = sha256_of_file(model)
    return LoadedModel(loaded.policy, loaded.num_timesteps, sha256, is_safe=False)


def _read_pair_of_zip(path: Path) -> LoadedModel:
    """Read the safe pair beside a zip, or say how to go on without one."""
    description_path = path.with_suffix(DESCRIPTION_SUFFIX)
    problem = f"no {description_path.name} beside it"
    if description_path.is_file():
        if _read_description(description_path)["zip_sha256"] == sha256_of_file(path):
            return _read_pair(path)
        problem = f"{description_path.name} beside it, which names another zip"
    raise PolicyError(
        f"{path} must have its {TENSORS_SUFFIX} and {DESCRIPTION_SUFFIX} files beside it, since "
        f"reading a zip can run code of its author. Got {problem}. Add them, or add --trust if "
        "you trust the author."
    )


def _read_pair(path: Path) -> LoadedModel:
    """Read a safe pair, given by either file or the zip."""
    tensors_path = path.with_suffix(TENSORS_SUFFIX)
    description = _read_description(path.with_suffix(DESCRIPTION_SUFFIX))
    content = _read_bytes(tensors_path, LARGEST_TENSORS_BYTES)
    sha256 = hashlib.sha256(content).hexdigest()
    if sha256 != description["tensors_sha256"]:
        raise PolicyError(
            f"SHA-256 of {tensors_path} must be {description['tensors_sha256'][:12]}... as "
            f"{path.with_suffix(DESCRIPTION_SUFFIX).name} says. Got {sha256[:12]}.... Copy both "
            "files of the model again."
        )
    try:
        policy = policy_of(description["network"], content)
    except (PolicyError, SafetensorError, ValueError) as error:
        raise _no_model(tensors_path, str(error)) from error
    return LoadedModel(policy, description["num_timesteps"], sha256, is_safe=True)


def policy_of(network: Mapping[str, Any], tensors: bytes) -> ActorCriticPolicy:
    """Return a policy that acts, from its description and its weights.

    Args:
        network: As ``describe_network`` returns it.
        tensors: As ``tensors_of`` returns them.

    Raises:
        PolicyError: One contradicts the other, or itself.
        SafetensorError: The tensors cannot be parsed.
    """
    policy = build_policy(network)
    _set_tensors(policy, _parse_tensors(tensors))
    policy.set_training_mode(False)
    return policy


def _parse_tensors(content: bytes) -> dict[str, Mapping[str, Any]]:
    """Return the shape, dtype and bytes of each tensor by its name."""
    parse: Any = deserialize  # the library's stubs give it no type
    return dict(parse(content))


def _set_tensors(policy: ActorCriticPolicy, found: Mapping[str, Mapping[str, Any]]) -> None:
    """Check every tensor against the network, then copy all into it."""
    wanted = named_tensors(policy)
    odd = sorted(wanted.keys() ^ found.keys())
    if odd:
        kind = "an unknown tensor" if odd[0] in found else "no tensor"
        raise PolicyError(f"{kind} {odd[0]!r:.100}")
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    for name, tensor in wanted.items():
        got = (found[name]["dtype"], list(found[name]["shape"]))
        if got != ("F32", list(tensor.shape)):
            raise PolicyError(
                f"{name} as {got[0]} {got[1]!r:.60} instead of F32 {list(tensor.shape)}"
            )
        arrays[name] = np.frombuffer(found[name]["data"], dtype="<f4").reshape(got[1])
        problem = why_unusable(name, arrays[name], tensor)
        if problem is not None:
            raise PolicyError(problem)
    with torch.no_grad():
        for name, tensor in wanted.items():
            tensor.copy_(torch.from_numpy(arrays[name].astype(np.float32)))


def _read_description(path: Path) -> dict[str, Any]:
    """Read a model's JSON and check all of it."""
    content = _read_bytes(path, LARGEST_DESCRIPTION_BYTES)
    try:
        description = json.loads(content.decode("utf-8"), parse_constant=_refuse_constant)
        _check_version(path, description)
        check_form(description, _SCHEMA_PATH)
    except PolicyError:
        raise
    except (ValueError, RecursionError) as error:
        raise _no_model(path, str(error)) from error
    checked: dict[str, Any] = description
    return checked


def _check_version(path: Path, description: object) -> None:
    """Refuse a format that this version does not know, before anything else is looked at."""
    version = description.get("format_version") if isinstance(description, dict) else None
    if not isinstance(version, int) or isinstance(version, bool) or version == FORMAT_VERSION:
        return
    hint = "Update roadsense" if version > FORMAT_VERSION else "There is no older one: check it"
    raise PolicyError(
        f"format_version of {path} must be {FORMAT_VERSION}. Got {version!s:.20}. {hint}."
    )


def _refuse_constant(name: str) -> NoReturn:
    """Refuse NaN and infinity, which are no JSON."""
    raise ValueError(f"{name} is no number")


def _read_bytes(path: Path, largest: int) -> bytes:
    """Return a file's content, or raise PolicyError if there is none or too much of it."""
    try:
        return read_bounded(path, largest)
    except UnusableFileError as error:
        raise _no_model(path, str(error)) from error


def _no_model(path: Path, reason: str) -> PolicyError:
    """Return the error for a file that holds something else."""
    return PolicyError(
        f"{path} must be a file of a model saved by train_convoy. Got {reason}. Copy the model's "
        f"{TENSORS_SUFFIX} and {DESCRIPTION_SUFFIX} files again."
    )
