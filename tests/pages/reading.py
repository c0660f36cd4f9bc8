"""What a page says, read from the app under test."""

from __future__ import annotations

import json
from typing import Any

from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import Multiselect, Selectbox, SelectSlider

__all__ = [
    "compare_picker",
    "figure",
    "heading",
    "method_picker",
    "plain",
    "prompt_picker",
    "run_picker",
    "slider",
    "texts",
]


def heading(app: AppTest) -> str:
    """The text of the page's answer."""
    answers = [html for html in texts(app) if 'class="cv-answer"' in html]
    assert len(answers) == 1
    return answers[0].split('class="cv-answer">')[1].split("</h1>")[0]


def plain(message: str) -> str:
    """The words of a message as a reader sees them, without what keeps them from being Markdown."""
    return message.replace("\\", "").replace("\u2060", "")


def texts(app: AppTest) -> list[str]:
    """The HTML of each of our own elements."""
    return [element.proto.body for element in app.get("html")]


def figure(app: AppTest, key: str) -> dict[str, Any]:
    """The specification of the figure under a key."""
    specs = [chart.proto for chart in app.get("plotly_chart") if key in chart.proto.id]
    assert len(specs) == 1
    return json.loads(specs[0].spec)


def run_picker(app: AppTest) -> Selectbox:
    """The list of runs in the sidebar."""
    return next(box for box in app.selectbox if box.key.startswith("run_picker_"))


def method_picker(app: AppTest) -> Selectbox:
    """The list of methods that were not yet run."""
    return next(box for box in app.selectbox if box.key.startswith("other_method_"))


def compare_picker(app: AppTest) -> Multiselect:
    """The list of runs to set beside the chosen one."""
    return next(box for box in app.multiselect if box.key.startswith("compare_picker_"))


def prompt_picker(app: AppTest) -> Selectbox:
    """The list of test prompts."""
    return next(box for box in app.selectbox if box.key.startswith("prompt_picker_"))


def slider(app: AppTest, name: str) -> SelectSlider:
    """The slider over `size`, `heads` or `neurons`."""
    return next(one for one in app.select_slider if one.key.startswith(f"{name}_slider_"))
