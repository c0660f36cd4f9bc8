"""The finding in five slides, for a big screen."""

from circuitviz.narrative.slides import slides
from circuitviz.ui import shell
from circuitviz.ui.views import present_view as view

QUESTION = "What was found, in a minute?"

run, choice = shell.current_run(QUESTION)
view.hide_everything_else()
story = slides(run)
place = view.position(len(story))
# First, though they stand below: the keys work while a picture is drawn.
view.slide_controls(place, len(story))
view.slide(run, story[place], place, len(story))
view.tray_note(run, choice)
