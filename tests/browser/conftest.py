"""Browser tests need a Chromium or Chrome; CI must have one."""

from __future__ import annotations

import os
import shutil

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
NO_BROWSER = f"no browser found; install one of {', '.join(NAMES)}"


def find_browser() -> str | None:
    """The path of the first Chromium or Chrome there is."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # In CI a missing browser is a failure, and the `browser_path` fixture says so.
    if find_browser() or os.environ.get("CI") == "true":
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
