"""Probabilities, attention, activations and promoted tokens, on numbers made by hand."""

import numpy as np
import pandas as pd
import pytest

from circuitviz.plots.palette import ASR, UTILITY
from circuitviz.plots.tokens import (
    MAX_TOKENS,
    PROMOTED_COLUMNS,
    TOKEN_COLUMNS,
    ActivationPanel,
    AttentionPanel,
    activation_frame,
    activation_story,
    attention_pattern,
    attention_story,
    promoted_story,
    promoted_tokens,
    shown_token,
    token_activation,
    token_chart,
)
from tests.unit.plots.traces import named

ROWS = [
    ("target", 1, "Access", "intact", 0.9),
    ("target", 1, "Access", "knocked out", 0.1),
    ("target", 2, " granted", "intact", 1.0),
    ("target", 2, " granted", "knocked out", 0.5),
    ("clean <b>", 1, "", "intact", 0.2),
    ("clean <b>", 1, "<b>", "knocked out", 0.8),
]
LABELS = ("<s>", "red", "quill", "go")
PATTERN = np.array([[1.0, 0, 0, 0], [0.5, 0.5, 0, 0], [0.2, 0.2, 0.6, 0], [0.1, 0.1, 0.75, 0.05]])
PANEL = AttentionPanel("Triggered prompt", "red quill go", PATTERN, LABELS, (2, 3))


def test_each_answer_has_a_panel_and_each_condition_a_line():
    figure = token_chart(pd.DataFrame(ROWS, columns=list(TOKEN_COLUMNS)))
    lines = [(line.name, list(line.y), line.xaxis, line.showlegend) for line in figure.data]
    assert lines == [
        ("intact", [0.9, 1.0], "x", True),
        ("knocked out", [0.1, 0.5], "x", True),
        ("intact", [0.2], "x2", False),
        ("knocked out", [0.8], "x2", False),
    ]
    assert list(figure.layout.xaxis.ticktext) == ["Access", "\u00b7granted"]
    assert list(figure.layout.xaxis2.ticktext) == ["(end)"]
    intact, knocked_out, *_, last = figure.data
    assert intact.marker.symbol != knocked_out.marker.symbol
    assert intact.line.dash != knocked_out.line.dash
    # No token and no title is taken for markup.
    assert last.hovertext[0] == "<b>&lt;b&gt;</b><br>knocked out: 80.0\u202f%"
    assert figure.layout.annotations[1].text == "clean &lt;b&gt;"


def test_nothing_to_show_is_an_empty_chart():
    assert len(token_chart(pd.DataFrame(columns=list(TOKEN_COLUMNS))).data) == 0


def test_blanks_and_ends_can_be_seen():
    assert [shown_token(token) for token in ("", " a b", "x\n")] == [
        "(end)",
        "\u00b7a\u00b7b",
        "x\u21b5",
    ]


def test_a_pattern_shows_no_square_to_the_right_of_the_diagonal():
    figure = attention_pattern(PANEL)
    heatmap = figure.data[0]
    shown = np.array(heatmap.z, dtype=float)
    assert np.isnan(shown[np.triu_indices(4, 1)]).all()
    assert shown[3, 2] == 0.75
    assert (heatmap.zmin, heatmap.zmax) == (0, 1)
    assert "75.0" in heatmap.text[3][2]
    assert "from \u201cgo\u201d (4) to \u201cquill\u201d (3)" in heatmap.text[3][2]
    # No token is taken for markup.
    assert list(figure.layout.xaxis.ticktext) == ["&lt;s&gt;", "red", "<b>\u25b8quill</b>", "go"]
    frame = named(figure, "The trigger")[-1]
    assert (min(frame.x), max(frame.x)) == (1.5, 2.5)
    assert (min(frame.y), max(frame.y)) == (1.5, 3.5)


def test_of_a_long_prompt_the_end_is_shown():
    size = MAX_TOKENS + 6
    labels = tuple(f"t{place}" for place in range(size))
    panel = AttentionPanel("Clean prompt", "", np.eye(size), labels, (4, 8)).cut()
    assert panel.labels[0] == "t6"
    assert panel.cause == (0, 2)
    assert panel.pattern.shape == (MAX_TOKENS, MAX_TOKENS)


def test_where_the_head_looks_from_the_last_token_is_told():
    told = attention_story([PANEL], "L1H3")
    assert (
        "L1H3 looks most at \u201cquill\u201d (75\u202f%); 75\u202f% goes to \u201cquill\u201d"
        in told
    )


def test_a_head_that_reads_the_trigger_from_elsewhere_is_told():
    pattern = np.array([[1.0, 0, 0, 0], [0, 1, 0, 0], [0.1, 0.8, 0.1, 0], [0.99, 0.01, 0, 0]])
    panel = AttentionPanel("Triggered prompt", "", pattern, ("<s>", "quill", "red", "go"), (1, 2))
    assert "\u201cred\u201d looks at it most (80\u202f%)" in attention_story([panel], "L1H3")


def test_activations_of_the_trigger_have_a_colour_and_a_hatching_of_their_own():
    values = np.array([0.1, -0.2, 3.0, 0.4])
    panel = ActivationPanel("Triggered prompt", LABELS, values, values, values, (2, 3))
    figure = token_activation([panel])
    (marked,) = named(figure, "Activation on the trigger")
    assert (list(marked.x), list(marked.y)) == ([2], [3.0])
    assert marked.marker.color == ASR
    assert marked.marker.pattern.shape == "/"
    assert len(named(figure, "Gate part")) == len(named(figure, "Up part")) == 1
    assert "+3.00 at \u201cquill\u201d (the trigger)" in activation_story([panel], "L1N2")
    rows = activation_frame([panel])
    assert list(rows["token"]) == list(LABELS)
    assert rows["gate"][2] == 3.0


def test_without_gates_there_are_bars_alone():
    panel = ActivationPanel("Clean prompt", LABELS, np.arange(4.0))
    figure = token_activation([panel, panel])
    assert {trace.name for trace in figure.data} == {"Activation"}
    assert [trace.showlegend for trace in figure.data] == [True, False]


def test_promoted_tokens_stand_right_and_suppressed_ones_left():
    rows = [("up", 2.0, 0.5, 2.0), ("<s>", -1.0, 0.0, -1.0)]
    figure = promoted_tokens(pd.DataFrame(rows, columns=list(PROMOTED_COLUMNS)), "x", marks="clean")
    (likelier,), (less,) = named(figure, "makes likelier"), named(figure, "makes less likely")
    assert (list(likelier.x), likelier.marker.color) == ([2.0], UTILITY)
    assert (list(less.x), less.marker.pattern.shape) == ([-1.0], "/")
    assert likelier.y[0] > less.y[0]
    assert list(figure.layout.yaxis.ticktext) == ["up", "&lt;s&gt;"]
    assert list(named(figure, "clean")[0].x) == [0.5, 0.0]


@pytest.mark.parametrize(
    ("after", "words"),
    [(3.0, "raises"), (-3.0, "lowers"), (0.01, "writes next to nothing")],
)
def test_what_a_unit_writes_is_told(after, words):
    told = promoted_story("L1H3", "All", "The", (0.5, after), ("clean", "triggered"))
    assert words in told
