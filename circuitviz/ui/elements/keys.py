"""Widgets by key: names of their state, and the settings of a configuration as widgets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, get_args
from zlib import crc32

import streamlit as st

from circuitviz.runs.config import Settings, bounds, extra

Entry = TypeVar("Entry")


def when_changed(key: str, take: Callable[[Any], None]) -> Callable[[], None]:
    """The `on_change` or `on_select` of a widget that is about to be drawn.

    Streamlit calls it for a widget that is gone as well: a browser that has not yet heard the end
    of a run sends the values of all widgets it had, and the server, which has forgotten those
    that are gone, takes each for changed.  Somebody who clicks fast would have an earlier choice
    back.

    Args:
        key: The widget's key, whose value is set by now if it is to have one.
        take: Called with the widget's value, if it is another than was shown or taken last.
    """
    last = st.session_state.get(key)

    def changed() -> None:
        nonlocal last
        value = st.session_state[key]
        # The script may not get as far as the widget before the next change.
        if value != last:
            last = value
            take(value)

    return changed


def picker(
    label: str,
    titles: Mapping[Entry, str],
    chosen: Entry | None,
    take: Callable[[Entry], None],
    *,
    key: str,
    note: str | None = None,
) -> None:
    """A list that shows what is chosen now, and has taken what a user chooses instead.

    Args:
        label: What is chosen.
        titles: The entries, with what they are called.
        chosen: One of them.
        take: Called with another one, when it is chosen.
        key: Made by `listing_key` of all that makes it another list.
        note: What the choice means.
    """
    st.session_state[key] = chosen
    st.selectbox(
        label,
        list(titles),
        key=key,
        format_func=titles.__getitem__,
        on_change=when_changed(key, take),
        help=note,
    )


def listing_key(name: str, labels: Iterable[str]) -> str:
    """A widget key that changes with what the list shows.

    Browsers name the chosen entry by its label.  A message that was under way while the labels
    changed would choose another entry, or one that is not there; under a new key, and taken by
    `when_changed`, it chooses none.

    Args:
        name: What the list is, unique on the page.
        labels: What it shows, in order.
    """
    return f"{name}_{crc32(chr(0).join(labels).encode()):08x}"


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
