"""A real browser without a window, for the tests of pages."""

from __future__ import annotations

import shutil
from contextlib import contextmanager

import pytest

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
BROWSER_FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update",
)  # fmt: skip


@contextmanager
def opened_browser():
    """Open a browser, or skip the test where none is installed."""
    if BROWSER is None:
        pytest.skip("no chromium here: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=BROWSER, args=list(BROWSER_FLAGS))
        yield opened
        opened.close()


def opened_page(browser, path, width_px, scheme="light", **options):
    """Open a page and return it with what it said and asked for."""
    page = browser.new_page(
        viewport={"width": width_px, "height": 900}, color_scheme=scheme, **options
    )
    said, asked = [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri())
    return page, said, asked
