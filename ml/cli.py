"""`roadsense <verb>`: one word for each command; each verb also runs with `python -m`.

A verb's arguments are parsed by a light module of their own, so that help and a mistyped flag are
answered before anything heavy is imported.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import NamedTuple

from ml import __version__
from ml.command_line import EXIT_USAGE, run_command
from ml.errors import nearest_name_hint


class Verb(NamedTuple):
    """Where a verb's code is.

    Attributes:
        module: The module whose ``main`` does the work.
        arguments_module: The module that parses its command line.
        parser: The function there.
        meaning: One line for the help.
    """

    module: str
    arguments_module: str
    parser: str
    meaning: str


VERBS = {
    "doctor": Verb(
        "ml.scripts.doctor",
        "ml.scripts.doctor",
        "parse_args",
        "Check this installation, and measure what bounds it.",
    ),
    "generate": Verb(
        "ml.scripts.gen_scenarios",
        "ml.scripts.arguments",
        "parse_args",
        "Generate a dataset of scenarios.",
    ),
    "train": Verb(
        "ml.training.train_convoy",
        "ml.training.arguments",
        "parse_args",
        "Train a policy, evaluate it and record the run.",
    ),
    "evaluate": Verb(
        "ml.evaluation.run",
        "ml.evaluation.arguments",
        "parse_evaluate_args",
        "Judge a policy beside the scripted ones.",
    ),
    "compare": Verb(
        "ml.evaluation.compare",
        "ml.evaluation.compare_arguments",
        "parse_compare_args",
        "Compare evaluations on the same episodes.",
    ),
    "robustness": Verb(
        "ml.evaluation.robustness",
        "ml.evaluation.robustness_arguments",
        "parse_robustness_args",
        "Draw collisions against loss, bursts, delay and cars ahead.",
    ),
    "replay": Verb(
        "ml.evaluation.replay",
        "ml.evaluation.replay_arguments",
        "parse_replay_args",
        "Show one episode as a video, or record it.",
    ),
    "table": Verb(
        "ml.evaluation.scripted_table",
        "ml.evaluation.arguments",
        "parse_table_args",
        "Print what the scripted policies earn and crash.",
    ),
    "verify": Verb(
        "ml.verification.verify",
        "ml.verification.arguments",
        "parse_verify_args",
        "Check a run or an evaluation against its hashes; replay episodes.",
    ),
    "reproduce": Verb(
        "ml.verification.reproduce",
        "ml.verification.arguments",
        "parse_reproduce_args",
        "Print or repeat the command that made a run or an evaluation.",
    ),
    "report": Verb(
        "ml.reporting.report",
        "ml.reporting.report",
        "parse_args",
        "Write the page of a saved evaluation, with replays.",
    ),
    "results": Verb(
        "ml.reporting.results_page",
        "ml.reporting.results_page",
        "parse_args",
        "Write the page of several training seeds from their evaluations.",
    ),
    "radio": Verb(
        "ml.espnow_emulator.report",
        "ml.espnow_emulator.report",
        "parse_args",
        "Draw what a radio does, beside what its closed forms say.",
    ),
    "calibrate": Verb(
        "ml.espnow_emulator.calibrate",
        "ml.espnow_emulator.calibrate",
        "parse_args",
        "Make an emulator parameter file from reception logs.",
    ),
}


def help_text() -> str:
    """Return the help, one line per verb."""
    lines = ["usage: roadsense VERB [options]", "", "verbs:"]
    lines += [f"  {name:12}{verb.meaning}" for name, verb in VERBS.items()]
    lines += ["", "roadsense VERB --help lists a verb's options; roadsense --version the version."]
    return "\n".join(lines) + "\n"


def dispatch(arguments: Sequence[str]) -> None:
    """Run the verb that ``arguments`` begin with."""
    if not arguments or arguments[0] in {"-h", "--help", "help"}:
        sys.stdout.write(help_text())
        return
    name, *rest = arguments
    if name == "--version":
        sys.stdout.write(f"roadsense {__version__}\n")
        return
    if name not in VERBS:
        hint = nearest_name_hint(name, VERBS)
        sys.stderr.write(f"roadsense: error: unknown verb {name!r}. {hint}\n")
        sys.exit(EXIT_USAGE)
    verb = VERBS[name]
    sys.argv = [f"roadsense {name}", *rest]
    getattr(importlib.import_module(verb.arguments_module), verb.parser)(rest)
    importlib.import_module(verb.module).main(rest)


def main() -> None:
    """Entry point of the console script."""
    run_command(lambda: dispatch(sys.argv[1:]))


if __name__ == "__main__":
    main()
