"""The hard cases of the experiments, but few of them."""

from dataclasses import replace

from experiments.judge import FOLDER
from ml.evaluation.protocol import load_protocol


def few_hard_cases(scenarios_per_variant):
    """Return a protocol with cases: H 8, M 13, C 9 for each scenario of a variant."""
    protocol = load_protocol(FOLDER / "hard.toml")
    plans = protocol.families
    families = {
        "H": replace(plans["H"], episodes=36, scenarios_per_size=1),
        "M": replace(plans["M"], episodes=13, scenarios_per_size=1),
        "C": replace(
            plans["C"],
            episodes=9 * scenarios_per_variant,
            scenarios_per_variant=scenarios_per_variant,
        ),
    }
    return replace(protocol, families=families)
