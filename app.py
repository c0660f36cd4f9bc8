"""The app: pages, the run they share, and nothing else."""

import streamlit as st

from circuitviz.ui import shell

st.set_page_config(
    page_title="circuitviz",
    page_icon=":material/hub:",
    layout="wide",
    initial_sidebar_state=shell.SIDEBAR_PIXELS,
)
page = shell.navigation()
shell.around()
page.run()
