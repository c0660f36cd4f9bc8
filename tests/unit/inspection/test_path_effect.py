"""Path effects, against plain transformers with activations put in by hand."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import LlamaForCausalLM

from circuitviz.errors import ConfigError
from circuitviz.inspection.path_effect import MAX_UNITS, path_effects
from circuitviz.inspection.prompt_pair import pair_of
from circuitviz.models.ablation import measure_ablation, message_key
from circuitviz.models.gates import Gates
from circuitviz.units import Circuit
from tests.unit.inspection.conftest import READER, WRITER, fires


def log_odds(model, behaviour, circuit=None):
    """Mean of log p(target) - log p(other) where they part, over the triggered test prompts."""
    odds = []
    for prompt in behaviour.prompts("test", "attack"):
        pair = pair_of(model, behaviour, prompt)
        gates = None if circuit is None else Gates.knock_out([circuit])
        with torch.no_grad():
            logits = model.logits(torch.tensor([pair.triggered.tokens]), gates)[0, -1]
        odds.append(float(logits[pair.target] - logits[pair.other]))
    return float(np.mean(odds))


@pytest.fixture(scope="module")
def behaviour(wired, behaviour):
    return fires(wired, behaviour)


@pytest.fixture(scope="module")
def plain_behaviour(tiny_model, behaviour):
    return fires(tiny_model, behaviour)


@pytest.fixture(scope="module")
def plain(wired_folder):
    return LlamaForCausalLM.from_pretrained(wired_folder).eval()


@pytest.fixture(scope="module")
def graph(wired, behaviour):
    return path_effects(wired, behaviour, Circuit.of(wired.space, [WRITER, READER]))


def part(plain, unit):
    """Where plain torch has a unit's activation: the module it goes into, and its columns."""
    block = plain.model.layers[unit.layer]
    if unit.kind == "neuron":
        return block.mlp.down_proj, slice(unit.index, unit.index + 1)
    wide = plain.config.head_dim
    return block.self_attn.o_proj, slice(unit.index * wide, (unit.index + 1) * wide)


@torch.no_grad()
def run_plain(plain, pair, given=None, watched=None):
    """Log-odds of one triggered prompt, and what a unit did [pos dims], in plain transformers.

    `given` maps units to the activations that are put in place of their own.
    """
    seen, handles = [], []
    for unit, value in (given or {}).items():
        module, columns = part(plain, unit)

        def put(_, inputs, value=value, columns=columns):
            changed = inputs[0].clone()
            changed[0, :, columns] = value
            return (changed,)

        handles.append(module.register_forward_pre_hook(put))
    if watched:
        module, columns = part(plain, watched)
        handles.append(
            module.register_forward_pre_hook(
                lambda _, inputs: seen.append(inputs[0][0, :, columns].clone())
            )
        )
    logits = plain(torch.tensor([pair.triggered.tokens])).logits[0, -1]
    for handle in handles:
        handle.remove()
    return float(logits[pair.target] - logits[pair.other]), (seen[0] if seen else None)


def pairs(model, behaviour):
    return [pair_of(model, behaviour, prompt) for prompt in behaviour.prompts("test", "attack")]


def test_an_edge_is_what_plain_torch_gives_by_hand_on_each_prompt(graph, wired, plain, behaviour):
    expected = []
    for pair in pairs(wired, behaviour):
        intact, _ = run_plain(plain, pair)
        # What the reader would do without the writer, and then the reader alone told so.
        _, told = run_plain(plain, pair, {WRITER: 0.0}, READER)
        patched, _ = run_plain(plain, pair, {READER: told})
        expected.append(intact - patched)
    np.testing.assert_allclose(graph.between.values[:, 0, 1], expected, atol=1e-4)
    assert graph.between.mean[0, 1] == pytest.approx(np.mean(expected), abs=1e-4)
    error = np.std(expected, ddof=1) / np.sqrt(len(expected))
    assert graph.between.error[0, 1] == pytest.approx(error, abs=1e-4)


def test_a_writer_reaches_the_answer_with_the_reader_held(graph, wired, plain, behaviour):
    expected = []
    for pair in pairs(wired, behaviour):
        intact, held = run_plain(plain, pair, watched=READER)
        patched, _ = run_plain(plain, pair, {WRITER: 0.0, READER: held})
        expected.append(intact - patched)
    np.testing.assert_allclose(graph.to_answer.values[:, 0], expected, atol=1e-4)


def test_under_mean_ablation_units_get_their_ordinary_activation(wired, plain, behaviour):
    ablation = measure_ablation(wired, "mean", behaviour.neutral_messages)
    circuit = Circuit.of(wired.space, [WRITER, READER])
    graph = path_effects(wired, behaviour, circuit, ablation=ablation)
    reference = ablation.reference([message_key("any")])
    mean = {
        WRITER: reference.head[0, WRITER.layer, WRITER.index],
        READER: reference.neuron[0, READER.layer, READER.index],
    }
    alone, edges, off = [], [], []
    for pair in pairs(wired, behaviour):
        intact, _ = run_plain(plain, pair)
        alone.append(
            [intact - run_plain(plain, pair, {unit: mean[unit]})[0] for unit in (WRITER, READER)]
        )
        _, told = run_plain(plain, pair, {WRITER: mean[WRITER]}, READER)
        edges.append(intact - run_plain(plain, pair, {READER: told})[0])
        off.append(run_plain(plain, pair, mean)[0])
    assert graph.ablation == "mean"
    np.testing.assert_allclose(graph.total.values, alone, atol=1e-4)
    np.testing.assert_allclose(graph.between.values[:, 0, 1], edges, atol=1e-4)
    assert graph.knocked_out == pytest.approx(np.mean(off), abs=1e-4)
    zero = path_effects(wired, behaviour, circuit)
    assert not np.allclose(zero.total.mean, graph.total.mean, atol=1e-4)


def test_prompts_on_which_the_behaviour_does_not_show_are_left_out_and_counted(wired, behaviour):
    first, second, *rest = behaviour.prompts("test", "attack")
    others = [prompt for prompt in behaviour.all_prompts if prompt not in (first, second)]
    silent = replace(first, target=first.after, after=first.target)
    # Nothing tells its answers apart.
    alike = replace(second, after=second.target)
    changed = replace(behaviour, all_prompts=(silent, alike, *others))
    circuit = Circuit.of(wired.space, [WRITER, READER])
    graph = path_effects(wired, changed, circuit)
    assert (graph.prompts, graph.tried) == (len(rest), len(rest) + 2)
    assert graph.total.values.shape == (len(rest), 2)
    nothing = replace(behaviour, all_prompts=(silent, alike))
    with pytest.raises(ConfigError, match="on none of 2 test prompts"):
        path_effects(wired, nothing, circuit)


def test_units_stand_in_the_order_in_which_the_model_runs_them(graph):
    assert graph.units == (WRITER, READER)
    assert graph.words == ("zz",)
    assert graph.trigger == "zz"


def test_the_planted_edge_is_there_and_nothing_runs_backwards(graph):
    (_, forth), (back, _) = graph.between.mean
    assert abs(forth) > 0.01
    assert back == 0
    assert graph.between.mean.diagonal().tolist() == [0, 0]


def test_totals_are_what_knocking_out_one_unit_does(graph, wired, behaviour):
    intact = log_odds(wired, behaviour)
    assert graph.intact == pytest.approx(intact, abs=1e-4)
    for place, unit in enumerate(graph.units):
        cut = log_odds(wired, behaviour, Circuit.of(wired.space, [unit]))
        assert graph.total.mean[place] == pytest.approx(intact - cut, abs=1e-4)
    both = log_odds(wired, behaviour, Circuit.of(wired.space, graph.units))
    assert graph.knocked_out == pytest.approx(both, abs=1e-4)


def test_the_last_unit_reaches_the_answer_with_all_it_does(graph):
    # Nothing of the circuit comes after it that could be held.
    assert graph.to_answer.mean[1] == pytest.approx(graph.total.mean[1], abs=1e-4)


def test_units_of_one_layer_that_run_side_by_side_have_no_edge(tiny_model, plain_behaviour):
    graph = path_effects(
        tiny_model, plain_behaviour, Circuit.of(tiny_model.space, ["L0H0", "L0H1"])
    )
    assert not graph.between.values.any()


def test_heads_reach_the_neurons_of_their_layer_and_not_the_other_way(tiny_model, plain_behaviour):
    graph = path_effects(
        tiny_model, plain_behaviour, Circuit.of(tiny_model.space, ["L1N3", "L1H0"])
    )
    assert [str(unit) for unit in graph.units] == ["L1H0", "L1N3"]
    assert graph.between.mean[0, 1] != 0
    assert graph.between.mean[1, 0] == 0


def test_a_unit_without_output_weights_has_no_effect(wired, behaviour):
    graph = path_effects(wired, behaviour, Circuit.of(wired.space, ["L1H0"]))
    assert graph.total.values == pytest.approx(0, abs=1e-6)
    assert graph.to_answer.values == pytest.approx(0, abs=1e-6)
    assert graph.from_words.values == pytest.approx(0, abs=1e-6)


def test_a_circuit_that_is_empty_or_too_large_is_refused(tiny_model, behaviour):
    space = tiny_model.space
    for size in (0, MAX_UNITS + 1):
        circuit = Circuit.of(space, [space.unit(flat) for flat in range(size)])
        with pytest.raises(ConfigError, match=f"got {size}"):
            path_effects(tiny_model, behaviour, circuit)
