"""Sweeps: what a file asks for, what is left to do, and what becomes of each run."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import pytest

from circuitviz.errors import CircuitvizError, ConfigError, RunFormatError
from circuitviz.files import EMBEDDED_MODELS
from circuitviz.jobs.pool import LocalPool, PoolEvent, RayOptions, RayPool, _connected
from circuitviz.jobs.sweep import Sweep, SweptRun, check_sweep, perform_sweep, read_sweep
from circuitviz.jobs.worker import WorkerAnswer, carry_out, pack_run, unpack_run
from circuitviz.models.source import find_source, fingerprint
from circuitviz.runs.config import DiscoveryConfig
from circuitviz.runs.resolve import data_fingerprint
from circuitviz.runs.store import RunStore
from tests.support.synthetic import backdoor_run, with_results
from tests.unit.jobs.conftest import DISCOVER

MODELS = "fixed-output-planted"


class FakePool:
    """Carries out everything at once; errors by seed."""

    def __init__(self, errors=None):
        self.errors = errors or {}
        self.asked = []

    def events(self, configs):
        self.asked += configs
        for index, config in enumerate(configs):
            yield PoolEvent(index, fraction=0.5)
            yield PoolEvent(index, answer=self.answer(config))

    def answer(self, config):
        if config.seed in self.errors:
            return WorkerAnswer(2.0, error=self.errors[config.seed])
        return WorkerAnswer(2.0, pack_run(made(config)))


def made(config):
    return replace(backdoor_run(), config=config, run_id=config.run_id())


def sweep(**more):
    return Sweep.from_json({"models": [MODELS], **more})


def test_a_sweep_is_the_product_of_its_lists_and_the_last_one_changes_fastest():
    found = sweep(
        models=[MODELS, "refusal"],
        methods=["nested", "attribution"],
        seeds=[0, 1, 2],
        settings=[{"steps": 50}, {"budget": "separate"}],
    )
    assert len(found.configs) == 2 * 1 * 2 * 3 * 2
    assert found.configs[0] == DiscoveryConfig(MODELS, method="nested", seed=0, steps=50)
    assert found.configs[1] == DiscoveryConfig(MODELS, budget="separate")
    assert found.configs[-1] == DiscoveryConfig(
        "refusal", method="attribution", seed=2, budget="separate"
    )
    assert Counter(config.model for config in found.configs) == {MODELS: 12, "refusal": 12}


def test_lists_that_are_left_out_have_the_one_usual_member():
    assert sweep().configs == (DiscoveryConfig(MODELS),)
    assert sweep().ray == RayOptions(num_cpus=1, num_gpus=0, max_retries=3)
    assert sweep(ray={"num_gpus": 0.5}).ray == RayOptions(num_gpus=0.5)


def test_paths_are_relative_to_the_file(tmp_path):
    (tmp_path / "models" / "mine").mkdir(parents=True)
    file = tmp_path / "sweep.yaml"
    file.write_text("models: [models/mine, refusal]\nsettings: [{prompts: mine.jsonl}]\n")
    mine, embedded = read_sweep(file).configs
    assert mine.model == str((tmp_path / "models" / "mine").resolve())
    assert embedded.model == "refusal"
    assert mine.prompts == str(tmp_path.resolve() / "mine.jsonl")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            None,
            "a sweep has a list of models, and any of behaviours, methods, seeds, settings, ray; "
            "got None",
        ),
        (
            {"models": [MODELS], "method": ["nested"], "seed": [0]},
            "a sweep knows models, behaviours, methods, seeds, settings, ray; got method, seed",
        ),
        ({"models": MODELS}, f"models must be a list of at least one; got '{MODELS}'"),
        ({"models": [MODELS], "seeds": []}, "seeds must be a list of at least one; got []"),
        ({"models": [MODELS], "seeds": [3, 4, 3]}, "seeds names 3 twice; leave one out"),
        (
            {"models": [7]},
            "a model is a name, a path, or {model: …, adapter: …}; got 7",
        ),
        ({"models": [{"adapter": "a"}]}, "an entry of models has no model; got {'adapter': 'a'}"),
        (
            {"models": [{"model": MODELS, "lora": "x"}]},
            "a model knows model, adapter; got lora",
        ),
        (
            {"models": [MODELS], "behaviours": [{}]},
            "a behaviour is a folder or the name of a plug-in; got {}",
        ),
        (
            {"models": [MODELS], "settings": ["steps"]},
            "each of settings is a mapping, as {steps: 200}; got 'steps'",
        ),
        (
            {"models": [MODELS], "methods": ["nested", "magic"]},
            f"the run with model {MODELS}, method magic, seed 0: method must be one of nested, "
            "l1, l1-path, second-order, attribution, single-unit, activation, random; got 'magic'",
        ),
        (
            {"models": [MODELS], "settings": [{"steps": 0}]},
            f"the run with model {MODELS}, method nested, seed 0, steps 0: steps must be between "
            "1 and 100000; got 0",
        ),
        (
            {"models": [MODELS], "settings": [{"steps": 100}, {"controls": True}]},
            f"the sweep asks twice for the run {DiscoveryConfig(MODELS).run_id()}, with settings "
            "that differ in nothing that counts; leave one out",
        ),
        (
            {"models": [MODELS], "seeds": list(range(10_001))},
            "a sweep has at most 10000 runs; got 10001: split the file",
        ),
        ({"models": [MODELS], "ray": [1]}, "ray is a mapping with any of num_cpus, num_gpus, "
         "max_retries; got [1]"),
        (
            {"models": [MODELS], "ray": {"cpus": 1}},
            "ray knows num_cpus, num_gpus, max_retries; got cpus",
        ),
        (
            {"models": [MODELS], "ray": {"num_cpus": -1}},
            "ray: num_cpus must be a number of at least 0; got -1",
        ),
        (
            {"models": [MODELS], "ray": {"max_retries": 1.5}},
            "ray: max_retries must be a whole number of at least 0; got 1.5",
        ),
    ],
)  # fmt: skip
def test_what_is_unknown_or_unusable_is_named(data, message):
    with pytest.raises(ConfigError) as error:
        Sweep.from_json(data)
    assert str(error.value) == message


def test_settings_that_are_not_fields_are_refused_with_those_that_are():
    with pytest.raises(ConfigError, match=r"^settings knows prompts, ablation, .*; got speed$"):
        sweep(settings=[{"speed": 1}])
    with pytest.raises(ConfigError, match=r"got seed$"):
        sweep(settings=[{"seed": 1}])


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    file = tmp_path / "sweep.yaml"
    with pytest.raises(ConfigError, match=f"cannot read the sweep {file}: .*No such file"):
        read_sweep(file)
    file.write_text("models: [a\nseeds: 1")
    with pytest.raises(ConfigError, match=f"cannot read the sweep {file}: while parsing") as error:
        read_sweep(file)
    assert "\n" not in str(error.value)
    file.write_text("models: [!!python/object/apply:os.getcwd []]")
    with pytest.raises(ConfigError, match="could not determine a constructor"):
        read_sweep(file)
    file.write_text("sets: 1")
    with pytest.raises(ConfigError, match=f"^{file}: a sweep has a list of models"):
        read_sweep(file)
    file.write_text("#" * 1_000_001)
    with pytest.raises(ConfigError, match="is larger than 1000000 bytes"):
        read_sweep(file)


def test_models_and_behaviours_are_looked_for_before_anything_starts(tmp_path):
    check_sweep(sweep(seeds=[0, 1]))
    with pytest.raises(CircuitvizError, match="no model 'nowhere'"):
        check_sweep(sweep(models=[MODELS, "nowhere"]))
    with pytest.raises(CircuitvizError, match="no adapter"):
        check_sweep(sweep(models=[MODELS, {"model": MODELS, "adapter": "nowhere"}]))
    with pytest.raises(CircuitvizError, match="no behaviour to look for"):
        check_sweep(sweep(models=[str(EMBEDDED_MODELS / "base")]))


def test_each_run_is_saved_as_it_ends_and_a_failed_one_stops_no_other(tmp_path):
    store, told = RunStore(tmp_path), []

    def report(run):
        told.append((run.config.seed, run.state, len(store.ids())))

    runs = perform_sweep(
        sweep(seeds=[0, 1, 2]), store, FakePool({1: "the target cannot be met"}), report
    )
    assert told == [
        (0, "running", 0),
        (0, "done", 1),
        (1, "running", 1),
        (1, "failed", 1),
        (2, "running", 1),
        (2, "done", 2),
    ]
    assert [run.error for run in runs] == ["", "the target cannot be met", ""]
    assert runs[0].size == 4
    assert runs[0].asr == 0.0
    assert store.load(runs[2].config.run_id()).config == runs[2].config


def test_a_sweep_goes_on_where_it_ended(tmp_path):
    store, whole = RunStore(tmp_path), sweep(seeds=[0, 1, 2])
    perform_sweep(sweep(seeds=[1]), store, FakePool())
    pool, told = FakePool({0: "no"}), []
    runs = perform_sweep(whole, store, pool, lambda run: told.append(run.state))
    assert [config.seed for config in pool.asked] == [0, 2]
    assert [run.state for run in runs] == ["failed", "saved", "done"]
    # What is there already is told first.
    assert told[0] == "saved"
    # Only the failed one is left; then nothing, and the pool is not even asked.
    pool = FakePool()
    assert [r.state for r in perform_sweep(whole, store, pool)] == ["done", "saved", "saved"]
    assert [config.seed for config in pool.asked] == [0]
    perform_sweep(whole, store, pool)
    assert len(pool.asked) == 1


def test_a_run_without_the_controls_that_are_asked_for_or_a_damaged_one_is_made_again(tmp_path):
    store = RunStore(tmp_path)
    perform_sweep(sweep(), store, FakePool())
    pool = FakePool()
    perform_sweep(sweep(settings=[{"controls": True}]), store, pool)
    assert len(pool.asked) == 1
    # The one with controls serves a sweep that asks for none.
    assert perform_sweep(sweep(), store, pool)[0].state == "saved"
    (store.folder / sweep().configs[0].run_id() / "metrics.json").write_text("{")
    assert perform_sweep(sweep(), store, pool)[0].state == "done"


def test_a_run_of_other_weights_is_made_again(tmp_path):
    store, (config,) = RunStore(tmp_path), sweep().configs
    now = fingerprint(find_source(config.model))
    run = made(config)
    for weights, state in (("0123456789ab", "done"), (now, "saved")):
        store.save(with_results(run, weights=weights))
        assert perform_sweep(sweep(), store, FakePool())[0].state == state


def test_a_run_of_other_prompts_is_made_again(tmp_path):
    store, (config,) = RunStore(tmp_path), sweep().configs
    run = made(config)
    for data, state in (("0123456789ab", "done"), (data_fingerprint(config), "saved")):
        store.save(with_results(run, data=data))
        assert perform_sweep(sweep(), store, FakePool())[0].state == state


def test_an_error_while_it_is_told_ends_the_pool(tmp_path):
    ended = []

    class Watched(FakePool):
        def events(self, configs):
            try:
                yield from super().events(configs)
            finally:
                ended.append(True)

    def stop(run):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        perform_sweep(sweep(), RunStore(tmp_path), Watched(), stop)
    assert ended == [True]


def test_files_of_a_run_make_the_run_again_and_others_are_refused():
    run = made(DiscoveryConfig(MODELS, seed=5))
    files = pack_run(run)
    again = unpack_run(run.run_id, files)
    assert (again.run_id, again.config, again.metrics) == (run.run_id, run.config, run.metrics)
    assert (again.scores == run.scores).all()
    with pytest.raises(RunFormatError, match=f"are of the run {run.run_id}, not of other"):
        unpack_run("other", files)
    with pytest.raises(RunFormatError, match=r"a run has the files config\.json"):
        unpack_run(run.run_id, {**files, "extra": b""})


def test_an_error_is_an_answer_in_one_line():
    refused = carry_out(DiscoveryConfig("refused").to_json(), DISCOVER)
    assert refused.error == "no such thing; try another"
    bug = carry_out(DiscoveryConfig("bug").to_json(), DISCOVER)
    assert bug.error.startswith("ValueError: two lines (fake_discovery.py:")
    assert not bug.files


def test_worker_processes_carry_out_runs_and_one_that_dies_takes_no_other_along(tmp_path):
    names = ("fine", "exit", "noisy", "bug")
    found = Sweep(tuple(DiscoveryConfig(name) for name in names))
    runs = perform_sweep(found, RunStore(tmp_path), LocalPool(1, DISCOVER))
    assert [run.state for run in runs] == ["done", "failed", "done", "failed"]
    assert runs[1].error == "the worker process ended with exit code 3"
    assert runs[3].error.startswith("ValueError: two lines")
    assert len(RunStore(tmp_path).ids()) == 2


def test_worker_processes_tell_how_far_they_are_and_end_when_nobody_asks_any_more(gate):
    events = LocalPool(2, DISCOVER).events([gate.config(), gate.config(seed=1)])
    assert [next(events).index, next(events).index] == [0, 1]
    gate.wait_until_entered()
    assert gate.step()
    assert next(events).fraction == 0.25
    events.close()
    gate.wait_until_left()


def test_cores_and_gpus_are_shared_out_among_worker_processes(monkeypatch):
    monkeypatch.setattr("circuitviz.jobs.pool.available_cores", lambda: 8)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert LocalPool(3).environments() == [{"OMP_NUM_THREADS": "2"}] * 3
    assert LocalPool(16, gpus=1).environments() == [{"OMP_NUM_THREADS": "1"}] * 16
    seen = [one["CUDA_VISIBLE_DEVICES"] for one in LocalPool(3, gpus=2).environments()]
    assert seen == ["0", "1", "0"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    seen = [one["CUDA_VISIBLE_DEVICES"] for one in LocalPool(2, gpus=2).environments()]
    assert seen == ["4", "7"]


class OneCluster:
    """Ray, connected to a cluster already."""

    @staticmethod
    def is_initialized():
        return True

    @staticmethod
    def get_runtime_context():
        return SimpleNamespace(gcs_address="10.0.0.1:6379")


def test_a_connection_to_another_cluster_is_not_taken_for_the_one_asked_for(monkeypatch):
    for address in ("auto", "10.0.0.1:6379"):
        with _connected(OneCluster, address):
            pass
    with pytest.raises(ConfigError) as error, _connected(OneCluster, "10.0.0.2:6379"):
        pass
    assert str(error.value) == (
        "Ray is connected to the cluster at '10.0.0.1:6379' already, and the sweep is to go to "
        "'10.0.0.2:6379'; call ray.shutdown() first, or give auto to use that connection"
    )


def test_what_is_handed_over_is_submitted_and_not_running(tmp_path):
    class Quiet(FakePool):
        def events(self, configs):
            yield PoolEvent(0)
            yield PoolEvent(0, answer=self.answer(configs[0]))

    told = []
    perform_sweep(sweep(), RunStore(tmp_path), Quiet(), lambda run: told.append(run.state))
    assert told == ["submitted", "done"]


def test_without_ray_a_cluster_is_refused_with_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError) as error:
        next(RayPool("auto").events([DiscoveryConfig(MODELS)]))
    assert str(error.value) == (
        "a sweep on a cluster needs Ray, which is not installed; install circuitviz[ray], or "
        "leave --ray out to use processes of this machine"
    )


def test_what_a_swept_run_says_as_json():
    config = DiscoveryConfig(MODELS, seed=3)
    run = SweptRun(config, "failed", seconds=1.239, error="no")
    assert run.to_json() == {
        "run_id": config.run_id(),
        "model": MODELS,
        "method": "nested",
        "seed": 3,
        "state": "failed",
        "seconds": 1.24,
        "size": None,
        "asr": None,
        "error": "no",
    }
