"""What stands below figures: the conditions that their numbers share."""

from __future__ import annotations

from circuitviz.plots.frame import frontier_judge, frontier_rows, judge_of
from circuitviz.plots.judged import by_token
from circuitviz.plots.open_frame import proxy_sentence
from circuitviz.plots.palette import SERIES_LABELS
from circuitviz.runs.store import Run

BANDS = (
    "Thin lines and bands are 95 % Wilson intervals: where they overlap widely, a difference may "
    "be chance."
)
READINGS: dict[str, str] = {
    "before_after": "Each row is one version of the model, and its two points are shares of the "
    "same test prompts (of open answers, utility is the share of their tokens that stay). A "
    "backdoor's circuit that was found well takes attack success down and "
    "leaves utility where it was, a refusal's takes attack success up; the random circuit of its "
    f"size changes neither. {BANDS} If utility falls as well, the model is broken rather than "
    "mended.",
    "verdicts": "Each bar is all attack prompts, cut up by what became of their whole answers: "
    "refused, complied with, or gibberish. Only what is complied with is a success of the attack. "
    "A circuit of a refusal turns the bar from refused to complied; where gibberish grows "
    "instead, the model is broken rather than persuaded. The table has the intervals.",
    "head_map": "Rows are layers, from the first to the last, columns are the heads of a layer. "
    "The darker cells have higher scores, and framed ones are in the circuit. Scores rank the "
    "units of one run and have no unit of measurement: never compare their size between runs or "
    "methods.",
    "neuron_map": "Rows are layers, and each cell stands for a bin of neighbouring neurons and "
    "shows the best score in it. A diamond marks bins with neurons of the circuit. Neighbours "
    "have nothing in common but their numbers, so a pattern along a row means nothing.",
    "neuron_strip": "Each point is one neuron of this layer: its number across, its score upwards. "
    "A circuit that is clear cut stands well above the others; a crowd just below its lowest "
    "diamond says that the cut could be elsewhere. Scores rank units of one run only.",
    "tradeoff": "Across: how many of the best units are off, on a log scale. Upwards: the share of "
    "test prompts. A good ranking changes attack success early, while utility stays high to the "
    f"right. {BANDS} The far right, where most of the model is off, says nothing about the "
    "behaviour.",
    "grid": "Upwards and across: how many of the best heads and of the best neurons are off; the "
    "colour is attack success. Where colours change along one direction only, the other kind of "
    "unit does not matter. A cell may be measured on fewer prompts than the curve: the caption "
    "has their number.",
    "overlay": "Each line is one run: the size of its circuit across, on a log scale, and the "
    "chosen rate upwards. The better ranking changes attack success with fewer units, further "
    f"left. {BANDS} Only runs of one judge are drawn together, and with different ablations lines "
    "are not comparable.",
    "stochastic": "Across: the share of all other units that is ablated. Upwards: how often the "
    "behaviour, or the right answer, is still there with the circuit kept. A circuit that is "
    "enough keeps its line high above the random circuit's. At the right end any model is broken, "
    "so the left is what counts.",
    "head_difference": "Rows are layers, columns are heads; the colour says by how many places "
    "the two runs rank a head differently. Pale framed cells are what both agree on. Differences "
    "far down the ranking are large and mean nothing: look at the framed heads first.",
    "head_membership": "Rows are layers, columns are heads; the colour counts the circuits that "
    "hold a head. Framed heads are in all of them, which is what stability looks like. Circuits "
    "of very different sizes cannot agree, so compare their sizes in the table of numbers.",
    "neuron_counts": "Across: layers. Upwards: how many neurons of each circuit lie there. Bars "
    "of like heights say that runs look in the same layers, not that they found the same "
    "neurons: overlap counts those.",
    "overlap": "Each cell is a pair of circuits; the value is their Jaccard similarity, 1 for the "
    "same units and 0 for none in common. Compare it with what chance would give, which the "
    "table of pairs has: large circuits overlap by chance.",
    "tuning_arms": "Each row is one way of training, with a point for safety and one for "
    "helpfulness on test prompts. Both far to the right is good; full fine-tuning and the random "
    f"circuit are what the circuit has to be compared with. {BANDS}",
    "tuning_curves": "Across: epochs of training. Upwards: the share of validation prompts, from "
    "where the dotted line says it began. Both high at the end is good, and a line that falls "
    "late was trained too long. Few prompts make lines jump: read them with their intervals.",
    "losses": "Across: steps of learning. Upwards: losses in nats for each answer token. Removal "
    "falls as the behaviour goes, utility stays near 0 while normal answers are kept. Losses of "
    "training prompts are no result: only the test prompts at the end are.",
    "live_maps": "Rows are layers; columns are heads above and bins of neurons below. Scores of "
    "this moment: cells that stay dark over many steps are the likely circuit. What lights up "
    "early often goes again, so wait for the end.",
    "tokens": "One panel for each answer, its tokens from left to right; upwards: how likely the "
    "model finds each one after the tokens before it. Where intact is high and knocked out is "
    "low, the circuit makes that token. It is one prompt: another may differ.",
    "memory": "The bar is the memory that learning takes, in its parts; the line is the memory "
    "that is free. It fits where the bar ends left of the line, with room to spare. It is an "
    "estimate: other programs take memory as well, and free memory changes.",
}


def run_note(run: Run) -> str:
    """The conditions every number of a run shares: n, judge, ablation, split."""
    rate = run.rate("asr", "knocked_out")
    return _conditions(run, rate.judge, f"{rate.n:,} test prompts")


def frontier_note(run: Run, n: int | None = None) -> str:
    """The conditions of the rates at every size, which a cheaper judge may have counted.

    Args:
        run: Whose rates they are.
        n: On how many prompts; None: what the run says for each size.
    """
    amount = _amounts(run) if n is None else f"{n:,} test prompts"
    note, stands_in = _conditions(run, frontier_judge(run, "asr"), amount), proxy_sentence(run)
    return f"{note}. {stands_in}" if stands_in else note


def _amounts(run: Run) -> str:
    """On how many prompts attacks were counted, which need not be the same at every size."""
    rows = frontier_rows(run)
    reported = rows["size"].isin([0, run.size])
    own, others = (set(map(int, rows.loc[kept, "asr_n"])) for kept in (reported, ~reported))
    if len(own) != 1 or len(others) != 1 or own == others:
        return f"{run.rate('asr', 'knocked_out').n:,} test prompts"
    return (
        f"{own.pop():,} test prompts for the intact model and the reported circuit, "
        f"{others.pop():,} at other sizes"
    )


def _conditions(run: Run, judge: str, amount: str) -> str:
    utility = run.rate("utility", "knocked_out")
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
        judges = [judge_of(run, series) for run in runs if run.metrics.get(series)]
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
