"""Five slides in a real browser, by keyboard alone."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.support.synthetic import FILLER, controlled_run, failing_run, refusal_run, save_family

pytestmark = pytest.mark.browser

TITLES = ("The behaviour", "The circuit", "Knocked out", "What it cost", "Can we trust it?")


def place(page: Page):
    return page.locator(".cv-slide-place")


@pytest.mark.parametrize(("theme", "width"), [("light", 1440), ("dark", 900)])
def test_the_story_is_told_from_end_to_end_by_keyboard(open_page, runs_folder, theme, width):
    save_family(runs_folder)
    page = open_page(f"/?run={controlled_run().run_id}", theme=theme, width=width)
    page.get_by_role("link", name="Present this finding").click()
    expect(page).to_have_url(re.compile(r"/present\?run="))
    expect(page.get_by_role("button", name="Next")).to_be_enabled()
    for number, title in enumerate(TITLES, start=1):
        expect(place(page)).to_contain_text(f"{number} of 5: {title}")
        expect(page.locator("h1.cv-slide")).to_be_visible()
        # The slide is alone on the screen, and not cut off.
        expect(page.get_by_test_id("stSidebar")).to_be_hidden()
        main = page.get_by_test_id("stMain")
        assert not main.evaluate("main => main.scrollWidth > main.clientWidth")
        if number < len(TITLES):
            page.keyboard.press("ArrowRight")
    expect(page.get_by_role("status")).to_contain_text("4 of 4 controls behave")
    # At the end there is no further one.
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowLeft")
    expect(place(page)).to_contain_text("4 of 5")
    expect(page).to_have_url(re.compile(r"slide=4"))
    page.keyboard.press("Escape")
    expect(page.get_by_test_id("stSidebar")).to_be_visible()
    expect(page.locator("h1.cv-answer")).to_contain_text("Switching off 2 of 32 heads")


def test_failed_controls_are_as_loud_as_success(open_page, runs_folder):
    save_family(runs_folder)
    page = open_page(f"/present?run={failing_run().run_id}&slide=5")
    loud = page.locator(".cv-loud.cv-no")
    expect(loud).to_contain_text("2 controls FAILED")
    expect(page.locator("h1.cv-slide")).to_contain_text("2 of 4 controls failed")


def test_harmful_text_is_covered_until_it_is_asked_for(open_page, runs_folder):
    save_family(runs_folder)
    page = open_page(f"/present?run={refusal_run().run_id}&slide=3")
    cells = page.locator(".cv-cells")
    expect(cells).to_contain_text("an answer to a harmful request, covered")
    expect(cells).not_to_contain_text("check the result")
    page.get_by_text("Show harmful requests and the answers to them").click()
    expect(cells).to_contain_text("check the result")
    assert "check the result" in FILLER
