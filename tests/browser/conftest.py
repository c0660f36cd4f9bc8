"""Browser tests need a Chromium or Chrome; CI must have one."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from circuitviz.files import APP, PROJECT

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
NO_BROWSER = f"no browser found; install one of {', '.join(NAMES)}"
# A fresh profile that asks nobody anything; without a sandbox, which root does not have.
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]

# A page is slow to answer while the worker warms up on the same two cores.
expect.set_options(timeout=60_000)

OpenPage = Callable[..., Page]


def find_browser() -> str | None:
    """The path of the first Chromium or Chrome there is."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # In CI a missing browser is a failure, and the `browser_path` fixture says so.
    if find_browser() or os.environ.get("CI"):
        return
    for item in items:
        if item.get_closest_marker("browser"):
            item.add_marker(pytest.mark.skip(reason=NO_BROWSER))


@pytest.fixture(scope="session")
def browser_path() -> str:
    """The Chromium or Chrome to drive."""
    path = find_browser()
    if path is None:
        pytest.fail(NO_BROWSER)
    return path


@pytest.fixture(scope="session")
def browser(browser_path: str) -> Iterator[Browser]:
    """One browser for all tests; each test opens contexts of its own."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser_path, args=FLAGS)
        yield chromium
        chromium.close()


@contextmanager
def served(runs: Path, log: Path, **settings: str) -> Iterator[str]:
    """The app, served on a free port with its runs in a folder; its address.

    Args:
        runs: Where it keeps its runs.
        log: Where its errors are written.
        settings: Environment variables besides.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", str(APP), f"--server.port={port}"]
    command += ["--server.headless=true", "--logger.hideWelcomeMessage=false"]
    own = {"CIRCUITVIZ_RUNS": str(runs), "OMP_NUM_THREADS": "1", **settings}
    environment = {**os.environ, **own}
    with (
        log.open("w") as errors,
        subprocess.Popen(
            command,
            cwd=PROJECT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as process,
    ):
        if not any("URL" in line for line in process.stdout or ()):
            pytest.fail(f"the app did not start:\n{log.read_text()}")
        yield f"http://127.0.0.1:{port}"
        process.terminate()
        # Read to the end: a closed pipe would stop the server from stopping.
        process.communicate(timeout=60)


@pytest.fixture(scope="session")
def shared_app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """One app for all tests that start no job; its address and the folder of its runs."""
    folder = tmp_path_factory.mktemp("shared")
    with served(folder / "runs", folder / "server.log") as address:
        yield address, folder / "runs"


@pytest.fixture
def app(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """The app of this test and the folder of its runs, which is empty."""
    if request.node.get_closest_marker("own_server"):
        with served(tmp_path / "runs", tmp_path / "server.log") as address:
            yield address, tmp_path / "runs"
    else:
        address, runs = request.getfixturevalue("shared_app")
        shutil.rmtree(runs, ignore_errors=True)
        yield address, runs


@pytest.fixture
def runs_folder(app: tuple[str, Path]) -> Path:
    """Where the app of this test keeps its runs; tests put runs here before they open pages."""
    return app[1]


@pytest.fixture
def server(app: tuple[str, Path]) -> str:
    """The address of the app."""
    return app[0]


@pytest.fixture
def open_page(browser: Browser, server: str) -> Iterator[OpenPage]:
    """Open a page of the app in a context, that is a user, of its own."""
    contexts = []

    def open_one(path: str = "/", *, theme: str = "light", width: int = 1440) -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": 1100},
            color_scheme=theme,  # type: ignore[arg-type]
        )
        context.set_default_timeout(60_000)
        contexts.append(context)
        page = context.new_page()
        page.goto(server + path)
        return page

    yield open_one
    for context in contexts:
        context.close()
