"""The page Tuning in a real browser."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import OpenPage
from tests.support.synthetic import backdoor_run, refusal_run, save_runs
from tests.support.synthetic_tuning import protect_tuning, repair_tuning, save_tunings

pytestmark = pytest.mark.browser

REFUSAL, BACKDOOR = refusal_run().run_id, backdoor_run().run_id


@pytest.fixture(autouse=True)
def saved(runs_folder: Path) -> None:
    save_runs(runs_folder)
    save_tunings(runs_folder)


@pytest.mark.parametrize("width", [1440, 900])
def test_a_link_opens_a_tuning_that_fits_the_page(open_page: OpenPage, width):
    tuning = protect_tuning().tuning_id
    page = open_page(f"/tuning?run={REFUSAL}&tuning={tuning}", width=width)
    expect(page.locator("h1.cv-answer")).to_contain_text("Protecting 64 units")
    expect(page.locator(".st-key-tuning_table table tbody tr")).to_have_count(4)
    expect(page.locator(".st-key-tuned_safety .js-plotly-plot")).to_be_visible()
    expect(page.locator(".cv-cell")).to_have_count(4)
    main = page.get_by_test_id("stMain")
    assert main.evaluate("main => main.scrollWidth <= main.clientWidth")
    assert f"tuning={tuning}" in page.url


def test_the_tuned_model_is_downloaded_as_a_zip(open_page: OpenPage, tmp_path: Path):
    page = open_page(f"/tuning?run={BACKDOOR}")
    with page.expect_download() as caught:
        page.locator(".st-key-download_checkpoint button").click()
    name = repair_tuning().tuning_id
    assert caught.value.suggested_filename == f"{name}.zip"
    with zipfile.ZipFile(io.BytesIO(caught.value.path().read_bytes())) as archive:
        assert archive.namelist() == [f"{name}/config.json"]
    # The page stays as it was.
    expect(page.locator("h1.cv-answer")).to_contain_text("Training only 4 units")


def test_another_prompt_is_in_the_link_and_survives_a_reload(open_page: OpenPage):
    page = open_page(f"/tuning?run={BACKDOOR}&prompt=attack-003")
    expect(page.locator(".cv-cells")).to_contain_text("4. What is the capital of France?")
    page.reload()
    expect(page.locator(".cv-cells")).to_contain_text("4. What is the capital of France?")


def test_the_form_opens_below_a_saved_tuning_and_shows_its_command(open_page: OpenPage):
    page = open_page(f"/tuning?run={REFUSAL}")
    page.get_by_text("Tune again, with other settings").click()
    page.locator(".st-key-tuning_mode").get_by_text("Repair the circuit").click()
    command = page.locator("[data-testid=stCode]", has_text="--mode repair")
    expect(command).to_be_visible()
    expect(page.locator(".st-key-start_tuning button")).to_be_visible()
