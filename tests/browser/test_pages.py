import re
from dataclasses import replace
from itertools import product
from urllib.parse import urljoin

import pytest
from playwright.sync_api import expect

from circuitviz.jobs.job import JOBS, JobFolder
from tests.browser.clicks import click_head
from tests.support.synthetic import backdoor_run, refusal_run, save_runs

pytestmark = pytest.mark.browser

PATHS = (
    "/",
    "/discover",
    "/models",
    "/circuit",
    "/tradeoff",
    "/compare",
    "/generations",
    "/tuning",
)
RUNS = (backdoor_run().run_id, refusal_run().run_id)


def test_every_page_opens_without_an_error_and_fits(open_page, runs_folder):
    save_runs(runs_folder)
    page = open_page("/", width=900)
    address = page.url
    for path, run in product(PATHS, RUNS):
        page.goto(urljoin(address, f"{path}?run={run}"))
        expect(page.locator("h1.cv-answer")).to_be_visible(timeout=60_000)
        expect(page.locator(".stApp[data-test-script-state=notRunning]")).to_be_visible(
            timeout=60_000
        )
        expect(page.get_by_test_id("stException")).to_have_count(0)
        main = page.get_by_test_id("stMain")
        cut = main.evaluate("main => main.scrollWidth > main.clientWidth")
        assert not cut, f"{path} is cut off at 900 pixels"


def test_a_click_in_the_corner_of_a_cell_selects_its_head(open_page, runs_folder):
    save_runs(runs_folder)
    page = open_page(f"/circuit?run={RUNS[0]}")
    for layer, head, across, down in ((3, 6, 0.1, 0.9), (0, 0, 0.9, 0.1), (2, 5, 0.5, 0.5)):
        click_head(page, layer, head, across=across, down=down)
        expect(page.locator(".st-key-unit_panel h3")).to_have_text(
            f"Attention head L{layer}H{head}", timeout=20_000
        )


def test_a_click_on_the_curve_selects_a_size_on_every_page(open_page, runs_folder):
    save_runs(runs_folder)
    page = open_page(f"/tradeoff?run={RUNS[0]}")
    # The second point of the attack success line is size 1.
    point = page.locator(".st-key-curve .scatterlayer .trace:has(.points path)").first
    expect(point).to_be_visible(timeout=60_000)
    target = point.locator(".points path").nth(1).bounding_box()
    page.mouse.move(target["x"] + target["width"] / 2, target["y"] + target["height"] / 2)
    expect(page.locator(".st-key-curve .hoverlayer .hovertext")).to_be_visible()
    page.mouse.down()
    page.mouse.up()
    expect(page.get_by_text("size 1 chosen")).to_be_visible(timeout=20_000)
    page.get_by_role("link", name="Circuit", exact=True).click()
    expect(page.locator("h1.cv-answer")).to_have_text("1 attention head, in layer 1")


def test_a_discovery_that_renames_the_other_runs_opens_its_own(open_page, runs_folder):
    store = save_runs(runs_folder)
    new = backdoor_run(seed=4)
    # A job of this process: the app watches it, and we say when it is done.
    folder = JobFolder.create(runs_folder / JOBS / "job", new.config)
    page = open_page(f"/tradeoff?run={RUNS[0]}")
    expect(page.locator("h1.cv-answer")).to_be_visible()
    page.get_by_role("link", name="Discover").click()
    expect(page.locator("h1.cv-answer")).to_have_text(re.compile("^Searching"))
    # Now there are two runs of this model, so the first one's title gains its seed.
    store.save(new)
    folder.save(replace(folder.load(), state="done", run_id=new.run_id))
    expect(page).to_have_url(re.compile(f"/\\?run={new.run_id}"))
    expect(page.locator("h1.cv-answer")).to_contain_text("Switching off 2 of 32 heads")
    expect(page.locator(".st-key-run_picker input")).to_have_value(re.compile("seed 4"))
    page.get_by_role("link", name="Circuit", exact=True).click()
    expect(page.locator("h1.cv-answer")).to_contain_text("2 attention heads")
    expect(page).to_have_url(re.compile(f"/circuit\\?run={new.run_id}"))


def test_a_discovery_that_ends_while_another_page_is_open_takes_nobody_there(
    open_page, runs_folder
):
    store = save_runs(runs_folder)
    new = backdoor_run(seed=4)
    folder = JobFolder.create(runs_folder / JOBS / "job", new.config)
    page = open_page(f"/?run={RUNS[0]}")
    expect(page.locator("h1.cv-answer")).to_be_visible()
    page.get_by_role("link", name="Discover").click()
    expect(page.locator("h1.cv-answer")).to_have_text(re.compile("^Searching"))
    page.get_by_role("link", name="Circuit", exact=True).click()
    expect(page.locator("h1.cv-answer")).to_contain_text("2 attention heads")
    expect(page.locator(".stApp[data-test-script-state=notRunning]")).to_be_visible()
    store.save(new)
    folder.save(replace(folder.load(), state="done", run_id=new.run_id))
    page.get_by_role("link", name="Discover").click()
    expect(page.locator("h1.cv-answer")).to_have_text("Let gradient descent find out")
    expect(page).to_have_url(re.compile(f"/discover\\?run={RUNS[0]}"))


def test_the_tray_has_its_numbers_where_there_is_nothing_to_compare(open_page, runs_folder):
    run = backdoor_run()
    alone = replace(run, config=replace(run.config, model="the-only-run-of-it"))
    save_runs(runs_folder).save(alone)
    page = open_page(f"/compare?run={alone.run_id}")
    expect(page.locator("h1.cv-answer")).to_have_text("There is nothing to compare yet")
    expect(page.locator(".st-key-tray_numbers")).to_contain_text("of 256")
