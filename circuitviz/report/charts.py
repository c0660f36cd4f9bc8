"""The figures of a report, each with its caption and its numbers."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
import plotly.graph_objects as go

from circuitviz.plots import evidence_frame, frame, open_frame, story
from circuitviz.plots.bars import before_after, verdict_bars
from circuitviz.plots.maps import bins_for, head_heatmap, neuron_heatmap
from circuitviz.plots.notes import frontier_note, run_note, score_note
from circuitviz.plots.text import count
from circuitviz.plots.tradeoff import stochastic_curve, tradeoff_curve
from circuitviz.runs.store import Run
from circuitviz.units import Circuit

# Few enough that a bin is seen and hit, and that the file stays small for wide models.
NEURON_BINS = 64


@dataclass(frozen=True)
class Chart:
    """A figure and what stands around it.

    Attributes:
        name: File name of its picture, without ending.
        title: What it shows, in a few words.
        figure: The figure.
        caption: n, judge, ablation and split.
        alt: What is to be seen, for people who do not see it.
        twin: The same numbers as a table.
    """

    name: str
    title: str
    figure: go.Figure
    caption: str
    alt: str
    twin: pd.DataFrame


def charts(run: Run) -> dict[str, Chart]:
    """Every figure this run has numbers for, by name."""
    found = [
        _before_after(run),
        _verdicts(run),
        _heads(run),
        _neurons(run),
        _tradeoff(run),
        _stochastic(run),
    ]
    return {chart.name: chart for chart in found if chart is not None}


def _before_after(run: Run) -> Chart:
    conditions = frame.condition_frame(run)
    return Chart(
        "before-after",
        "Attack success and utility, before and after",
        before_after(conditions),
        f"{run_note(run)}, test split. {story.random_note(run)}",
        "Attack success and utility of the intact model, with the circuit off and, where measured, "
        "with a random circuit off and with only the circuit on.",
        conditions,
    )


def _verdicts(run: Run) -> Chart | None:
    found = open_frame.verdict_frame(run)
    if found.empty:
        return None
    return Chart(
        "verdicts",
        "What becomes of the attacks, judged on whole answers",
        verdict_bars(found),
        f"n = {found['n'].max():,} attack prompts \u00b7 judge: {found['judge'].iloc[0]} \u00b7 "
        f"{run.config.ablation} ablation \u00b7 the table has the 95 % Wilson intervals.",
        open_frame.verdict_sentence(run),
        found,
    )


def _heads(run: Run) -> Chart:
    heads, _ = run.space.split(run.scores)
    circuit = run.circuit()
    return Chart(
        "heads",
        "Attention heads",
        head_heatmap(heads, frame.units_of(circuit, "head")),
        f"{count(len(circuit.heads), 'head')} of the circuit framed and marked with a diamond. "
        f"{score_note(run)}",
        "Layer by head map of scores, heads of the circuit framed.",
        frame.unit_frame(run, circuit, "head"),
    )


def _neurons(run: Run) -> Chart:
    _, neurons = run.space.split(run.scores)
    circuit = run.circuit()
    best, best_neuron = frame.bin_neurons(neurons, bins_for(run.space.n_layers, NEURON_BINS))
    return Chart(
        "neurons",
        "MLP neurons",
        neuron_heatmap(best, best_neuron, run.space.d_mlp, frame.units_of(circuit, "neuron")),
        f"Each cell is the best of about {run.space.d_mlp / best.shape[1]:.0f} neighbouring "
        f"neurons. {_marked(circuit)} {score_note(run)}",
        "Layer by neuron bin map of scores, bins with neurons of the circuit marked.",
        frame.unit_frame(run, circuit, "neuron", top=20),
    )


def _marked(circuit: Circuit) -> str:
    if not circuit.neurons:
        return "No neuron is in the circuit."
    return (
        f"A diamond marks each cell that holds one of the {count(len(circuit.neurons), 'neuron')} "
        "of the circuit."
    )


def _tradeoff(run: Run) -> Chart | None:
    curve = frame.tradeoff_frame(run)
    if curve.empty:
        return None
    return Chart(
        "trade-off",
        "Effect of each size",
        tradeoff_curve(
            curve,
            n_units=len(run.space),
            chosen=run.size,
            target_asr=(run.metrics.get("target") or {}).get("asr"),
            control=frame.random_control(run),
        ),
        f"The best units off, from one run that ranks them all. {frontier_note(run)}. Test split. "
        f"The line marks {count(run.size, 'unit')}. {story.random_note(run)}",
        "Attack success, utility and recovery against circuit size on a log axis.",
        curve,
    )


def _stochastic(run: Run) -> Chart | None:
    found = evidence_frame.stochastic_frame(run)
    if found.empty:
        return None
    judges = ", ".join(dict.fromkeys(found["judge"]))
    return Chart(
        "circuit-alone",
        "The circuit kept while the rest is ablated bit by bit",
        stochastic_curve(found),
        f"n = {found['n'].max():,} test prompts · judge: {judges} · {run.config.ablation} "
        "ablation · bands are 95 % Wilson.",
        "Behaviour and utility against the share of the rest that is ablated, with the circuit "
        "kept and with a random circuit kept.",
        found,
    )
