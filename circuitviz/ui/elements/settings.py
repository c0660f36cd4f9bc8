"""Widgets for settings of a configuration, with the limits, default and words of their fields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

import streamlit as st

from circuitviz.runs.config import Settings, bounds, extra


@dataclass(frozen=True)
class SettingWidgets:
    """Draws settings; what was chosen is there again after the form has been away.

    Attributes:
        config: Has the fields.
        prefix: Of the widgets' keys.
    """

    config: type[Settings]
    prefix: str

    def number(self, name: str, label: str, **changes: Any) -> Any:
        """A number between the limits of its field; `changes` go to the widget."""
        field = self.config.fields()[name]
        kind = float if float in get_args(field.annotation) else int
        limits = bounds(field)
        numbers = {"min_value": limits.get("ge"), "max_value": limits.get("le")}
        numbers["value"] = field.default
        told = {key: None if value is None else kind(value) for key, value in numbers.items()}
        return st.number_input(label, **{**told, **self._common(name), **changes})

    def choice(self, name: str, label: str, titles: Mapping[str, str], **changes: Any) -> Any:
        """One of the values of a field, by their titles."""
        told = {"format_func": titles.__getitem__, **self._common(name), **changes}
        return st.selectbox(label, list(titles), **told)

    def toggle(self, name: str, label: str) -> bool:
        """Whether a setting is on."""
        return st.toggle(label, self.config.fields()[name].default, **self._common(name))

    def text(self, name: str, label: str, **changes: Any) -> str | None:
        """A line of text."""
        return st.text_input(label, **{**self._common(name), **changes})

    def _common(self, name: str) -> dict[str, Any]:
        return {
            "help": extra(self.config.fields()[name], "details") or None,
            "key": f"{self.prefix}_{name}",
            "persist_state": "session",
        }
