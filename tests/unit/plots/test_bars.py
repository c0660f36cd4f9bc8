"""Rates in rows, and stacked bars."""

import pytest

from circuitviz.plots.bars import MEMORY_PARTS, before_after, memory_bars, memory_size, split_bars
from circuitviz.tables import frame
from tests.support.synthetic import backdoor_run
from tests.unit.plots.traces import named


def test_before_after_keeps_the_order_of_the_conditions():
    figure = before_after(frame.condition_frame(backdoor_run()))
    assert list(figure.layout.yaxis.ticktext) == [
        "Intact model",
        "<b>Circuit off</b>",
        "Random circuit off",
        "Only the circuit on",
    ]
    (asr,) = named(figure, "Attack success")
    assert list(asr.x)[:2] == [1.0, 0.0]
    assert asr.error_x.array[0] == 0.0
    assert asr.marker.symbol != named(figure, "Utility")[0].marker.symbol


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0\u202fbytes"),
        (1023, "1023\u202fbytes"),
        (1024, "1.0\u202fKiB"),
        (3 * 2**19, "1.5\u202fMiB"),
        (150 * 2**30, "150\u202fGiB"),
        (2000 * 2**30, "2,000\u202fGiB"),
    ],
)
def test_memory_is_written_with_its_unit(size, text):
    assert memory_size(size) == text


def test_memory_bars_stack_what_is_needed_beside_what_is_there():
    parts = {"weights": 40, "activations": 30, "logits": 20, "gates": 10, "total": 100}
    figure = memory_bars(parts, available=50)
    bars = [trace for trace in figure.data if trace.type == "bar"]
    needed, there = bars[:-1], bars[-1]
    assert [bar.name for bar in needed] == list(MEMORY_PARTS.values())
    assert [bar.x[0] for bar in needed] == [40, 30, 20, 10]
    assert {bar.y[0] for bar in needed} == {"Needed"}
    assert (there.x[0], there.y[0]) == (50, "Available")
    # One scale for both, with room for the number behind the longer bar.
    assert figure.layout.xaxis.range[1] > 100
    assert len({bar.marker.pattern.shape for bar in needed}) == 4


def test_split_bars_say_how_many_there_are_of_each_role():
    counts = {
        "train": {"attack": 70, "benign": 30},
        "validation": {"attack": 28, "benign": 12},
        "test": {"attack": 1042, "benign": 0},
    }
    attack, benign, numbers = split_bars(counts).data
    assert attack.x == (70, 28, 1042)
    assert benign.x == (30, 12, 0)
    assert numbers.x == (100, 40, 1042)
    assert [text.strip() for text in numbers.text] == [
        "70 attack + 30 benign",
        "28 attack + 12 benign",
        "1,042 attack + 0 benign",
    ]
    assert attack.marker.pattern.shape != benign.marker.pattern.shape


def test_split_bars_of_nothing_are_empty():
    attack, _, numbers = split_bars({}).data
    assert attack.x == (0, 0, 0)
    assert numbers.x == (0, 0, 0)
