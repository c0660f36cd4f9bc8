"""The presenter's page."""

from __future__ import annotations

from tests.pages.reading import texts
from tests.support.synthetic import FILLER, failing_run, refusal_run

PAGE = "pages/present.py"


def words(app) -> str:
    return " ".join(texts(app))


def heading_of_slide(app) -> str:
    (html,) = (text for text in texts(app) if "cv-slide-place" in text)
    return html.split('class="cv-answer cv-slide">')[1].split("</h1>")[0]


def test_a_slide_that_is_not_there_is_the_nearest(family, open_app):
    app = open_app(PAGE, run=failing_run().run_id)
    for slide, shown in (("0", "1"), ("99", "5"), ("many", "1"), ("-2", "1"), ("3", "3")):
        # As a link that is opened anew.
        app.session_state["circuitviz_linked"] = True
        app.query_params["slide"] = slide
        app.run()
        assert f"{shown} of 5" in words(app)


def test_next_and_back_walk_and_stop_at_the_ends_without_a_model(family, open_app, live):
    app = open_app(PAGE, run=failing_run().run_id)
    assert app.button(key="slide_back").disabled
    assert heading_of_slide(app)
    for slide in range(2, 6):
        app.button(key="slide_next").click().run()
        assert not app.exception
        assert f"{slide} of 5" in words(app)
        assert heading_of_slide(app)
    assert not live
    assert app.button(key="slide_next").disabled
    app.button(key="slide_back").click().run()
    assert "4 of 5" in words(app)


def test_failed_controls_are_loud(family, open_app):
    app = open_app(PAGE, run=failing_run().run_id, slide="5")
    assert 'class="cv-loud cv-no"' in words(app)
    assert "2 controls FAILED" in words(app)


def test_what_could_be_harmful_is_covered_until_it_is_asked_for(family, open_app):
    app = open_app(PAGE, run=refusal_run().run_id, slide="3")
    assert "covered" in words(app)
    assert FILLER not in words(app)
    toggle = next(one for one in app.toggle if one.key == "harmful_text_shown")
    toggle.set_value(True).run()
    # Words that differ are marked one by one.
    assert "cv-spoken" in words(app)
    assert "check the result." in words(app)


def test_another_set_in_the_tray_is_said_to_have_no_part_in_the_story(family, open_app, live):
    run = failing_run()
    app = open_app(PAGE, run=run.run_id, set="L1H3", ablation="zero")
    (note,) = [one.value for one in app.caption if "tray" in one.value]
    assert "1 head of 32 (3.1\u202f%) and no neurons off, zero ablation" in note
    assert "the circuit the run found: 2 heads of 32 (6.2\u202f%) and 2 neurons" in note
    plain = open_app(PAGE, run=run.run_id)
    assert not any("tray" in one.value for one in plain.caption)


def test_a_key_that_comes_with_the_address_before_the_last_goes_on_from_what_is_shown(
    family, open_app
):
    app = open_app(PAGE, run=failing_run().run_id, slide="2")
    app.button(key="slide_next").click().run()
    assert "3 of 5" in words(app)
    # Clicked again before the browser had the new address.
    app.query_params["slide"] = "2"
    app.button(key="slide_next").click().run()
    assert "4 of 5" in words(app)
