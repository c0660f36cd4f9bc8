"""A circuit's graph as rows, and in a sentence."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from circuitviz.inspection.path_graph import ERRORS, REQUEST, TRIGGER, PathGraph, Sampled
from circuitviz.plots.rows import records
from circuitviz.plots.text import count

__all__ = ["ANSWER", "EDGE_COLUMNS", "NODE_COLUMNS", "edge_frame", "graph_story", "node_frame"]

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
