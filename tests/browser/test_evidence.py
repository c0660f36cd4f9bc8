"""Whether to believe a run, and whether runs agree, in a real browser."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.support.synthetic import (
    controlled_run,
    failing_run,
    other_method_run,
    save_family,
)

pytestmark = pytest.mark.browser

PASSING, FAILING, METHOD = (
    make().run_id for make in (controlled_run, failing_run, other_method_run)
)


def complaints_of(page: Page) -> list[str]:
    """What the page complains of from now on: errors, and requests that fail."""
    found: list[str] = []
    page.on("console", lambda said: found.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: found.append(str(error)))
    page.on("requestfailed", lambda request: found.append(request.url))
    return found


def settled(page: Page) -> None:
    expect(page.locator(".stApp[data-test-script-state=notRunning]")).to_be_visible()
    expect(page.get_by_test_id("stException")).to_have_count(0)


def fits(page: Page) -> bool:
    main = page.get_by_test_id("stMain")
    return not main.evaluate("main => main.scrollWidth > main.clientWidth")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_verdicts_and_evidence_are_readable_without_an_error(open_page, runs_folder, theme):
    save_family(runs_folder)
    page = open_page(f"/?run={PASSING}", theme=theme, width=900)
    complaints = complaints_of(page)
    expect(page.locator(".cv-summary")).to_contain_text("4 of 4 controls behave")
    expect(page.locator(".cv-control")).to_have_count(4)
    page.get_by_text("Faithful, complete, minimal").click()
    page.get_by_role("button", name="How is this measured?").first.click()
    expect(page.get_by_text("Completeness", exact=True).first).to_be_visible()
    page.keyboard.press("Escape")
    page.get_by_text("The circuit kept while the rest").click()
    expect(page.locator(".st-key-stochastic .scatterlayer .trace").first).to_be_visible()
    settled(page)
    assert fits(page)
    # What failed looks different from what passed by more than its colour.
    page.goto(re.sub(r"run=.*", f"run={FAILING}", page.url))
    expect(page.locator(".cv-summary")).to_contain_text("2 controls FAILED")
    expect(page.locator(".cv-control.cv-no")).to_have_count(2)
    expect(page.locator(".cv-control.cv-no").first).to_contain_text("FAILS")
    settled(page)
    assert complaints == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_runs_are_compared_and_the_link_keeps_which(open_page, runs_folder, theme):
    save_family(runs_folder)
    page = open_page(f"/?run={PASSING}", theme=theme, width=900)
    complaints = complaints_of(page)
    page.get_by_role("link", name="Compare", exact=True).click()
    answer = page.locator("h1.cv-answer")
    expect(answer).to_contain_text("all 3 runs")
    expect(page).to_have_url(re.compile(r"compare=.+%2C.+"))
    expect(page.locator(".st-key-overlap .heatmaplayer image").first).to_be_attached()
    expect(page.locator(".st-key-neuron_counts .barlayer .point").first).to_be_attached()
    settled(page)
    assert fits(page)
    # On the trade-off the same runs are on the same axes.
    page.get_by_role("link", name="Trade-off", exact=True).click()
    expect(page.locator(".st-key-overlay .legend")).to_contain_text("Integrated gradients")
    expect(page).to_have_url(re.compile(r"/tradeoff\?.*compare="))
    settled(page)
    assert complaints == []
    other = open_page(f"/compare?run={PASSING}&compare={METHOD}", theme=theme)
    expect(other.locator("h1.cv-answer")).to_contain_text("both runs")
    expect(other.locator(".st-key-head_difference .heatmaplayer image").first).to_be_attached()
