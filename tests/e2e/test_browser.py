"""The first hour of each person, in a real browser against the real product."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.support.browser import (
    chromium,
    notebook_cards,
    open_notebook,
    person_at,
    picture,
    run_cell,
    sign_in,
    wait_for_lab,
)
from tests.support.installation import Installation

pytestmark = [pytest.mark.e2e, pytest.mark.browser]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


def test_a_data_scientist_signs_in_and_runs_a_cell_on_a_governed_kernel(
    browser: Browser, granary: Installation
):
    with person_at(browser) as page:
        sign_in(page, granary.url, "atlas-1", granary.password("atlas-1"))
        wait_for_lab(page)
        cards = notebook_cards(page)
        assert cards == ["Python", "Python data", "Python data (dev)"]
        picture(page, "lab-launcher")

        open_notebook(page, "Python data")
        assert run_cell(page, "import os; print(6 * 7, os.environ['GRANARY_KERNEL'])") == "42 python-data"
        picture(page, "lab-first-cell")
    owners = {(kernel["owner"], kernel["kernel"]) for kernel in granary.running_kernels()}
    assert ("atlas-1", "python-data") in owners


def test_a_member_of_two_teams_is_asked_which_one(browser: Browser, granary: Installation):
    with person_at(browser) as page:
        sign_in(page, granary.url, "both-1", granary.password("both-1"))
        choice = page.get_by_role("radio")
        expect(choice).to_have_count(2)
        picture(page, "spawn-team-choice")
        page.get_by_role("radio", name="Borealis").check()
        page.get_by_role("button", name="Start").click()
        wait_for_lab(page)
        assert notebook_cards(page) == ["Python"]


def test_who_is_in_no_team_is_told_why_and_whom_to_ask(browser: Browser, granary: Installation):
    with person_at(browser) as page:
        sign_in(page, granary.url, "outsider", granary.password("outsider"))
        expect(page.get_by_text("in no team")).to_be_visible()
        expect(page.get_by_text(granary.contact)).to_be_visible()
        picture(page, "refused")


@pytest.mark.parametrize(
    ("name", "sees", "never_sees"),
    [("admin", ["atlas-1", "both-1"], []), ("atlas-admin", ["atlas-1", "both-1"], ["borealis-admin"])],
)
def test_admins_see_the_people_they_answer_for(
    browser: Browser, granary: Installation, name: str, sees: list[str], never_sees: list[str]
):
    for person in {*sees, *never_sees}:
        granary.token(person)  # they have signed in at least once
    with person_at(browser) as page:
        sign_in(page, granary.url, name, granary.password(name))
        page.wait_for_url("**/hub/admin" if name == "admin" else "**/user/**")
        page.goto(f"{granary.url}/hub/admin")
        for person in sees:
            expect(page.get_by_text(person, exact=True).first).to_be_visible()
        for person in never_sees:
            expect(page.get_by_text(person, exact=True)).to_have_count(0)
