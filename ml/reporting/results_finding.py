"""The finding in words, made from the numbers: rules that tie come first, then the gates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ml.evaluation.gates import comparison_status
from ml.reporting.results_folder import SeedResults
from ml.reporting.results_gates import gate_names, gates_of, num_passed, passes_all
from ml.reporting.results_numbers import (
    code_text,
    collisions_text,
    plain,
    share_over_seeds_text,
)
from ml.reporting.results_tables import TARGET_RATIO, rank_one, ratio_over_seeds_text

_Place = tuple[str, str, str]
"""A rule, a family and a radio preset."""


def finding_text(results: SeedResults) -> str:
    """Return the finding as one paragraph."""
    sentences = [
        rules_sentence(results),
        gates_sentence(results),
        _worst_sentence(results),
        *(_rank_one_sentence(results, preset) for preset in results.gate_presets),
        _coverage_sentence(results),
    ]
    return " ".join(sentence for sentence in sentences if sentence)


def rules_sentence(results: SeedResults) -> str:
    """Return which rules collide less often than the network or tie with it, for how many seeds."""
    places: dict[str, Counter[_Place]] = {"fail": Counter(), "open": Counter(), "pass": Counter()}
    for seed in results.seeds:
        for entry in results.of_policy("verdict", seed)["rules"]:
            if entry["pairs"]:
                place = (entry["rule"], entry["family"], entry["radio_preset"])
                places[comparison_status(entry)][place] += 1
    if not any(places.values()):
        return "No rule was run beside the network, so nothing is known of a gain over one."
    parts = [
        f"{words} ({_places_text(places[status], len(results.seeds))})"
        for status, words in (
            ("fail", "a rule collides less often than the network"),
            ("open", "a rule ties with the network, no difference shown"),
        )
        if places[status]
    ]
    if not parts:
        told = _places_text(places["pass"], len(results.seeds))
        return f"The network collides less often than every rule it was compared with ({told})."
    sentence = "; ".join(parts)
    return f"{sentence[0].upper()}{sentence[1:]}."


def _places_text(places: Counter[_Place], num_seeds: int) -> str:
    """Return where each rule was compared and for how many seeds, equals together."""
    presets: dict[tuple[str, str, int], list[str]] = {}
    for (rule, family, preset), count in places.items():
        presets.setdefault((rule, family, count), []).append(plain(preset))
    families: dict[tuple[str, str, int], list[str]] = {}
    for (rule, family, count), of in presets.items():
        families.setdefault((rule, " and ".join(of), count), []).append(plain(family))
    return "; ".join(
        f"{plain(rule)} in {' and '.join(letters)} under {of}: {count} of {num_seeds} seeds"
        for (rule, of, count), letters in families.items()
    )


def gates_sentence(results: SeedResults) -> str:
    """Return for how many seeds each gate passes."""
    number, names = len(results.seeds), gate_names(results)
    passed = sum(passes_all(results, seed) for seed in results.seeds)
    by_gate = ", ".join(f"{plain(name)} {num_passed(results, name)}" for name in names)
    return f"Of {number} seeds, {passed} pass all {len(names)} gates ({by_gate})."


def worst_seed(results: SeedResults) -> str:
    """Return the seed that fails most gates, leaves most open, then collides most in H and M."""
    return max(results.seeds, key=lambda seed: _badness(results, seed))


def _badness(results: SeedResults, seed: str) -> tuple[float, ...]:
    """Return how bad a seed is, to be compared with others'."""
    statuses = [gate["status"] for gate in gates_of(results, seed).values()]
    collisions = [results.collisions(seed, "HM", preset) for preset in results.gate_presets]
    rate = sum(count.rate for count in collisions if count is not None)
    return statuses.count("fail"), statuses.count("open"), rate


def _worst_sentence(results: SeedResults) -> str:
    """Return what the worst seed fails, and why."""
    seed = worst_seed(results)
    gates = list(gates_of(results, seed).values())
    failed = [gate for gate in gates if gate["status"] == "fail"]
    opened = [gate for gate in gates if gate["status"] == "open"]
    if not failed and not opened:
        return ""
    parts = []
    if failed:
        reasons = "; ".join(f"{plain(gate['name'])} ({plain(gate['text'])})" for gate in failed)
        parts.append(f"fails {reasons}")
    if opened:
        parts.append(f"leaves {_listed([plain(gate['name']) for gate in opened])} open")
    return f"The worst seed, {plain(seed)}, {' and '.join(parts)}."


def _listed(names: Sequence[str]) -> str:
    """Return names with an ``and`` before the last."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _rank_one_sentence(results: SeedResults, preset: str) -> str:
    """Return how often the seeds collide at rank 1 of H beside the driver."""
    found = rank_one(results, preset)
    if found is None:
        return ""
    driver, worst = (
        collisions_text(count).replace("<br>", ", ")
        for count in (found.driver, found.seeds[found.share.worst_seed])
    )
    begin = (
        f"Where the car directly ahead brakes (H, rank 1) under {code_text(preset)}, the seeds "
        f"collide in {share_over_seeds_text(found.share)} of episodes, the worst, "
        f"{plain(found.share.worst_seed)}, in {worst}; the driver alone in {driver}"
    )
    if found.ratio is None:
        return f"{begin}."
    return (
        f"{begin}: {ratio_over_seeds_text(found.ratio)} times the driver's share, at most "
        f"{TARGET_RATIO:g} for {found.num_kept} of {len(found.ratios)} seeds."
    )


def _coverage_sentence(results: SeedResults) -> str:
    """Return how many cells have fewer episodes than planned."""
    short = sum(len(one.content["coverage"]["shortfalls"]) for one in results.evaluations)
    if not short:
        return ""
    cells = "1 cell has" if short == 1 else f"{short:,} cells have"
    return f"{cells} fewer counted episodes than planned, which fails the evaluation by itself."
