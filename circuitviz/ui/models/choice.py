"""What is chosen on the page Models and data: kept for the session, and on disk for the next one.

A browser that reloads a page starts a new session, and a file cannot be chosen again by itself:
uploads lie in the folder of runs from the moment they arrive, and so does what was entered.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import streamlit as st

from circuitviz.behaviours.behaviour import DATA_FOLDER
from circuitviz.files import runs_folder, whole_file, whole_folder

PREFIX = "own_"
SAVED = "circuitviz_own_choice"
CHOICE_FILE, UPLOADS = "choice.json", "uploads"
KEPT_TYPES = (str, int, float, bool, type(None))


def own_data_root() -> Path:
    """The folder of runs, in full: what is saved in it is found from anywhere."""
    return runs_folder().resolve()


def kept(name: str, default: Any, options: Iterable[Any] | None = None) -> str:
    """The key of a widget that has its last value again, or its default.

    Args:
        name: What is chosen, unique on the page.
        default: Its value until another is chosen.
        options: Legal values; a last value that is none of them any more is forgotten.
    """
    key = PREFIX + name
    if key not in st.session_state:
        st.session_state[key] = _saved().get(key, default)
    if options is not None and st.session_state[key] not in list(options):
        st.session_state[key] = default
    return key


def chosen_own(name: str) -> Any:
    """What is chosen under a name, None if nothing is."""
    return st.session_state.get(PREFIX + name, _saved().get(PREFIX + name))


def choose_own(name: str, value: Any) -> None:
    """Choose something for the user; only before the widget of that name is drawn."""
    st.session_state[PREFIX + name] = value


def keep_choice() -> None:
    """Keep what is chosen now; called once the page is drawn."""
    chosen = {
        str(key): value
        for key, value in st.session_state.items()
        if str(key).startswith(PREFIX) and isinstance(value, KEPT_TYPES)
    }
    now = {**_saved(), **chosen}
    if now != _saved():
        st.session_state[SAVED] = now
        # Where nothing can be written it lasts as long as the session.
        with contextlib.suppress(OSError):
            path = _choice_file()
            path.parent.mkdir(parents=True, exist_ok=True)
            with whole_file(path) as draft:
                draft.write_text(json.dumps(now, indent=1), encoding="utf-8")


def save_upload(name: str, data: bytes) -> Path:
    """Keep an uploaded file; the same content under the same name is kept once.

    Raises:
        OSError: The folder of runs cannot be written to.
    """
    plain = re.sub(r"[^\w.-]+", "-", Path(name).name).strip("-.") or "table"
    # With the name: a folder is written whole, and takes the place of the one before.
    digest = hashlib.sha256(plain.encode() + b"\0" + data).hexdigest()[:12]
    path = own_data_root() / DATA_FOLDER / UPLOADS / digest / plain
    if not path.is_file():
        with whole_folder(path.parent) as draft:
            (draft / plain).write_bytes(data)
    return path


def _saved() -> dict[str, Any]:
    if SAVED not in st.session_state:
        try:
            saved = json.loads(_choice_file().read_text(encoding="utf-8"))
        except (OSError, ValueError):
            saved = {}
        st.session_state[SAVED] = saved if isinstance(saved, dict) else {}
    return st.session_state[SAVED]


def _choice_file() -> Path:
    return own_data_root() / DATA_FOLDER / CHOICE_FILE
