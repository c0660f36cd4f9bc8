"""The button that copies the address of what is shown."""

from __future__ import annotations

import streamlit as st
from streamlit.components.v2 import component
from streamlit.components.v2.types import ComponentRenderer

# The address is read in the browser: it alone knows by which name the app was reached.
HTML = """
<button type="button"><span class="what">Copy link</span></button>
<input type="text" readonly hidden aria-label="Link to this page">
<span class="said" role="status"></span>
"""
CSS = """
button {
  width: 100%; min-height: 2.5rem; padding: 0.25rem 0.75rem; cursor: pointer;
  font: inherit; font-size: 0.875rem;
  color: var(--st-text-color); background: transparent;
  border: 1px solid var(--st-border-color); border-radius: var(--st-button-radius, 0.5rem);
}
button:hover { border-color: var(--st-primary-color); }
button:focus-visible { outline: 2px solid var(--st-primary-color); outline-offset: 2px; }
input { width: 100%; box-sizing: border-box; margin-top: 0.4rem; font: inherit; padding: 0.3rem; }
.said { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
"""
# Browsers offer no clipboard to pages from another machine without HTTPS: then the address is
# shown, selected, to be copied by hand.
JS = """
export default function ({ parentElement }) {
  const button = parentElement.querySelector("button");
  const what = parentElement.querySelector(".what");
  const said = parentElement.querySelector(".said");
  const field = parentElement.querySelector("input");
  let timer;
  button.onclick = async () => {
    let text = "Link copied";
    try {
      await navigator.clipboard.writeText(window.location.href);
      field.hidden = true;
    } catch {
      field.hidden = false;
      field.value = window.location.href;
      field.focus();
      field.select();
      text = "Copy it from here";
    }
    what.textContent = text;
    said.textContent = text;
    clearTimeout(timer);
    timer = setTimeout(() => { what.textContent = "Copy link"; said.textContent = ""; }, 3000);
  };
  return () => clearTimeout(timer);
}
"""


def copy_link() -> None:
    """A button that puts the page's address, with run, size, set and unit, on the clipboard."""
    _component()(key="copy_link")


@st.cache_resource(show_spinner=False)
def _component() -> ComponentRenderer:
    return component("circuitviz_copy_link", html=HTML, css=CSS, js=JS)
