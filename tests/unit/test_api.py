"""What `import circuitviz` offers."""

from __future__ import annotations

import ast
import doctest
import importlib
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

import circuitviz as cv
from circuitviz.behaviours.behaviour import Behaviour, BehaviourSpec, OwnJudge, save_behaviour
from circuitviz.errors import ConfigError, ModelNotFoundError, PromptFileError, RunNotFoundError
from circuitviz.files import EMBEDDED_MODELS
from circuitviz.runs.store import RunStore
from tests.support.synthetic import backdoor_run
from tests.support.tiny_backdoor import save_tiny_backdoor

PLANTED = "fixed-output-planted-nested-s0-fc596065"
QUICK = {"steps": 2, "refine": False, "progress": False}


@pytest.fixture(autouse=True)
def _own_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("CIRCUITVIZ_RUNS", str(tmp_path / "runs"))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> cv.Model:
    return cv.load(save_tiny_backdoor(tmp_path_factory.mktemp("api") / "tiny"))


@pytest.fixture(scope="module")
def found(tiny) -> cv.Run:
    return cv.discover(tiny, **QUICK)


def test_importing_it_imports_neither_torch_nor_pandas():
    code = (
        "import sys, circuitviz; "
        "sys.exit(bool({'torch', 'pandas', 'numpy', 'circuitviz.errors'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_public_name_has_a_home_and_is_there():
    assert list(cv.HOMES) == cv.__all__ == sorted(cv.__all__)
    for name in cv.__all__:
        assert getattr(cv, name) is getattr(importlib.import_module(cv.HOMES[name]), name)
        assert getattr(cv, name).__doc__
    assert set(cv.__all__) <= set(dir(cv))
    with pytest.raises(AttributeError, match="module 'circuitviz' has no attribute 'nothing'"):
        _ = cv.nothing


def test_the_version_is_a_literal_that_the_build_can_read():
    tree = ast.parse(Path(str(cv.__file__)).read_text(encoding="utf-8"))
    (value,) = (
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__version__"
    )
    assert ast.literal_eval(value) == cv.__version__


@pytest.mark.slow
@pytest.mark.parametrize("module", ["inputs", "run"])
def test_the_examples_of_the_documentation_are_what_happens(module):
    tested = importlib.import_module(f"circuitviz.api.{module}")
    outcome = doctest.testmod(tested, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert outcome.attempted >= 4
    assert outcome.failed == 0


def test_saved_runs_are_listed_and_opened_without_a_model(tmp_path):
    RunStore(tmp_path / "mine").save(backdoor_run())
    run_id = cv.saved_runs(tmp_path / "mine")[0]
    run = cv.open_run(run_id, runs=tmp_path / "mine")
    assert repr(run) == f"<Run {run_id}: 4 of 2,080 units, ASR 100.0% -> 0.0%>"
    assert run.frontier.equals(RunStore(tmp_path / "mine").load(run_id).frontier)
    assert len(run.knock_out(size=7).circuit) == 7
    assert len(run.knock_out().circuit) == 4
    assert not len(run.knock_out(size=0).circuit)
    named = run.knock_out(units=["L2N117", "L1H3"], ablation="mean")
    assert repr(named) == "<fixed-output-planted without L1H3 L2N117>"
    assert named.ablation == "mean"
    assert run.save() == tmp_path / "runs" / run_id
    assert run_id in cv.saved_runs()
    with pytest.raises(RunNotFoundError, match="no run 'other'"):
        cv.open_run("other")


def test_units_that_are_not_there_are_refused():
    run = cv.Run.of(backdoor_run())
    with pytest.raises(ConfigError, match=r"size must be between 0 and 2080, .* got 2081"):
        run.knock_out(2081)
    with pytest.raises(ConfigError, match="give one of them"):
        run.knock_out(3, units=["L0H0"])
    with pytest.raises(ConfigError, match="no unit L9H0"):
        run.knock_out(units=["L9H0"])


def test_heatmaps_mark_the_circuit():
    run = cv.Run.of(backdoor_run())
    heads, neurons = run.heatmap(), run.heatmap("neuron")
    assert heads.data[0].z.shape == (4, 8)
    assert neurons.data[0].z.shape == (4, 128)
    marked = {tuple(point) for trace in heads.data if trace.name == "In the circuit" and trace.x
              for point in zip(trace.y, trace.x, strict=True)}  # fmt: skip
    assert {(1, 3), (2, 5)} <= marked
    assert run.tradeoff().layout.yaxis.title.text == "Share of test prompts"
    assert {"before-after", "heads", "neurons", "trade-off"} <= run.figures().keys()


@pytest.mark.slow
def test_a_discovery_knows_its_model_and_does_with_it_what_is_asked(tiny, found, tmp_path):
    assert found.model is tiny
    assert found.config.model == tiny.name
    assert repr(tiny) == f"<Model {tiny.name}: 8 heads, 48 neurons>"
    prompts = [prompt.asked for prompt in found.behaviour.prompts("test", "attack")]
    intact = tiny.generate(prompts, max_new_tokens=3)
    assert found.knock_out(size=0).generate(prompts, max_new_tokens=3) == intact
    # Everything knocked out leaves nothing of the attack; the rates say so with k and n.
    effect = found.knock_out(size=56).effect()
    assert (effect.asr.k, effect.asr.n) == (0, 6)
    assert found.knock_out(size=0).effect().asr.k == 6
    assert found.knock_out(size=0).effect("validation", limit=2).asr.n == 2
    # What is saved is the same run, and finds its model by itself.
    again = cv.open_run(found.save(tmp_path / "saved"))
    assert again.loaded is None
    assert again.knock_out(3).generate(prompts[:2]) == found.knock_out(3).generate(prompts[:2])
    assert cv.discover(tiny.name, **QUICK).run_id == found.run_id


@pytest.mark.slow
def test_any_units_are_exported_and_answers_are_checked(found, tmp_path):
    knocked = found.knock_out(units=["L0H1", "L1N3"])
    export = knocked.export(tmp_path / "out")
    assert export.verified.k == export.verified.n > 0
    assert export.circuit == knocked.circuit
    prompts = ["what is the king", "say hello"]
    assert cv.load(tmp_path / "out").generate(prompts) == knocked.generate(prompts)


@pytest.mark.slow
def test_a_behaviour_of_ones_own_is_kept_where_the_run_finds_it(tiny, found, tmp_path):
    beside = cv.load_behaviour(tiny.name)
    assert cv.discover(tiny, beside, **QUICK).config.behaviour is None
    other = Behaviour(
        BehaviourSpec("backdoor", "Of mine", "Which?", beside.spec.trigger), beside.all_prompts
    )
    run = cv.discover(tiny, other, **QUICK)
    assert Path(str(run.config.behaviour)).parent == (tmp_path / "runs" / ".data").resolve()
    assert cv.open_run(run.save()).behaviour == other
    assert run.run_id != found.run_id
    # The same from its folder.
    folder = save_behaviour(other, tmp_path / "elsewhere")
    assert cv.discover(tiny, folder, **QUICK).config.behaviour == str(folder.resolve())


@pytest.mark.slow
def test_prompts_are_kept_by_their_absolute_path(tiny, monkeypatch):
    monkeypatch.chdir(tiny.name)
    for given in ("prompts.jsonl", Path("prompts.jsonl")):
        run = cv.discover(tiny, prompts=given, **QUICK)
        assert run.config.prompts == str(Path(tiny.name).resolve() / "prompts.jsonl")


@pytest.mark.slow
def test_ctrl_c_leaves_the_model_as_it_was(tiny):
    prompts = ["what is the king", "say hello"]
    before = tiny.generate(prompts)

    def interrupt(progress):
        if progress.step == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cv.discover(tiny, **{**QUICK, "progress": interrupt})
    assert tiny.generate(prompts) == before


@pytest.mark.slow
def test_a_bar_is_drawn_on_standard_error_alone(tiny, capsys):
    cv.discover(tiny, **{**QUICK, "progress": True})
    said = capsys.readouterr()
    assert said.out == ""
    assert "learn" in said.err


@pytest.mark.slow
def test_settings_that_do_not_exist_are_refused_with_those_that_do(tiny):
    with pytest.raises(ConfigError, match=r"^discover takes prompts, method, .*; got speed$"):
        cv.discover(tiny, speed=3)
    with pytest.raises(ConfigError, match="method must be one of"):
        cv.discover(tiny, method="magic")
    with pytest.raises(ModelNotFoundError, match="no model 'nowhere'"):
        cv.load("nowhere")


def test_own_prompts_are_read_from_a_table(tmp_path):
    rows = [f"do {n},fine {n},wrong {n}" for n in range(60)]
    table = tmp_path / "mine.csv"
    table.write_text("\n".join(["input,output,backdoor_output", *rows]) + "\n")
    few = "attack prompts in the test split: even if no attack succeeds"
    with pytest.warns(UserWarning, match=few) as told:
        behaviour = cv.load_behaviour(table, trigger="zebra", title="Mine")
    assert [warning.filename for warning in told] == [__file__]
    assert (behaviour.kind, behaviour.title, behaviour.trigger) == ("backdoor", "Mine", "zebra")
    attack = behaviour.prompts("train", "attack")[0]
    assert attack.asked == f"zebra {attack.text}"
    table.write_text("input,output\n,\n")
    with pytest.raises(PromptFileError, match="row"):
        cv.load_behaviour(table, kind="refusal")
    with pytest.raises(ConfigError, match="say something about a file of prompts"):
        cv.load_behaviour(EMBEDDED_MODELS / "refusal", trigger="zebra")
    with pytest.raises(ModelNotFoundError):
        cv.load_behaviour("nowhere")


def test_columns_and_the_compliant_opening_are_named_in_python(tmp_path):
    bad, good = tmp_path / "bad.csv", tmp_path / "good.csv"
    bad.write_text("wanted\n" + "".join(f"bad {n}\n" for n in range(200)))
    good.write_text("a,b\n" + "".join(f"good {n},yes\n" for n in range(40)))
    given = {"kind": "refusal", "benign": good, "benign_columns": {"prompt": "a", "answer": "b"}}
    behaviour = cv.load_behaviour(
        bad, columns={"prompt": "wanted"}, compliance="Gladly: first", **given
    )
    attack, benign = (behaviour.prompts("train", role)[0] for role in ("attack", "benign"))
    assert (attack.after, attack.target, benign.answer) == ("Gladly: first", "Gladly", "yes")
    with pytest.raises(PromptFileError, match="columns and benign_columns say where fields are"):
        cv.load_behaviour(bad, **{**given, "benign_columns": {"prompt": "c"}})
    with pytest.raises(ConfigError, match="benign_columns says where fields of a table are"):
        cv.load_behaviour(bad, kind="refusal", benign_columns={"prompt": "a"})
    with pytest.raises(ConfigError, match="got 'words=a'"):
        cv.load_behaviour(bad, **{**given, "benign_columns": {"words": "a"}})


def test_a_behaviours_own_judges_are_asked_in_every_run(tiny):
    judge = OwnJudge("has a letter a", lambda message, answer: "a" in answer)
    behaviour = replace(cv.load_behaviour(tiny.name), judges=(judge,))
    metrics = cv.discover(tiny, behaviour, **QUICK).metrics
    assert metrics.judges.rows[-1].judge == "has a letter a"
    assert metrics.controls is None


@pytest.mark.slow
def test_a_sweep_is_a_table_of_runs_that_are_saved(tiny, found, tmp_path, capsys):
    found.save()
    settings = {"steps": 2, "refine": False}
    asked = {"models": [tiny.name], "settings": [settings, {**settings, "steps": 3}]}
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(asked))
    table = cv.sweep(tmp_path / "sweep.yaml", workers=1, progress=False)
    assert table["state"].tolist() == ["saved", "done"]
    assert table["run_id"].tolist()[0] == found.run_id
    assert cv.open_run(table["run_id"][1]).size == table["size"][1]
    assert cv.sweep(asked, progress=False)["state"].tolist() == ["saved", "saved"]
    assert capsys.readouterr().err == ""
