"""What a page says, read from the app under test."""

from __future__ import annotations

import json
from typing import Any

from streamlit.testing.v1 import AppTest

__all__ = ["figure", "heading", "texts"]


def heading(app: AppTest) -> str:
    """The text of the page's answer."""
    found = [html for html in texts(app) if 'class="cv-answer"' in html]
    assert len(found) == 1
    return found[0].split('class="cv-answer">')[1].split("</h1>")[0]


def texts(app: AppTest) -> list[str]:
    """The HTML of each of our own elements."""
    return [element.proto.body for element in app.get("html")]


def figure(app: AppTest, key: str) -> dict[str, Any]:
    """The specification of the figure under a key."""
    specs = [chart.proto for chart in app.get("plotly_chart") if key in chart.proto.id]
    assert len(specs) == 1
    return json.loads(specs[0].spec)
