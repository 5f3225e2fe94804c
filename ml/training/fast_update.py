"""The bridge between torch's policy and optimiser, and the kernels that update them.

The arrays are read from the tensors before an update and written back after it, in place, so a
callback, a checkpoint or the next learner finds everything where stable-baselines3 keeps it.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import scipy.linalg.cython_blas  # noqa: F401 - the kernels' BLAS, loaded before it is looked for
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.buffers import DictRolloutBuffer, RolloutBuffer
from threadpoolctl import ThreadpoolController

from ml.policies.deep_set_kernels import (
    FIRST_WIDTH,
    SIZE_EMBED,
    SIZE_HIDDEN,
    BackwardScratch,
    NetworkArrays,
    pack_observations,
)
from ml.policies.fast_forward import (
    NetworkTensors,
    make_forward_scratch,
    networks_of,
    why_unsupported,
    write_tensors,
)
from ml.training import ppo_kernels as kernels
from ml.types import Float32Array

_FIRST_MOMENT, _SECOND_MOMENT = "exp_avg", "exp_avg_sq"
_PLAIN_ADAM = {
    "weight_decay": 0,
    "amsgrad": False,
    "maximize": False,
    "capturable": False,
    "differentiable": False,
}


def one_blas_thread() -> AbstractContextManager[Any]:
    """Keep matrix products to one thread, whatever the machine: they are shorter than a hand-over.

    The number of threads then has no part in the weights either. The libraries are looked up anew,
    1 ms, because one may have been loaded since.
    """
    controller = ThreadpoolController()
    limited: AbstractContextManager[Any] = controller.limit(limits=1, user_api="blas")
    return limited


def why_unsupported_model(model: PPO) -> str | None:
    """Return why the kernels cannot train a model, None if they can."""
    if type(model) is not PPO:
        return f"the learner is a {type(model).__name__}"
    if model.use_sde:
        return "exploration depends on the state"
    if model.rollout_buffer_class is not DictRolloutBuffer:
        return f"the rollout buffer is a {getattr(model.rollout_buffer_class, '__name__', '?')}"
    return why_unsupported(model.policy) or _why_unsupported_optimizer(model)


def _why_unsupported_optimizer(model: PPO) -> str | None:
    """Return why the kernels cannot take the optimiser's steps."""
    optimizer = model.policy.optimizer
    if type(optimizer) is not torch.optim.Adam:
        return f"the optimiser is {type(optimizer).__name__}"
    if len(optimizer.param_groups) != 1:
        return "the optimiser has several groups of parameters"
    group = optimizer.param_groups[0]
    changed = [name for name, plain in _PLAIN_ADAM.items() if group[name] != plain]
    if changed:
        return f"the optimiser has {changed[0]}"
    own = {id(p) for network in networks_of(model.policy) for p in network.parameters}
    if own != {id(parameter) for parameter in model.policy.parameters()}:
        return "the policy has other parameters"
    return None


class UpdateMemory:
    """The arrays of updates of one shape, kept from one to the next: the actor's, the critic's.

    Args:
        networks: Actor and critic.
        batch_size: Steps of a minibatch.
        num_slots: Slots for peers in an observation.
    """

    def __init__(
        self, networks: tuple[NetworkTensors, NetworkTensors], batch_size: int, num_slots: int
    ) -> None:
        self.batch_size = batch_size
        self.scratches = (
            _update_scratch(networks, batch_size, num_slots),
            _update_scratch(networks, batch_size, num_slots),
        )


def _update_scratch(
    networks: tuple[NetworkTensors, NetworkTensors], batch_size: int, num_slots: int
) -> kernels.UpdateScratch:
    """Return memory that does for either network."""
    num_actions = int(networks[0].sizes[-1])
    num_peers = batch_size * num_slots
    forward = make_forward_scratch(networks, batch_size, num_slots)
    widest = max(int(one.sizes[FIRST_WIDTH:].max()) for one in networks)
    layer_size = batch_size * max(widest, forward.features.shape[1])
    sizes = networks[0].sizes
    backward = BackwardScratch(
        layer=np.zeros(layer_size, np.float32),
        layer_below=np.zeros(layer_size, np.float32),
        hidden=np.zeros((num_peers, sizes[SIZE_HIDDEN]), np.float32),
        embedded=np.zeros((num_peers, sizes[SIZE_EMBED]), np.float32),
        ties=np.zeros(sizes[SIZE_EMBED], np.float32),
    )
    rows = [np.zeros(batch_size, np.float32) for _ in range(4)]
    batch = kernels.Minibatch(np.zeros((batch_size, num_actions), np.float32), *rows)
    return kernels.UpdateScratch(forward, backward, batch)


def read_network(
    network: NetworkTensors, optimizer: torch.optim.Optimizer
) -> kernels.TrainedNetwork:
    """Return a network's weights and Adam's moments as arrays, 0 before the first step."""
    weights = network.read()
    moments = [
        np.concatenate([_moment(optimizer, parameter, name) for parameter in network.parameters])
        for name in (_FIRST_MOMENT, _SECOND_MOMENT)
    ]
    gradient = np.zeros_like(weights)
    return kernels.TrainedNetwork(NetworkArrays(weights, network.sizes), gradient, *moments)


def _moment(optimizer: torch.optim.Optimizer, parameter: torch.Tensor, name: str) -> Float32Array:
    """Return one of Adam's moments of a parameter, flat."""
    state = optimizer.state.get(parameter)
    if not state:
        return np.zeros(parameter.numel(), np.float32)
    flat: Float32Array = state[name].detach().reshape(-1).numpy()
    return flat


def steps_taken(network: NetworkTensors, optimizer: torch.optim.Optimizer) -> int:
    """Return the number of steps that the optimiser has taken."""
    state = optimizer.state.get(network.parameters[0])
    return int(state["step"]) if state else 0


def write_network(
    network: NetworkTensors,
    optimizer: torch.optim.Optimizer,
    trained: kernels.TrainedNetwork,
    num_steps: int,
) -> None:
    """Copy weights, moments and the number of steps back, in place."""
    network.write(trained.arrays.weights)
    _prepare_state(optimizer)
    for parameter in network.parameters:
        optimizer.state[parameter]["step"].fill_(float(num_steps))
    moments = {_FIRST_MOMENT: trained.first_moment, _SECOND_MOMENT: trained.second_moment}
    for name, moment in moments.items():
        write_tensors([optimizer.state[one][name] for one in network.parameters], moment)


def _prepare_state(optimizer: torch.optim.Optimizer) -> None:
    """Give every parameter its state in the optimiser's own order, as the first step would."""
    for parameter in optimizer.param_groups[0]["params"]:
        state = optimizer.state[parameter]
        if not state:
            state["step"] = torch.zeros((), dtype=torch.float32)
            for name in (_FIRST_MOMENT, _SECOND_MOMENT):
                state[name] = torch.zeros_like(parameter, memory_format=torch.preserve_format)


def pack_rollout(
    buffer: RolloutBuffer, scales: tuple[Float32Array, Float32Array]
) -> kernels.PackedRollout:
    """Return a full buffer's steps in its own order, that of the minibatches' indices.

    Args:
        buffer: A full buffer, flat already or not; left as it is.
        scales: What to divide the ego's and a peer's features by.
    """

    def flat(array: Any) -> Any:  # noqa: ANN401 - an array
        rows = array if buffer.generator_ready else buffer.swap_and_flatten(array)
        return np.ascontiguousarray(rows, dtype=np.float32)

    ego, peers, mask = (flat(buffer.observations[key]) for key in ("ego", "peers", "peer_mask"))
    num_steps = len(ego)
    counts = np.zeros(num_steps, np.int64)
    packed = np.empty((num_steps * mask.shape[1], peers.shape[2]), np.float32)
    scaled_ego = np.empty_like(ego)
    pack_observations(ego, peers, mask, *scales, counts, packed, scaled_ego)
    return kernels.PackedRollout(
        np.cumsum(counts) - counts,
        counts,
        packed,
        scaled_ego,
        flat(buffer.actions),
        *(
            flat(array).reshape(-1)
            for array in (buffer.values, buffer.log_probs, buffer.advantages, buffer.returns)
        ),
    )


def update_settings(model: PPO, clip_range: float, clip_range_vf: float | None) -> kernels.Settings:
    """Return the settings of an update as the kernels take them."""
    group = model.policy.optimizer.param_groups[0]
    beta_1, beta_2 = group["betas"]
    return kernels.Settings(
        clip_range=float(clip_range),
        clip_range_vf=-1.0 if clip_range_vf is None else float(clip_range_vf),
        is_normalizing=bool(model.normalize_advantage),
        entropy_coefficient=float(model.ent_coef),
        value_coefficient=float(model.vf_coef),
        max_gradient_norm=float(model.max_grad_norm),
        target_kl=np.inf if model.target_kl is None else float(model.target_kl),
        learning_rate=float(group["lr"]),
        beta_1=float(beta_1),
        beta_2=float(beta_2),
        epsilon=float(group["eps"]),
    )
