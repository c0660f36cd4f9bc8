"""What one unit does alone, and what the circuit does without it."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from circuitviz.evaluation.rate import Rate
from circuitviz.plots import story
from circuitviz.plots.before_after import before_after
from circuitviz.plots.frame import CONDITION_COLUMNS
from circuitviz.plots.judged import counted
from circuitviz.plots.text import make_up
from circuitviz.runs.store import Run
from circuitviz.ui.choice import Choice
from circuitviz.ui.elements.components import chart
from circuitviz.ui.elements.how_to_read import how_to_read
from circuitviz.ui.elements.told import told
from circuitviz.ui.live import live_model
from circuitviz.units import Circuit, Unit

__all__ = ["condition_rows", "effects_story", "unit_effects"]


def unit_effects(run: Run, choice: Choice, unit: Unit) -> None:
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
        found = {
            name: live_model.effect(run, units, ablation=choice.ablation)
            for name, units in sets.items()
        }
    frame = condition_rows({name: (one.asr, one.utility) for name, one in found.items()})
    told(effects_story(run, unit, [one.asr for one in found.values()], inside))
    first = next(iter(found.values()))
    chart(
        before_after(frame),
        key="drill_effects",
        caption=f"Measured now on {first.asr.n:,} attack prompts, utility on {first.utility.n:,} "
        f"{counted(first.utility)}, {choice.ablation_of(run)} ablation; circuit: "
        f"{make_up(circuit)}. "
        f"Attack success judged by: {first.asr.judge}; utility by: {first.utility.judge}. "
        "Intervals are 95 % Wilson.",
        alt=f"Attack success and utility with {unit} off alone, and with the circuit off "
        f"{'but for it' if inside else 'and it as well'}.",
        twin=frame,
    )
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
        {
            "condition": name,
            "series": series,
            "k": rate.k,
            "n": rate.n,
            "rate": rate.rate,
            "low": rate.low,
            "high": rate.high,
            "judge": rate.judge,
        }
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
