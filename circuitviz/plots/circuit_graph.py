"""How the trigger becomes the behaviour: units by layer, and what passes between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from circuitviz.inspection.path_graph import ERRORS, REQUEST, TRIGGER, PathGraph, Sampled
from circuitviz.narrative.numbers import count
from circuitviz.plots.maps import add_ring
from circuitviz.plots.palette import ASR, FADED, HALO, NEUTRAL, RECOVERY, UTILITY, WRITTEN, finish
from circuitviz.plots.tokens import token_text
from circuitviz.tables.rows import Row, matching, records

# No single token is called so.
ANSWER = "the answer"
# name; kind: word | head | neuron | answer; layer: -1 for words, n_layers for the answer;
# effect: what ablating it alone does, in nats of log-odds, mean over prompts, missing for the
# answer; error: its standard error.
NODE_COLUMNS = ("name", "kind", "layer", "effect", "error")
# sender, receiver; effect in nats of log-odds, mean over prompts; error: its standard error.
EDGE_COLUMNS = ("sender", "receiver", "effect", "error")
# A unit is a main one from this share of the largest effect on; a way between units is named from
# this share of the largest effect on the answer on.
MAIN_SHARE, RELAY_SHARE = 0.3, 0.1
MAX_NAMED = 4

ROW_PIXELS = 78
MIN_PIXELS, MAX_PIXELS = 340, 760
# Edges below this share of the strongest are left out, and at most so many are drawn.
MIN_SHARE, MAX_EDGES = 0.04, 60
MAX_WIDTH, MIN_WIDTH = 11.0, 1.0
BEND_POINTS = 25
# From so many columns on they are close: their names get shorter, labels smaller, and neighbours
# are set off from each other by more, so that labels do not meet.
_MANY_COLUMNS = 12
LABEL_SIZE, SMALL_LABEL = 13, 11
# How far neighbouring columns are set off, in rows.
OFFSETS, WIDE_OFFSETS = (-0.18, 0.18), (-0.3, 0.06, 0.36)
# Name, symbol, colour and size of each kind of node.
STYLES = {
    "word": ("Token of the prompt", "circle", NEUTRAL, 24),
    "head": ("Attention head", "square", UTILITY, 26),
    "neuron": ("Neuron", "diamond", RECOVERY, 26),
    "answer": ("Answer", "star", ASR, 30),
}


def node_frame(graph: PathGraph) -> pd.DataFrame:
    """Every node, columns `NODE_COLUMNS`: words, units in the order of the model, the answer."""
    nodes = [(word, "word", -1, None, None) for word in graph.words]
    nodes += [
        (str(unit), unit.kind, unit.layer, float(effect), float(error))
        for unit, effect, error in zip(
            graph.units, graph.total.mean, graph.total.error, strict=True
        )
    ]
    last = max(unit.layer for unit in graph.units) + 1
    nodes.append((ANSWER, "answer", last, None, None))
    return pd.DataFrame(nodes, columns=list(NODE_COLUMNS))


def edge_frame(graph: PathGraph) -> pd.DataFrame:
    """Every edge that carries anything, strongest first, columns `EDGE_COLUMNS`."""
    names = [str(unit) for unit in graph.units]
    edges = [
        (sender, receiver, float(effect), float(error))
        for effects, senders, receivers in (
            (graph.from_words, graph.words, names),
            (graph.between, names, names),
            (graph.bypass, graph.words, [ANSWER]),
            (graph.to_answer, names, [ANSWER]),
        )
        for (sender, receiver), effect, error in zip(
            product(senders, receivers),
            effects.mean.ravel(),
            effects.error.ravel(),
            strict=True,
        )
    ]
    frame = pd.DataFrame(edges, columns=list(EDGE_COLUMNS))
    frame = frame.loc[frame["effect"] != 0]
    order = frame["effect"].abs().sort_values(ascending=False, kind="stable").index
    return frame.loc[order].reset_index(drop=True)


def graph_story(graph: PathGraph) -> str:
    """How what sets the behaviour off becomes the answer, in plain sentences.

    Only what is larger than two standard errors is named.
    """
    words = REQUEST if REQUEST in graph.words else TRIGGER
    if graph.trigger:
        words = f"{TRIGGER} \u201c{graph.trigger}\u201d"
    target, other = (
        f"\u201c{token}\u201d" if token else instead
        for token, instead in zip(
            graph.target, ("the behaviour's answer", "the right answer"), strict=True
        )
    )
    readers = _main(graph, graph.from_words.summed())
    writers = _main(graph, graph.to_answer)
    bypass, through = graph.bypass.summed(), graph.from_words.summed().summed()
    more = Sampled(bypass.values - through.values)
    parts = []
    if more.mean > 0 and more.sure:
        parts.append(
            f"Most of what {words} does reaches the answer without passing through these units."
        )
        if writers:
            verb = "acts" if len(writers) == 1 else "act"
            parts.append(f"{_named(writers)} {verb} most on {target} all the same.")
    elif readers and writers:
        if readers != writers:
            how = f"and turned into {target} by {_named(writers)}"
        elif len(readers) == 1:
            how = f"and the same unit turns it into {target}"
        else:
            how = f"and the same {count(len(readers), 'unit')} turn it into {target}"
        parts.append(f"{words[0].upper()}{words[1:]} is read by {_named(readers)}, {how}.")
    edges = edge_frame(graph)
    relay = _relay(graph, records(edges))
    if relay:
        parts.append(f"The strongest way between units is {relay}.")
    if not parts and len(edges):
        parts.append(
            f"On {count(graph.prompts, 'prompt')} no way through these units stands out from "
            "chance."
        )
    number = len(graph.units)
    units = str(graph.units[0]) if number == 1 else f"all {count(number, 'unit')}"
    parts.append(
        f"With {units} off, the log-odds of {target} over {other} "
        f"go from {_signed(graph.intact)} to {_signed(graph.knocked_out)}."
    )
    return " ".join(parts)


def _main(graph: PathGraph, effects: Sampled) -> list[str]:
    """The units with the largest effects, in the order of the model."""
    sizes = np.where(effects.sure, effects.mean, 0.0)
    if sizes.max() <= 0:
        return []
    best = sorted(np.argsort(-sizes, kind="stable")[:MAX_NAMED])
    return [str(graph.units[index]) for index in best if sizes[index] >= MAIN_SHARE * sizes.max()]


def _relay(graph: PathGraph, edges: Sequence[Row]) -> str:
    """The strongest edge between units that is surely there; empty where it is next to nothing."""
    named = (ANSWER, *graph.words)
    for edge in edges:
        between = edge["receiver"] not in named and edge["sender"] not in named
        if between and edge["effect"] > ERRORS * edge["error"]:
            if edge["effect"] < RELAY_SHARE * graph.to_answer.mean.max():
                return ""
            return f"{edge['sender']} \u2192 {edge['receiver']} ({_signed(edge['effect'])})"
    return ""


def _named(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _signed(number: float) -> str:
    return f"{number:+.1f}".replace("-", "\u2212")


@dataclass(frozen=True)
class _Layout:
    """Where nodes stand, and what the columns are called."""

    places: dict[str, tuple[float, float]]
    columns: list[str]
    tallest: int
    label_size: int

    def bend(self, edge: Row) -> tuple[np.ndarray, np.ndarray]:
        """A curve that leaves and arrives level; long ones arch over what lies between."""
        start, end = self.places[edge["sender"]], self.places[edge["receiver"]]
        t = np.linspace(0, 1, BEND_POINTS)
        x = start[0] + (end[0] - start[0]) * t
        smooth = t * t * (3 - 2 * t)
        arch = 0.16 * (end[0] - start[0] - 1) * np.sin(np.pi * t)
        side = 1 if (start[1] + end[1]) >= 0 else -1
        return x, start[1] + (end[1] - start[1]) * smooth + side * arch


def circuit_graph(
    nodes: pd.DataFrame,
    edges: pd.DataFrame,
    *,
    answer: str = ANSWER,
    selected: str | None = None,
) -> go.Figure:
    """Words on the left, the answer on the right, the units between them by layer.

    The width of an edge is the size of its effect; what works against the behaviour is dashed.
    Units have `customdata` [name], so that a click can choose them.

    Args:
        nodes: Columns `NODE_COLUMNS`.
        edges: Columns `EDGE_COLUMNS`, strongest first.
        answer: What stands at the answer.
        selected: The unit that is ringed.
    """
    layout = _layout(records(nodes))
    least = MIN_SHARE * edges["effect"].abs().max()
    drawn = records(edges.loc[edges["effect"].abs() >= least].head(MAX_EDGES))
    figure = go.Figure()
    _add_edges(figure, drawn, layout)
    if selected in layout.places:
        add_ring(figure, *layout.places[selected], size=38)
    for kind in STYLES:
        _add_nodes(figure, records(matching(nodes, kind=kind)), kind, layout, answer)
    _add_edge_legend(figure, drawn)
    figure.update_xaxes(
        tickvals=list(range(len(layout.columns))),
        ticktext=layout.columns,
        range=[-0.5, len(layout.columns) - 0.4],
        tickangle=0,
        showgrid=False,
        side="bottom",
    )
    figure.update_yaxes(visible=False, range=[-0.75, max(1.0, layout.tallest - 1) + 0.75])
    height = int(np.clip(layout.tallest * ROW_PIXELS + 120, MIN_PIXELS, MAX_PIXELS))
    figure.update_layout(hovermode="closest", clickmode="event+select")
    return finish(figure, height=height, legend=True)


def _layout(nodes: list[Row]) -> _Layout:
    """One column for the words, one for each layer's heads and neurons, one for the answer."""
    groups: dict[tuple[int, str], list[str]] = {}
    for node in nodes:
        groups.setdefault((int(node["layer"]), str(node["kind"])), []).append(str(node["name"]))
    tallest = max(len(names) for names in groups.values())
    places: dict[str, tuple[float, float]] = {}
    titles = []
    close = len(groups) > _MANY_COLUMNS
    offsets = WIDE_OFFSETS if close else OFFSETS
    for column, ((layer, kind), names) in enumerate(groups.items()):
        # Centred: a column of few stands in the middle of one of many.
        shift = (max(tallest, 2) - len(names)) / 2
        for row, name in enumerate(reversed(names)):
            # Neighbouring columns are set off a little, so that straight ways pass no third node.
            places[name] = (column, row + shift + offsets[column % len(offsets)])
        short = f"L{layer}<br>{'heads' if kind == 'head' else 'neur.'}"
        title = short if close else f"layer {layer}<br>{kind}s"
        titles.append({"word": "prompt", "answer": "answer"}.get(kind, title))
    return _Layout(places, titles, tallest, SMALL_LABEL if close else LABEL_SIZE)


def _add_edges(figure: go.Figure, edges: list[Row], layout: _Layout) -> None:
    """Edges, the strongest on top, and invisible points along them, which tell what they carry."""
    for edge in reversed(edges):
        x, y = layout.bend(edge)
        helps, share = edge["effect"] > 0, abs(edge["effect"] / edges[0]["effect"])
        figure.add_scatter(
            x=x,
            y=y,
            mode="lines",
            line={
                "color": UTILITY if helps else ASR,
                "width": MIN_WIDTH + (MAX_WIDTH - MIN_WIDTH) * share,
                "dash": "solid" if helps else "dot",
            },
            opacity=0.35 + 0.45 * share,
            hoverinfo="skip",
            showlegend=False,
            name="edge",
        )
    points = range(4, BEND_POINTS - 4, 4)
    figure.add_scatter(
        x=[float(layout.bend(edge)[0][point]) for edge in edges for point in points],
        y=[float(layout.bend(edge)[1][point]) for edge in edges for point in points],
        mode="markers",
        marker={"size": 10, "opacity": 0},
        hovertext=[
            f"<b>{token_text(edge['sender'])} \u2192 {edge['receiver']}</b><br>{_nats(edge)}"
            for edge in edges
            for _ in points
        ],
        hovertemplate=WRITTEN,
        showlegend=False,
        name="edge notes",
    )


def _add_nodes(
    figure: go.Figure, nodes: list[Row], kind: str, layout: _Layout, answer: str
) -> None:
    if not nodes:
        return
    is_unit = kind in ("head", "neuron")
    title, symbol, colour, size = STYLES[kind]
    labels = [token_text(answer if kind == "answer" else str(node["name"])) for node in nodes]
    hover = [f"<b>{label}</b>" for label in labels]
    if is_unit:
        hover = [f"<b>{node['name']}</b><br>{_nats(node)} lost with only it off" for node in nodes]
    edge = {"color": HALO, "width": 2}
    figure.add_scatter(
        x=[layout.places[node["name"]][0] for node in nodes],
        y=[layout.places[node["name"]][1] for node in nodes],
        mode="markers+text",
        marker={"symbol": symbol, "size": size, "color": colour, "line": edge},
        selected={"marker": {"opacity": 1}},
        unselected={"marker": {"opacity": 1}},
        # The empty line keeps the label clear of the node and its ring.
        text=[f"<b>{label}</b><br>\u00a0" for label in labels],
        textposition="top center",
        textfont={"size": layout.label_size, "shadow": "auto"},
        customdata=[[node["name"]] for node in nodes] if is_unit else None,
        hovertext=hover,
        hovertemplate=WRITTEN,
        name=title,
        cliponaxis=False,
    )


def _nats(row: Row) -> str:
    """Mean and standard error; a single prompt has none."""
    error = "" if np.isnan(row["error"]) else f" \u00b1 {row['error']:.2f}"
    return f"{row['effect']:+.2f}{error} nats"


def _add_edge_legend(figure: go.Figure, edges: list[Row]) -> None:
    for name, colour, dash, helps in (
        ("works for the behaviour", UTILITY, "solid", True),
        ("works against it", ASR, "dot", False),
    ):
        if any((edge["effect"] > 0) == helps for edge in edges):
            line = {"color": colour, "width": 4, "dash": dash}
            figure.add_scatter(x=[None], y=[None], mode="lines", line=line, name=name)
    if not edges:
        figure.add_annotation(
            text="No edge carries anything", showarrow=False, font={"color": FADED}, x=0.5, y=0.5
        )
