"""Live measurements end where nobody waits for them any more."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import streamlit as st
from streamlit.proto.WidgetStates_pb2 import WidgetStates
from streamlit.runtime.scriptrunner import RerunData, StopException
from streamlit.runtime.scriptrunner_utils.script_requests import ScriptRequests
from streamlit.runtime.state import SafeSessionState, SessionState

from circuitviz.evaluation.rate import Rate
from circuitviz.ui.live import live_model
from circuitviz.units import Circuit
from tests.support.synthetic import backdoor_run

SCRIPT_CONTEXT = "streamlit.runtime.scriptrunner_utils.script_run_context.get_script_run_ctx"


class Asked(BaseException):
    """What Streamlit raises in a script whose user has asked for another one."""


class StubEvaluator:
    """Reports its progress once, and finds nothing in two attacks."""

    model = SimpleNamespace(space=backdoor_run().space)

    def effects(self, circuits, *, on_progress):
        on_progress(0.0)
        rate = Rate("stub", 0, 2)
        return [SimpleNamespace(asr=rate, utility=rate, recovery=rate, kl=0.0) for _ in circuits]


@pytest.fixture
def asked(monkeypatch) -> SimpleNamespace:
    """A session whose user has, or has not, asked for something else."""
    user = SimpleNamespace(asks=False, requests=ScriptRequests())

    def look() -> None:
        if user.asks:
            raise Asked

    state = SafeSessionState(SessionState(), look)
    context = SimpleNamespace(
        session_state=state, script_requests=user.requests, fragment_ids_this_run=None
    )
    user.context = context
    monkeypatch.setattr(SCRIPT_CONTEXT, lambda *args, **more: context)
    monkeypatch.setattr(live_model, "get_script_run_ctx", lambda *args, **more: context)
    return user


def measure() -> live_model.LiveEffect:
    run = backdoor_run()
    return live_model.effect(run, Circuit(run.space, frozenset()))


def test_a_measurement_that_nobody_waits_for_ends_and_leaves_the_model_free(monkeypatch, asked):
    st.cache_data.clear()
    monkeypatch.setattr(live_model, "_evaluator", lambda config, limit: StubEvaluator())
    asked.asks = True
    with pytest.raises(Asked):
        measure()
    asked.asks = False
    assert measure().asr == Rate("stub", 0, 2)
    st.cache_data.clear()


def test_whoever_waits_for_the_model_may_ask_for_something_else(monkeypatch, asked):
    monkeypatch.setattr(live_model, "POLL_SECONDS", 0.001)
    asked.asks = True
    with live_model._lock(), pytest.raises(Asked), live_model.model_at_work(backdoor_run().config):
        pass
    assert live_model._lock().acquire(blocking=False)
    live_model._lock().release()


@pytest.mark.parametrize(
    ("drawn", "wanted", "by_clock", "stops"),
    [
        (["map"], "map", False, True),
        (["map"], "map", True, False),
        (["map"], "list", False, False),
        (["map", "list"], "map", False, False),
        (None, "map", False, False),
    ],
)
def test_a_click_on_the_part_of_a_page_that_is_being_drawn_draws_it_again(
    asked, drawn, wanted, by_clock, stops
):
    """Streamlit itself would let it wait for the end."""
    asked.context.fragment_ids_this_run = drawn
    live_model.give_way()
    asked.requests.request_rerun(
        RerunData(widget_states=WidgetStates(), fragment_id=wanted, is_auto_rerun=by_clock)
    )
    if stops:
        with pytest.raises(StopException):
            live_model.give_way()
    else:
        live_model.give_way()
    # What was asked for is still asked for.
    assert asked.requests.on_scriptrunner_ready().rerun_data.fragment_id_queue == [wanted]


def test_what_is_drawn_because_of_a_click_is_not_ended_by_that_click(asked):
    asked.context.fragment_ids_this_run = ["map"]
    asked.requests.request_rerun(RerunData(widget_states=WidgetStates(), fragment_id="map"))
    asked.requests.on_scriptrunner_ready()
    live_model.give_way()
