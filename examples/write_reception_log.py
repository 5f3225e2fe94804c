"""Writes the reception log that the ego's board would write of one peer, from the emulator.

    python examples/write_reception_log.py log.csv --emulator_params front_9m
    python -m ml.espnow_emulator.calibrate log.csv --output fitted.json

The peer stands still, or with --farthest_m drives away to that distance and back, again and again.
Its clock is 50 s ahead of the ego's. Relays are left out, and states are sent as they are measured.
"""

from __future__ import annotations

import argparse
import csv

import numpy as np

from ml.command_line import integer_in, number_in, path_text, run_command
from ml.espnow_emulator import RadioEmulator, load_radio_parameters
from ml.espnow_emulator.radio_samples import radio_alone
from ml.provenance import atomic_path
from ml.seeding import MAX_MASTER_SEED
from ml.types import (
    CAR_LENGTH,
    CAR_X,
    HEARD_SEQUENCE_GAP,
    HEARD_TIME_SINCE_RECEPTION,
    NUM_CAR_FIELDS,
)

STEP_S = 0.0473  # shorter than the time between two frames, and no fraction of it
SPEED_MPS = 5.0
CLOCK_OFFSET_MS = 50_000.0
HEADER = ("receive_time_ms", "sender", "sequence", "sender_time_ms", "distance_m")


def distance_at(time_s: float, nearest_m: float, farthest_m: float) -> float:
    """Return where the peer is: between the two distances, there and back at 5 m/s [m]."""
    span_m = farthest_m - nearest_m
    if span_m <= 0.0:
        return nearest_m
    driven_m = (SPEED_MPS * time_s) % (2.0 * span_m)
    return nearest_m + min(driven_m, 2.0 * span_m - driven_m)


def log_rows(
    radio: RadioEmulator, duration_s: float, nearest_m: float, farthest_m: float, seed: int
) -> list[tuple[str, ...]]:
    """Return a row for each frame that the ego's board took in."""
    cars = np.zeros((2, NUM_CAR_FIELDS))
    cars[:, CAR_LENGTH] = 4.5
    cars[1, CAR_X] = nearest_m
    radio.reset(radio_key=seed, cars=cars, time_s=0.0)
    rows, num_accepted, sequence = [], 0, 0
    for step in range(1, int(duration_s / STEP_S) + 1):
        now_s = step * STEP_S
        cars[1, CAR_X] = distance_at(now_s, nearest_m, farthest_m)
        radio.advance(now_s, cars)
        newest = int(radio.statistics().frames_accepted[1])
        if newest == num_accepted:
            continue
        num_accepted = newest
        sequence = (sequence + 1 + int(radio.heard[1, HEARD_SEQUENCE_GAP])) % 65_536
        received_ms = 1000.0 * (now_s - radio.heard[1, HEARD_TIME_SINCE_RECEPTION])
        sent_ms = 1000.0 * (now_s - radio.true_age_s[1]) + CLOCK_OFFSET_MS
        rows.append((f"{received_ms:.3f}", "peer", str(sequence), f"{sent_ms:.3f}",
                     f"{cars[1, CAR_X]:.1f}"))  # fmt: skip
    return rows


def main() -> None:
    """Emulate, and write the log whole or not at all."""
    parser = argparse.ArgumentParser(description="Write an emulated reception log.")
    parser.add_argument("log", type=path_text, help="CSV file to write.")
    parser.add_argument("--emulator_params", type=path_text, help="Parameter file or preset.")
    parser.add_argument("--minutes", type=number_in(0.1, 600.0), default=20.0)
    parser.add_argument("--nearest_m", type=number_in(1.0, 10_000.0), default=10.0)
    parser.add_argument("--farthest_m", type=number_in(1.0, 10_000.0), default=10.0)
    parser.add_argument("--seed", type=integer_in(0, MAX_MASTER_SEED), default=11)
    args = parser.parse_args()
    radio = RadioEmulator(radio_alone(load_radio_parameters(args.emulator_params)))
    rows = log_rows(radio, 60.0 * args.minutes, args.nearest_m, args.farthest_m, args.seed)
    with (
        atomic_path(args.log) as temporary,
        temporary.open("w", newline="", encoding="utf-8") as stream,
    ):
        csv.writer(stream, lineterminator="\n").writerows([HEADER, *rows])


if __name__ == "__main__":
    run_command(main)
