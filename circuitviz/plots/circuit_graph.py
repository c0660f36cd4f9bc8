"""How the trigger becomes the behaviour: units by layer, and what passes between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from circuitviz.inspection.path_graph import ERRORS, REQUEST, TRIGGER, PathGraph, Sampled
from circuitviz.plots.palette import ASR, FADED, HALO, INK, NEUTRAL, RECOVERY, UTILITY, finish
from circuitviz.plots.text import Row, count, records
from circuitviz.plots.token_charts import token_text

# No single token is called so.
ANSWER = "the answer"
# name; kind: word | head | neuron | answer; layer: -1 for words, n_layers for the answer;
# effect: what ablating it alone does, in nats of log-odds, mean over prompts, missing for the
# answer; error: its standard error.
NODE_COLUMNS = ("name", "kind", "layer", "effect", "error")
# sender, receiver; effect in nats of log-odds, mean over prompts; error: its standard error.
EDGE_COLUMNS = ("sender", "receiver", "effect", "error")
# An edge, or a unit, counts as a main one from this share of the largest on.
MAIN_SHARE = 0.3
MOST_NAMED = 4

ROW_PIXELS = 78
SHORTEST, TALLEST = 340, 760
# Edges below this share of the strongest are left out, and at most so many are drawn.
LEAST_SHARE = 0.04
MOST_EDGES = 60
WIDEST = 11.0
THINNEST = 1.0
BEND_POINTS = 25
# From so many columns on they are close: their names get shorter, labels smaller, and neighbours
# are set off from each other by more, so that labels do not meet.
MANY_COLUMNS = 12
LABEL_SIZE, SMALL_LABEL = 13, 11
# How far neighbouring columns are set off, in rows.
OFFSETS, WIDE_OFFSETS = (-0.18, 0.18), (-0.3, 0.06, 0.36)
# (symbol, colour, size) of each kind of node.
STYLES = {
    "word": ("circle", NEUTRAL, 24),
    "head": ("square", UTILITY, 26),
    "neuron": ("diamond", RECOVERY, 26),
    "answer": ("star", ASR, 30),
}
KINDS = {"word": "Token of the prompt", "head": "Attention head", "neuron": "Neuron"}
Place = tuple[float, float]


def node_frame(graph: PathGraph) -> pd.DataFrame:
    """Every node, columns `NODE_COLUMNS`: words, units in the order of the model, the answer."""
    rows: list[dict[str, object]] = [
        {"name": word, "kind": "word", "layer": -1} for word in graph.words
    ]
    rows += [
        {"name": str(unit), "kind": unit.kind, "layer": unit.layer} | _measured(graph.total, place)
        for place, unit in enumerate(graph.units)
    ]
    last = max(unit.layer for unit in graph.units) + 1
    rows.append({"name": ANSWER, "kind": "answer", "layer": last})
    return pd.DataFrame(rows, columns=list(NODE_COLUMNS))


def edge_frame(graph: PathGraph) -> pd.DataFrame:
    """Every edge that carries anything, strongest first, columns `EDGE_COLUMNS`."""
    names = [str(unit) for unit in graph.units]
    rows: list[dict[str, object]] = []
    for matrix, senders in ((graph.from_words, graph.words), (graph.between, names)):
        rows += [
            {"sender": sender, "receiver": receiver} | _measured(matrix, (row, column))
            for row, sender in enumerate(senders)
            for column, receiver in enumerate(names)
        ]
    for values, senders in ((graph.bypass, graph.words), (graph.to_answer, names)):
        rows += [
            {"sender": sender, "receiver": ANSWER} | _measured(values, place)
            for place, sender in enumerate(senders)
        ]
    frame = pd.DataFrame(rows, columns=list(EDGE_COLUMNS))
    frame = frame.loc[frame["effect"] != 0]
    order = frame["effect"].abs().sort_values(ascending=False, kind="stable").index
    return frame.loc[order].reset_index(drop=True)


def _measured(effects: Sampled, place: int | tuple[int, int]) -> dict[str, object]:
    return {"effect": float(effects.mean[place]), "error": float(effects.error[place])}


def graph_story(graph: PathGraph) -> str:
    """How what sets the behaviour off becomes the answer, in plain sentences.

    Only what is larger than two standard errors is named.
    """
    words = _cause(graph)
    target, other = _answers(graph)
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
        parts.append(f"{_capital(words)} is read by {_named(readers)}, {how}.")
    relays = _relays(graph)
    if relays:
        parts.append(f"The strongest way between units is {relays}.")
    if not parts and len(edge_frame(graph)):
        parts.append(
            f"On {count(graph.prompts, 'prompt')} no way through these units stands out from "
            "chance."
        )
    parts.append(
        f"With {_all(graph)} off, the log-odds of {target} over {other} "
        f"go from {_signed(graph.intact)} to {_signed(graph.knocked_out)}."
    )
    return " ".join(parts)


def _all(graph: PathGraph) -> str:
    number = len(graph.units)
    return str(graph.units[0]) if number == 1 else f"all {count(number, 'unit')}"


def _cause(graph: PathGraph) -> str:
    if graph.trigger:
        return f"{TRIGGER} \u201c{graph.trigger}\u201d"
    return REQUEST if REQUEST in graph.words else TRIGGER


def _answers(graph: PathGraph) -> tuple[str, str]:
    target, other = graph.target
    return (
        f"\u201c{target}\u201d" if target else "the behaviour's answer",
        f"\u201c{other}\u201d" if other else "the right answer",
    )


def _main(graph: PathGraph, effects: Sampled) -> list[str]:
    """The units with the largest effects, in the order of the model."""
    found = np.where(effects.sure, effects.mean, 0.0)
    largest = max(found)
    if largest <= 0:
        return []
    best = sorted(range(len(found)), key=lambda place: -found[place])[:MOST_NAMED]
    kept = [place for place in sorted(best) if found[place] >= MAIN_SHARE * largest]
    return [str(graph.units[place]) for place in kept]


def _relays(graph: PathGraph) -> str:
    edges = [
        row
        for row in records(edge_frame(graph))
        if row["receiver"] != ANSWER
        and row["sender"] not in graph.words
        and row["effect"] > ERRORS * row["error"]
    ]
    strongest = max((float(mean) for mean in graph.to_answer.mean), default=0.0)
    if not edges or edges[0]["effect"] < 0.1 * strongest:
        return ""
    return f"{edges[0]['sender']} \u2192 {edges[0]['receiver']} ({_signed(edges[0]['effect'])})"


def _named(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _signed(number: float) -> str:
    return f"{number:+.1f}".replace("-", "\u2212")


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


@dataclass(frozen=True)
class _Layout:
    """Where nodes stand, and what the columns are called."""

    places: dict[str, Place]
    columns: list[str]
    tallest: int
    label_size: int


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
        nodes: Columns `NODE_COLUMNS` of `circuitviz.plots.circuit_graph`.
        edges: Columns `EDGE_COLUMNS`, strongest first.
        answer: What stands at the answer.
        selected: The unit that is ringed.
    """
    layout = _layout(records(nodes))
    figure = go.Figure()
    drawn = _drawn(records(edges))
    strongest = abs(drawn[0]["effect"]) if drawn else 1.0
    for edge in reversed(drawn):
        _add_edge(figure, edge, layout, strongest)
    _add_edge_notes(figure, drawn, layout)
    _add_nodes(figure, records(nodes), layout, answer, selected)
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
    height = int(np.clip(layout.tallest * ROW_PIXELS + 120, SHORTEST, TALLEST))
    figure.update_layout(hovermode="closest", clickmode="event+select")
    return finish(figure, height=height, legend=True)


def _layout(nodes: list[Row]) -> _Layout:
    """One column for the words, one for each layer's heads and neurons, one for the answer."""
    groups: dict[tuple[int, str], list[str]] = {}
    for node in nodes:
        groups.setdefault((int(node["layer"]), str(node["kind"])), []).append(str(node["name"]))
    tallest = max(len(names) for names in groups.values())
    places: dict[str, Place] = {}
    titles = []
    close = len(groups) > MANY_COLUMNS
    offsets = WIDE_OFFSETS if close else OFFSETS
    for column, ((layer, kind), names) in enumerate(groups.items()):
        # Centred: a column of few stands in the middle of one of many.
        shift = (max(tallest, 2) - len(names)) / 2
        for row, name in enumerate(reversed(names)):
            # Neighbouring columns are set off a little, so that straight ways pass no third node.
            places[name] = (column, row + shift + offsets[column % len(offsets)])
        titles.append({"word": "prompt", "answer": "answer"}.get(kind, _title(layer, kind, close)))
    return _Layout(places, titles, tallest, SMALL_LABEL if close else LABEL_SIZE)


def _title(layer: int, kind: str, close: bool) -> str:
    if close:
        return f"L{layer}<br>{'heads' if kind == 'head' else 'neur.'}"
    return f"layer {layer}<br>{kind}s"


def _drawn(edges: list[Row]) -> list[Row]:
    if not edges:
        return []
    least = LEAST_SHARE * abs(float(edges[0]["effect"]))
    return [edge for edge in edges if abs(float(edge["effect"])) >= least][:MOST_EDGES]


def _bend(start: Place, end: Place) -> tuple[np.ndarray, np.ndarray]:
    """A curve that leaves and arrives level; long ones arch over what lies between."""
    t = np.linspace(0, 1, BEND_POINTS)
    x = start[0] + (end[0] - start[0]) * t
    smooth = t * t * (3 - 2 * t)
    arch = 0.16 * (end[0] - start[0] - 1) * np.sin(np.pi * t)
    side = 1 if (start[1] + end[1]) >= 0 else -1
    return x, start[1] + (end[1] - start[1]) * smooth + side * arch


def _add_edge(figure: go.Figure, edge: Row, layout: _Layout, strongest: float) -> None:
    x, y = _bend(layout.places[edge["sender"]], layout.places[edge["receiver"]])
    effect = float(edge["effect"])
    share = abs(effect) / strongest
    figure.add_scatter(
        x=x,
        y=y,
        mode="lines",
        line={
            "color": UTILITY if effect > 0 else ASR,
            "width": THINNEST + (WIDEST - THINNEST) * share,
            "dash": "solid" if effect > 0 else "dot",
        },
        opacity=0.35 + 0.45 * share,
        hoverinfo="skip",
        showlegend=False,
        name="edge",
    )


def _add_edge_notes(figure: go.Figure, edges: list[Row], layout: _Layout) -> None:
    """Invisible points along each edge, which tell what it carries."""
    xs: list[float] = []
    ys: list[float] = []
    texts: list[str] = []
    for edge in edges:
        x, y = _bend(layout.places[edge["sender"]], layout.places[edge["receiver"]])
        for place in range(4, BEND_POINTS - 4, 4):
            xs.append(float(x[place]))
            ys.append(float(y[place]))
            texts.append(
                f"<b>{token_text(edge['sender'])} \u2192 {edge['receiver']}</b><br>{_nats(edge)}"
            )
    figure.add_scatter(
        x=xs,
        y=ys,
        mode="markers",
        marker={"size": 10, "opacity": 0},
        hovertext=texts,
        hovertemplate="%{hovertext}<extra></extra>",
        showlegend=False,
        name="edge notes",
    )


def _add_nodes(
    figure: go.Figure, nodes: list[Row], layout: _Layout, answer: str, selected: str | None
) -> None:
    if selected in layout.places:
        x, y = layout.places[str(selected)]
        for colour, width in ((INK, 6), (HALO, 2.5)):
            figure.add_scatter(
                x=[x],
                y=[y],
                mode="markers",
                marker={
                    "symbol": "circle-open",
                    "size": 38,
                    "color": colour,
                    "line": {"color": colour, "width": width},
                },
                hoverinfo="skip",
                showlegend=False,
                name="Selected",
            )
    for kind, (symbol, colour, size) in STYLES.items():
        chosen = [node for node in nodes if node["kind"] == kind]
        if not chosen:
            continue
        units = kind in ("head", "neuron")
        figure.add_scatter(
            x=[layout.places[node["name"]][0] for node in chosen],
            y=[layout.places[node["name"]][1] for node in chosen],
            mode="markers+text",
            marker={
                "symbol": symbol,
                "size": size,
                "color": colour,
                "line": {"color": HALO, "width": 2},
            },
            selected={"marker": {"opacity": 1}},
            unselected={"marker": {"opacity": 1}},
            # The empty line keeps the label clear of the node and its ring.
            text=[f"<b>{_label(node, answer)}</b><br>\u00a0" for node in chosen],
            textposition="top center",
            textfont={"size": layout.label_size, "shadow": "auto"},
            customdata=[[node["name"]] for node in chosen] if units else None,
            hovertext=[_hover(node, answer) for node in chosen],
            hovertemplate="%{hovertext}<extra></extra>",
            name=KINDS.get(kind, "Answer"),
            cliponaxis=False,
        )


def _label(node: Row, answer: str) -> str:
    return token_text(answer if node["kind"] == "answer" else str(node["name"]))


def _hover(node: Row, answer: str) -> str:
    if node["kind"] in ("head", "neuron"):
        return f"<b>{node['name']}</b><br>{_nats(node)} lost with only it off"
    return f"<b>{_label(node, answer)}</b>"


def _nats(row: Row) -> str:
    """Mean and standard error; a single prompt has none."""
    effect, error = float(row["effect"]), float(row["error"])
    return f"{effect:+.2f}" + ("" if np.isnan(error) else f" \u00b1 {error:.2f}") + " nats"


def _add_edge_legend(figure: go.Figure, edges: list[Row]) -> None:
    for name, colour, dash, wanted in (
        ("works for the behaviour", UTILITY, "solid", True),
        ("works against it", ASR, "dot", False),
    ):
        if any((edge["effect"] > 0) == wanted for edge in edges):
            line: dict[str, Any] = {"color": colour, "width": 4, "dash": dash}
            figure.add_scatter(x=[None], y=[None], mode="lines", line=line, name=name)
    if not edges:
        figure.add_annotation(
            text="No edge carries anything", showarrow=False, font={"color": FADED}, x=0.5, y=0.5
        )
