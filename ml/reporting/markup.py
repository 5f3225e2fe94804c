"""Small pieces of HTML that the sections of a page are made of; every text is escaped here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape

_STATUS = {
    "pass": (
        "PASS",
        '<circle cx="8" cy="8" r="7"/><path class="mark" d="M4.5 8.2l2.4 2.4 4.6-5"/>',
    ),
    "fail": (
        "FAIL",
        '<path d="M5 1h6l4 4v6l-4 4H5l-4-4V5z"/><path class="mark" d="M5.2 5.2l5.6 5.6m0-5.6l-5.6'
        ' 5.6"/>',
    ),
    "open": ("OPEN", '<path d="M8 .8 15.2 8 8 15.2.8 8z"/><path class="mark" d="M4.8 8h6.4"/>'),
}
"""Word and shape of each status: a disc with a tick, an octagon with a cross, a diamond."""


def status_badge(status: str, word: str | None = None) -> str:
    """Return a status as a shape and a word.

    Args:
        status: pass, fail or open.
        word: In the place of the status's own.
    """
    own, shape = _STATUS[status]
    return (
        f'<span class="badge {status}"><svg class="shape" viewBox="0 0 16 16" aria-hidden="true">'
        f"{shape}</svg>{escape(word or own)}</span>"
    )


def section(name: str, title: str, *parts: str) -> str:
    """Return a section of the page that its heading names; ``name`` is its place for links."""
    return (
        f'<section id="{name}" aria-labelledby="{name}-title">\n'
        f'<h2 id="{name}-title">{escape(title)}</h2>\n' + "\n".join(parts) + "\n</section>"
    )


def paragraph(text: str, kind: str = "") -> str:
    """Return a paragraph of plain text."""
    return f"<p{_class(kind)}>{escape(text)}</p>"


def details(summary: str, content: str) -> str:
    """Return a part that opens on demand."""
    return f"<details><summary>{escape(summary)}</summary>{content}</details>"


def table(
    caption: str, columns: Sequence[str], rows: Iterable[Sequence[str]], *, kind: str = ""
) -> str:
    """Return a table of plain texts in a box that scrolls; the first column names the rows."""
    return html_table(
        caption,
        [escape(column) for column in columns],
        [[escape(cell) for cell in row] for row in rows],
        kind=kind,
    )


def html_table(
    caption: str, columns: Sequence[str], rows: Iterable[Sequence[str]], *, kind: str = ""
) -> str:
    """Return a table whose cells are HTML already; ``caption`` is plain."""
    head = "".join(f'<th scope="col">{column}</th>' for column in columns)
    body = "".join(
        f'<tr><th scope="row">{row[0]}</th>{"".join(f"<td>{cell}</td>" for cell in row[1:])}</tr>'
        for row in rows
    )
    label = escape(caption, quote=True)
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="{label}">'
        f"<table{_class(kind)}><caption>{escape(caption)}</caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def figure(title: str, drawing: str, caption: str, data: str) -> str:
    """Return a figure with title, caption, and its numbers as a table that opens on demand."""
    return (
        f"<figure><h3>{escape(title)}</h3>{drawing}<figcaption>{escape(caption)}</figcaption>"
        f"{details('Numbers', data)}</figure>"
    )


def figures(drawings: Iterable[str], kind: str = "") -> str:
    """Return figures side by side where there is room."""
    return f'<div class="figures {kind}">{"".join(drawings)}</div>'


def facts(entries: Mapping[str, object]) -> str:
    """Return names and values of a JSON object, inner ones below each other."""
    items = "".join(
        f"<dt>{escape(str(key))}</dt><dd>{_fact(value)}</dd>" for key, value in entries.items()
    )
    return f"<dl>{items}</dl>"


def object_table(name: str, entries: Sequence[object]) -> str:
    """Return a list of JSON objects as a table that opens on demand, one line each.

    A long list is cut; its whole length is said.
    """
    objects = [entry for entry in entries if isinstance(entry, Mapping)]
    words = name.replace("_", " ")
    if not objects:
        return facts({words: list(entries)})
    columns = list(dict.fromkeys(str(key) for entry in objects for key in entry))
    shown = objects[:_MOST_OBJECTS]
    rows = [
        ["" if entry.get(key) is None else str(entry[key]) for key in columns] for entry in shown
    ]
    summary = f"{words}: {len(objects):,}"
    if len(shown) < len(objects):
        summary += f", the first {len(shown)} shown"
    return details(summary, table(words, columns, rows, kind="texts"))


def _fact(value: object, depth: int = 0) -> str:
    """Return a JSON value: objects as lists of facts, all else as text."""
    if isinstance(value, Mapping) and len(value) > _MOST_FACTS and depth == 0:
        return details(f"{len(value)} entries", _fact(value, depth + 1))
    if isinstance(value, Mapping) and value and depth < _DEEPEST:
        inner = "".join(
            f"<li><span>{escape(str(key))}</span> {_fact(item, depth + 1)}</li>"
            for key, item in value.items()
        )
        return f'<ul class="facts">{inner}</ul>'
    if isinstance(value, list):
        return escape(", ".join(map(str, value)) or "none")
    return escape("none" if value is None else str(value))


def _class(kind: str) -> str:
    return f' class="{kind}"' if kind else ""


_MOST_OBJECTS, _MOST_FACTS, _DEEPEST = 300, 6, 4

# --- Numbers ------------------------------------------------------------------------------------


def share_text(share: float | None) -> str:
    """Return a share in percent, with as many places as it needs.

    >>> share_text(0.1234), share_text(0.00042), share_text(0.0), share_text(1.0)
    ('12.3 %', '0.04 %', '0 %', '100 %')
    """
    if share is None:
        return "none"
    percent = 100.0 * share
    places = 0 if percent in {0.0, 100.0} else 1 if percent >= 1.0 else 2 if percent >= 0.02 else 3
    return f"{percent:.{places}f} %"


def interval_text(interval: Sequence[float] | None) -> str:
    """Return the limits of a share in percent, the unit once.

    >>> interval_text((0.01, 0.0523))
    '1.0 to 5.2 %'
    """
    if interval is None:
        return "none"
    low, high = (share_text(limit) for limit in interval)
    return f"{low.removesuffix(' %')} to {high}"


def number_text(value: float | None) -> str:
    """Return a number with three digits that matter.

    >>> number_text(1234.5), number_text(0.12345), number_text(None)
    ('1,234', '0.123', 'none')
    """
    if value is None:
        return "none"
    if abs(value) >= 1000.0:
        return f"{value:,.0f}"
    return f"{value:.3g}"
