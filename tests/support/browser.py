"""Chromium as a person at the keyboard: sign in, choose, run a cell, look."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

SCREENSHOTS_VARIABLE = "GRANARY_SCREENSHOTS"
"""Set to 1 to write the pictures the documentation shows."""

IMAGES_DIR = Path(__file__).resolve().parents[2] / "docs" / "images"

PATIENCE_MS = 45_000
"""For what a cold, shared two-core machine may take: a spawn, a first load of JupyterLab."""

_QUIET_FLAGS = [
    "--no-sandbox",  # the tests may run as root; the pages are our own
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]

_NOTEBOOK = ".jp-NotebookPanel:not(.lm-mod-hidden) .jp-Notebook"
_NOTEBOOK_CARD = '.jp-LauncherCard[data-category="Notebook"]'


@contextmanager
def chromium() -> Iterator[Browser]:
    """A headless Debian Chromium; skips the test by name where there is none."""
    executable = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if executable is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=_QUIET_FLAGS)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def person_at(browser: Browser, *, width: int = 1280, height: int = 800) -> Iterator[Page]:
    """A fresh profile, as another person's machine would have."""
    context = browser.new_context(viewport={"width": width, "height": height})
    context.set_default_timeout(PATIENCE_MS)
    try:
        yield context.new_page()
    finally:
        context.close()


def sign_in(page: Page, url: str, name: str, password: str) -> None:
    """From the hub's first page through the provider's password page back to the hub."""
    page.goto(url)
    page.get_by_role("link", name="Sign in").or_(page.get_by_role("button", name="Sign in")).first.click()
    page.locator("input[name=login]").fill(name)
    page.locator("button[type=submit], input[type=submit]").first.click()
    page.locator("input[name=password]").fill(password)
    page.locator("button[type=submit], input[type=submit]").first.click()


def wait_for_lab(page: Page) -> None:
    """Until JupyterLab's launcher shows its cards; JupyterLab may come up with what was open last."""
    page.wait_for_url("**/user/**/lab**", timeout=PATIENCE_MS)
    expect(page.locator("#jp-main-statusbar")).to_be_visible(timeout=PATIENCE_MS)
    card = page.locator(".jp-LauncherCard").first
    another = page.get_by_role("button", name="New Launcher").first
    expect(card.or_(another).first).to_be_visible(timeout=PATIENCE_MS)
    if not card.is_visible():
        another.click()
    expect(card).to_be_visible(timeout=PATIENCE_MS)


def notebook_cards(page: Page) -> list[str]:
    """Titles of the launcher's notebook cards: the kernels one may start."""
    titles = page.locator(f"{_NOTEBOOK_CARD} .jp-LauncherCard-label").all_inner_texts()
    return sorted(" ".join(title.split()) for title in titles)


def open_notebook(page: Page, card: str) -> None:
    """Click a kernel's card and wait until its kernel is idle."""
    label = page.locator(".jp-LauncherCard-label", has_text=re.compile(rf"^\s*{re.escape(card)}\s*$"))
    page.locator(_NOTEBOOK_CARD).filter(has=label).first.click()
    expect(page.locator(f"{_NOTEBOOK} .jp-CodeCell .cm-content").first).to_be_visible(timeout=PATIENCE_MS)
    # The status bar learns the state from the kernel itself; the toolbar shows "idle" before there is one.
    status = page.locator("#jp-main-statusbar").get_by_text(f"{card} | Idle", exact=True)
    expect(status).to_be_visible(timeout=PATIENCE_MS)


def run_cell(page: Page, source: str) -> str:
    """Type into the last cell, run it, return the text it printed."""
    cells = page.locator(f"{_NOTEBOOK} .jp-CodeCell")
    cell = cells.nth(cells.count() - 1)
    cell.locator(".cm-content").click()
    page.keyboard.insert_text(source)
    expect(cell.locator(".cm-content")).to_contain_text(source.partition("\n")[0])
    page.keyboard.press("Shift+Enter")
    output = cell.locator(".jp-OutputArea-output").first
    expect(output).to_be_visible(timeout=PATIENCE_MS)
    return output.inner_text().strip()


def picture(page: Page, name: str) -> None:
    """Write ``docs/images/<name>.png`` when pictures are asked for."""
    if os.environ.get(SCREENSHOTS_VARIABLE) == "1":
        IMAGES_DIR.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=IMAGES_DIR / f"{name}.png")
