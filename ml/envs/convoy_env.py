"""``RoadSense-Convoy-v0``: the rearmost car of a convoy, assisted by what it hears."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt

from ml.envs.action import action_space, demand_from_action
from ml.envs.bystander import Bystander, checked_bystander, checked_share, draw_bystander
from ml.envs.conditions import (
    EGO_DRIVERS,
    PEER_DRIVERS,
    checked_choice,
    checked_max_steps,
    checked_reset_options,
    draw_conditions,
)
from ml.envs.convoy_view import RENDER_MODES, ConvoyView
from ml.envs.episode_recorder import TRACE_SHA256, EpisodeRecorder, trace_sha256
from ml.envs.hazards import MIN_SOURCE_SPEED_MPS, HazardPlan, HazardSetting, draw_hazard
from ml.envs.observation import Observer, observation_space, observation_tables
from ml.envs.reward import RewardFunction, reward_table
from ml.envs.scenario_manager import MODES
from ml.envs.scenario_source import open_scenario_source
from ml.envs.stage_timer import StageTimer
from ml.envs.sumo_connection import ScenarioFiles, SumoConnection
from ml.envs.traffic import StepEvents, Traffic
from ml.errors import ConfigError, ScenarioError
from ml.espnow_emulator.emulator import RadioEmulator
from ml.espnow_emulator.fault_requests import FaultRequest, checked_faults, placed_faults
from ml.espnow_emulator.parameters import load_radio_parameters
from ml.metrics.safety_kernels import oracle_demand_mps2
from ml.seeding import EpisodeStreams, check_master_seed, episode_streams
from ml.types import (
    CAR_ACCELERATION,
    CONTROL_PERIOD_S,
    STAGE_OBSERVATION,
    STAGE_RADIO,
    STAGE_SIMULATOR,
)

WARM_UP_STEPS = 20

Observation = dict[str, Any]


class ConvoyEnv(ConvoyView, gym.Env[Observation, npt.NDArray[np.float32]]):
    """The rearmost car of a convoy, whose driver is assisted by what its radio hears.

    Description
    -----------
    Up to eight cars drive ahead of the ego, ``V001``, and broadcast their state over an emulated
    ESP-NOW radio. A human driver model steers the ego's speed, seeing only the car directly ahead;
    the policy adds braking. SUMO moves the cars in steps of 0.1 s; the ego goes through an actuator
    with a dead time of one step, a lag of 0.2 s and a jerk limit of 25 m/s^3: the command computed
    from the observation at t is given at t and takes hold over [t + 0.1 s, t + 0.2 s].

    Action
    ------
    ``Box(-1, 1, (1,))``: a <= 0 is no intervention; a > 0 demands a deceleration of ``8 a`` m/s^2.
    The ego's command is the smaller of the driver's and ``-8 a``.

    Observation
    -----------
    ``Dict`` of ``ego``, ``peers`` (8, 10) and ``peer_mask`` (8,): only what the board can compute
    from its own sensors and the frames it received, in the ego's frame. Slots have no meaning and
    are shuffled each episode; ``peer_mask`` is 1 where a slot holds a peer heard within the
    staleness threshold.

    {observation_tables}
    Rewards
    -------
    The weighted sum of these costs of what really happened (``info["reward_terms"]`` holds the
    weighted terms, which add up to the reward):

    {reward_table}

    Starting state
    --------------
    The scenario's cars at their places and speeds; the ego at its driver's own gap, 2 m + T v with
    T drawn from 0.4 to 2.0 s; then 2 s of warm-up under the driver alone, which fill the radio and
    the history. The road is dry (8 to 9.8 m/s^2) or, in a fifth of the episodes, wet (5 m/s^2), for
    every car. One car ahead may brake: hard to a standstill (``hard_stop``), hard for a while
    (``hard_resolve``), mildly (``benign``), or not at all (``calm``).

    End of episode
    --------------
    ``terminated``: the ego touches the car ahead. ``truncated``: ``max_steps`` have passed, a car
    reaches the end of its route, or a vehicle that is not of the convoy gets among its cars. The
    last step's ``info["episode_record"]`` holds the episode's metrics from ground truth, its
    ``end_reason`` and what the hazard really was.

    Arguments:
    ----------
    See ``__init__``. ``reset(options=...)`` fixes single draws of the next episode:
    ``scenario_id``, ``episode_index``, ``hazard`` (a dict of ``kind``, ``source_rank``,
    ``onset_s``, ``deceleration_mps2``, ``hold_s``, ``min_speed_mps``), ``headway_s``,
    ``reaction_delay_s``, ``friction_mps2``, ``ego_driver``, ``peer_driver``, ``radio_faults`` and
    ``bystander`` (see :class:`~ml.envs.bystander.BystanderPlan`).

    Version history
    ---------------
    v0: first version.
    """

    metadata = {"render_modes": list(RENDER_MODES), "render_fps": 10}  # noqa: RUF012 - Gymnasium's

    def __init__(  # noqa: PLR0913 - the signature is part of the environment's contract
        self,
        *,
        sumo_cfg: str | Path | None = None,
        dataset_dir: str | Path | None = None,
        scenario_mode: str = "train",
        hold_out_development: bool = False,
        scenario_seed: int | None = None,
        emulator_params_path: str | Path | None = None,
        radio_faults: Sequence[FaultRequest] = (),
        max_steps: int = 500,
        hazard_injection: bool = True,
        ego_driver: str = "human",
        peer_driver: str = "sumo",
        bystander_share: float = 0.0,
        environment_index: int = 0,
        render_mode: str | None = None,
        gui: bool = False,
    ) -> None:
        """Check the arguments; SUMO starts with the first ``reset``.

        Args:
            sumo_cfg: A single scenario. Exactly one of it and ``dataset_dir`` is needed.
            dataset_dir: A dataset made by ``ml.scripts.gen_scenarios``.
            scenario_mode: ``train`` draws scenarios at random, and radio conditions too;
                ``eval`` walks the evaluation split in order under the radio's nominal values;
                ``dev`` does so with the last tenth of the training split.
            hold_out_development: Leave that last tenth out of mode ``train``.
            scenario_seed: Master seed; None draws one. ``reset(seed=...)`` replaces it.
            emulator_params_path: Radio parameters; None takes the dataset's, else the default.
            radio_faults: What goes wrong with the radio in every episode; see radio_faults.md.
            max_steps: Length of an episode [control steps].
            hazard_injection: Whether cars ahead may brake; without it every episode is calm.
            ego_driver: ``human``, ``careful`` (of R157), ``none`` (it never brakes) or ``sumo``.
            peer_driver: ``sumo`` (no reaction delay) or ``delayed``.
            bystander_share: Probability that a car with a board, not of the convoy, brakes nearby.
            environment_index: Index among parallel environments; part of every episode's seed.
            render_mode: ``human`` opens SUMO's window, like ``gui``; ``rgb_array`` lets ``render``
                return the convoy from above as a picture.
            gui: Show the simulation in SUMO's window.

        Raises:
            ConfigError: An argument is out of range.
            ScenarioError: The scenario or dataset cannot be used.
            RadioParameterError: The radio parameters cannot be used.
        """
        checked_choice("scenario_mode", scenario_mode, MODES)
        if render_mode is not None:
            checked_choice("render_mode", render_mode, RENDER_MODES)
        if scenario_seed is None:
            scenario_seed = int(np.random.SeedSequence().generate_state(1)[0])
        self.master_seed = check_master_seed(scenario_seed, "scenario_seed")
        self.render_mode = render_mode
        self.max_steps = checked_max_steps(max_steps)
        self._mode = scenario_mode
        self._hazard_injection = hazard_injection
        self._ego_driver = checked_choice("ego_driver", ego_driver, EGO_DRIVERS)
        self._peer_driver = checked_choice("peer_driver", peer_driver, PEER_DRIVERS)
        self._bystander_share = checked_share(bystander_share)
        self._environment_index = environment_index
        self._scenarios = open_scenario_source(
            sumo_cfg, dataset_dir, seed=self.master_seed, mode=scenario_mode,
            hold_out_development=hold_out_development,
        )  # fmt: skip
        params_path = emulator_params_path or self._scenarios.emulator_params_path
        self._radio_faults = checked_faults(radio_faults)
        self.radio = RadioEmulator(load_radio_parameters(params_path))
        self.observation_space = observation_space()
        self.action_space = action_space()
        self._connection = SumoConnection(gui=gui or render_mode == "human")
        self._traffic, self._bystander = Traffic(self._connection), Bystander()
        self._observer, self._reward = Observer(), RewardFunction()
        self._recorder = EpisodeRecorder(max_steps)
        if render_mode == "rgb_array":
            self.keep_frames()
        self.stage_timer = StageTimer()
        self._episode_index, self._is_running = 0, False

    # --- Gymnasium's interface ---------------------------------------------------------------

    def reset(
        self, *, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start the next episode.

        Args:
            seed: A new master seed, from which the sequence of episodes starts again.
            options: Values to fix in this episode; see the class's ``Arguments``.

        Returns:
            The observation and ``info`` with the scenario, the seed and the planned hazard.
        """
        super().reset(seed=seed)
        self.stage_timer.start()
        options = checked_reset_options(options)
        if seed is not None:
            self.master_seed = check_master_seed(seed)
            self._scenarios.reseed(self.master_seed)
            self._episode_index = 0
        if "episode_index" in options:
            self._episode_index = options["episode_index"]
        files, scenario_id = self._scenarios.select(self._episode_index, options.get("scenario_id"))
        streams = episode_streams(
            self.master_seed, split=self._mode, environment_index=self._environment_index,
            episode_index=self._episode_index,
        )  # fmt: skip
        try:
            observation = self._begin_episode(files, streams, options)
        except BaseException:
            self.close()
            raise
        self._scenario_id, self._current_index = scenario_id, self._episode_index
        self._episode_index += 1
        self._is_running = True
        self.stage_timer.lap(STAGE_SIMULATOR)
        return observation, {**self._identity(), "hazard": asdict(self._traffic.plan)}

    def step(self, action: np.ndarray) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Advance the convoy by one control period under the policy's demand.

        Args:
            action: Shape (1,), in [-1, 1]; values beyond are clipped.

        Returns:
            Observation, reward, terminated, truncated, info.
        """
        if not self._is_running:
            raise ConfigError("step must follow reset: the episode is over or has not begun.")
        self.stage_timer.start()
        demand_mps2 = demand_from_action(action)
        oracle_mps2 = self.oracle_demand_mps2
        acceleration_before = float(self.cars[0, CAR_ACCELERATION])
        events = self._advance_traffic(demand_mps2)
        self._time_s = (self._recorder.num_steps + 1) * CONTROL_PERIOD_S
        self.stage_timer.lap(STAGE_SIMULATOR)
        self._hear()
        self.stage_timer.lap(STAGE_RADIO)
        observation = self._observe()
        reward, terms = self._reward(
            self.cars, acceleration_before, self._traffic.ego_driver_command_mps2,
            free_speed_mps=self._traffic.convoy_speed_mps, impact_speed_mps=events.impact_speed_mps,
        )  # fmt: skip
        self._recorder.add_step(
            self._traffic, demand_mps2=demand_mps2, oracle_mps2=oracle_mps2, reward=reward
        )
        terminated = events.impact_speed_mps is not None
        end_reason = self._traffic.end_reason(
            events, is_last_step=self._recorder.num_steps >= self.max_steps
        )
        truncated = end_reason is not None and not terminated
        info: dict[str, Any] = {"scenario_id": self._scenario_id, "reward_terms": terms}
        if events.peer_contacts:
            info["peer_contacts"] = events.peer_contacts
        if terminated or truncated:
            impact = events.impact_speed_mps
            info["episode_record"] = {
                **self._recorder.record(self._identity(), self._traffic, impact_speed_mps=impact),
                "end_reason": end_reason,
                **self.radio.record(),
                TRACE_SHA256: trace_sha256(self.trace, self.radio.checksum),
            }
            self._is_running = False
        self.stage_timer.lap(STAGE_OBSERVATION)
        return observation, reward, terminated, truncated, info

    def close(self) -> None:
        """Stop SUMO; safe to call again."""
        self._is_running = False
        self._connection.close()

    # --- Scenario selection ------------------------------------------------------------------

    def set_eval_mode(self) -> None:
        """Walk the evaluation split in order, from the next ``reset`` on."""
        self._set_mode("eval")

    def set_train_mode(self) -> None:
        """Draw training scenarios at random, from the next ``reset`` on."""
        self._set_mode("train")

    def _set_mode(self, mode: str) -> None:
        self._mode = mode
        self._scenarios.set_mode(mode)
        self._episode_index = 0

    def get_scenario_count(self) -> int:
        """Return the number of scenarios in the present split."""
        return self._scenarios.count()

    @property
    def is_development_disjoint(self) -> bool:
        """Whether mode ``train`` never meets a scenario of the development split."""
        return self._scenarios.is_development_disjoint

    # --- Ground truth ------------------------------------------------------------------------

    @property
    def oracle_demand_mps2(self) -> float:
        """What a policy with full knowledge and no delay would demand now [m/s^2]."""
        return oracle_demand_mps2(self.cars)

    # --- Stages of an episode ----------------------------------------------------------------

    def _begin_episode(
        self, files: ScenarioFiles, streams: EpisodeStreams, options: Mapping[str, Any]
    ) -> Observation:
        """Load the scenario, draw the conditions and run the warm-up."""
        traffic = self._traffic
        self._conditions = draw_conditions(
            streams.driver, options=options,
            ego_driver=self._ego_driver, peer_driver=self._peer_driver,
        )  # fmt: skip
        traffic.load(files, streams.sumo_seed)
        traffic.begin(self._conditions, streams.peers)
        hazard = self._draw_hazard(streams.hazard, options)
        faults = checked_faults(options.get("radio_faults", self._radio_faults))
        episode_s = self.max_steps * CONTROL_PERIOD_S
        drawn = draw_bystander(streams.bystander, self._bystander_share, episode_s)
        self._bystander.reset(
            checked_bystander(options["bystander"]) if "bystander" in options else drawn
        )
        self._time_s = -WARM_UP_STEPS * CONTROL_PERIOD_S
        self.radio.reset(
            radio_key=streams.radio_key, time_s=self._time_s,
            cars=self._bystander.joined(self.cars, self._time_s),
            randomise=self._mode == "train",
            faults=placed_faults(faults, hazard.onset_s, hazard.source_rank),
        )  # fmt: skip
        self._observer.reset(self.radio.ego_sensed, streams.slots)
        for step in range(WARM_UP_STEPS):
            if self._advance_traffic(0.0).impact_speed_mps is not None:
                raise ScenarioError(f"{files.sumocfg}: the ego collides within the warm-up of 2 s.")
            self._time_s = (step + 1 - WARM_UP_STEPS) * CONTROL_PERIOD_S
            self._hear()
        traffic.plan = hazard
        self._recorder.reset(self.cars)
        self._begin_pictures()
        return self._observe()

    def _draw_hazard(
        self, generator: np.random.Generator, options: Mapping[str, Any]
    ) -> HazardPlan:
        """Draw the hazard; a convoy too slow for one is calm unless one is asked for."""
        is_slow = self._traffic.convoy_speed_mps < MIN_SOURCE_SPEED_MPS
        setting = HazardSetting(
            mode=self._mode,
            num_peers=self._traffic.convoy.num_peers,
            episode_s=self.max_steps * CONTROL_PERIOD_S,
            friction_mps2=self._traffic.surest_braking_mps2,
            episode_index=self._episode_index,
            is_calm_unless_asked=is_slow or not self._hazard_injection,
        )
        return draw_hazard(generator, setting, options.get("hazard"))

    def _advance_traffic(self, demand_mps2: float) -> StepEvents:
        """Move the cars by one control period."""
        return self._traffic.advance(self._time_s, demand_mps2, self.radio.true_age_s)

    def _hear(self) -> None:
        """Let the radio and the sensors catch up with the cars."""
        self.radio.advance(self._time_s, self._bystander.joined(self.cars, self._time_s))
        self._observer.record(self.radio.ego_sensed)

    def _observe(self) -> Observation:
        """Return what the policy sees now."""
        return self._observer.observation(self.radio.ego_sensed, self.radio.heard)

    # --- Records -----------------------------------------------------------------------------

    def _identity(self) -> dict[str, Any]:
        """Return what the episode is: scenario, seed and conditions."""
        return {
            "scenario_id": self._scenario_id,
            "master_seed": self.master_seed,
            "episode_index": self._current_index,
            "num_peers": self._traffic.convoy.num_peers,
            "convoy_speed_mps": self._traffic.convoy_speed_mps,
            "headway_s": self._conditions.time_gap_s,
            "reaction_delay_s": self._conditions.reaction_s,
            "friction_mps2": self._conditions.friction_mps2,
        }


if ConvoyEnv.__doc__ is not None:
    ConvoyEnv.__doc__ = ConvoyEnv.__doc__.replace(
        "{observation_tables}", observation_tables().replace("\n", "\n    ")
    ).replace("{reward_table}", reward_table().replace("\n", "\n    "))
