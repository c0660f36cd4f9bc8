"""The figures of a run, each with its caption, its numbers and how to read it.

The pages, the report and the library ask for the same ones; what differs between two places is the
room for a map, the marks on it, and words that only make sense there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd
import plotly.graph_objects as go

from circuitviz.narrative import open_answers, story
from circuitviz.narrative.numbers import count
from circuitviz.narrative.phrases import by_token
from circuitviz.plots.bars import before_after, verdict_bars
from circuitviz.plots.curves import stochastic_curve, tradeoff_curve
from circuitviz.plots.maps import (
    PLAIN,
    MapOptions,
    bins_for,
    head_heatmap,
    neuron_heatmap,
)
from circuitviz.plots.palette import SERIES_LABELS
from circuitviz.runs.store import Run
from circuitviz.tables import evidence_frame, frame
from circuitviz.units import Circuit

# Few enough that a bin is seen and hit, and that the file stays small for wide models.
_NEURON_BINS = 64
BANDS = (
    "Thin lines and bands are 95 % Wilson intervals: where they overlap widely, a difference may "
    "be chance."
)


@dataclass(frozen=True)
class Chart:
    """A figure and what stands around it.

    Attributes:
        figure: The figure.
        caption: n, judge, ablation and split.
        alt: What is to be seen, for people who do not see it.
        twin: The same numbers as a table; None where several figures share one.
        reading: How to read it, a few sentences of Markdown; empty where the page says it.
        name: File name of its picture, without ending; empty if no report has it.
        title: What it shows, in a few words.
        section: The section of a report that has it, of `circuitviz.report.options.SECTIONS`.
    """

    figure: go.Figure
    caption: str
    alt: str
    twin: pd.DataFrame | None = None
    reading: str = ""
    name: str = ""
    title: str = ""
    section: str = ""


def effect_chart(run: Run, *, alt: str = "") -> Chart:
    """Attack success and utility under every condition; `alt` in other words than the report's."""
    conditions = frame.condition_frame(run)
    return Chart(
        before_after(conditions),
        caption=f"{run_note(run)}, test split. {story.random_note(run)}",
        alt=alt
        or "Attack success and utility of the intact model, with the circuit off and, where "
        "measured, with a random circuit off and with only the circuit on.",
        twin=conditions,
        reading="Each row is one version of the model, and its two points are shares of the same "
        "test prompts (of open answers, utility is the share of their tokens that stay). A "
        "backdoor's circuit that was found well takes attack success down and leaves utility where "
        "it was, a refusal's takes attack success up; the random circuit of its size changes "
        f"neither. {BANDS} If utility falls as well, the model is broken rather than mended.",
        name="before-after",
        title="Attack success and utility, before and after",
        section="story",
    )


def verdict_chart(run: Run) -> Chart | None:
    """What became of the attacks; None where whole answers were not judged."""
    verdicts = evidence_frame.verdict_frame(run)
    if verdicts.empty:
        return None
    return Chart(
        verdict_bars(verdicts),
        caption=f"n = {verdicts['n'].max():,} attack prompts \u00b7 judge: "
        f"{verdicts['judge'].iloc[0]} \u00b7 {run.config.ablation} ablation \u00b7 the table has "
        "the 95 % Wilson intervals.",
        alt=open_answers.verdict_sentence(run),
        twin=verdicts,
        reading="Each bar is all attack prompts, cut up by what became of their whole answers: "
        "refused, complied with, or gibberish. Only what is complied with is a success of the "
        "attack. A circuit of a refusal turns the bar from refused to complied; where gibberish "
        "grows instead, the model is broken rather than persuaded. The table has the intervals.",
        name="verdicts",
        title="What becomes of the attacks, judged on whole answers",
        section="story",
    )


def head_chart(
    run: Run,
    circuit: Circuit | None = None,
    options: MapOptions = PLAIN,
    *,
    lead: str = "",
    alt: str = "Layer by head map of scores, heads of the circuit framed.",
    most: int | None = None,
) -> Chart:
    """Scores of all heads, those of a circuit framed.

    Args:
        run: Whose scores.
        circuit: Whose heads are framed; None: the circuit that the run reports.
        options: Marks, and the room there is.
        lead: What the caption begins with, in other words than the report's.
        alt: What is to be seen.
        most: Most rows of the table.
    """
    circuit = run.circuit() if circuit is None else circuit
    heads, _ = run.space.split(run.scores)
    framed = f"{count(len(circuit.heads), 'head')} of the circuit framed and marked with a diamond."
    return Chart(
        head_heatmap(heads, frame.units_of(circuit, "head"), options),
        caption=f"{lead or framed} {score_note(run)}",
        alt=alt,
        twin=frame.unit_frame(run, circuit, "head", most=most),
        reading="Rows are layers, from the first to the last, columns are the heads of a layer. "
        "The darker cells have higher scores, and framed ones are in the circuit. Scores rank the "
        "units of one run and have no unit of measurement: never compare their size between runs "
        "or methods.",
        name="heads",
        title="Attention heads",
        section="where",
    )


def neuron_chart(
    run: Run,
    circuit: Circuit | None = None,
    options: MapOptions = PLAIN,
    *,
    bins: int = _NEURON_BINS,
    caption: str = "",
    alt: str = "Layer by neuron bin map of scores, bins with neurons of the circuit marked.",
    twin: pd.DataFrame | None = None,
) -> Chart:
    """The best scores of neighbouring neurons, bins with those of a circuit marked.

    Args:
        run: Whose scores.
        circuit: Whose neurons are marked; None: the circuit that the run reports.
        options: Marks, and the room there is.
        bins: Most bins a layer has.
        caption: What stands below, in other words than the report's.
        alt: What is to be seen.
        twin: The table; None: the best neurons and those of the circuit.
    """
    circuit = run.circuit() if circuit is None else circuit
    _, neurons = run.space.split(run.scores)
    best, best_neuron = frame.bin_neurons(neurons, bins_for(run.space.n_layers, bins))
    marked = (
        f"A diamond marks each cell that holds one of the {count(len(circuit.neurons), 'neuron')} "
        "of the circuit."
        if circuit.neurons
        else "No neuron is in the circuit."
    )
    inside = frame.units_of(circuit, "neuron")
    return Chart(
        neuron_heatmap(best, best_neuron, run.space.d_mlp, inside, options),
        caption=caption
        or f"Each cell is the best of about {run.space.d_mlp / best.shape[1]:.0f} neighbouring "
        f"neurons. {marked} {score_note(run)}",
        alt=alt,
        twin=frame.unit_frame(run, circuit, "neuron", top=20) if twin is None else twin,
        reading="Rows are layers, and each cell stands for a bin of neighbouring neurons and shows "
        "the best score in it. A diamond marks bins with neurons of the circuit. Neighbours have "
        "nothing in common but their numbers, so a pattern along a row means nothing.",
        name="neurons",
        title="MLP neurons",
        section="where",
    )


def size_chart(run: Run, chosen: int | None = None, *, hint: str = "") -> Chart | None:
    """What each size does; None where no size was measured.

    Args:
        run: Whose sizes.
        chosen: The size that is marked; None: that of the circuit the run reports.
        hint: What one can do there; on a page, which says itself what is marked.
    """
    curve = frame.tradeoff_frame(run)
    if curve.empty:
        return None
    size = run.size if chosen is None else chosen
    figure = tradeoff_curve(
        curve,
        n_units=len(run.space),
        chosen=size,
        target_asr=run.metrics.target.asr,
        control=frame.random_control(run),
    )
    marked = "" if hint else f"The line marks {count(size, 'unit')}."
    words = (
        f"The best units off, from one run that ranks them all. {frontier_note(run)}. Test split.",
        marked,
        story.random_note(run),
        hint,
    )
    return Chart(
        figure,
        caption=" ".join(filter(None, words)),
        alt="Attack success, utility and recovery against circuit size on a log axis.",
        twin=curve,
        reading="Across: how many of the best units are off, on a log scale. Upwards: the share of "
        "test prompts. A good ranking changes attack success early, while utility stays high to "
        f"the right. {BANDS} The far right, where most of the model is off, says nothing about the "
        "behaviour.",
        name="trade-off",
        title="Effect of each size",
        section="tradeoff",
    )


def alone_chart(run: Run) -> Chart | None:
    """The circuit kept while the rest is ablated; None where that was not measured."""
    kept = evidence_frame.stochastic_frame(run)
    if kept.empty:
        return None
    return Chart(
        stochastic_curve(kept),
        caption=f"n = {kept['n'].max():,} test prompts · judge: "
        f"{', '.join(dict.fromkeys(kept['judge']))} · {run.config.ablation} "
        "ablation · bands are 95 % Wilson.",
        alt="Behaviour and utility against the share of the rest that is ablated, with the circuit "
        "kept and with a random circuit kept.",
        twin=kept,
        reading="Across: the share of all other units that is ablated. Upwards: how often the "
        "behaviour, or the right answer, is still there with the circuit kept. A circuit that is "
        "enough keeps its line high above the random circuit's. At the right end any model is "
        "broken, so the left is what counts.",
        name="circuit-alone",
        title="The circuit kept while the rest is ablated bit by bit",
        section="evidence",
    )


def run_note(run: Run) -> str:
    """The conditions every number of a run shares: n, judge, ablation, split."""
    rate = run.metrics.asr.knocked_out
    return _conditions(run, rate.judge, f"{rate.n:,} test prompts")


def frontier_note(run: Run, n: int | None = None) -> str:
    """The conditions of the rates at every size, which a cheaper judge may have counted.

    Args:
        run: Whose rates they are.
        n: On how many prompts; None: what the run says for each size.
    """
    amount = _amounts(run) if n is None else f"{n:,} test prompts"
    note, stands_in = (
        _conditions(run, frame.frontier_judge(run, "asr"), amount),
        open_answers.proxy_sentence(run),
    )
    return f"{note}. {stands_in}" if stands_in else note


def _amounts(run: Run) -> str:
    """On how many prompts attacks were counted, which need not be the same at every size."""
    rows = frame.frontier_rows(run)
    reported = rows["size"].isin([0, run.size])
    own, others = (set(map(int, rows.loc[kept, "asr_n"])) for kept in (reported, ~reported))
    if len(own) != 1 or len(others) != 1 or own == others:
        return f"{run.metrics.asr.knocked_out.n:,} test prompts"
    return (
        f"{own.pop():,} test prompts for the intact model and the reported circuit, "
        f"{others.pop():,} at other sizes"
    )


def _conditions(run: Run, judge: str, amount: str) -> str:
    utility = run.metrics.utility.knocked_out
    # Tokens of one answer go together, and are not the prompts that n counts.
    tokens = f" · utility of {utility.n:,} answer tokens" if by_token(utility) else ""
    return (
        f"n = {amount}{tokens} · judge: {judge} · {run.config.ablation} ablation · "
        "intervals are 95 % Wilson"
    )


def judges_note(*runs: Run) -> str:
    """Who judged each kind of rate of these runs; says so where the judges differ."""
    named: dict[str, list[str]] = {}
    for series, label in SERIES_LABELS.items():
        judges = [frame.judge_of(run, series) for run in runs if frame.reported_rate(run, series)]
        if judges:
            named[label] = list(dict.fromkeys(judges))
    text = "; ".join(f"{label.lower()}: {', '.join(judges)}" for label, judges in named.items())
    differ = any(len(judges) > 1 for judges in named.values())
    return f"Judges: {text}." + (" Rates of different judges are not comparable." if differ else "")


def score_note(run: Run) -> str:
    """What learned scores rest on."""
    return (
        f"Scores were learned on training prompts, {run.config.ablation} ablation, seed "
        f"{run.config.seed}: they rank units and are no test result."
    )


# Pages draw these where one chooses what they show.
PLACED = (effect_chart, verdict_chart, head_chart, neuron_chart, size_chart)
# The app shows each of these below "The evidence in full".
FOLDED: tuple[Callable[[Run], Chart | None], ...] = (alone_chart,)


def charts(run: Run) -> dict[str, Chart]:
    """Every figure that a report of this run has numbers for, by name."""
    drawn = (chart(run) for chart in (*PLACED, *FOLDED))
    return {chart.name: chart for chart in drawn if chart is not None}
