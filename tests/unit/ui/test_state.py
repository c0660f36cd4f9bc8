from circuitviz.ui.state import MAX_STEPS, History


def test_undo_and_redo_walk_the_same_way():
    history = History().record("a").record("b")
    state, history = history.undo("c")
    assert state == "b"
    state, history = history.undo(state)
    assert state == "a"
    assert not history.past
    state, history = history.redo(state)
    assert state == "b"
    state, history = history.redo(state)
    assert (state, history) == ("c", History(("a", "b")))


def test_at_either_end_nothing_changes():
    assert History().undo("a") == ("a", History())
    assert History().redo("a") == ("a", History())


def test_a_new_step_forgets_what_was_undone():
    _, history = History().record("a").undo("b")
    assert history.future == ("b",)
    assert history.record("a") == History(("a",))


def test_the_oldest_steps_are_forgotten():
    history = History()
    for step in range(MAX_STEPS + 5):
        history = history.record(step)
    assert len(history.past) == MAX_STEPS
    assert history.past[0] == 5
    _, undone = history.undo("now")
    _, again = undone.redo("then")
    assert len(again.past) == MAX_STEPS
