"""Everything that decides how a training goes on, taken from its objects and put back into them.

The moment is that between an update and the next rollout: then the rollout buffer holds nothing
that is still needed. An environment is not saved but played again from its episode's seed, and
what it shows then must be what it showed before, bit for bit.
"""

from __future__ import annotations

import random
from collections import OrderedDict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecNormalize

from ml.envs.episode_memory import EpisodeSoFar, RememberedEpisodes
from ml.envs.supervision import WorkerCounts
from ml.errors import SimulatorError
from ml.training.run_state import RunState
from ml.training.vector_adapter import WorkersVecEnv

Arrays = dict[str, npt.NDArray[Any]]

_ADAM = ("step", "exp_avg", "exp_avg_sq")
_COUNTERS = ("_n_updates", "_episode_num", "_current_progress_remaining")


class Resumable(Protocol):
    """A callback that can go on where another one was."""

    def state(self) -> dict[str, Any]:
        """Return what ``restore`` needs, as JSON can hold it."""

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what ``state`` returned."""


@dataclass(frozen=True)
class Learning:
    """The objects of a training whose state is kept.

    Attributes:
        model: The learner; its environments scale their rewards.
        vector: The environments below every wrapper.
        callbacks: What has a state of its own, by name.
    """

    model: PPO
    vector: VecEnv
    callbacks: Mapping[str, Resumable]


def capture(learning: Learning) -> RunState:
    """Return a training's state between an update and the next rollout."""
    model = learning.model
    episodes = _episodes_of(learning.vector)
    numpy_state = _numpy_state()
    arrays = {
        **_weights(model), **_generators(), **_rewards(_scaler_of(model)), **_last_step(model),
        **_episode_sums(learning.vector),
        "logger/values": np.array([float(one) for one in model.logger.name_to_value.values()]),
    }  # fmt: skip
    for row, episode in enumerate(episodes):
        if episode.actions is not None:
            arrays[f"episodes/{row}/actions"] = episode.actions
    content = {
        "counters": {name: getattr(model, name) for name in _COUNTERS},
        "learning_rates": [group["lr"] for group in model.policy.optimizer.param_groups],
        "python_gauss": random.getstate()[2],
        "numpy": {name: numpy_state[name] for name in ("has_gauss", "gauss")},
        "numpy_position": int(numpy_state["state"]["pos"]),
        "logger": {
            name: list(model.logger.name_to_excluded[name]) for name in model.logger.name_to_value
        },
        "episodes": [
            {"seed": one.seed, "index": one.index, "options": one.options} for one in episodes
        ],
        "observation_order": {
            "last_obs": list(_seen(model)),
            "last_original_obs": list(_seen_first(model)),
        },
        "workers": _counts_of(learning.vector).as_dict(),
        "callbacks": {name: one.state() for name, one in learning.callbacks.items()},
    }
    return RunState(model.num_timesteps, arrays, content)


def restore(learning: Learning, state: RunState) -> None:
    """Bring a new training to where another one was.

    Raises:
        SimulatorError: An environment does not come to what it showed before.
    """
    model, arrays, content = learning.model, state.arrays, state.content
    model.num_timesteps = state.num_steps
    for name in _COUNTERS:
        setattr(model, name, content["counters"][name])
    _restore_weights(model, arrays, content["learning_rates"])
    scaler = _scaler_of(model)
    scaler.returns = arrays["rewards/returns"].copy()
    mean, var, count = arrays["rewards/moments"]
    scaler.ret_rms.mean, scaler.ret_rms.var, scaler.ret_rms.count = mean, var, float(count)
    _restore_last_step(learning, arrays, content["observation_order"])
    _go_on(learning.vector, state)
    _counts_of(learning.vector).add(content["workers"])
    for name, one in learning.callbacks.items():
        one.restore(content["callbacks"][name])
    _restore_generators(arrays, content)


def restore_log(model: PPO, state: RunState) -> None:
    """Put back what was recorded and not yet written, once the training has a logger."""
    model._num_timesteps_at_start = 0
    values = state.arrays["logger/values"]
    for (name, excluded), value in zip(state.content["logger"].items(), values, strict=True):
        model.logger.record(name, float(value), tuple(excluded))


# --- Weights and optimiser -----------------------------------------------------------------------


def _weights(model: PPO) -> Arrays:
    """Return the policy's tensors and the optimiser's."""
    found = {f"policy/{name}": _array(one) for name, one in model.policy.state_dict().items()}
    for index, entry in model.policy.optimizer.state_dict()["state"].items():
        found |= {f"optimizer/{index}/{name}": _array(entry[name]) for name in _ADAM}
    return found


def _array(tensor: torch.Tensor) -> npt.NDArray[Any]:
    """Return a tensor's numbers."""
    numbers: npt.NDArray[Any] = tensor.detach().cpu().numpy().copy()
    return numbers


def _restore_weights(
    model: PPO, arrays: Mapping[str, npt.NDArray[Any]], learning_rates: Sequence[float]
) -> None:
    policy = model.policy
    policy.load_state_dict(
        {name: torch.as_tensor(arrays[f"policy/{name}"]) for name in policy.state_dict()}
    )
    groups = policy.optimizer.state_dict()["param_groups"]
    entries = {
        index: {name: torch.as_tensor(arrays[f"optimizer/{index}/{name}"]) for name in _ADAM}
        for group in groups
        for index in group["params"]
        if f"optimizer/{index}/{_ADAM[0]}" in arrays
    }
    for group, rate in zip(groups, learning_rates, strict=True):
        group["lr"] = rate
    policy.optimizer.load_state_dict({"state": entries, "param_groups": groups})


# --- Generators ----------------------------------------------------------------------------------


def _numpy_state() -> dict[str, Any]:
    """Return the state of numpy's global generator."""
    return dict(np.random.get_state(legacy=False))  # noqa: NPY002 - stable-baselines3 draws from it


def _generators() -> Arrays:
    """Return the states of the global generators, which stable-baselines3 draws from."""
    found = {
        "generators/python": np.array(random.getstate()[1], np.int64),
        "generators/numpy": np.array(_numpy_state()["state"]["key"]),
        "generators/torch": torch.get_rng_state().numpy(),
    }
    if torch.cuda.is_available():
        found["generators/cuda"] = torch.cuda.get_rng_state().numpy()
    return found


def _restore_generators(arrays: Mapping[str, npt.NDArray[Any]], content: Mapping[str, Any]) -> None:
    version = random.getstate()[0]
    numbers = tuple(int(one) for one in arrays["generators/python"])
    random.setstate((version, numbers, content["python_gauss"]))
    key = {"key": arrays["generators/numpy"], "pos": content["numpy_position"]}
    np.random.set_state({**_numpy_state(), **content["numpy"], "state": key})  # noqa: NPY002 - as above
    torch.set_rng_state(torch.as_tensor(arrays["generators/torch"]))
    if "generators/cuda" in arrays:
        torch.cuda.set_rng_state(torch.as_tensor(arrays["generators/cuda"]))


# --- What the learner saw last -------------------------------------------------------------------


def _scaler_of(model: PPO) -> VecNormalize:
    """Return what scales the rewards."""
    scaler = model.get_vec_normalize_env()
    if scaler is None:
        raise SimulatorError("the environments must scale their rewards. Got others. Report it.")
    return scaler


def _rewards(scaler: VecNormalize) -> Arrays:
    seen = scaler.ret_rms
    return {
        "rewards/returns": np.array(scaler.returns),
        "rewards/moments": np.array([seen.mean, seen.var, seen.count], np.float64),
    }


def _seen(model: PPO) -> dict[str, npt.NDArray[Any]]:
    """Return the observations to act on next."""
    last: Any = model._last_obs  # stable-baselines3 has no other name for it
    return dict(last)


def _seen_first(model: PPO) -> dict[str, npt.NDArray[Any]]:
    """Return the observations of the first reset, which a saved model holds too."""
    original: Any = model._last_original_obs  # as above
    return dict(original)


def _last_step(model: PPO) -> Arrays:
    """Return what the learner saw last, and the last episodes' lines in the log."""
    rows = [[one["r"], one["l"], one["t"]] for one in model.ep_info_buffer or ()]
    return {
        **{f"last_obs/{key}": np.array(value) for key, value in _seen(model).items()},
        **{f"last_original_obs/{key}": np.array(value)
           for key, value in _seen_first(model).items()},
        "last_episode_starts": np.array(model._last_episode_starts, np.bool_),
        "episode_infos": np.array(rows, np.float64).reshape(-1, 3),
    }  # fmt: skip


def _restore_last_step(
    learning: Learning, arrays: Mapping[str, npt.NDArray[Any]], order: Mapping[str, Sequence[str]]
) -> None:
    model = learning.model
    # What the environments give out, so that a saved model is the same to the last byte.
    kind = dict if isinstance(learning.vector, WorkersVecEnv) else OrderedDict
    last, original = (
        kind((key, arrays[f"{name}/{key}"].copy()) for key in order[name])
        for name in ("last_obs", "last_original_obs")
    )
    model._last_obs, model._last_original_obs = last, original
    model._last_episode_starts = arrays["last_episode_starts"].copy()
    infos = [{"r": float(one[0]), "l": int(one[1]), "t": float(one[2])}
             for one in arrays["episode_infos"]]  # fmt: skip
    window = model._stats_window_size
    model.ep_info_buffer, model.ep_success_buffer = deque(infos, window), deque(maxlen=window)


# --- Environments --------------------------------------------------------------------------------


def _episodes_of(vector: VecEnv) -> list[EpisodeSoFar]:
    """Return the present episode of every environment."""
    if isinstance(vector, WorkersVecEnv):
        return vector.episodes_so_far
    return [env.so_far() for env in _own_environments(vector)]


def _counts_of(vector: VecEnv) -> WorkerCounts:
    """Return what became of the processes, zeros without any."""
    return vector.counts if isinstance(vector, WorkersVecEnv) else WorkerCounts()


def _own_environments(vector: VecEnv) -> list[RememberedEpisodes]:
    """Return the environments of this process."""
    envs = vector.envs if isinstance(vector, DummyVecEnv) else []
    return [env for env in envs if isinstance(env, RememberedEpisodes)]


def _episode_sums(vector: VecEnv) -> Arrays:
    """Return the sums that are counted beside the environments; ``Monitor`` counts them itself."""
    if not isinstance(vector, WorkersVecEnv):
        return {}
    returns, lengths = vector.sums_so_far
    return {"episodes/returns": returns, "episodes/lengths": lengths}


def _go_on(vector: VecEnv, state: RunState) -> None:
    """Play every environment's episode again, and compare what it comes to."""
    arrays = state.arrays
    episodes = [
        EpisodeSoFar(one["seed"], one["index"], one["options"],
                     arrays.get(f"episodes/{row}/actions"))
        for row, one in enumerate(state.content["episodes"])
    ]  # fmt: skip
    if isinstance(vector, WorkersVecEnv):
        sums = arrays["episodes/returns"], arrays["episodes/lengths"]
        found = vector.go_on(episodes, *sums)
    else:
        own = _own_environments(vector)
        rows = [env.go_on(one) for env, one in zip(own, episodes, strict=True)]
        found = {key: np.stack([row[key] for row in rows]) for key in rows[0]}
    for key in found:
        if not np.array_equal(arrays[f"last_obs/{key}"], found[key], equal_nan=True):
            raise SimulatorError(
                f"{key} after {state.num_steps} steps must be what it was when the state was "
                "saved. Got another one. Use the code, inputs and packages the run was begun with."
            )
