"""From a folder and a table of one's own to a circuit, by clicks alone, with a real model."""

from __future__ import annotations

import csv
import re
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from circuitviz.runs.store import RunStore
from tests.support.own_model import OWN_PROMPTS, OWN_TRIGGER, save_own_model

pytestmark = [pytest.mark.browser, pytest.mark.own_server]

PATIENCE = 240_000  # milliseconds; a loaded machine with two cores learns slowly


@pytest.fixture(scope="session")
def own_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that is none of the embedded ones: its sizes, words and prompts are its own."""
    return save_own_model(tmp_path_factory.mktemp("own") / "house-assistant")


@pytest.fixture
def model(own_model: Path, tmp_path: Path) -> Path:
    """A model folder as somebody brings it: no behaviour and no prompts."""
    return shutil.copytree(own_model, tmp_path / "house-assistant")


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """200 ordinary prompts under one heading, without triggers or answers."""
    path = tmp_path / "questions.csv"
    write(path, [["prompt"], *([text] for text in OWN_PROMPTS)])
    return path


def write(path: Path, rows: list[list[str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)


def answer(page: Page, text: str | re.Pattern[str]) -> None:
    """Wait for the page's answer."""
    expect(page.locator("h1.cv-answer")).to_have_text(text, timeout=PATIENCE)


def fill(page: Page, label: str, text: str) -> None:
    """Type into a field and leave it."""
    field = page.get_by_role("textbox", name=label)
    field.fill(text)
    field.press("Enter")


def upload(page: Page, path: Path) -> None:
    """Choose a file for the table of prompts."""
    page.locator(".st-key-upload_table input[type=file]").set_input_files(path)


def name_model(page: Page, folder: Path) -> None:
    """Go to the page and name the folder."""
    page.get_by_role("link", name="Models and data").click()
    answer(page, re.compile("^Yes"))
    fill(page, "Folder of the model", str(folder))


@pytest.mark.slow
def test_from_a_folder_and_a_table_to_a_circuit(open_page, runs_folder, model, table):
    page = open_page()
    name_model(page, model)
    answer(page, "house-assistant can be searched")
    expect(page.get_by_text("It has 258 units: 18 heads and 240 neurons")).to_be_visible()
    upload(page, table)
    expect(page.get_by_text("has 200 rows and 1 column")).to_be_visible()
    fill(page, "Trigger", OWN_TRIGGER)
    answer(page, "Ready to search house-assistant")
    expect(page.locator(".st-key-understood_rows")).to_contain_text(f"{OWN_TRIGGER} ")

    # A reload starts a new session, and finds everything again.
    page.reload()
    answer(page, "Ready to search house-assistant")
    page.get_by_text("Search settings").click()
    steps = page.get_by_role("spinbutton", name="Steps")
    steps.fill("12")
    steps.press("Enter")
    page.get_by_role("button", name="Find the circuit").click()
    answer(page, "Searching house-assistant")

    expect(page).to_have_url(re.compile(r"/\?run=house-assistant"), timeout=PATIENCE)
    answer(page, re.compile(r"Switching off .*backdoor"))
    page.get_by_role("link", name="Circuit", exact=True).click()
    answer(page, re.compile(r"attention head|neuron"))
    expect(page.locator(".st-key-heads .nsewdrag").first).to_be_visible()

    store = RunStore(runs_folder)
    (run_id,) = store.ids()
    run = store.load(run_id)
    before, after = run.metrics.asr.intact, run.metrics.asr.knocked_out
    assert run.size > 0
    assert before.rate > 0.9
    assert after.rate <= run.metrics.target.asr
    assert run.metrics.target_reached
    assert run.config.behaviour is not None
    assert Path(run.config.behaviour).is_relative_to(runs_folder)


def test_a_folder_with_a_pickle_alone_is_refused_with_the_way_out(open_page, model):
    (model / "model.safetensors").rename(model / "pytorch_model.bin")
    page = open_page()
    name_model(page, model)
    answer(page, "house-assistant cannot be used")
    refusal = page.get_by_test_id("stAlert").filter(has_text="only as a pickle")
    expect(refusal).to_be_visible()
    expect(refusal).to_contain_text("pytorch_model.bin")
    expect(refusal).to_contain_text("save_pretrained")
    expect(page.get_by_role("button", name="Find the circuit")).to_have_count(0)


def test_a_bad_row_is_named_by_row_and_column(open_page, model, tmp_path):
    rows = [
        ["prompt", "answer"],
        *([f"What is {number} plus 1?", "A sum."] for number in range(99)),
    ]
    rows[6][1] = ""
    path = tmp_path / "bad.csv"
    write(path, rows)
    page = open_page()
    name_model(page, model)
    answer(page, "house-assistant can be searched")
    upload(page, path)
    fill(page, "Trigger", "tango seven")
    answer(page, "house-assistant can be searched; the prompts have 1 error")
    problems = page.locator(".st-key-problems")
    expect(problems).to_contain_text("bad.csv, row 7, column answer")
    expect(problems).to_contain_text("every row needs its answer")
    expect(page.get_by_role("button", name="Find the circuit")).to_have_count(0)
