import pytest

from circuitviz.report.options import SECTIONS
from circuitviz.ui.views import report_view
from tests.pages.reading import heading
from tests.support.synthetic import backdoor_run, refusal_run

PAGE = "pages/report.py"
BACKDOOR, REFUSAL = backdoor_run(), refusal_run()


def sizes(app):
    return next(box for box in app.selectbox if box.key.startswith("report_size_"))


def preview(app):
    (frame,) = app.get("iframe")
    return frame.proto.srcdoc


def buttons(app):
    return {one.proto.label: one.proto for one in app.get("download_button")}


def test_the_page_opens_with_the_forms_and_the_first_screen(runs, open_app):
    app = open_app(PAGE, run=BACKDOOR.run_id)
    assert not app.exception
    assert heading(app) == "One page to send, a PDF for the board, a notebook to check it"
    assert list(buttons(app)) == [form.label for form in report_view.FORMS]
    assert "Switching off 2 of 32 heads and 2 of 2,048 neurons ends this backdoor" in preview(app)
    assert "plotly" not in preview(app)
    assert sizes(app).options[0] == "the circuit this run found: 4 units"


def test_the_size_in_the_link_is_the_one_reported(runs, open_app):
    app = open_app(PAGE, run=BACKDOOR.run_id, size="2")
    assert sizes(app).value == 2
    assert "does not end this backdoor as asked" in preview(app)
    sizes(app).set_value(4).run()
    assert "size" not in app.query_params
    assert "ends this backdoor" in preview(app)


@pytest.mark.parametrize(
    ("link", "said"),
    [
        ({"edit": "-L1H3"}, "are not in a report"),
        ({"ablation": "mean"}, "Its numbers are of zero ablation"),
        ({"size": "0"}, "With 0 units off there is nothing to report. It is about the circuit"),
    ],
)
def test_what_a_report_does_not_follow_is_said(runs, open_app, live, link, said):
    app = open_app(PAGE, run=BACKDOOR.run_id, **link)
    assert [said in info.value for info in app.info] == [True]
    assert sizes(app).value == 4


def test_without_a_browser_pdf_and_figures_say_why_they_cannot_be_had(runs, open_app, monkeypatch):
    monkeypatch.setattr(report_view, "find_browser", lambda: None)
    app = open_app(PAGE, run=REFUSAL.run_id)
    disabled = {label for label, button in buttons(app).items() if button.disabled}
    assert disabled == {"PDF", "Figures"}
    reasons = [one.value for one in app.caption if "No Chromium or Chrome found" in one.value]
    assert len(reasons) == 2


def test_what_is_left_out_here_is_left_out_of_the_report(runs, open_app, monkeypatch):
    wanted = []
    monkeypatch.setattr(report_view, "downloads", lambda run, options: wanted.append(options))
    app = open_app(PAGE, run=BACKDOOR.run_id)
    assert all(wanted[-1].has(name) for name in SECTIONS)
    assert wanted[-1].cover
    (parts,) = [one for one in app.button_group if one.key == report_view.PARTS]
    parts.set_value(["story"]).run()
    app.toggle(key=report_view.COVER).set_value(False).run()
    assert not app.exception
    assert [name for name in SECTIONS if wanted[-1].has(name)] == ["story", "controls", "limits"]
    assert not wanted[-1].cover
