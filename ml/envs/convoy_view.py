"""What an environment shows of its episode besides observations: ground truth and pictures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ml.envs.convoy import Convoy
from ml.envs.episode_recorder import EpisodeRecorder
from ml.envs.scene import Scene
from ml.envs.sumo_connection import Lane, SumoConnection
from ml.envs.traffic import Traffic
from ml.espnow_emulator.emulator import RadioEmulator
from ml.espnow_emulator.logged_radio import LoggedFrame, LoggedRadio
from ml.types import (
    CONTROL_PERIOD_S,
    HEARD_IS_FRESH,
    TRACE_DEMAND,
    TRACE_DRIVER_COMMAND,
    FloatArray,
)
from ml.units import s_from_ms

RENDER_MODES = ("human", "rgb_array")


class ConvoyView:
    """The part of the environment that only looks.

    Attributes:
        render_mode: See the environment.
        radio: The radio.
    """

    render_mode: str | None
    radio: RadioEmulator
    _connection: SumoConnection
    _traffic: Traffic
    _recorder: EpisodeRecorder
    _is_running: bool
    _view_length_m: float = 0.0
    _lanes: Sequence[Lane] = ()

    @property
    def convoy(self) -> Convoy:
        """The cars and their names; for records and pictures only."""
        return self._traffic.convoy

    @property
    def cars(self) -> FloatArray:
        """Ground truth, shape (num_cars, NUM_CAR_FIELDS); for metrics and the oracle only."""
        return self._traffic.convoy.cars

    @property
    def trace(self) -> FloatArray:
        """What happened so far in the episode, shape (num_steps, NUM_TRACE_FIELDS)."""
        return self._recorder.trace

    @property
    def heard(self) -> FloatArray:
        """What the ego's board holds of each car, shape (num_cars, NUM_HEARD_FIELDS)."""
        return self.radio.heard

    @property
    def frames(self) -> Sequence[LoggedFrame]:
        """Every frame sent in this episode, its warm-up included; none without ``keep_frames``."""
        return self.radio.frames if isinstance(self.radio, LoggedRadio) else ()

    def keep_frames(self) -> None:
        """Keep what becomes of every frame, from the next ``reset`` on; no result changes."""
        if not isinstance(self.radio, LoggedRadio):
            self.radio = LoggedRadio(self.radio.parameters)
            self._is_running = False

    @property
    def staleness_threshold_s(self) -> float:
        """Time since reception up to which a peer is fresh [s]."""
        return s_from_ms(self.radio.parameters.observation.staleness_threshold_ms)

    def road(self) -> Sequence[Lane]:
        """Return every lane of the network that is loaded."""
        return self._connection.lanes()

    def render(self) -> npt.NDArray[np.uint8] | None:
        """Return the convoy from above, shape (height, width, 3), in mode ``rgb_array``.

        In mode ``human`` SUMO's window shows it all the time, and there is nothing to do.
        """
        if self.render_mode != "rgb_array":
            return None
        from ml.envs import top_view  # noqa: PLC0415 - training never loads it

        if not self._lanes:
            self._lanes = self.road()
            self._view_length_m = top_view.first_view_length_m(self.cars)
        self._view_length_m = top_view.grown_view_length_m(self._view_length_m, self.cars)
        return top_view.draw_scene(self._scene(), self._view_length_m)

    def _begin_pictures(self) -> None:
        """Start an episode: its pictures only ever show more of the road than those before."""
        self._view_length_m, self._lanes = 0.0, ()

    def _scene(self) -> Scene:
        """Return what there is to see now."""
        num_steps, traffic = self._recorder.num_steps, self._traffic
        time_s = num_steps * CONTROL_PERIOD_S
        step = self.trace[-1] if num_steps else None
        gaps_m = traffic.convoy.gaps_m
        return Scene(
            time_s=time_s,
            lanes=self._lanes,
            cars=self.cars,
            widths_m=traffic.convoy.widths_m,
            is_fresh=self.heard[:, HEARD_IS_FRESH] > 0.0,
            arrivals=[
                (frame.sender, frame.num_hops)
                for frame in self.frames
                if frame.received_s is not None
                and time_s - CONTROL_PERIOD_S < frame.received_s <= time_s
            ],
            gap_m=float(gaps_m[0]) if len(gaps_m) else float("inf"),
            demand_mps2=0.0 if step is None else float(step[TRACE_DEMAND]),
            driver_command_mps2=0.0 if step is None else float(step[TRACE_DRIVER_COMMAND]),
        )
