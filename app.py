"""The app: pages, the run they share, and nothing else."""

import streamlit as st

from circuitviz.paths import ICON
from circuitviz.ui import shell

st.set_page_config(
    page_title="circuitviz",
    # A file of ours: a symbol by name would be fetched from another host.
    page_icon=str(ICON),
    layout="wide",
    initial_sidebar_state=shell.SIDEBAR_PIXELS,
)
page = shell.navigation()
shell.around()
page.run()
