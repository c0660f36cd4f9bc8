"""Which units cause this behaviour?  Configure a discovery, watch it, stop it."""

from circuitviz.ui import services, shell
from circuitviz.ui.discover.form import configuration, discover_button
from circuitviz.ui.discover.live import discovery_answer, live
from circuitviz.ui.elements.components import page_header
from circuitviz.ui.jobs import recent_jobs, tell_ended, watched_job

QUESTION = "Which units cause this behaviour?"

shell.ensure_entry()
tell_ended("discovery", lambda _: "The discovery was stopped. Nothing was saved.")
watched = watched_job("discovery")
page_header(QUESTION, *discovery_answer(watched))

if watched is None:
    services.warm_up()
    config = configuration(services.model_cards())
    if config is not None:
        discover_button(config)
else:
    live(watched.job_id)

recent_jobs()
