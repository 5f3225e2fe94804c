"""Colours, shapes and dashes of several policies in one figure, so that each can be told apart."""

from __future__ import annotations

_LIGHT = ("#0b62a8", "#b4530a", "#0f766e", "#7c3aed", "#a16207", "#be185d", "#4d7c0f", "#475569")
_DARK = ("#6cb6ff", "#ffa657", "#5eead4", "#c4a5ff", "#e3b341", "#f9a8d4", "#a3e635", "#a8b3c0")
_SHAPES = ("circle", "square", "triangle", "diamond", "cross")
_DASHES = ("none", "7 3", "2 3", "9 3 2 3", "none", "7 3", "2 3", "9 3 2 3")


def series_kind(number: int) -> str:
    """Return the class of a policy's lines and intervals, by its place in the figure."""
    return f"series-of-{number}"


def series_mark(number: int) -> str:
    """Return the class of a policy's marks."""
    return f"{series_kind(number)} shape-{series_shape(number)}"


def series_shape(number: int) -> str:
    """Return the shape of a policy's marks."""
    return _SHAPES[number % len(_SHAPES)]


def series_style(count: int) -> str:
    """Return colours and dashes of so many policies, for light and for dark screens."""
    rules = []
    for colours, frame in ((_LIGHT, "{}"), (_DARK, "@media screen and "
                           "(prefers-color-scheme: dark) {{ {} }}")):  # fmt: skip
        inner = " ".join(
            f".series-of-{n} {{ --series: {colours[n % len(colours)]}; }}" for n in range(count)
        )
        rules.append(frame.format(inner))
    rules += [_rules(number, "var(--series)") for number in range(count)]
    return "\n".join(rules)


def literal_series_style(count: int, *, is_dark: bool) -> str:
    """Return the same for one kind of screen, for viewers that know no variables."""
    colours = _DARK if is_dark else _LIGHT
    return "\n".join(_rules(number, colours[number % len(colours)]) for number in range(count))


def _rules(number: int, colour: str) -> str:
    """Return the rules of one policy."""
    kind = series_kind(number)
    return (
        f".curve.{kind} {{ stroke: {colour}; stroke-width: 1.8; "
        f"stroke-dasharray: {_DASHES[number % len(_DASHES)]}; }}"
        f".interval.{kind} {{ stroke: {colour}; stroke-opacity: .55; }}"
        f".mark.{kind}, .drawing .mark.{kind} {{ fill: {colour}; }}"
        f".mark.{kind}.shape-cross, .drawing .mark.{kind}.shape-cross {{ stroke: {colour}; "
        "stroke-width: 2; }"
    )
