import json
import os

import pytest
import streamlit as st

from circuitviz.behaviours.behaviour import Behaviour, BehaviourSpec, read_behaviour, save_behaviour
from circuitviz.behaviours.trigger import Trigger
from circuitviz.files import EMBEDDED_MODELS
from circuitviz.ui.discover.model_picker import prepared_data
from circuitviz.ui.models.choice import choose_own, chosen_own, own_data_root, save_upload
from circuitviz.ui.models.memory import longest_prompt


@pytest.fixture
def runs_at(tmp_path, monkeypatch):
    monkeypatch.setenv("CIRCUITVIZ_RUNS", str(tmp_path))
    return tmp_path


def test_an_upload_stays_below_the_runs_whatever_it_is_called(tmp_path, monkeypatch):
    monkeypatch.setenv("CIRCUITVIZ_RUNS", str(tmp_path))
    path = save_upload("../../etc/my prompts.csv", b"prompt\na\n")
    assert path.name == "my-prompts.csv"
    assert path.is_relative_to(tmp_path / ".data" / "uploads")
    assert path.read_bytes() == b"prompt\na\n"
    assert save_upload("my prompts.csv", b"prompt\na\n") == path
    assert save_upload("...", b"x").name == "table"


def test_uploads_of_the_same_content_under_two_names_are_both_kept(runs_at):
    first, second = save_upload("a.csv", b"prompt\na\n"), save_upload("b.csv", b"prompt\na\n")
    assert first.read_bytes() == second.read_bytes() == b"prompt\na\n"
    assert (first.name, second.name) == ("a.csv", "b.csv")


def test_what_an_earlier_session_chose_is_found_before_its_widget_is_drawn(runs_at, monkeypatch):
    state: dict[str, object] = {}
    monkeypatch.setattr(st, "session_state", state)
    file = own_data_root() / ".data" / "choice.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({"own_table": "mine.csv", "table": "another's"}))
    assert chosen_own("table") == "mine.csv"
    assert chosen_own("nothing") is None
    choose_own("table", "new.csv")
    assert chosen_own("table") == "new.csv"


def test_prepared_data_is_listed_latest_first_under_names_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("CIRCUITVIZ_RUNS", str(tmp_path))
    assert prepared_data() == {}
    folders = []
    for age, question in ((30, "Who?"), (20, "Which?"), (10, "What?")):
        spec = BehaviourSpec("backdoor", "Mine", question, Trigger("zz", "end"))
        folder = save_behaviour(Behaviour(spec, ()), tmp_path)
        os.utime(folder, (1_000_000 - age, 1_000_000 - age))
        folders.append(str(folder.resolve()))
    (tmp_path / ".data" / "broken").mkdir()
    (tmp_path / ".data" / "broken" / "behaviour.json").write_text("[")
    prepared = prepared_data()
    assert list(prepared) == folders[::-1]
    assert prepared[folders[2]] == "Mine · zz"
    assert len(set(prepared.values())) == 3


def test_the_longest_prompt_is_counted_in_tokens_of_the_model(tmp_path):
    folder = EMBEDDED_MODELS / "refusal"
    behaviour = read_behaviour(folder)
    length = longest_prompt(behaviour, str(folder))
    characters = max(len(prompt.asked) for prompt in behaviour.all_prompts)
    assert length is not None
    assert 16 < length < 16 + 32 + characters
    assert longest_prompt(behaviour, str(tmp_path)) is None
