"""Drill-down: what one unit looks at, writes and does, on a prompt of one's choice."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import pandas as pd
import streamlit as st

from circuitviz.errors import CircuitvizError
from circuitviz.evaluation.rate import Rate
from circuitviz.models.source import unfetched_model
from circuitviz.narrative import story
from circuitviz.narrative.numbers import count, make_up
from circuitviz.narrative.phrases import counted, phrases
from circuitviz.plots.bars import before_after
from circuitviz.plots.catalogue import Chart
from circuitviz.runs.comparison import UnitRank, unit_rank
from circuitviz.runs.config import NOT_HASHED, DiscoveryConfig
from circuitviz.runs.store import Run
from circuitviz.tables.frame import CONDITION_COLUMNS
from circuitviz.tables.rows import rate_row
from circuitviz.ui import services, state
from circuitviz.ui.drill.inside import (
    what_activates_it,
    what_it_writes,
    when_it_is_active,
    where_it_looks,
)
from circuitviz.ui.elements.components import draw_chart, table
from circuitviz.ui.elements.fetch_button import fetch_button, refusing
from circuitviz.ui.elements.keys import listing_key, picker
from circuitviz.ui.elements.redaction import PromptRedactor, covers, uncover_toggle
from circuitviz.ui.elements.words import how_to_read, statement
from circuitviz.ui.live import live_model, live_questions
from circuitviz.ui.run_names import run_labels
from circuitviz.ui.view_state import ViewState
from circuitviz.units import Circuit, Unit


def effect_rows(run: Run, choice: ViewState, unit: Unit) -> None:
    """ASR and utility with only this unit off, and with the circuit off but for it.

    Raises:
        CircuitvizError: The model cannot be used.
    """
    circuit = choice.circuit(run)
    nothing = Circuit(run.space, frozenset())
    inside = unit in circuit
    sets = {
        "Intact model": nothing,
        f"Only {unit} off": nothing.toggled(unit),
        "Circuit off": circuit,
        f"Circuit off, {unit} {'put back' if inside else 'too'}": circuit.toggled(unit),
    }
    with st.spinner("Measuring this unit alone and together\u2026"):
        measured = {
            name: live_model.effect(run, units, ablation=choice.ablation)
            for name, units in sets.items()
        }
    frame = condition_rows({name: (one.asr, one.utility) for name, one in measured.items()})
    statement(effects_story(run, unit, [one.asr for one in measured.values()], inside))
    first = next(iter(measured.values()))
    effects = Chart(
        before_after(frame),
        caption=f"Measured now on {first.asr.n:,} attack prompts, utility on {first.utility.n:,} "
        f"{counted(first.utility)}, {choice.ablation_of(run)} ablation; circuit: "
        f"{make_up(circuit)}. "
        f"Attack success judged by: {first.asr.judge}; utility by: {first.utility.judge}. "
        "Intervals are 95 % Wilson.",
        alt=f"Attack success and utility with {unit} off alone, and with the circuit off "
        f"{'but for it' if inside else 'and it as well'}.",
        twin=frame,
    )
    draw_chart(effects, key="drill_effects")
    how_to_read(
        f"**Only {unit} off** is what this unit does that no other makes up for. **Put back** is "
        "the other way round: the whole circuit is off except this unit, so what returns needs "
        "no other unit of the circuit. Where several units do one job, the first is small and "
        "the second large. An effect is told only where the 95 % intervals of two rates do not "
        "overlap: on so few prompts, a small one is not seen.",
        key="drill_effects",
    )


def condition_rows(rates: dict[str, tuple[Rate, Rate]]) -> pd.DataFrame:
    """ASR and utility of each condition, columns `CONDITION_COLUMNS`."""
    rows = [
        {"condition": name, "series": series, **rate_row(rate)}
        for name, pair in rates.items()
        for series, rate in zip(("asr", "utility"), pair, strict=True)
    ]
    return pd.DataFrame(rows, columns=list(CONDITION_COLUMNS))


def effects_story(run: Run, unit: Unit, asr: list[Rate], inside: bool) -> str:
    """What the four rates say, in a sentence.

    Args:
        run: Says what attack success means.
        unit: The unit.
        asr: Intact, only it off, circuit off, circuit off but for it (or and it).
        inside: Whether the unit is in the circuit.
    """
    intact, alone, off, toggled = asr
    what = story.asr_label(run).lower()
    text = (
        f"With only {unit} off, {what}: {alone.k:,} of {alone.n:,} (intact {intact.k:,}); with "
        f"the circuit off {'but for it' if inside else 'and it as well'}, {toggled.k:,} "
        f"(circuit off {off.k:,})."
    )
    if not inside:
        return text
    return f"{text} {_conclusion(intact, alone, off, toggled)}"


def _conclusion(intact: Rate, alone: Rate, off: Rate, back: Rate) -> str:
    """What taking a unit away alone and putting it back alone say together."""
    on = f"on these {intact.n:,} prompts"
    whole = _moves(intact, off)
    if not whole:
        return f"The circuit as a whole shows no effect {on}."
    lost, kept = _moves(intact, alone) == whole, _moves(back, off) == whole
    if lost and kept:
        return "It is needed, and brings part of the behaviour back by itself."
    if lost:
        return f"It is needed; that it does anything by itself does not show {on}."
    if kept:
        return f"By itself it brings part of the behaviour back; others make up for it {on}."
    return f"Neither way shows an effect {on}: the others do without it."


def _moves(before: Rate, after: Rate) -> int:
    """1 up, -1 down; 0 where the 95 % intervals of the two rates overlap."""
    return int(after.low > before.high) - int(after.high < before.low)


def unit_ranks(run: Run, unit: Unit) -> None:
    """Its rank under every seed of this run's method and data, and below in the other runs."""
    configs = {
        run_id: config
        for run_id, config in services.run_configs().items()
        if (config.model, config.adapter) == (run.config.model, run.config.adapter)
    }
    ordered = {run.run_id: run.config, **configs}
    labels = run_labels(ordered)
    ranks = {run_id: rank for run_id in ordered if (rank := _rank(run, run_id, unit))}
    seeds = [rank for run_id, rank in ranks.items() if other_seed(run.config, ordered[run_id])]
    rest = [rank for rank in ranks.values() if rank not in seeds]
    statement(ranks_story(unit, seeds))
    table(rank_rows(seeds, labels, run.run_id), key="drill_ranks")
    if rest:
        st.caption("Runs with another method, other data or other settings, which do not count:")
        table(rank_rows(rest, labels, run.run_id), key="drill_other_ranks")
    st.caption(
        "Rank 1 is the most responsible unit of a run. Scores of different methods do not compare; "
        "ranks do. Runs of other seeds and methods are made on the page Discover."
    )


def _rank(run: Run, run_id: str, unit: Unit) -> UnitRank | None:
    """The unit's place in a run; None where that cannot be read or has no such unit."""
    try:
        return unit_rank(run if run_id == run.run_id else services.load_run(run_id), unit)
    except CircuitvizError:
        return None


def other_seed(config: DiscoveryConfig, other: DiscoveryConfig) -> bool:
    """Whether two runs are one discovery but for the seed, and for how it was computed."""
    alike = {name: getattr(config, name) for name in ("seed", *NOT_HASHED)}
    return replace(other, **alike) == config


def rank_rows(ranks: list[UnitRank], labels: dict[str, str], current: str) -> pd.DataFrame:
    """One row a run: its name, rank, whether it is in its circuit, score."""
    return pd.DataFrame(
        [
            {
                "run": labels[rank.run_id] + (" (this run)" if rank.run_id == current else ""),
                "rank": f"{rank.rank:,} of {rank.units:,}",
                "in its circuit": ("\u25c6 yes" if rank.inside else "no")
                + f", of {count(rank.size, 'unit')}",
                "score": rank.score,
            }
            for rank in ranks
        ]
    )


def ranks_story(unit: Unit, ranks: list[UnitRank]) -> str:
    """Under how many seeds the unit is in the circuit, in a sentence.

    Args:
        unit: The unit.
        ranks: Of this run first, then of its other seeds.
    """
    kin = "of this run's method, data and settings"
    inside = sum(rank.inside for rank in ranks)
    if len(ranks) == 1:
        return f"{unit} ranks {ranks[0].rank:,} here; no other seed {kin} was run yet."
    best, worst = min(rank.rank for rank in ranks), max(rank.rank for rank in ranks)
    span = f"rank {best:,}" if best == worst else f"ranks {best:,} to {worst:,}"
    return f"{unit} is in the circuit of {inside} of {len(ranks)} seeds {kin} ({span})."


_ASKED = "drill_asked"


def asked_to_look(run: Run) -> bool:
    """Whether a model may be loaded to look inside: at once if it is small, else when asked to.

    Shows the button that asks, or the one that fetches weights that are missing.
    """
    missing = unfetched_model(run.config.model, run.config.adapter)
    if missing is not None:
        fetch_button(missing, "drill")
        return False
    small = {card.name for card in services.model_cards() if card.base is None}
    if run.config.model in small or st.session_state.get(_ASKED) == run.config.model:
        return True
    st.caption(
        "Looking inside needs the model itself, which takes its memory and a moment to load."
    )
    st.button(
        "Load the model and look inside",
        icon=":material/biotech:",
        key="drill_load",
        on_click=lambda: st.session_state.update({_ASKED: run.config.model}),
    )
    return False


@st.fragment
@refusing("Cannot look inside", "drill")
def drill_down(run: Run, unit: Unit) -> None:
    """Everything about one unit, a tab for each question.

    Another tab or prompt draws nothing else again.
    """
    choice = state.fitted(run)
    prompts, harmful = live_questions.prompts(run), live_questions.harmful(run)
    shown = uncover_toggle(run) if covers(run) else not harmful
    redactor = PromptRedactor.of(run, harmful, shown=shown)
    prompt = _prompt_picker(run, choice, prompts, redactor)
    tabs: dict[str, Callable[[], None]]
    if unit.kind == "head":
        tabs = {"Where it looks": lambda: where_it_looks(run, prompt, unit, redactor)}
    else:
        tabs = {
            "When it is active": lambda: when_it_is_active(run, prompt, unit, redactor),
            "What activates it most": lambda: what_activates_it(run, unit, redactor),
        }
    tabs |= {
        "What it writes": lambda: what_it_writes(run, prompt, unit),
        "Alone and together": lambda: effect_rows(run, choice, unit),
        "In other runs": lambda: unit_ranks(run, unit),
    }
    places = st.tabs(list(tabs), key=f"drill_tabs_{unit.kind}", on_change="rerun")
    for place, draw in zip(places, tabs.values(), strict=True):
        # The others are computed when they are opened.
        if place.open:
            with place:
                refusing("Cannot look inside", "drill_tab")(draw)()


def _prompt_picker(
    run: Run, choice: ViewState, prompts: Mapping[str, str], redactor: PromptRedactor
) -> str:
    """The test prompt that is looked at; the same one as on the page Generations."""
    labels = {name: redactor.label(name, text) for name, text in prompts.items()}
    chosen = choice.prompt if choice.prompt in prompts else redactor.first(prompts)
    picker(
        f"Test prompt, {phrases(run).pair_picker}",
        labels,
        chosen,
        lambda name: state.choose(prompt=name),
        key=listing_key("drill_prompt", [run.run_id, *labels.values()]),
    )
    return str(chosen)
