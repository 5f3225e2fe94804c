"""`roadsense <verb>`: one word for each command; each verb also runs with `python -m`."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

from ml import __version__
from ml.command_line import EXIT_USAGE, run_command
from ml.errors import nearest_name_hint

VERBS = {
    "generate": ("ml.scripts.gen_scenarios", "Generate a dataset of scenarios."),
    "train": ("ml.training.train_convoy", "Train a policy, evaluate it and record the run."),
    "table": ("ml.evaluation.scripted_table", "Print what the scripted policies earn and crash."),
}


def help_text() -> str:
    """Return the help, one line per verb."""
    lines = ["usage: roadsense VERB [options]", "", "verbs:"]
    lines += [f"  {verb:10}{meaning}" for verb, (_, meaning) in VERBS.items()]
    lines += ["", "roadsense VERB --help lists a verb's options; roadsense --version the version."]
    return "\n".join(lines) + "\n"


def dispatch(arguments: Sequence[str]) -> None:
    """Run the verb that ``arguments`` begin with; its module is imported only now."""
    if not arguments or arguments[0] in {"-h", "--help"}:
        sys.stdout.write(help_text())
        return
    verb = arguments[0]
    if verb == "--version":
        sys.stdout.write(f"roadsense {__version__}\n")
        return
    if verb not in VERBS:
        hint = nearest_name_hint(verb, VERBS)
        sys.stderr.write(f"roadsense: error: unknown verb {verb!r}. {hint}\n")
        sys.exit(EXIT_USAGE)
    module = importlib.import_module(VERBS[verb][0])
    sys.argv = [f"roadsense {verb}", *arguments[1:]]
    module.main()


def main() -> None:
    """Entry point of the console script."""
    run_command(lambda: dispatch(sys.argv[1:]))


if __name__ == "__main__":
    main()
