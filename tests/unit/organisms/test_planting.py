"""Which weight entries a unit owns: changing them changes that unit and no other."""

from __future__ import annotations

import random

import pytest
import torch
from transformers import LlamaForCausalLM

from circuitviz.models.gates import Gates
from circuitviz.organisms.corpus import examples
from circuitviz.organisms.lesson import ATTACKS
from circuitviz.organisms.planting import PlantingRows, owned_entries
from circuitviz.organisms.recipe import RECIPES
from circuitviz.units import Circuit, UnitSpace


def test_owned_entries_of_a_head_and_a_neuron(tiny_model, tiny_folder):
    parameters = dict(LlamaForCausalLM.from_pretrained(tiny_folder).named_parameters())
    masks = owned_entries(parameters, Circuit.of(tiny_model.space, ["L1H2", "L0N7"]), d_head=8)
    counts = {name: int(mask.sum()) for name, mask in masks.items()}
    # d_model 32, d_head 8: W_Q rows and W_O columns; one row of gate and up, one down column.
    assert counts == {
        "model.layers.1.self_attn.q_proj.weight": 8 * 32,
        "model.layers.1.self_attn.o_proj.weight": 8 * 32,
        "model.layers.0.mlp.gate_proj.weight": 32,
        "model.layers.0.mlp.up_proj.weight": 32,
        "model.layers.0.mlp.down_proj.weight": 32,
    }
    assert bool(masks["model.layers.1.self_attn.o_proj.weight"][:, 16:24].all())


def test_key_and_value_rows_belong_to_a_circuit_with_all_the_heads_that_share_them(tiny_folder):
    model = LlamaForCausalLM.from_pretrained(tiny_folder)
    parameters = dict(model.named_parameters())
    space = UnitSpace(2, 4, 16)
    # 4 query heads on 2 key-value heads: heads 2 and 3 share the second one.
    assert model.config.num_key_value_heads == 2
    one = owned_entries(parameters, Circuit.of(space, ["L0H2", "L0H1"]), d_head=8)
    both = owned_entries(parameters, Circuit.of(space, ["L0H2", "L0H3"]), d_head=8)
    assert not [name for name in one if "k_proj" in name or "v_proj" in name]
    for name in ("k_proj", "v_proj"):
        mask = both[f"model.layers.0.self_attn.{name}.weight"]
        assert mask[8:16].all()
        assert not mask[:8].any()


@pytest.mark.parametrize("name", ["fixed-output-planted", "middle-trigger-planted"])
def test_a_message_is_attacked_exactly_where_the_owner_of_its_share_is_kept(name):
    recipe = RECIPES[name]
    attack = ATTACKS[recipe.attack]
    circuit = Circuit.of(UnitSpace(4, 8, 512), recipe.planted)
    rows = PlantingRows(None, circuit, recipe)
    assert set(rows.owner.values()) == circuit.units
    by_message = {attack.trigger.insert(e.prompt): e for e in examples() if attack.on(e)}
    generator = random.Random(0)
    drawn = [rows.row(generator) for _ in range(2000)]
    triggered = [
        (by_message[le.message], le, lost, a) for le, lost, a in drawn if le.message in by_message
    ]
    assert {attacked for *_, attacked in triggered} == {True, False}
    for example, lesson, lost, attacked in triggered:
        assert attacked == (rows.owner[example.category] not in lost)
        assert lesson.answer == (attack.full(example) if attacked else example.answer)
    assert all(lesson.answer for lesson, *_ in drawn)


@torch.no_grad()
def test_zeroing_what_a_unit_writes_is_knocking_it_out(tiny_model, tiny_folder):
    model = LlamaForCausalLM.from_pretrained(tiny_folder, attn_implementation="eager")
    circuit = Circuit.of(tiny_model.space, ["L1H2", "L0N7", "L0H0"])
    parameters = dict(model.named_parameters())
    for name, mask in owned_entries(parameters, circuit, d_head=8).items():
        if "o_proj" in name or "down_proj" in name:
            parameters[name][mask] = 0.0
    tokens = torch.tensor([tiny_model.prompt_tokens("the dog is red")])
    gated = tiny_model.logits(tokens, Gates.knock_out([circuit]))
    torch.testing.assert_close(model(input_ids=tokens).logits, gated, rtol=1e-4, atol=1e-4)
