"""What may move in a model moves in training, and nothing else does."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor

from circuitviz.errors import ModelNotFoundError, UnsupportedModelError
from circuitviz.tuning.training import answer_loss, encode
from circuitviz.tuning.tunable import Entries, Guard, Tunable
from circuitviz.units import Circuit
from tests.support.architectures import random_model, save_model
from tests.support.synthetic_lessons import tiny_training_data

# Entries of the tiny model: d_head 8, hidden 32, intermediate 24.
QUERY = OUTPUT = KEY = VALUE = 8 * 32
NEURON = 3 * 32
UNITS = ("L0H0", "L0H1", "L1H3", "L0N3", "L1N7")
STEPS = 100
WHICH = ("everything", "only", "all_but")


@pytest.fixture
def tunable(tiny_folder) -> Tunable:
    return Tunable.load(str(tiny_folder))


def owned(tunable: Tunable, *units: str) -> dict[str, Tensor]:
    return tunable.weights.entries(Circuit.of(tunable.gated.space, units))


def entries_of(which: str, tunable: Tunable) -> Entries:
    masks = owned(tunable, *UNITS)
    if which == "everything":
        return Entries.everything(tunable.parameters)
    if which == "only":
        return Entries(masks)
    return Entries.all_but(tunable.parameters, masks)


def frozen(entries: Entries, parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Boolean masks of what may not move."""
    masks: dict[str, Tensor] = {}
    for name, parameter in parameters.items():
        open_ = entries.open.get(name, torch.zeros_like(parameter, dtype=torch.bool))
        masks[name] = torch.zeros_like(parameter, dtype=torch.bool) if open_ is None else ~open_
    return masks


def bits(value: Tensor) -> Tensor:
    """A tensor's bits, by which 0 and -0 differ."""
    return value.detach().view(torch.int32)


def steps(tunable: Tunable, guard: Guard, number: int) -> None:
    """Optimiser steps with momentum and a decay that moves whatever is not held."""
    optimiser = torch.optim.AdamW(guard.trained, lr=1e-3, weight_decay=0.5)
    data = tiny_training_data()
    rows = encode(tunable.gated, [*data.new, *data.old])
    for _ in range(number):
        optimiser.zero_grad()
        answer_loss(tunable.gated, rows).backward()
        optimiser.step()
        guard.restore()


@pytest.mark.parametrize(
    ("units", "expected"),
    [
        (("L0H1",), QUERY + OUTPUT),
        # Heads 0 and 2 are of two groups, whose keys and values other heads read too.
        (("L0H0", "L0H2"), 2 * (QUERY + OUTPUT)),
        # Heads 2 and 3 are a whole group, whose key and value go with them.
        (("L1H2", "L1H3"), 2 * (QUERY + OUTPUT) + KEY + VALUE),
        (("L1N7",), NEURON),
        (("L0H1", "L0N0", "L1N23"), QUERY + OUTPUT + 2 * NEURON),
    ],
)
def test_entries_of_a_circuit_are_counted(tunable, units, expected):
    assert Entries(owned(tunable, *units)).count(tunable.parameters) == expected


def test_everything_is_every_entry_once(tunable):
    # Per layer queries, keys, values, outputs, an MLP of 24 neurons and two norms.
    words = len(tunable.gated.tokenizer)
    layer = 4 * (QUERY + OUTPUT) + 2 * (KEY + VALUE) + 24 * NEURON + 2 * 32
    total = 2 * layer + 32 + 2 * words * 32
    assert Entries.everything(tunable.parameters).count(tunable.parameters) == total


def test_only_and_all_but_share_the_model_out(tunable):
    masks = owned(tunable, *UNITS)
    only = Entries(masks)
    rest = Entries.all_but(tunable.parameters, masks)
    everything = Entries.everything(tunable.parameters)
    counts = [entries.count(tunable.parameters) for entries in (only, rest, everything)]
    assert counts[0] == 3 * (QUERY + OUTPUT) + KEY + VALUE + 2 * NEURON
    assert counts[0] + counts[1] == counts[2]
    for name, mask in masks.items():
        left = rest.open[name]
        assert left is not None
        assert torch.equal(mask, ~left)
    assert rest.open.keys() == tunable.parameters.keys()


@pytest.mark.parametrize("which", WHICH)
def test_frozen_entries_stay_bit_for_bit_through_momentum_and_decay(tunable, which):
    entries = entries_of(which, tunable)
    before = tunable.state()
    guard = Guard(tunable.parameters, entries)
    steps(tunable, guard, STEPS)
    assert guard.unmoved()
    for name, held in frozen(entries, tunable.parameters).items():
        now = tunable.parameters[name]
        assert torch.equal(bits(now)[held], bits(before[name])[held]), name
        if name in entries.open:
            # Decay alone moves every entry that is not 0.
            free = ~held & (before[name] != 0)
            assert (now != before[name])[free].float().mean() > 0.99, name


def test_masks_on_gradients_alone_do_not_hold_as_decay_moves_what_has_no_gradient(tunable):
    class Unguarded(Guard):
        def restore(self) -> None:
            pass

    guard = Unguarded(tunable.parameters, entries_of("only", tunable))
    steps(tunable, guard, 2)
    assert not guard.unmoved()


def test_momentum_alone_does_not_move_frozen_entries(tunable):
    name = "model.layers.0.self_attn.o_proj.weight"
    parameter = tunable.parameters[name]
    optimiser = torch.optim.AdamW([parameter], lr=1e-2, weight_decay=0.0)
    parameter.requires_grad_(True)
    parameter.sum().backward()
    optimiser.step()
    guard = Guard(tunable.parameters, Entries(owned(tunable, "L0H0")))
    before = parameter.detach().clone()
    optimiser.zero_grad()
    parameter.sum().backward()
    assert not parameter.grad[:, 8:].any()
    optimiser.step()
    assert not torch.equal(parameter[:, 8:], before[:, 8:])
    guard.restore()
    assert torch.equal(bits(parameter[:, 8:]), bits(before[:, 8:]))
    assert not torch.equal(parameter[:, :8], before[:, :8])


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("model.layers.0.self_attn.q_proj.weight", (16, 0)),  # head 2, which is not open
        ("model.layers.1.mlp.down_proj.weight", (0, 8)),  # neuron 8, beside an open one
        ("model.layers.1.self_attn.k_proj.weight", (0, 0)),  # closed as a whole
        ("model.norm.weight", (0,)),
        ("lm_head.weight", (0, 0)),
    ],
)
def test_a_frozen_entry_changed_by_hand_is_noticed(tunable, name, place):
    guard = Guard(tunable.parameters, entries_of("only", tunable))
    assert guard.unmoved()
    parameter = tunable.parameters[name].data
    before = parameter[place].clone()
    # The smallest change there is.
    parameter[place] = torch.nextafter(before, torch.tensor(torch.inf))
    assert not guard.unmoved()
    parameter[place] = before
    # What an open entry does is none of its business.
    tunable.parameters["model.layers.1.mlp.down_proj.weight"].data[0, 7] += 1.0
    assert guard.unmoved()


def test_only_open_parameters_are_trained(tunable):
    masks = owned(tunable, "L0H1")
    guard = Guard(tunable.parameters, Entries(masks))
    assert len(guard.trained) == 2
    asking = {name for name, value in tunable.parameters.items() if value.requires_grad}
    assert asking == set(masks)


def test_release_lets_go_of_the_parameters(tunable):
    guard = Guard(tunable.parameters, Entries(owned(tunable, "L0H1")))
    steps(tunable, guard, 1)
    guard.release()
    name = "model.layers.0.self_attn.q_proj.weight"
    parameter = tunable.parameters[name]
    assert not any(value.requires_grad for value in tunable.parameters.values())
    assert all(value.grad is None for value in tunable.parameters.values())
    # No mask meets the gradients of a later training.
    parameter.requires_grad_(True)
    parameter.sum().backward()
    assert torch.equal(parameter.grad, torch.ones_like(parameter))


def test_state_is_a_copy_that_can_be_taken_again(tunable, tiny_folder):
    before = tunable.state()
    with torch.no_grad():
        for parameter in tunable.parameters.values():
            parameter.add_(1.0)
    changed = tunable.state()
    assert not any(torch.equal(changed[name], value) for name, value in before.items())
    tunable.take(before)
    assert all(torch.equal(tunable.parameters[name], value) for name, value in before.items())
    other = Tunable.load(str(tiny_folder), changed)
    assert all(torch.equal(other.parameters[name], value) for name, value in changed.items())


def test_what_is_trained_is_what_answers_under_the_names_of_the_checkpoint(tunable, tiny_model):
    assert "model.layers.1.mlp.gate_proj.weight" in tunable.parameters
    tokens = torch.tensor([[1, 17, 9, 30, 12, 44]])
    with torch.no_grad():
        before = tunable.gated.logits(tokens)
        assert torch.equal(before, tiny_model.logits(tokens))
        for name, parameter in tunable.parameters.items():
            old = parameter.clone()
            parameter.add_(torch.linspace(0, 1, parameter.numel()).view_as(parameter))
            assert not torch.equal(tunable.gated.logits(tokens), before), name
            parameter.copy_(old)


@pytest.mark.parametrize("name", ["gpt2", "phi3", "gpt_neox"])
def test_fused_projections_are_refused(name, tmp_path):
    # Gates split them into copies, which training would change in vain.
    folder = save_model(random_model(name), tmp_path / name)
    with pytest.raises(UnsupportedModelError, match="its fused projections are split"):
        Tunable.load(str(folder))


@pytest.mark.parametrize("name", ["qwen3", "gemma2", "phi", "opt", "gptj"])
def test_architectures_with_separate_projections_are_tuned(name, tmp_path):
    tunable = Tunable.load(str(save_model(random_model(name), tmp_path / name)))
    entries = Entries.all_but(tunable.parameters, owned(tunable, "L0H1", "L1N3"))
    guard = Guard(tunable.parameters, entries)
    before = tunable.state()
    steps(tunable, guard, 2)
    assert guard.unmoved()
    moved = [n for n, value in tunable.parameters.items() if not torch.equal(value, before[n])]
    assert set(moved) == set(tunable.parameters)


def test_a_model_that_is_not_there_is_said_to_be_missing():
    with pytest.raises(ModelNotFoundError, match="nowhere"):
        Tunable.load("nowhere")
