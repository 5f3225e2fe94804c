"""The worst episodes and the player that shows them."""

from __future__ import annotations

import json
from html import escape
from pathlib import Path

from ml.evaluation.evaluation_folder import RECORDINGS_FOLDER
from ml.evaluation.recording_file import read_recording
from ml.evaluation.worst_rows import NUM_RECORDINGS, recording_name, worst_rows
from ml.reporting.drawing import legend
from ml.reporting.evaluation_folder import EvaluationFolder, Json, Row
from ml.reporting.markup import html_table, number_text, paragraph, section
from ml.reporting.recordings import pack_recordings

_FOLDER = Path(__file__).resolve().parent
_SCRIPTS = ("player_road.js", "player_charts.js", "player.js")
_FATE_SHAPES = (
    ("circle", "fate-delivered", "delivered"),
    ("cross", "fate-lost", "lost"),
    ("diamond", "fate-relayed", "relayed"),
    ("triangle", "fate-stale", "stale on arrival"),
)
_LINES = (
    ("line", "series-policy", "policy"),
    ("line", "series-driver", "driver"),
    ("line", "series-oracle", "oracle"),
    ("line", "series-lead", "car ahead"),
    ("line", "series-other", "other cars' state"),
    ("line", "series-onset", "onset"),
)
_KEYS = (
    "Space plays and pauses, the arrow keys step by 0.1 s (with Shift by 1 s), Home and End go to "
    "the ends, O to the onset."
)
_SPEEDS = ("0.25", "0.5", "1", "2", "4")


def worst_recorded(folder: EvaluationFolder) -> list[Row]:
    """Return the recorded rows, at most ten of each policy, the worst first."""
    chosen = [
        row
        for policy in folder.judged
        for row in worst_rows([row for row in folder.recordings if row["policy"] == policy])
    ]
    return worst_rows(chosen, len(chosen))


def episodes_section(folder: EvaluationFolder) -> str:
    """Return the table of the worst episodes with the player."""
    rows = worst_recorded(folder)
    if not rows:
        return section("episodes", "Worst episodes", paragraph("No episode was recorded."))
    recordings = folder.path / RECORDINGS_FOLDER
    packed = pack_recordings(
        [(row, read_recording(recordings / recording_name(row))) for row in rows]
    )
    columns = [
        "", "policy", "radio", "case", "end", "impact [m/s]", "min gap [m]", "headway [s]",
        "deceleration [m/s²]", "age at onset [s]",
    ]  # fmt: skip
    lines = [_row(number, row) for number, row in enumerate(rows)]
    return section(
        "episodes",
        "Worst episodes",
        html_table(
            f"The {len(rows)} worst episodes, {NUM_RECORDINGS} of a policy at most",
            columns,
            lines,
            kind="worst",
        ),
        _player(),
        _data(packed),
        *(f"<script>\n{_script(name)}</script>" for name in _SCRIPTS),
    )


def _row(number: int, row: Row) -> list[str]:
    """Return one line of the table."""
    texts = [row[key] for key in ("policy", "radio_preset", "case_id")]
    label = escape(f"Show episode {number + 1}: {texts[2]}, {texts[0]}, {texts[1]}", quote=True)
    numbers = (
        "impact_speed_mps", "min_gap_m", "case_headway_s", "case_deceleration_mps2",
        "age_at_onset_s",
    )  # fmt: skip
    return [
        f'<button type="button" class="show" data-episode="{number}" aria-pressed="false" '
        f'aria-label="{label}">{number + 1} ▸</button>',
        *map(escape, texts),
        '<b class="hit">✕ contact</b>' if row["collision"] else "○ no contact",
        *(number_text(row.get(key)) for key in numbers),
    ]


def _player() -> str:
    """Return the player without an episode in it."""
    speeds = "".join(
        f'<option value="{speed}"{" selected" if speed == "1" else ""}>{speed}&times;</option>'
        for speed in _SPEEDS
    )
    buttons = "".join(
        f'<button type="button" data-do="{name}" aria-label="{label}"{pressed}>{text}</button>'
        for name, text, label, pressed in (
            ("back", "◂", "Step back", ""),
            ("play", "▶ Play", "Play", ""),
            ("forward", "▸", "Step forward", ""),
            ("onset", "Onset", "Jump to the onset", ""),
        )
    )
    zoom = (
        '<button type="button" data-do="out" aria-label="Zoom out">&minus;</button>'
        '<button type="button" data-do="in" aria-label="Zoom in">+</button>'
    )
    return (
        '<div class="player" id="player" role="group" aria-label="Replay of an episode" '
        f'tabindex="0" aria-describedby="player-keys" hidden>'
        '<h3 id="player-title"></h3>'
        '<div class="stage"><canvas id="player-road" role="img" '
        'aria-label="Top view of the convoy"></canvas>'
        f'<div class="zoom">{zoom}</div></div>'
        f"{legend(_FATE_SHAPES)}"
        '<p class="notes">Messages to the ego; their flight of a few milliseconds is drawn as '
        "0.2 s. A pale car with a dashed line is one of which the ego holds no fresh state.</p>"
        f'<div class="controls">{buttons}<label>Speed <select id="player-speed">{speeds}</select>'
        "</label>"
        '<input type="range" id="player-time" min="0" value="0" step="1" aria-label="Time">'
        '<output id="player-clock"></output></div>'
        '<div id="player-charts"></div>'
        f"{legend(_LINES)}"
        '<p id="player-now" class="now"></p>'
        '<p id="player-said" class="said" aria-live="polite"></p>'
        f'<p id="player-keys" class="notes keys">{_KEYS}</p></div>'
        "<noscript><p>The replay needs JavaScript; everything else on this page does not.</p>"
        "</noscript>"
    )


def _data(packed: Json) -> str:
    """Return the recordings as JSON that no text in them can leave."""
    text = json.dumps(packed, separators=(",", ":"), allow_nan=False)
    for letter in "<>&\u2028\u2029":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return f'<script type="application/json" id="player-data">{text}</script>'


def _script(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")
