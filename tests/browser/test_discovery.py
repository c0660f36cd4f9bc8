"""A newcomer's first minutes, in a real browser with a real model."""

import re

import pytest
from playwright.sync_api import Page, expect

from circuitviz.models.source import embedded_models
from tests.browser.clicks import click_head

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.own_server]

MODEL = "fixed-output-planted"
PATIENCE = 240_000  # milliseconds; a loaded machine with two cores learns slowly


def choose_model(page: Page) -> None:
    """Pick the planted backdoor by its title."""
    (title,) = (card.title for card in embedded_models() if card.name == MODEL)
    page.locator(".st-key-model_pills").get_by_text(title, exact=True).click()


def start_discovery(page: Page, steps: int) -> None:
    """Choose the planted backdoor and few steps, and start."""
    page.get_by_role("link", name="Discover").click()
    expect(page.locator("h1.cv-answer")).to_have_text("Let gradient descent find out")
    choose_model(page)
    page.get_by_text("Method settings").click()
    field = page.get_by_role("spinbutton", name="Steps")
    field.fill(str(steps))
    field.press("Enter")
    # By its name: while the page is redrawn, the button of the former settings may still stand.
    start = page.get_by_role("button", name="Start discovery")
    expect(start).to_be_visible()
    start.click()
    expect(page.locator("h1.cv-answer")).to_have_text(re.compile("^Searching"))


def test_from_discovery_to_generations_and_back_by_link(open_page):
    page = open_page()
    start_discovery(page, steps=20)
    # Progress, the losses and the map that changes while it learns.
    expect(page.get_by_test_id("stProgress")).to_contain_text("step", timeout=PATIENCE)
    expect(page.locator(".st-key-live_heads .heatmaplayer image").first).to_be_attached(
        timeout=PATIENCE
    )
    # It lands on the result.
    expect(page).to_have_url(re.compile(r"/\?run=fixed-output-planted"), timeout=PATIENCE)
    expect(page.locator("h1.cv-answer")).to_be_visible()
    expect(page.get_by_text("Should I believe it?")).to_be_visible()

    page.get_by_role("link", name="Circuit", exact=True).click()
    click_head(page, 1, 3)
    panel = page.locator(".st-key-unit_panel")
    expect(panel).to_contain_text("Attention head L1H3")
    expect(panel).to_contain_text("with only this unit off")

    page.get_by_role("link", name="Trade-off").click()
    slider = page.locator(".st-key-size_slider input[type=range]")
    value = page.locator(".st-key-size_slider").get_by_test_id("stSliderThumbValue")
    expect(value).to_be_visible()
    before = value.inner_text()
    slider.focus()
    page.keyboard.press("ArrowRight")
    expect(value).not_to_have_text(before)
    expect(page).to_have_url(re.compile(r"size=\d+"))
    expect(page.get_by_role("button", name="Back to the found circuit")).to_be_visible()
    chosen = value.inner_text()

    page.get_by_role("link", name="Generations").click()
    cells = page.locator(".cv-cell")
    expect(cells).to_have_count(4)
    expect(cells.nth(1)).to_contain_text("Intact model, triggered")
    expect(cells.nth(3)).to_contain_text("triggered")

    # The same link in another browser finds the same run, size and head.
    page.get_by_role("link", name="Trade-off").click()
    expect(page).to_have_url(re.compile(r"/tradeoff\?.*size=\d+.*unit=L1H3"))
    link = page.url
    other = open_page(link[link.index("/tradeoff") :])
    expect(other.locator(".st-key-size_slider").get_by_test_id("stSliderThumbValue")).to_have_text(
        chosen, timeout=PATIENCE
    )
    other.get_by_role("link", name="Circuit", exact=True).click()
    expect(other.locator(".st-key-unit_panel")).to_contain_text("Attention head L1H3")


def test_a_discovery_is_found_after_a_reload_and_stopped_half_way(open_page, runs_folder):
    page = open_page()
    start_discovery(page, steps=3000)
    expect(page.get_by_test_id("stProgress")).to_contain_text("step", timeout=PATIENCE)
    page.reload()
    expect(page.locator("h1.cv-answer")).to_have_text(re.compile("^Searching"))
    page.locator(".st-key-stop button").click()
    expect(page.get_by_text("The discovery was stopped")).to_be_visible(timeout=PATIENCE)
    expect(page.get_by_text("Let gradient descent find out")).to_be_visible()
    assert not list(runs_folder.glob("fixed-output-planted*"))
