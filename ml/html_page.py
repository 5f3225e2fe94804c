"""The frame of every page that is written: one HTML file that needs nothing else.

Colours follow the screen's light or dark setting, and are light on paper. A page adds the colours
and rules of its own to these.
"""

from __future__ import annotations

from html import escape

_LIGHT = """color-scheme: light; --surface: #ffffff; --panel: #f5f6f8; --ink: #1b1f24;
  --muted: #5b6470; --grid: #e2e5e9; --focus: #0b62a8; --alarm: #b42318;"""
_DARK = """color-scheme: dark; --surface: #14171b; --panel: #1d2126; --ink: #e6e8eb;
  --muted: #9aa4af; --grid: #2c323a; --focus: #6cb6ff; --alarm: #ff8a80;"""
_STYLE = f"""
:root {{ {_LIGHT} }}
@media screen and (prefers-color-scheme: dark) {{ :root {{ {_DARK} }} }}
* {{ box-sizing: border-box; }}
body {{ margin: 0 auto; padding: 1.2rem 1rem 3rem; max-width: 68rem; background: var(--surface);
  color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }}
h1 {{ margin: 0; font-size: 1.5rem; overflow-wrap: anywhere; }}
h2 {{ margin: 0 0 .3rem; font-size: 1.05rem; }}
p {{ margin: .3rem 0 .8rem; }}
.kind, figcaption, dt, .notes {{ color: var(--muted); }}
figcaption, dt, .notes {{ font-size: .88rem; }}
.verdict {{ padding: .6rem .9rem; background: var(--panel); border-left: .3rem solid; }}
.verdict.differs {{ border-color: var(--alarm); }}
figure {{ margin: 0; min-width: 0; break-inside: avoid; }}
figure svg {{ display: block; width: 100%; height: auto; }}
.empty {{ padding: 3rem 1rem; text-align: center; background: var(--panel); }}
dl {{ display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; margin: 1rem 0; }}
dd {{ margin: 0; overflow-wrap: anywhere; }}
@media (max-width: 34rem) {{ dl {{ grid-template-columns: 1fr; }} dd {{ margin-bottom: .5rem; }} }}
.wide {{ overflow-x: auto; }}
:focus-visible {{ outline: 2px solid var(--focus); outline-offset: 2px; }}
table {{ border-collapse: collapse; width: 100%; font-size: .88rem;
  font-variant-numeric: tabular-nums; }}
th, td {{ padding: .25rem .6rem; text-align: right; border-bottom: 1px solid var(--grid);
  white-space: nowrap; font-weight: inherit; }}
thead th {{ font-weight: 600; vertical-align: bottom; }}
th:first-child, td:last-child, th:last-child {{ text-align: left; }}
th:first-child {{ white-space: normal; padding-left: 0; }}
pre {{ overflow-x: auto; padding: .8rem; background: var(--panel); font-size: .8rem; }}
summary {{ cursor: pointer; }}
"""


def page_html(title: str, body: str, *, style: str = "") -> str:
    """Return a whole page.

    Args:
        title: What the browser calls it, as plain text.
        body: What is in it, as HTML.
        style: CSS of this page, after that of every page.
    """
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}{style}</style>\n</head>\n<body>\n"
        f"{body}\n</body>\n</html>\n"
    )
