"""Figures and sentences of the drill-down, on numbers made by hand."""

import numpy as np
import pandas as pd
import pytest

from circuitviz.inspection.path_graph import REQUEST, PathGraph, Sampled
from circuitviz.plots.attention_pattern import (
    MOST_TOKENS,
    AttentionPanel,
    attention_pattern,
    attention_story,
)
from circuitviz.plots.circuit_graph import (
    ANSWER,
    circuit_graph,
    edge_frame,
    graph_story,
    node_frame,
)
from circuitviz.plots.palette import ASR, UTILITY
from circuitviz.plots.token_charts import (
    PROMOTED_COLUMNS,
    ActivationPanel,
    activation_frame_rows,
    activation_story,
    promoted_story,
    promoted_tokens,
    token_activation,
)
from circuitviz.units import Unit

LABELS = ("<s>", "red", "quill", "go")
PATTERN = np.array([[1.0, 0, 0, 0], [0.5, 0.5, 0, 0], [0.2, 0.2, 0.6, 0], [0.1, 0.1, 0.75, 0.05]])
PANEL = AttentionPanel("Triggered prompt", "red quill go", PATTERN, LABELS, (2, 3))


def traces(figure, name):
    return [trace for trace in figure.data if trace.name == name]


def test_a_pattern_shows_no_square_to_the_right_of_the_diagonal():
    (heatmap,) = (trace for trace in attention_pattern(PANEL).data if trace.type == "heatmap")
    shown = np.array(heatmap.z, dtype=float)
    assert np.isnan(shown[np.triu_indices(4, 1)]).all()
    assert shown[3, 2] == 0.75
    assert (heatmap.zmin, heatmap.zmax) == (0, 1)


def test_the_hover_names_both_tokens_and_no_token_is_taken_for_markup():
    figure = attention_pattern(PANEL)
    text = figure.data[0].text[3][2]
    assert "75.0" in text
    assert "from \u201cgo\u201d (4) to \u201cquill\u201d (3)" in text
    assert list(figure.layout.xaxis.ticktext) == ["&lt;s&gt;", "red", "<b>\u25b8quill</b>", "go"]


def test_the_columns_of_the_trigger_are_framed():
    frame = traces(attention_pattern(PANEL), "The trigger")[-1]
    assert (min(frame.x), max(frame.x)) == (1.5, 2.5)
    assert (min(frame.y), max(frame.y)) == (1.5, 3.5)


def test_of_a_long_prompt_the_end_is_shown():
    size = MOST_TOKENS + 6
    labels = tuple(f"t{place}" for place in range(size))
    panel = AttentionPanel("Clean prompt", "", np.eye(size), labels, (4, 8)).cut()
    assert panel.labels[0] == "t6"
    assert panel.cause == (0, 2)
    assert panel.pattern.shape == (MOST_TOKENS, MOST_TOKENS)


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
    (marked,) = traces(figure, "Activation on the trigger")
    assert (list(marked.x), list(marked.y)) == ([2], [3.0])
    assert marked.marker.color == ASR
    assert marked.marker.pattern.shape == "/"
    assert len(traces(figure, "Gate part")) == len(traces(figure, "Up part")) == 1
    assert "+3.00 at \u201cquill\u201d (the trigger)" in activation_story([panel], "L1N2")
    rows = activation_frame_rows([panel])
    assert [row["token"] for row in rows] == list(LABELS)
    assert rows[2]["gate"] == 3.0


def test_without_gates_there_are_bars_alone():
    panel = ActivationPanel("Clean prompt", LABELS, np.arange(4.0))
    figure = token_activation([panel, panel])
    assert {trace.name for trace in figure.data} == {"Activation"}
    assert [trace.showlegend for trace in figure.data] == [True, False]


def test_promoted_tokens_stand_right_and_suppressed_ones_left():
    rows = [("up", 2.0, 0.5, 2.0), ("<s>", -1.0, 0.0, -1.0)]
    figure = promoted_tokens(pd.DataFrame(rows, columns=list(PROMOTED_COLUMNS)), "x", marks="clean")
    (likelier,), (less,) = traces(figure, "makes likelier"), traces(figure, "makes less likely")
    assert (list(likelier.x), likelier.marker.color) == ([2.0], UTILITY)
    assert (list(less.x), less.marker.pattern.shape) == ([-1.0], "/")
    assert likelier.y[0] > less.y[0]
    assert list(figure.layout.yaxis.ticktext) == ["up", "&lt;s&gt;"]
    assert list(traces(figure, "clean")[0].x) == [0.5, 0.0]


@pytest.mark.parametrize(
    ("after", "words"),
    [(3.0, "raises"), (-3.0, "lowers"), (0.01, "writes next to nothing")],
)
def test_what_a_unit_writes_is_told(after, words):
    told = promoted_story("L1H3", "All", "The", (0.5, after), ("clean", "triggered"))
    assert words in told


def graph(**changes):
    settings = {
        "units": (Unit("head", 1, 3), Unit("neuron", 2, 117)),
        "words": ("quill", "amber"),
        "from_words": np.array([[4.0, 0.1], [2.0, 0.0]]),
        "bypass": np.array([0.2, 0.0]),
        "between": np.array([[0.0, 3.0], [0.0, 0.0]]),
        "to_answer": np.array([0.5, -5.0 + 10.0]),
        "total": np.array([3.5, 5.0]),
        "all_words": np.array(8.0),
        "intact": 8.0,
        "knocked_out": -6.0,
        "prompts": 2,
        "tried": 3,
        "ablation": "zero",
        "trigger": "quill amber",
        "target": ("All", "The"),
    }
    return PathGraph(
        **{
            name: Sampled(np.stack([value, value])) if isinstance(value, np.ndarray) else value
            for name, value in {**settings, **changes}.items()
        }
    )


def test_nodes_run_from_the_words_to_the_answer():
    nodes = node_frame(graph())
    assert list(nodes["name"]) == ["quill", "amber", "L1H3", "L2N117", ANSWER]
    assert list(nodes["layer"]) == [-1, -1, 1, 2, 3]


def test_edges_are_listed_strongest_first_and_empty_ones_left_out():
    edges = edge_frame(graph())
    assert edges.iloc[0].tolist() == ["L2N117", ANSWER, 5.0, 0.0]
    assert edges["effect"].abs().is_monotonic_decreasing
    assert ("L2N117", "L1H3") not in set(zip(edges["sender"], edges["receiver"], strict=True))
    assert len(edges) == 7


def test_how_the_trigger_becomes_the_behaviour_is_told():
    told = graph_story(graph())
    assert told.startswith(
        "The trigger \u201cquill amber\u201d is read by L1H3, and turned into \u201cAll\u201d by "
        "L2N117."
    )
    assert "L1H3 \u2192 L2N117 (+3.0)" in told
    assert "With all 2 units off, the log-odds of \u201cAll\u201d over \u201cThe\u201d" in told
    assert "from +8.0 to \u22126.0" in told


def test_a_trigger_that_goes_round_the_circuit_is_told():
    told = graph_story(graph(bypass=np.array([9.0, 9.0])))
    assert told.startswith("Most of what the trigger")
    assert "without passing through these units" in told


def test_a_request_without_a_trigger_and_answers_that_differ_have_names():
    changes = {
        "words": (REQUEST,),
        "trigger": "",
        "target": ("", ""),
        "from_words": np.array([[4.0, 0.1]]),
        "bypass": np.zeros(1),
    }
    told = graph_story(graph(**changes))
    assert told.startswith("The request is read by L1H3, and turned into the behaviour's answer")


def test_a_circuit_of_one_unit_is_told():
    changes = {
        "units": (Unit("head", 1, 3),),
        "from_words": np.array([[4.0], [2.0]]),
        "between": np.zeros((1, 1)),
        "to_answer": np.array([5.0]),
        "total": np.array([5.0]),
    }
    told = graph_story(graph(**changes))
    assert "is read by L1H3, and the same unit turns it into \u201cAll\u201d. With L1H3 off" in told


def test_the_width_of_an_edge_is_its_size_and_what_works_against_is_dotted():
    shown = graph(between=np.array([[0.0, -3.0], [0.0, 0.0]]))
    figure = circuit_graph(node_frame(shown), edge_frame(shown), selected="L1H3")
    edges = traces(figure, "edge")
    widest = max(edges, key=lambda edge: edge.line.width)
    assert (widest.line.color, widest.line.dash) == (UTILITY, "solid")
    assert [edge.line.dash for edge in edges if edge.line.color == ASR] == ["dot"]
    assert len(traces(figure, "Selected")) == 2


def test_faint_edges_are_left_out_and_units_can_be_clicked():
    figure = circuit_graph(node_frame(graph()), edge_frame(graph()))
    # 0.1 of 5 is below 4 %; 0.2 is not.
    assert len(traces(figure, "edge")) == 6
    (heads,) = traces(figure, "Attention head")
    (words,) = traces(figure, "Token of the prompt")
    assert [list(data) for data in heads.customdata] == [["L1H3"]]
    assert words.customdata is None
    assert {heads.marker.symbol, words.marker.symbol} == {"square", "circle"}


def test_a_graph_without_edges_says_so():
    empty = graph(
        from_words=np.zeros((2, 2)),
        bypass=np.zeros(2),
        between=np.zeros((2, 2)),
        to_answer=np.zeros(2),
    )
    figure = circuit_graph(node_frame(empty), edge_frame(empty))
    assert figure.layout.annotations[0].text == "No edge carries anything"
    assert graph_story(empty).startswith("With all 2 units off")


def test_the_standard_error_is_that_of_the_mean_over_prompts():
    # 1 and 3: mean 2, standard deviation sqrt(2), standard error 1.
    found = Sampled(np.array([[1.0, 1.0], [3.0, 1.2]]))
    assert found.mean == pytest.approx([2.0, 1.1])
    assert found.error == pytest.approx([1.0, 0.1])
    assert found.sure.tolist() == [False, True]
    alone = Sampled(np.array([[1.0]]))
    assert np.isnan(alone.error).all()
    assert not alone.sure.any()


def test_what_is_within_two_standard_errors_is_shown_and_not_named():
    unsure = Sampled(np.array([[[0.0, 1.0], [0.0, 0.0]], [[0.0, 5.0], [0.0, 0.0]]]))
    shown = graph(between=unsure)
    assert "L1H3 \u2192 L2N117" not in graph_story(shown)
    edges = edge_frame(shown).set_index(["sender", "receiver"])
    assert edges.loc[("L1H3", "L2N117"), "error"] == pytest.approx(2.0)
    notes = traces(circuit_graph(node_frame(shown), edge_frame(shown)), "edge notes")[0]
    assert "<b>L1H3 \u2192 L2N117</b><br>+3.00 \u00b1 2.00 nats" in notes.hovertext
    flat = np.zeros((2, 2))
    told = graph_story(
        graph(between=unsure, from_words=flat, bypass=np.zeros(2), to_answer=np.zeros(2))
    )
    assert told.startswith("On 2 prompts no way through these units stands out from chance.")
