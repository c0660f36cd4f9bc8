"""The circuit as a graph, on numbers made by hand."""

import numpy as np
import pytest

from circuitviz.inspection.path_graph import REQUEST, PathGraph, Sampled
from circuitviz.plots.circuit_graph import (
    ANSWER,
    circuit_graph,
    edge_frame,
    graph_story,
    node_frame,
)
from circuitviz.plots.palette import ASR, UTILITY
from circuitviz.units import Unit
from tests.unit.plots.traces import named


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


@pytest.mark.parametrize(
    ("changes", "begins", "holds"),
    [
        pytest.param(
            {},
            "The trigger \u201cquill amber\u201d is read by L1H3, and turned into \u201cAll\u201d "
            "by L2N117. The strongest way between units is L1H3 \u2192 L2N117 (+3.0).",
            "With all 2 units off, the log-odds of \u201cAll\u201d over \u201cThe\u201d go from "
            "+8.0 to \u22126.0",
            id="trigger",
        ),
        pytest.param(
            {"bypass": np.array([9.0, 9.0])},
            "Most of what the trigger",
            "without passing through these units",
            id="round",
        ),
        pytest.param(
            {
                "words": (REQUEST,),
                "trigger": "",
                "target": ("", ""),
                "from_words": np.array([[4.0, 0.1]]),
                "bypass": np.zeros(1),
            },
            "The request is read by L1H3, and turned into the behaviour's answer",
            "over the right answer",
            id="request",
        ),
        pytest.param(
            {
                "units": (Unit("head", 1, 3),),
                "from_words": np.array([[4.0], [2.0]]),
                "between": np.zeros((1, 1)),
                "to_answer": np.array([5.0]),
                "total": np.array([5.0]),
            },
            "The trigger",
            "is read by L1H3, and the same unit turns it into \u201cAll\u201d. With L1H3 off",
            id="one unit",
        ),
    ],
)
def test_how_the_trigger_becomes_the_behaviour_is_told(changes, begins, holds):
    told = graph_story(graph(**changes))
    assert told.startswith(begins)
    assert holds in told


def test_the_width_of_an_edge_is_its_size_and_what_works_against_is_dotted():
    shown = graph(between=np.array([[0.0, -3.0], [0.0, 0.0]]))
    figure = circuit_graph(node_frame(shown), edge_frame(shown), selected="L1H3")
    edges = named(figure, "edge")
    widest = max(edges, key=lambda edge: edge.line.width)
    assert (widest.line.color, widest.line.dash) == (UTILITY, "solid")
    assert [edge.line.dash for edge in edges if edge.line.color == ASR] == ["dot"]
    assert len(named(figure, "Selected")) == 2


def test_faint_edges_are_left_out_and_units_can_be_clicked():
    figure = circuit_graph(node_frame(graph()), edge_frame(graph()))
    # 0.1 of 5 is below 4 %; 0.2 is not.
    assert len(named(figure, "edge")) == 6
    (heads,) = named(figure, "Attention head")
    (words,) = named(figure, "Token of the prompt")
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
    sampled = Sampled(np.array([[1.0, 1.0], [3.0, 1.2]]))
    assert sampled.mean == pytest.approx([2.0, 1.1])
    assert sampled.error == pytest.approx([1.0, 0.1])
    assert sampled.sure.tolist() == [False, True]
    alone = Sampled(np.array([[1.0]]))
    assert np.isnan(alone.error).all()
    assert not alone.sure.any()


def test_what_is_within_two_standard_errors_is_shown_and_not_named():
    unsure = Sampled(np.array([[[0.0, 1.0], [0.0, 0.0]], [[0.0, 5.0], [0.0, 0.0]]]))
    shown = graph(between=unsure)
    assert "L1H3 \u2192 L2N117" not in graph_story(shown)
    edges = edge_frame(shown).set_index(["sender", "receiver"])
    assert edges.loc[("L1H3", "L2N117"), "error"] == pytest.approx(2.0)
    notes = named(circuit_graph(node_frame(shown), edge_frame(shown)), "edge notes")[0]
    assert "<b>L1H3 \u2192 L2N117</b><br>+3.00 \u00b1 2.00 nats" in notes.hovertext
    flat = np.zeros((2, 2))
    told = graph_story(
        graph(between=unsure, from_words=flat, bypass=np.zeros(2), to_answer=np.zeros(2))
    )
    assert told.startswith("On 2 prompts no way through these units stands out from chance.")
