"""The trade-off page: one size or heads and neurons apart, and the charts of the one chosen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from circuitviz.narrative.numbers import count, kinds_in, make_up, percent, sparsity
from circuitviz.narrative.target import missed, only_costs
from circuitviz.plots.catalogue import Chart, frontier_note, head_chart, neuron_chart, size_chart
from circuitviz.plots.maps import MapOptions, budget_grid
from circuitviz.runs.store import Run
from circuitviz.tables import frame
from circuitviz.tables.rows import matching, records
from circuitviz.ui import state
from circuitviz.ui.elements.components import draw_chart
from circuitviz.ui.elements.keys import listing_key, when_changed
from circuitviz.ui.view_state import ViewState
from circuitviz.ui.views.open_view import alternative_table, verdict_section
from circuitviz.units import Circuit

MODE, SIZE, HEADS, NEURONS = "budget_mode", "size_slider", "heads_slider", "neurons_slider"
# The two maps together are about as high as the curve with its words.
SMALL_MAP = MapOptions(row_pixels=34, tallest=330)
JOINT, SEPARATE = "One size", "Heads and neurons apart"


def tradeoff_answer(run: Run, curve: pd.DataFrame) -> str:
    """The smallest evaluated size that meets the target, in one line."""
    target = run.metrics.target.asr
    rows = records(matching(curve.sort_values("size"), series="asr"))
    if not rows:
        return f"{count(run.size, 'unit')} {'carries' if run.size == 1 else 'carry'} the behaviour"
    if only_costs(run):
        names = " and ".join(one.name for one in missed(run))
        share = percent(run.metrics.asr.knocked_out.rate)
        return (
            f"{count(run.size, 'unit')} bring attack success to {share}, as asked, but MISS the "
            f"target for {names}"
        )
    if not run.metrics.target_reached:
        useful = _useful_sizes(run, curve)
        kept = [row for row in rows if row["size"] in useful] or rows
        best = (max if run.metrics.is_refusal else min)(kept, key=lambda row: row["rate"])
        if not best["size"]:
            share = percent(run.metrics.asr.knocked_out.rate)
            return (
                f"No size keeps utility; {count(run.size, 'unit')} bring attack success to {share}"
            )
        word = "highest" if run.metrics.is_refusal else "lowest"
        return (
            f"No size that keeps utility reaches {percent(target)} attack success; the {word} is "
            f"{percent(best['rate'])} with {count(best['size'], 'unit')}"
        )
    reached = run.metrics.asr.knocked_out
    if not _meets(run, reached.rate, target):
        return (
            f"{count(run.size, 'unit')} bring attack success to {percent(reached.rate)}, "
            f"close to the target of {percent(target)}"
        )
    text = f"{count(run.size, 'unit')} {'is enough' if run.size == 1 else 'are enough'}"
    smaller = [
        row for row in rows if 0 < row["size"] < run.size and not _meets(run, row["rate"], target)
    ]
    if smaller:
        below = smaller[-1]
        verb = "leaves" if below["size"] == 1 else "leave"
        text += f"; {below['size']:,} {verb} attack success at {percent(below['rate'])}"
    return text


def _meets(run: Run, asr: float, target: float) -> bool:
    return asr >= target if run.metrics.is_refusal else asr <= target


def _useful_sizes(run: Run, curve: pd.DataFrame) -> set[int]:
    """Sizes that keep the utility the run asked for."""
    least = run.config.target_utility * run.metrics.utility.intact.rate
    rows = records(matching(curve, series="utility"))
    return {int(row["size"]) for row in rows if row["rate"] >= least}


def grid_n(grid: pd.DataFrame) -> int:
    """Prompts the grid was measured on; it may be fewer than the curve's."""
    return max((int(row["n"]) for row in records(grid)), default=0)


def tradeoff_effect(run: Run, choice: ViewState) -> Chart | None:
    """What each size does, or so many heads with so many neurons where they are chosen apart."""
    if not choice.separate:
        return size_chart(
            run,
            len(choice.base_circuit(run)),
            hint="Click a point to choose its size on every page. The found size was chosen on "
            "validation prompts with a margin, so a smaller one may do on these test prompts too.",
        )
    grid = frame.grid_frame(run)
    return Chart(
        budget_grid(grid, chosen=(choice.heads or 0, choice.neurons or 0)),
        caption="Attack success with the best heads and the best neurons off. "
        f"{frontier_note(run, grid_n(grid))}. Test split. Click a cell to choose it.",
        alt="Attack success for each number of heads and of neurons knocked out.",
        twin=grid,
        reading="Upwards and across: how many of the best heads and of the best neurons are off; "
        "the colour is attack success. Where colours change along one direction only, the other "
        "kind of unit does not matter. A cell may be measured on fewer prompts than the curve: the "
        "caption has their number.",
    )


def draw_effect(run: Run, choice: ViewState, effect: Chart | None) -> None:
    """The chart of `tradeoff_effect`; a click on a point or a cell chooses it."""
    st.header(SEPARATE if choice.separate else "Effect of each size", anchor=False)
    if choice.separate and effect is not None:
        draw_chart(effect, key="grid", on_point=choose_point)
    if choice.separate:
        return
    if effect is not None:
        draw_chart(effect, key="curve", on_point=choose_size)
    verdict_section(run, key="verdicts")
    alternative_table(run, key="alternatives")


def tradeoff_maps(run: Run, base: Circuit) -> tuple[Chart, Chart]:
    """The heads and the neurons of the chosen size."""
    heads = head_chart(
        run,
        base,
        SMALL_MAP,
        lead=f"{make_up(base)}; the heads are framed.",
        alt="Layer by head heatmap of scores, heads of the chosen circuit framed.",
    )
    neurons = neuron_chart(
        run,
        base,
        SMALL_MAP,
        caption=f"{count(len(base.neurons), 'neuron')}; a diamond marks each bin that holds one.",
        alt="Layer by neuron bin heatmap of scores, bins with neurons of the circuit marked.",
        twin=frame.unit_frame(run, base),
    )
    return heads, neurons


def tradeoff_controls(run: Run, choice: ViewState) -> None:
    """The sliders; moving one changes the choice on every page and calls no model."""
    points = run.budget_points
    with st.container(border=True, key="size_controls"):
        if points:
            st.session_state[MODE] = SEPARATE if choice.separate else JOINT
            st.segmented_control(
                "Choose by",
                [JOINT, SEPARATE],
                key=MODE,
                required=True,
                on_change=when_changed(MODE, lambda mode: _change_mode(run, points, mode)),
                label_visibility="collapsed",
            )
        if choice.separate:
            _pair_sliders(run, choice, points)
        else:
            _size_slider(run, choice)


def _size_slider(run: Run, choice: ViewState) -> None:
    sizes, kinds = sorted({*run.joint_sizes, run.size}), _kinds_by_size(run)
    key = _slider_key(SIZE, run, sizes)
    st.session_state[key] = run.size if choice.size is None else choice.size
    with st.container(key=SIZE):
        st.select_slider(
            "Units knocked out = heads + neurons",
            sizes,
            key=key,
            format_func=lambda size: _size_text(run, size, kinds.get(size, "")),
            on_change=when_changed(key, lambda size: choose_size([size])),
        )


def _slider_key(name: str, run: Run, values: Sequence[int]) -> str:
    """A move that was under way while the run changed must not move the new run's slider."""
    return listing_key(name, [run.run_id, *map(str, values)])


def _kinds_by_size(run: Run) -> dict[int, str]:
    """Heads and neurons of each evaluated size, to follow the size."""
    rows = records(frame.frontier_rows(run))
    budgets = {int(row["size"]): (int(row["heads"]), int(row["neurons"])) for row in rows}
    budgets[run.size] = (run.metrics.circuit.heads, run.metrics.circuit.neurons)
    return {size: f" = {heads:,} + {neurons:,}" for size, (heads, neurons) in budgets.items()}


def _size_text(run: Run, size: int, kinds: str = "") -> str:
    if size == 0:
        return "0 (intact)"
    return f"{size:,}{kinds} ({sparsity(size / len(run.space))})"


def _pair_sliders(run: Run, choice: ViewState, points: list[tuple[int, int]]) -> None:
    heads, neurons = (sorted({point[place] for point in points}) for place in (0, 1))
    keys = (_slider_key(HEADS, run, heads), _slider_key(NEURONS, run, neurons))
    st.session_state[keys[0]], st.session_state[keys[1]] = choice.heads, choice.neurons
    columns = st.columns(2, gap="large")
    for place, label, values in (
        (0, "Best heads off", heads),
        (1, "Best neurons off", neurons),
    ):
        columns[place].select_slider(
            label,
            values,
            key=keys[place],
            on_change=when_changed(
                keys[place],
                lambda _, place=place: _choose_nearest(
                    points, (st.session_state[keys[0]], st.session_state[keys[1]]), place
                ),
            ),
        )


def _choose_nearest(points: list[tuple[int, int]], wanted: tuple[int, int], moved: int) -> None:
    heads, neurons = nearest_point(points, wanted, moved)
    state.choose(size=None, heads=heads, neurons=neurons)


def nearest_point(
    points: list[tuple[int, int]], wanted: tuple[int, int], moved: int
) -> tuple[int, int]:
    """The evaluated pair that keeps the slider that was moved (0 or 1), the other one nearest."""
    other = 1 - moved
    return min(
        points,
        key=lambda point: (abs(point[moved] - wanted[moved]), abs(point[other] - wanted[other])),
    )


def _change_mode(run: Run, points: list[tuple[int, int]], mode: str) -> None:
    if mode == SEPARATE:
        _choose_nearest(points, kinds_in(state.choice().base_circuit(run)), 0)
    else:
        state.choose(size=None, heads=None, neurons=None)


def choose_size(data: list[Any]) -> None:
    """Take the size of a clicked point."""
    state.choose(size=int(data[0]), heads=None, neurons=None)


def choose_point(data: list[Any]) -> None:
    """Take the heads and neurons of a clicked cell."""
    state.choose(size=None, heads=int(data[0]), neurons=int(data[1]))
