"""The app: pages, the run they share, and nothing else."""

import streamlit as st

from circuitviz.ui import shell

st.set_page_config(
    page_title="circuitviz", page_icon=":material/hub:", layout="wide", initial_sidebar_state=260
)
page = st.navigation(
    [
        st.Page("pages/overview.py", title="Overview", icon=":material/insights:", default=True),
        st.Page("pages/discover.py", title="Discover", icon=":material/travel_explore:"),
        st.Page("pages/circuit.py", title="Circuit", icon=":material/grid_on:"),
        st.Page("pages/tradeoff.py", title="Trade-off", icon=":material/show_chart:"),
        st.Page("pages/generations.py", title="Generations", icon=":material/forum:"),
    ]
)
shell.around()
page.run()
