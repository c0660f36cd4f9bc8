import os

from circuitviz.behaviours.behaviour import Behaviour, BehaviourSpec, Trigger, load_behaviour
from circuitviz.behaviours.own_folder import save_behaviour
from circuitviz.paths import EMBEDDED_MODELS
from circuitviz.ui.models_choice import save_upload
from circuitviz.ui.models_length import longest_prompt
from circuitviz.ui.own_material import prepared_data


def test_an_upload_stays_below_the_runs_whatever_it_is_called(tmp_path, monkeypatch):
    monkeypatch.setenv("CIRCUITVIZ_RUNS", str(tmp_path))
    path = save_upload("../../etc/my prompts.csv", b"prompt\na\n")
    assert path.name == "my-prompts.csv"
    assert path.is_relative_to(tmp_path / ".data" / "uploads")
    assert path.read_bytes() == b"prompt\na\n"
    assert save_upload("my prompts.csv", b"prompt\na\n") == path
    assert save_upload("...", b"x").name == "table"


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
    found = prepared_data()
    assert list(found) == folders[::-1]
    assert found[folders[2]] == "Mine · zz"
    assert len(set(found.values())) == 3


def test_the_longest_prompt_is_counted_in_tokens_of_the_model(tmp_path):
    folder = EMBEDDED_MODELS / "refusal"
    behaviour = load_behaviour(folder)
    length = longest_prompt(behaviour, str(folder))
    characters = max(len(prompt.asked) for prompt in behaviour.all_prompts)
    assert length is not None
    assert 16 < length < 16 + 32 + characters
    assert longest_prompt(behaviour, str(tmp_path)) is None
