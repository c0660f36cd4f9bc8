"""Should one believe a run: its controls, and the evidence in full behind folds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from html import escape
from typing import Any

import streamlit as st

from circuitviz.models.source import unfetched_model
from circuitviz.narrative.controls import Verdict, controls_run, verdict_summary, verdicts
from circuitviz.plots.catalogue import FOLDED, Chart, judges_note
from circuitviz.runs.store import Run
from circuitviz.tables import evidence_frame as frames
from circuitviz.ui import services
from circuitviz.ui.elements.components import Card, cards, draw_chart, table
from circuitviz.ui.elements.fetch_button import fetch_button
from circuitviz.ui.jobs import start_discovery, watch

# How each criterion is defined; the docstrings that compute them say the same.
CRITERIA_HELP = r"""
$B$ is the share of test attacks on which the behaviour shows: ASR for a backdoor, $1 -$ ASR for
refusals. $C$ is the circuit.

**Faithfulness** $= B(\text{all but } C \text{ ablated}) \,/\, B(\text{intact})$. 1: the circuit
alone does what the model does. 0: alone it does nothing of it. Refusals count only in exactly the
words expected, since nonsense is no refusal.

**Completeness** $= 1 - B(C \text{ ablated}) \,/\, B(\text{intact})$. 1: nothing of the behaviour is
outside the circuit. 0: all of it is.

**Minimality** $=$ the share of the units $u \in C$ that are needed: with all of $C$ but $u$
ablated, at least one attack more shows the behaviour, or the target is missed. 1: no unit is a
passenger.

Criteria: after Wang et al. (2022), arXiv:2211.00593, and Marks et al. (2024), arXiv:2403.19647.
"""
STOCHASTIC_HELP = """
The circuit stays as it is, and a random share of all other units is ablated, drawn several times.
The line says on how many attacks the behaviour still shows: attacks that succeed (backdoor), or
refusals in exactly the words expected, since nonsense is no refusal. A *random circuit* of the
same make-up, kept in the same way, is the comparison: where both lines fall together, keeping this
circuit does not help. With all of the rest ablated any model is broken, so the left is what counts.
"""
# Key and explanation of the fold of a chart; another one's key is its name.
FIGURES = {"circuit-alone": ("stochastic", STOCHASTIC_HELP)}
ABLATION_HELP = """
An ablated unit is replaced by nothing (`zero`), by its average on neutral text (`mean`), or by its
value on another prompt (`resample`). A circuit that works under one kind alone may owe its effect
to values the model never sees.
"""
JUDGE_HELP = """
Each judge counts by its own rule, so their rates are not comparable with each other, only before
with after. **Kappa** (Cohen, 1960) is their agreement beyond chance: 1 is perfect, 0 is chance.
"""
PAIRED_HELP = """
The same prompts are asked before and after, so differences are taken prompt by prompt. **McNemar's
test** (1947) looks only at prompts whose verdict changed; the **paired bootstrap** draws prompts
again and again and gives the interval of the mean difference.
"""
TRUTH_HELP = """
The units that really carry this backdoor are known, because it was planted in them.
**AUROC**: the chance that a planted unit is ranked above another one (0.5 is guessing).
**Average precision**: precision at each planted unit, averaged.
**Precision at |truth|**: of as many top units as were planted, the share that was.
"""


@st.fragment
def evidence_section(run: Run) -> None:
    """Everything that was measured about the circuit, a fold for each question.

    A fold is filled when it is opened, and opening one draws nothing else again.
    """
    figures = (partial(_figure, chart) for chart in FOLDED)
    parts = (_criteria, *figures, _ablations, _judges, _paired, _truth)
    folds = [fold for part in parts if (fold := part(run))]
    if not folds:
        st.caption("Faithfulness, other ablations, judges and tests were not measured in this run.")
    for fold in folds:
        place = st.expander(
            fold.title,
            icon=f":material/{fold.icon}:",
            key=f"fold_{fold.key}",
            on_change="rerun",
        )
        if place.open:
            with place:
                fold.fill()


@dataclass(frozen=True)
class _Fold:
    """One question about the circuit; `fill` draws the answer."""

    title: str
    key: str
    icon: str
    fill: Callable[[], None]


def _help(text: str, key: str) -> None:
    with st.popover(
        "How is this measured?", icon=":material/help:", type="tertiary", key=f"help_{key}"
    ):
        st.markdown(text)


def _criteria(run: Run) -> _Fold | None:
    criteria = frames.criteria_values(run)
    if not criteria:
        return None
    numbers = " · ".join(f"{name.lower()} {value}" for name, (value, _) in criteria.items())

    def fill() -> None:
        _help(CRITERIA_HELP, "criteria")
        cards([Card(name, value, note) for name, (value, note) in criteria.items()])
        units = frames.minimality_frame(run)
        if not units.empty:
            st.caption("Each unit left on in turn, the rest of the circuit off (test prompts):")
            st.dataframe(units, hide_index=True, key="minimality", column_config=_percent("ASR"))
        for sentence in filter(None, (frames.refinement_sentence(run), frames.next_sentence(run))):
            st.caption(sentence)

    return _Fold(f"Faithful, complete, minimal: {numbers}", "criteria", "rule", fill)


def _figure(draw: Callable[[Run], Chart | None], run: Run) -> _Fold | None:
    chart = draw(run)
    if chart is None:
        return None
    key, explanation = FIGURES.get(chart.name, (chart.name, ""))

    def fill() -> None:
        if explanation:
            _help(explanation, key)
        draw_chart(chart, key=key, columns=_percent("share", "rate"))

    return _Fold(chart.title, key, "grain", fill)


def _ablations(run: Run) -> _Fold | None:
    ablations = frames.ablation_frame(run)
    if ablations.empty:
        return None

    def fill() -> None:
        _help(ABLATION_HELP, "ablations")
        table(ablations, key="ablations")
        st.caption(f"The reported circuit off, test prompts. {judges_note(run)}")

    return _Fold("The same circuit under each kind of ablation", "ablations", "swap_horiz", fill)


def _judges(run: Run) -> _Fold | None:
    judges = frames.judge_frame(run)
    if judges.empty:
        return None

    def fill() -> None:
        _help(JUDGE_HELP, "judges")
        table(judges, key="judges")
        agreement = frames.agreement_frame(run)
        if not agreement.empty:
            st.caption("How far two judges agree on the same answers:")
            table(agreement, key="agreement")

    return _Fold("What other judges say", "judges", "gavel", fill)


def _paired(run: Run) -> _Fold | None:
    sentences = frames.paired_sentences(run)
    if not sentences:
        return None

    def fill() -> None:
        _help(PAIRED_HELP, "paired")
        for sentence in sentences:
            st.write(sentence)

    return _Fold("Before and after, prompt by prompt", "paired", "compare_arrows", fill)


def _truth(run: Run) -> _Fold | None:
    truth = run.metrics.truth
    if truth is None:
        return None

    def fill() -> None:
        _help(TRUTH_HELP, "truth")
        table(frames.truth_frame(run), key="truth")
        st.caption("Planted units: " + ", ".join(truth.units))

    return _Fold(
        f"Against the units it was planted in: AUROC {truth.auroc:.3f}", "truth", "verified", fill
    )


def _percent(*names: str) -> dict[str, Any]:
    return {name: st.column_config.NumberColumn(format="percent") for name in names}


COST = "about a minute"
# Sign, class and word of each verdict: never told by the colour alone.
_SIGNS = {
    True: ("\u2713", "cv-yes", "passes"),
    False: ("\u2717", "cv-no", "FAILS"),
    None: ("\u2013", "", "does not apply"),
}
NOT_RUN = ("?", "", "not run yet")


def verdict_panel(run: Run) -> None:
    """The summary and the four controls; where they were not run, the button that runs them."""
    controls, done = verdicts(run), controls_run(run)
    st.html(_summary_html(controls) + verdict_html(controls, done=done))
    if not done:
        _offer(run)


def _summary_html(controls: Sequence[Verdict]) -> str:
    sign, tone, word = NOT_RUN
    if any(verdict.passed is not None for verdict in controls):
        sign, tone, word = _SIGNS[all(verdict.passed is not False for verdict in controls)]
    return (
        f'<p class="cv-summary {tone}" role="status"><span class="cv-sign" role="img" '
        f'aria-label="{word}">{sign}</span> {escape(verdict_summary(controls))}</p>'
    )


def verdict_html(controls: Sequence[Verdict], *, done: bool) -> str:
    """The controls side by side, each with sign, word, number and sentence; all escaped."""
    return (
        '<div class="cv-controls" role="list">'
        + "".join(_control_html(verdict, done) for verdict in controls)
        + "</div>"
    )


def _control_html(verdict: Verdict, done: bool) -> str:
    sign, tone, word = _SIGNS[verdict.passed] if done else NOT_RUN
    optional = (("value", verdict.number), ("title", verdict.title))
    parts = [f'<div class="cv-{name}">{escape(text)}</div>' for name, text in optional if text]
    note = f'<div class="cv-note">{escape(verdict.evidence)}</div>' if verdict.evidence else ""
    return (
        f'<div class="cv-control {tone}" role="listitem">'
        f'<div class="cv-word"><span class="cv-sign" aria-hidden="true">{sign}</span> {word}</div>'
        f'<div class="cv-label">{escape(verdict.label)}</div>{"".join(parts)}'
        f'<div class="cv-finding">{escape(verdict.sentence)}</div>{note}</div>'
    )


def _offer(run: Run) -> None:
    config = replace(run.config, controls=True)
    job_id = services.active_job_of(config)
    if job_id is not None:
        watch(job_id)
        st.info("The controls of this run are being carried out.", icon=":material/hourglass_top:")
        st.page_link(
            "pages/discover.py", label="Watch them on Discover", icon=":material/travel_explore:"
        )
        return
    missing = unfetched_model(config.model, config.adapter)
    if missing is not None:
        fetch_button(missing, "controls")
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        pressed = st.button(
            "Run the controls", type="primary", icon=":material/fact_check:", key="run_controls"
        )
        st.caption(
            f"The discovery runs again with the same settings, and then the controls, {COST} more. "
            "The result replaces this run."
        )
    if pressed:
        start_discovery(config)
