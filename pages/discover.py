"""Which units cause this behaviour?  Configure a discovery, watch it, stop it."""

from circuitviz.ui import discover_view as view
from circuitviz.ui import services, shell
from circuitviz.ui.components import page_header

QUESTION = "Which units cause this behaviour?"

shell.through_app()
view.open_finished_run()
watched = view.watched_job()
page_header(QUESTION, *view.answer(watched))

if watched is None:
    cards = services.model_cards()
    config = view.configuration(cards)
    if config is not None:
        view.start_button(config)
else:
    view.live(watched.job_id)

view.recent_jobs()
