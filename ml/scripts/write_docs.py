"""Writes the page on the environment, and the table of radio faults, from the code.

`python -m ml.scripts.write_docs` prints the page.

Every number on the page is read from the module that uses it, so page and code cannot part ways.
"""

from __future__ import annotations

import argparse
import inspect
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from ml.command_line import OneLineArgumentParser, add_debug_flag, run_command
from ml.envs import ENVIRONMENT_ID
from ml.envs import conditions as drawn
from ml.envs import hazards as hazard
from ml.envs.actuator_kernels import (
    ACTUATOR_JERK_LIMIT_MPS3,
    ACTUATOR_LAG_S,
    BRAKE_BUILD_UP_MPS3,
)
from ml.envs.convoy_env import WARM_UP_STEPS, ConvoyEnv
from ml.envs.driver_kernels import (
    EMERGENCY_DECELERATION_MPS2,
    EMERGENCY_RAMP_MPS3,
    EMERGENCY_TRIGGER_MPS2,
    FOLLOWING_BRAKE_LIMIT_MPS2,
    LONGEST_REACTION_S,
    STANDSTILL_GAP_M,
)
from ml.envs.observation import observation_tables
from ml.envs.reward import reward_table
from ml.errors import ConfigError
from ml.espnow_emulator.faults import fault_kind_table
from ml.provenance import write_text_atomically
from ml.types import CONTROL_PERIOD_S, MAX_DEMAND_MPS2, MAX_PEERS

_ARGUMENT = re.compile(r"(\w+): (.*)")
_TABLE_BEGIN, _TABLE_END = "<!-- kinds -->", "<!-- /kinds -->"


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line.

    Args:
        argv: The arguments, without the program's name; the process's own when None.

    Returns:
        The arguments, one attribute a flag.
    """
    parser = OneLineArgumentParser(
        prog="write_docs",
        description="Write the page on the environment and the table of faults from the code.",
    )
    parser.add_argument(
        "--output_page",
        type=Path,
        metavar="FILE",
        help="Markdown page to write (default: print it).",
    )
    parser.add_argument(
        "--fault_page",
        type=Path,
        metavar="FILE",
        help="Page whose table of radio faults is rewritten (default: none).",
    )
    add_debug_flag(parser)
    args = parser.parse_args(argv)
    if args.fault_page is not None and not args.fault_page.is_file():
        parser.error(f"--fault_page must be an existing file. Got {args.fault_page}.")
    if args.output_page is not None and not args.output_page.resolve().parent.is_dir():
        parser.error(f"--output_page must be in an existing folder. Got {args.output_page}.")
    return args


def environment_page() -> str:
    """Return the whole page as Markdown."""
    sections = (
        _introduction(),
        _action_section(),
        ["## Observation", "", *_OBSERVATION_TEXT, "", *observation_tables().splitlines()],
        ["## Reward", "", *_REWARD_TEXT, "", *reward_table().splitlines()],
        _motion_section(),
        _driver_section(),
        _hazard_section(),
        _end_section(),
        ["## Arguments", "", *argument_table(ConvoyEnv.__init__)],
        ["## `reset(options=...)`", "", *_OPTIONS_TEXT, "", *_options_table()],
    )
    lines = [line for section in sections for line in (*section, "")]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines))


def argument_table(function: Callable[..., object]) -> list[str]:
    """Return a function's keyword arguments as a Markdown table, from signature and docstring.

    Args:
        function: A function with a Google-style docstring.

    Returns:
        The table's lines.
    """
    meanings = _documented_arguments(inspect.getdoc(function) or "")
    rows = []
    for name, parameter in inspect.signature(function).parameters.items():
        if name == "self":
            continue
        is_required = parameter.default is inspect.Parameter.empty
        default = "required" if is_required else f"`{parameter.default!r}`"
        rows.append((f"`{name}`", default, meanings.get(name, "").replace("``", "`")))
    return _table(("argument", "default", "meaning"), rows)


def _documented_arguments(docstring: str) -> dict[str, str]:
    """Return the meaning of each argument that a docstring's ``Args`` section lists."""
    _, _, section = docstring.partition("\nArgs:\n")
    meanings: dict[str, str] = {}
    name = ""
    for line in section.splitlines():
        if line and not line.startswith(" "):
            break
        entry = _ARGUMENT.fullmatch(line.strip())
        if entry and line.startswith("    ") and not line.startswith("     "):
            name = entry.group(1)
            meanings[name] = entry.group(2)
        elif name and line.strip():
            meanings[name] += f" {line.strip()}"
    return meanings


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return a Markdown table's lines."""
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    return lines + [f"| {' | '.join(row)} |" for row in rows]


def _span(bounds: tuple[float, float]) -> str:
    """Return a range in words.

    >>> _span((0.4, 2.0))
    '0.4 to 2'
    """
    return f"{bounds[0]:g} to {bounds[1]:g}"


# --- The page's sections ---------------------------------------------------------------------


def _introduction() -> list[str]:
    """Return what the environment is."""
    return [
        f"# The environment `{ENVIRONMENT_ID}`",
        "",
        "Generated from the code by `make docs`; edit the code, not this page.",
        "",
        f"The rearmost car of a convoy, the ego `V001`, follows up to {MAX_PEERS} cars that",
        "broadcast their state by radio. A human driver model drives the ego and sees only the car",
        "directly ahead; the policy adds braking. The convoy is simulated by SUMO, the radio by",
        "the emulator of [radio.md](radio.md); convoys come from [scenarios.md](scenarios.md).",
    ]


def _action_section() -> list[str]:
    """Return what an action does."""
    return [
        "## Action",
        "",
        "`Box(-1, 1, (1,))`. With action a:",
        "",
        *_table(
            ("action", "effect"),
            [
                ("a <= 0", "no intervention: the driver is left alone"),
                ("a > 0", f"demands a deceleration of {MAX_DEMAND_MPS2:g} a m/s^2"),
            ],
        ),
        "",
        "The ego's commanded acceleration is the smaller of the driver's and "
        f"-{MAX_DEMAND_MPS2:g} a, so the policy can",
        "neither accelerate the car nor release the driver's own braking.",
    ]


_OBSERVATION_TEXT = (
    "`Dict` of `ego`, `peers` and `peer_mask`: only what the ego's board can compute from its own",
    "sensors and the frames that it received, in the ego's frame and clipped to the bounds.",
    f"`peers` has {MAX_PEERS} slots; a slot's number has no meaning and is shuffled each episode.",
    "`peer_mask` is 1 where a slot holds a peer heard within the staleness threshold, else 0, and",
    "the slot then holds zeros.",
)

_REWARD_TEXT = (
    "The weighted sum of costs of what really happened, from ground truth and realised motion.",
    'Each cost is at least 0. `info["reward_terms"]` holds the weighted terms; they add up to the',
    "reward.",
)


def _motion_section() -> list[str]:
    """Return the clock, the actuator and the road."""
    rows = [
        ("control period, also SUMO's step", f"{CONTROL_PERIOD_S:g} s"),
        ("warm-up before t = 0, driver alone", f"{WARM_UP_STEPS * CONTROL_PERIOD_S:g} s"),
        ("actuator: dead time", f"{CONTROL_PERIOD_S:g} s (one control period)"),
        ("actuator: lag", f"{ACTUATOR_LAG_S:g} s"),
        ("actuator: jerk limit", f"{ACTUATOR_JERK_LIMIT_MPS3:g} m/s^3"),
        ("build-up of a hazard's braking", f"{BRAKE_BUILD_UP_MPS3:g} m/s^3"),
        ("largest deceleration, dry road", f"{_span(drawn.DRY_FRICTION_MPS2)} m/s^2"),
        (
            f"largest deceleration, wet road ({drawn.WET_SHARE:.0%} of the episodes)",
            f"{drawn.WET_FRICTION_MPS2:g} m/s^2",
        ),
    ]
    return [
        "## Time and motion",
        "",
        "The command computed from the observation at t stands for one control period and reaches",
        "the actuator after its dead time. The road is the same for every car of an episode.",
        "Ranges are drawn uniformly, once an episode.",
        "",
        *_table(("quantity", "value"), rows),
    ]


def _driver_section() -> list[str]:
    """Return the ego's driver."""
    lapse = f"{_span(drawn.LAPSE_DURATION_S)} s, once in {drawn.LAPSE_PERIOD_S:g} s"
    rows = [
        ("gap that the driver keeps", f"{STANDSTILL_GAP_M:g} m + T v"),
        ("time gap T", f"{_span(drawn.TIME_GAP_S)} s"),
        ("strongest braking while following", f"{FOLLOWING_BRAKE_LIMIT_MPS2:g} m/s^2"),
        ("the car ahead brakes harder than this: emergency", f"{EMERGENCY_TRIGGER_MPS2:g} m/s^2"),
        ("reaction delay in an emergency", f"{_span(drawn.REACTION_S)} s"),
        ("lapse of attention, added to the delay", lapse),
        ("longest reaction, lapse included", f"{LONGEST_REACTION_S:g} s"),
        ("the same of the `careful` driver, always attentive", f"{drawn.CAREFUL_REACTION_S:g} s"),
        ("emergency braking: ramp", f"{EMERGENCY_RAMP_MPS3:g} m/s^3"),
        ("emergency braking: full", f"{EMERGENCY_DECELERATION_MPS2:g} m/s^2"),
        ("delayed peers: reaction delay", f"{_span(drawn.PEER_REACTION_S)} s"),
    ]
    return [
        "## Drivers",
        "",
        "The ego's driver follows without delay and reacts late to an emergency. Peers drive by",
        "SUMO's car-following, which has no reaction delay, unless `peer_driver` is `delayed`.",
        "",
        *_table(("quantity", "value"), rows),
    ]


_KIND_MEANINGS = {
    hazard.HARD_STOP: "brakes hard to a standstill and stays",
    hazard.HARD_RESOLVE: "brakes hard for a while, then drives on",
    hazard.BENIGN: "brakes mildly for a while, then drives on",
    hazard.CALM: "nothing",
}


def _hazard_section() -> list[str]:
    """Return what the braking car does."""
    decelerations = {
        hazard.HARD_STOP: _span(hazard.HARD_DECELERATION_MPS2),
        hazard.HARD_RESOLVE: _span(hazard.HARD_DECELERATION_MPS2),
        hazard.BENIGN: _span(hazard.BENIGN_DECELERATION_MPS2),
        hazard.CALM: "-",
    }
    rows = [
        (
            f"`{kind}`",
            *(f"{hazard.KIND_SHARES[mode][kind]:.0%}" for mode in ("train", "eval")),
            decelerations[kind],
            _KIND_MEANINGS[kind],
        )
        for kind in hazard.HAZARD_KINDS
    ]
    return [
        "## Hazards",
        "",
        "At most one car ahead brakes in an episode. Shares are of the episodes in which it can:",
        "an episode without peers, or of a convoy slower than "
        f"{hazard.MIN_SOURCE_SPEED_MPS:g} m/s, is calm.",
        "",
        *_table(("kind", "train", "eval", "deceleration [m/s^2]", "the braking car"), rows),
        "",
        f"Braking begins {hazard.EARLIEST_ONSET_S:g} s after the start at the earliest and "
        f"{hazard.LATEST_ONSET_BEFORE_END_S:g} s before the end at the latest. Its deceleration",
        "is capped by the road; braking that resolves holds it for "
        f"{_span(hazard.HOLD_S)} s. The car's rank (1 is the car",
        "directly ahead of the ego) is drawn in training; in evaluation every rank gets its turn.",
        "A hazard counts as realised if the measured deceleration is within "
        f"{hazard.REALISED_TOLERANCE:.0%} of the one asked",
        "for.",
    ]


def _end_section() -> list[str]:
    """Return how an episode ends and what its last step says."""
    return [
        "## End of an episode",
        "",
        *_table(
            ("flag", "when"),
            [
                ("`terminated`", "the ego touches the car ahead: bumper gap <= 0"),
                (
                    "`truncated`",
                    "`max_steps` have passed, a car reaches the end of its route, or another "
                    "vehicle gets among the convoy's cars or touches the ego",
                ),
            ],
        ),
        "",
        "The last step's `info[\"episode_record\"]` holds the episode's metrics, all from ground",
        "truth; [training.md](training.md) lists them. Peers that touch take their common speed",
        'and brake on; the step\'s `info["peer_contacts"]` names their ranks. The record counts',
        "the frames that the ego's board rejected, and names the radio faults injected.",
    ]


_OPTIONS_TEXT = (
    "Each option fixes one draw of the next episode and leaves all others as they were.",
)


def _options_table() -> list[str]:
    """Return the options of ``reset``."""
    ego_drivers = ", ".join(f"`{name}`" for name in drawn.EGO_DRIVERS)
    peer_drivers = ", ".join(f"`{name}`" for name in drawn.PEER_DRIVERS)
    rows = [
        ("`scenario_id`", "a scenario of the dataset"),
        ("`episode_index`", "which episode of the seed this is, from 0; the next one follows it"),
        (
            "`hazard`",
            "dict of any of `kind`, `source_rank`, `onset_s`, `deceleration_mps2`, `hold_s` and "
            "`min_speed_mps`, below which the car does not brake "
            f"({hazard.MIN_SOURCE_SPEED_MPS:g} m/s)",
        ),
        ("`headway_s`", "the ego driver's time gap T"),
        ("`reaction_delay_s`", "the ego driver's reaction delay; no lapse is added"),
        ("`friction_mps2`", "largest deceleration of every car"),
        ("`ego_driver`", f"one of {ego_drivers}"),
        ("`peer_driver`", f"one of {peer_drivers}"),
        (
            "`radio_faults`",
            "list of what goes wrong with the radio, in place of the argument's; see "
            "[radio_faults.md](radio_faults.md)",
        ),
        (
            "`bystander`",
            "a car with a board that is not of the convoy and in nobody's way: dict of `ahead_m` "
            "and `left_m`, its offset from the ego until `onset_s`, when it brakes at "
            "`deceleration_mps2` to a standstill",
        ),
    ]
    return _table(("option", "meaning"), rows)


def with_fault_table(page: str) -> str:
    """Return a page with the table of radio faults as the code has it between its marks.

    Raises:
        ConfigError: The page has no two marks.
    """
    before, begin, rest = page.partition(_TABLE_BEGIN)
    _, end, after = rest.partition(_TABLE_END)
    if not begin or not end:
        raise ConfigError(
            f"the page of radio faults must have the marks {_TABLE_BEGIN} and {_TABLE_END}. "
            "Got none. Put them where the table shall be."
        )
    return "\n".join([f"{before}{begin}", *fault_kind_table(), f"{end}{after}"])


def main(argv: Sequence[str] | None = None) -> None:
    """Write the page, or print it where no file is named."""
    args = parse_args(argv)
    if args.fault_page is not None:
        text = args.fault_page.read_text(encoding="utf-8")
        write_text_atomically(args.fault_page, with_fault_table(text))
    page = environment_page()
    if args.output_page is None:
        sys.stdout.write(page)
    else:
        write_text_atomically(args.output_page, page)


if __name__ == "__main__":
    run_command(main)
