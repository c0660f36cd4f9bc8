"""Live measurements end where nobody waits for them any more."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import streamlit as st
from streamlit.runtime.state import SafeSessionState, SessionState

from circuitviz.evaluation.rate import Rate
from circuitviz.ui.live import live_model
from circuitviz.units import Circuit
from tests.synthetic import backdoor_run

SCRIPT_CONTEXT = "streamlit.runtime.scriptrunner_utils.script_run_context.get_script_run_ctx"


class Asked(BaseException):
    """What Streamlit raises in a script whose user has asked for another one."""


class StubProbe:
    """Looks at its checkpoint once, and finds nothing in two attacks."""

    model = SimpleNamespace(space=backdoor_run().space)

    def effects(self, circuits, *, checkpoint):
        checkpoint()
        rate = Rate("stub", 0, 2)
        return [SimpleNamespace(asr=rate, utility=rate, recovery=rate, kl=0.0) for _ in circuits]


@pytest.fixture
def asked(monkeypatch) -> SimpleNamespace:
    """A session whose user has, or has not, asked for something else."""
    user = SimpleNamespace(asks=False)

    def look() -> None:
        if user.asks:
            raise Asked

    context = SimpleNamespace(session_state=SafeSessionState(SessionState(), look))
    monkeypatch.setattr(SCRIPT_CONTEXT, lambda *args, **more: context)
    return user


def measure() -> live_model.LiveEffect:
    run = backdoor_run()
    return live_model.effect(run, Circuit(run.space, frozenset()))


def test_a_measurement_that_nobody_waits_for_ends_and_leaves_the_model_free(monkeypatch, asked):
    st.cache_data.clear()
    monkeypatch.setattr(live_model, "_probe", lambda config, limit: StubProbe())
    asked.asks = True
    with pytest.raises(Asked):
        measure()
    asked.asks = False
    assert measure().asr == Rate("stub", 0, 2)
    st.cache_data.clear()


def test_whoever_waits_for_the_model_may_ask_for_something_else(monkeypatch, asked):
    monkeypatch.setattr(live_model, "PATIENCE", 0.001)
    asked.asks = True
    with live_model._lock(), pytest.raises(Asked), live_model.model_at_work(backdoor_run().config):
        pass
    assert live_model._lock().acquire(blocking=False)
    live_model._lock().release()
