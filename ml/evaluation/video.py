"""Turns a recording into a moving picture: one picture a step, in real time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from ml.envs.scene import Scene
from ml.envs.sumo_connection import Lane
from ml.envs.top_view import COLOURS, draw_scene, first_view_length_m, grown_view_length_m
from ml.evaluation.recording import Recording
from ml.provenance import atomic_path
from ml.types import (
    CAR_ACCELERATION,
    CAR_HEADING,
    CAR_LENGTH,
    CAR_SPEED,
    CAR_X,
    CAR_Y,
    NUM_CAR_FIELDS,
    FloatArray,
)

LAST_PICTURE_MS = 2000
"""The last picture stands for so long before the video begins anew."""

_NUM_COLOURS = 64
_NUM_SAMPLES = 6
_COLUMNS = {
    CAR_X: "x_m",
    CAR_Y: "y_m",
    CAR_HEADING: "heading_rad",
    CAR_SPEED: "speed_mps",
    CAR_ACCELERATION: "acceleration_mps2",
    CAR_LENGTH: "length_m",
}


class RecordedPictures:
    """The pictures of a recording, all at the same scale.

    Attributes:
        num_steps: How many there are.
    """

    def __init__(self, recording: Recording) -> None:
        """Lay out the recording's numbers as scenes need them."""
        cars = recording["cars"]
        self._recording = recording
        self.num_steps = len(cars[0]["x_m"])
        self._cars: FloatArray = np.zeros((self.num_steps, len(cars), NUM_CAR_FIELDS))
        for rank, car in enumerate(cars):
            for column, name in _COLUMNS.items():
                self._cars[:, rank, column] = car[name]
        self._widths_m: FloatArray = np.array([car["width_m"] for car in cars])
        lanes = recording["road"]["lanes"]
        self._lanes = [
            Lane(lane["width_m"], np.array(lane["points_m"], dtype=np.float64)) for lane in lanes
        ]
        self._length_m = first_view_length_m(self._cars[0])
        for instant in self._cars:
            self._length_m = grown_view_length_m(self._length_m, instant)
        self._arrivals = self._arrivals_by_step()

    def _arrivals_by_step(self) -> list[list[tuple[int, int]]]:
        """Return what reached the ego in each step, as (car, number of relays)."""
        arrivals: list[list[tuple[int, int]]] = [[] for _ in range(self.num_steps)]
        start_s, step_s = self._recording["start_s"], self._recording["step_s"]
        for message in self._recording["messages"]:
            if message["received_s"] is not None:
                step = int(np.ceil((message["received_s"] - start_s) / step_s - 1e-9)) - 1
                if 0 <= step < self.num_steps:
                    arrivals[step].append((message["sender"], message["hops"]))
        return arrivals

    def scene(self, step: int) -> Scene:
        """Return the scene at the end of a step, the first being 0."""
        recording, ego = self._recording, self._recording["ego"]
        gap_m = ego["gap_m"][step]
        return Scene(
            time_s=recording["start_s"] + (step + 1) * recording["step_s"],
            lanes=self._lanes,
            cars=self._cars[step],
            widths_m=self._widths_m,
            is_fresh=np.array([False, *(peer["is_fresh"][step] for peer in recording["heard"])]),
            arrivals=self._arrivals[step],
            gap_m=float("inf") if gap_m is None else gap_m,
            demand_mps2=ego["demand_mps2"][step],
            driver_command_mps2=ego["driver_command_mps2"][step],
        )

    def picture(self, step: int) -> Image.Image:
        """Return the picture at the end of a step, the first being 0."""
        caption = self.caption(is_last=step == self.num_steps - 1)
        return Image.fromarray(draw_scene(self.scene(step), self._length_m, caption=caption))

    def caption(self, *, is_last: bool) -> str:
        """Return what the episode is, and at its end how it ended."""
        recording, record = self._recording, self._recording["record"]
        parts = [
            recording["policy"],
            recording["case_id"] or record.get("scenario_id"),
            record.get("hazard_kind"),
            record.get("end_reason") if is_last else None,
        ]
        return ", ".join(str(part).replace("_", " ")[:40] for part in parts if part)


def write_gif(path: str | Path, recording: Recording, on_picture: Callable[[int], None]) -> None:
    """Write a recording as an animated GIF that repeats, whole or not at all.

    Args:
        path: The file.
        recording: The recording.
        on_picture: Called with the number of pictures drawn, after each.

    Raises:
        RecordError: The file cannot be written.
    """
    pictures = RecordedPictures(recording)
    palette = _palette(pictures)
    durations_ms = [round(1000 * recording["step_s"])] * (pictures.num_steps - 1)

    def drawn() -> Iterator[Image.Image]:
        for step in range(pictures.num_steps):
            yield pictures.picture(step).quantize(palette=palette, dither=Image.Dither.NONE)
            on_picture(step + 1)

    with atomic_path(path) as temporary:
        frames = drawn()
        next(frames).save(
            temporary, format="GIF", save_all=True, append_images=frames, loop=0,
            duration=[*durations_ms, LAST_PICTURE_MS], optimize=False,
        )  # fmt: skip


def _palette(pictures: RecordedPictures) -> Image.Image:
    """Return a picture with the colours of all pictures, from samples over the episode."""
    steps = np.linspace(0, pictures.num_steps - 1, min(_NUM_SAMPLES, pictures.num_steps))
    samples = [np.asarray(pictures.picture(int(step))) for step in steps]
    palette = Image.fromarray(np.concatenate(samples)).quantize(_NUM_COLOURS - len(COLOURS))
    shades = palette.getpalette() or []
    palette.putpalette([*(value for colour in COLOURS for value in colour), *shades])
    return palette
