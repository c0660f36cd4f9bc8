"""Can I use my own model and data?  Check both, and find the circuit."""

import streamlit as st

from circuitviz.ui import services, shell
from circuitviz.ui.elements.components import page_header
from circuitviz.ui.models.choice import keep_choice
from circuitviz.ui.models.data import data_form
from circuitviz.ui.models.model import model_form
from circuitviz.ui.models.start import (
    first_configuration,
    models_answer,
    running_form,
    start_work,
    sweep_section,
)

QUESTION = "Can I use my own model and data?"

shell.ensure_entry()
# Filled once everything below is known.
head = st.container(key="own_head")
services.warm_up()

st.header("1 · Model", anchor=False)
model = model_form()
# Memory hangs on the prompts, which come below.
facts = st.container()
st.header("2 · Data", anchor=False)
data = data_form(model.name if model.usable else "")
with facts:
    running = running_form(model, data)
st.header("3 · Find the circuit", anchor=False)
config = first_configuration(running, data)
if config is not None:
    start_work(config, data)
    sweep_section(config, data)

with head:
    page_header(QUESTION, *models_answer(model, data))
keep_choice()
