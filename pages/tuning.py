"""What if we tune, or protect, only this circuit?"""

import streamlit as st

from circuitviz.narrative.tuning_story import tuning_headline, tuning_lead
from circuitviz.ui import services, shell
from circuitviz.ui.elements.components import page_header
from circuitviz.ui.jobs import recent_jobs, tell_ended, watched_job
from circuitviz.ui.tuning import view
from circuitviz.ui.tuning.form import tuning_form

QUESTION = "What if we tune, or protect, only this circuit?"

run, choice = shell.current_run(QUESTION)
tell_ended("tuning", view.stopped)
watched = watched_job("tuning")
if watched is not None:
    page_header(QUESTION, *view.live_header(watched))
    view.live_tuning(watched.job_id)
else:
    services.warm_up()
    tuning = view.chosen_tuning(run, choice)
    if tuning is None:
        page_header(QUESTION, *view.not_tuned(run))
        tuning_form(run)
    else:
        page_header(QUESTION, tuning_headline(tuning), tuning_lead(tuning))
        view.tuning_picker(run, tuning)
        view.show_tuning(tuning, choice)
        with st.expander("Tune again, with other settings", icon=":material/tune:"):
            tuning_form(run)

recent_jobs()
