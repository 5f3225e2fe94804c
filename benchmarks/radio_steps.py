"""Time of one step of the radio emulator, 0.1 s of traffic: `python benchmarks/radio_steps.py`.

Prints a table over the number of peers and one JSON line with commit, processor and versions. A
figure is the median of several rounds, the rounds of all cases interleaved, in processor time,
which other programs on the machine disturb less than the time on the wall.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import sys
import time

import numpy as np
from measurement import print_record

from ml.command_line import OneLineArgumentParser, integer_in, run_command
from ml.espnow_emulator import RadioEmulator, RadioParameters, load_radio_parameters
from ml.espnow_emulator.parameter_sections import RelayParameters
from ml.types import CAR_LENGTH, CAR_SPEED, CAR_X, CONTROL_PERIOD_S, NUM_CAR_FIELDS, FloatArray

NUM_PEERS = (0, 1, 2, 4, 8)
SPACING_M = 25.0
SPEED_MPS = 20.0


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = OneLineArgumentParser(description="Time the radio emulator.")
    parser.add_argument("--rounds", type=integer_in(3, 100), default=9, help="Rounds (default: 9).")
    parser.add_argument(
        "--steps",
        type=integer_in(100, 100_000),
        default=2000,
        help="Steps a round (default: 2000).",
    )
    return parser.parse_args()


def radios() -> dict[str, RadioParameters]:
    """Return what is timed: the nominal file, and the physical mode with what loads it."""
    simple = load_radio_parameters(None)
    physical = load_radio_parameters("in_car_long_range")
    background = dataclasses.replace(physical.physical, background_senders=30, rate_mbps=1.0)
    relay = RelayParameters(max_relay_hops=2)
    return {
        "simple": simple,
        "simple, 2 relays": dataclasses.replace(simple, relay=relay),
        "physical": physical,
        "physical, 30 background senders": dataclasses.replace(physical, physical=background),
        "physical, 2 relays": dataclasses.replace(physical, relay=relay),
        "physical, 30 background senders, 2 relays": dataclasses.replace(
            physical, physical=background, relay=relay
        ),
    }


def cars_in_line(num_cars: int) -> FloatArray:
    """Return a convoy at constant gaps, the ego last (num_cars, NUM_CAR_FIELDS)."""
    cars = np.zeros((num_cars, NUM_CAR_FIELDS))
    cars[:, CAR_X] = SPACING_M * np.arange(num_cars)
    cars[:, CAR_SPEED], cars[:, CAR_LENGTH] = SPEED_MPS, 4.5
    return cars


def step_time_us(emulator: RadioEmulator, num_peers: int, num_steps: int) -> float:
    """Return the processor time of one step of an episode, reset excluded [us]."""
    cars = cars_in_line(1 + num_peers)
    emulator.reset(radio_key=7, cars=cars, time_s=0.0)
    driven_m = SPEED_MPS * CONTROL_PERIOD_S
    start_s = time.process_time()
    for step in range(1, num_steps + 1):
        cars[:, CAR_X] += driven_m
        emulator.advance(CONTROL_PERIOD_S * step, cars)
    return 1e6 * (time.process_time() - start_s) / num_steps


def main() -> None:
    """Measure, print the table and the JSON line."""
    args = parse_args()
    emulators = {name: RadioEmulator(parameters) for name, parameters in radios().items()}
    cases = [(name, num_peers) for name in emulators for num_peers in NUM_PEERS]
    times_us: dict[tuple[str, int], list[float]] = {case: [] for case in cases}
    for name, num_peers in cases:
        step_time_us(emulators[name], num_peers, 100)  # compiles the kernels
    for _ in range(args.rounds):
        for name, num_peers in cases:
            times_us[name, num_peers].append(step_time_us(emulators[name], num_peers, args.steps))
    sys.stdout.write(f"{'radio':42} peers  us/step (median)  min    max\n")
    for (name, num_peers), values in times_us.items():
        sys.stdout.write(
            f"{name:42} {num_peers:5}  {statistics.median(values):16.1f}  "
            f"{min(values):5.1f}  {max(values):5.1f}\n"
        )
    figures = {
        "steps_a_round": args.steps,
        "step_us": {
            name: {str(n): [round(v, 2) for v in times_us[name, n]] for n in NUM_PEERS}
            for name in emulators
        },
    }
    print_record("radio_steps", figures)


if __name__ == "__main__":
    run_command(main)
