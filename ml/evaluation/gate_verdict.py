"""The verdict in words: whether a rule does as well as the network comes first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ml.evaluation.gates import comparison_status
from ml.evaluation.matched_rows import RowsByPolicy, matched, rows_of
from ml.evaluation.verdict import Json, compare_collisions

RULES: Mapping[str, Sequence[str]] = {
    "eebl": ("H", "M"),
    "rss": ("H", "M"),
    "aeb": ("M",),
    "r157": ("M",),
}
"""The rules that a network has to beat, and where; those without radio only behind other cars."""

_RESULTS = {"fail": "FAIL", "open": "INCONCLUSIVE", "pass": "PASS"}


def gates_verdict(
    rows_by_policy: RowsByPolicy,
    gates: Sequence[Json],
    policy: str,
    *,
    radio_presets: Sequence[str] = ("nominal", "roof"),
) -> Json:
    """Say what the gates and the rules mean for a policy.

    Args:
        rows_by_policy: The rows of every policy.
        gates: What ``judge_gates`` returned for it.
        policy: Its id.
        radio_presets: The presets of the gates.

    Returns:
        ``result`` (FAIL if any gate failed, INCONCLUSIVE if any is open, else PASS), ``text`` whose
        first sentence names every rule that does as well or better, and ``rules``: the comparison
        with each rule.
    """
    rules = [
        {"rule": rule, "family": family, "radio_preset": preset, **comparison}
        for rule, families in RULES.items()
        if rule in rows_by_policy and rule != policy
        for family in families
        for preset in radio_presets
        for comparison in [_compared(rows_by_policy, (policy, rule), preset, family)]
        if comparison["pairs"]
    ]
    statuses = {gate["status"] for gate in gates}
    result = _RESULTS["fail" if "fail" in statuses else "open" if "open" in statuses else "pass"]
    named = {
        status: [gate["name"] for gate in gates if gate["status"] == status]
        for status in ("pass", "fail", "open")
    }
    sentences = [
        _rules_sentence(rules, policy),
        f"Verdict: {result}.",
        *(
            f"{word}: {', '.join(named[status])}."
            for status, word in (("fail", "Failed"), ("open", "Not decided"), ("pass", "Passed"))
            if named[status]
        ),
    ]
    return {"result": result, "text": " ".join(sentences), "rules": rules}


def _compared(
    rows_by_policy: RowsByPolicy, names: tuple[str, str], preset: str, family: str
) -> Json:
    """Return the paired comparison of two policies in one family under one preset."""
    pair = matched(*(rows_of(rows_by_policy, name, preset, (family,)) for name in names))
    return compare_collisions(*pair, names[1])


def _rules_sentence(rules: Sequence[Json], policy: str) -> str:
    """Return the first sentence: which rules beat the policy, which tie with it, or none."""
    if not rules:
        return f"No rule was run beside {policy}, so nothing is known of a gain over one."
    parts = []
    for status, words in (
        ("fail", f"a rule collides less often than {policy}"),
        ("open", f"a rule ties with {policy}, no difference shown"),
    ):
        places = _places([entry for entry in rules if comparison_status(entry) == status])
        if places:
            parts.append(f"{words} ({places})")
    if not parts:
        return f"{policy} collides less often than every rule it was compared with."
    sentence = "; ".join(parts)
    return f"{sentence[0].upper()}{sentence[1:]}."


def _places(rules: Sequence[Json]) -> str:
    """Return where each rule was compared, presets with the same families together."""
    families: dict[str, dict[str, list[str]]] = {}
    for entry in rules:
        by_preset = families.setdefault(entry["rule"], {})
        by_preset.setdefault(entry["radio_preset"], []).append(entry["family"])
    texts = []
    for rule, by_preset in families.items():
        presets: dict[str, list[str]] = {}
        for preset, letters in by_preset.items():
            presets.setdefault(" and ".join(letters), []).append(preset)
        texts += [f"{rule} in {where} under {' and '.join(of)}" for where, of in presets.items()]
    return "; ".join(texts)
