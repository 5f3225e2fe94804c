"""Other radios that hear an episode too, for policies whose actions do not depend on any.

Such a policy drives the same episode whatever the radio does. What its row tells of the radio is
then had from the one episode, by letting the radios of the other presets hear its cars.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, cast

from ml.envs.convoy_env import ConvoyEnv
from ml.envs.episode_recorder import TRACE_SHA256, trace_sha256
from ml.espnow_emulator.emulator import RadioEmulator
from ml.espnow_emulator.parameters import RadioParameters, load_radio_parameters
from ml.evaluation.case_drawing import num_steps
from ml.evaluation.episodes import EpisodeRecord
from ml.evaluation.protocol import radio_preset_path
from ml.types import NEVER_HEARD_S, FloatArray


class OtherRadios:
    """Stands in for an environment's radio, and lets others hear the same cars.

    Args:
        own: The environment's; all that is asked of it is answered as ever.
        others: By preset.
    """

    def __init__(self, own: RadioEmulator, others: Mapping[str, RadioEmulator]) -> None:
        self._own, self._others = own, others
        self._ages_s: list[dict[str, FloatArray]] = []
        self._begun_s = 0.0

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the radio has
        """Return what the environment's own radio has."""
        return getattr(self._own, name)

    def reset(self, *, time_s: float, **arguments: Any) -> None:  # noqa: ANN401 - as the radio's
        """Start an episode; the arguments are those of ``RadioEmulator.reset``."""
        for radio in (self._own, *self._others.values()):
            radio.reset(time_s=time_s, **arguments)
        self._begun_s, self._ages_s = time_s, []
        self._keep_ages()

    def advance(self, time_s: float, cars: FloatArray) -> None:
        """Let all of them catch up; the arguments are those of ``RadioEmulator.advance``."""
        for radio in (self._own, *self._others.values()):
            radio.advance(time_s, cars)
        self._keep_ages()

    def rows(self, row: EpisodeRecord, env: ConvoyEnv) -> Iterator[EpisodeRecord]:
        """Yield an episode's row as it is under each other preset.

        Args:
            row: That under the environment's own.
            env: The environment, its episode just over.
        """
        for preset, radio in self._others.items():
            yield {
                **row,
                "radio_preset": preset,
                "age_at_onset_s": self._age_at_onset_s(row, preset),
                **radio.record(),
                TRACE_SHA256: trace_sha256(env.trace, radio.checksum),
            }

    def _keep_ages(self) -> None:
        """Keep the age of what the ego's board holds of each car, as the traffic may ask for it."""
        self._ages_s.append({name: radio.true_age_s.copy() for name, radio in self._others.items()})

    def _age_at_onset_s(self, row: EpisodeRecord, preset: str) -> float | None:
        """Return the age at the step in which the source began to brake, None without either."""
        if row["headway_at_onset_s"] is None:
            return None
        step = num_steps(row["hazard_onset_s"] - self._begun_s)
        age_s = float(self._ages_s[step][preset][row["hazard_source_rank"]])
        return age_s if age_s < NEVER_HEARD_S else None


@lru_cache
def _parameters_of(preset: str) -> RadioParameters:
    """Return a preset's parameters, read once in each process as the environment's own are."""
    return load_radio_parameters(radio_preset_path(preset))


@contextmanager
def heard_under(env: ConvoyEnv, presets: Sequence[str]) -> Iterator[OtherRadios]:
    """Let the radios of other presets hear the episodes of an environment for a while.

    Args:
        env: The environment.
        presets: Their names.

    Yields:
        What they heard, once an episode is over.

    Raises:
        RadioParameterError: A preset's file cannot be used.
    """
    own = env.radio
    radios = OtherRadios(own, {name: RadioEmulator(_parameters_of(name)) for name in presets})
    env.radio = cast(RadioEmulator, radios)
    try:
        yield radios
    finally:
        env.radio = own
