"""What a unit owns: changing it changes that unit and no other, in every architecture."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import LlamaForCausalLM, PreTrainedModel

from circuitviz.errors import ConfigError, UnsupportedModelError
from circuitviz.models.gates import Gates, recorded
from circuitviz.models.loading import load_model
from circuitviz.models.model import GatedModel
from circuitviz.models.ownership import weight_map
from circuitviz.models.weights import load_weights
from circuitviz.units import Circuit, UnitSpace
from tests.support.architectures import ARCHITECTURES, random_model, save_model

TOKENS = torch.tensor([[1, 17, 9, 30, 12, 44]])
# Their queries of all heads pass one norm together, so none can be changed alone.
JOINT_NORM = ("olmo2", "olmo3")
GROUPED = [
    name for name, (_, settings) in ARCHITECTURES.items() if "num_key_value_heads" in settings
]

Activations = dict[tuple[str, int], Tensor]


def activations(model: GatedModel) -> Activations:
    """[units pos width] of every kind and layer."""
    seen: Activations = {}

    def keep(kind: str, layer: int, value: Tensor) -> None:
        rows = value[0].unsqueeze(-1) if kind == "neuron" else value[0]
        seen[kind, layer] = rows.transpose(0, 1).clone()

    with recorded(keep), torch.no_grad():
        model.logits(TOKENS)
    return seen


def changed(before: Activations, after: Activations, kind: str, layer: int) -> list[int]:
    """Indices of the units whose activation changed."""
    difference = (before[kind, layer] - after[kind, layer]).abs().amax((1, 2))
    return torch.nonzero(difference > 1e-3).flatten().tolist()


def perturb(model: PreTrainedModel, masks: dict[str, Tensor]) -> PreTrainedModel:
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, mask in masks.items():
            parameter = model.get_parameter(name)
            parameter[mask] += torch.randn(int(mask.sum()), generator=generator)
    return model


class Fresh:
    """Gated copies of one random model, as it is or with entries of a circuit changed."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.folder, self.count = name, folder, 0
        self.map = weight_map(random_model(name))

    def circuit(self, *names: str) -> Circuit:
        return Circuit.of(self.map.space, names)

    def gated(self, masks: dict[str, Tensor] | None = None) -> GatedModel:
        self.count += 1
        model = perturb(random_model(self.name), masks or {})
        return load_model(str(save_model(model, self.folder / str(self.count))))


@pytest.fixture(params=list(ARCHITECTURES))
def fresh(request, tmp_path) -> Fresh:
    return Fresh(request.param, tmp_path)


def test_units_are_those_of_the_gates(fresh):
    assert fresh.gated().space == fresh.map.space


@pytest.mark.slow
def test_changing_what_one_unit_owns_changes_that_unit_alone(fresh):
    before = activations(fresh.gated())
    after = activations(fresh.gated(fresh.map.entries(fresh.circuit("L1N3"))))
    assert changed(before, after, "neuron", 1) == [3]
    assert not any(changed(before, after, *block) for block in before if block != ("neuron", 1))
    after = activations(fresh.gated(fresh.map.entries(fresh.circuit("L1H2"))))
    others = [changed(before, after, kind, 0) for kind in ("head", "neuron")]
    assert others == [[], []]
    heads = changed(before, after, "head", 1)
    assert 2 in heads if fresh.name in JOINT_NORM else heads == [2]


@pytest.mark.slow
def test_what_a_unit_writes_counts_only_where_the_unit_is_kept(fresh):
    circuit = fresh.circuit("L0H1", "L1N7")
    plain, other = fresh.gated(), fresh.gated(fresh.map.outputs(circuit))
    with torch.no_grad():
        knocked_out = Gates.knock_out([circuit])
        assert torch.equal(plain.logits(TOKENS, knocked_out), other.logits(TOKENS, knocked_out))
        assert not torch.allclose(plain.logits(TOKENS), other.logits(TOKENS), atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in GROUPED if name not in JOINT_NORM])
def test_shared_keys_and_values_change_the_heads_that_share_them(name, tmp_path):
    fresh = Fresh(name, tmp_path)
    before = activations(fresh.gated())

    def heads(circuit: Circuit, shared_kv: str) -> list[int]:
        masks = fresh.map.entries(circuit, shared_kv)
        # Keys and values alone: what only sharing can change.
        without = fresh.map.entries(circuit, "never")
        masks = {
            name: mask & ~without[name] if name in without else mask for name, mask in masks.items()
        }
        return changed(before, activations(fresh.gated(masks)), "head", 0)

    # 4 query heads on 2 keys and values: heads 2 and 3 share the second.
    assert heads(fresh.circuit("L0H2"), "any") == [2, 3]
    assert heads(fresh.circuit("L0H2", "L0H3"), "whole groups") == [2, 3]
    assert heads(fresh.circuit("L0H2", "L0H1"), "whole groups") == []


@pytest.mark.parametrize("shared_kv", ["whole groups", "never"])
def test_no_entry_has_two_owners(fresh, shared_kv):
    space = fresh.map.space
    groups = [[f"L{layer}H{head}", f"L{layer}H{head + 1}"] for layer in (0, 1) for head in (0, 2)]
    circuits = [Circuit.of(space, group) for group in groups]
    circuits += [Circuit(space, frozenset({unit})) for unit in space if unit.kind == "neuron"]
    owners: dict[str, Tensor] = {}
    for circuit in circuits:
        for name, mask in fresh.map.entries(circuit, shared_kv).items():
            owners[name] = owners.get(name, torch.zeros(mask.shape, dtype=torch.int)) + mask
    assert all(int(count.max()) == 1 for count in owners.values())
    # Nor is any one an owner's that is not owned by all units together.
    whole = fresh.map.entries(Circuit.everything(space), shared_kv)
    assert all(bool((count.bool() <= whole[name]).all()) for name, count in owners.items())


def test_masks_have_the_shapes_of_the_parameters(fresh):
    shapes = {name: p.shape for name, p in random_model(fresh.name).named_parameters()}
    space = fresh.map.space
    masks = fresh.map.entries(Circuit.everything(space))
    assert all(mask.shape == shapes[name] for name, mask in masks.items())
    assert all(mask.all() for mask in masks.values())
    # Nobody owns output biases, norms or embeddings.
    outs = {name.removesuffix("weight") for name in fresh.map.outputs(Circuit.everything(space))}
    for name in set(shapes) - set(masks):
        path = name.removesuffix("bias").removesuffix("weight")
        assert path in outs or any(
            word in path for word in ("norm", "ln_", "emb", "head", "wte", "wpe")
        )


def test_counts_of_a_llama_with_grouped_queries(tiny_folder, tiny_model):
    owned = weight_map(load_weights(str(tiny_folder)))
    assert owned.space == tiny_model.space

    def counts(*names: str) -> dict[str, int]:
        masks = owned.entries(Circuit.of(owned.space, names))
        return {name.removeprefix("model.layers."): int(m.sum()) for name, m in masks.items()}

    # d_model 32, d_head 8: W_Q rows and W_O columns; one row of gate and up, one down column.
    assert counts("L1H2", "L0N7") == {
        "1.self_attn.q_proj.weight": 8 * 32,
        "1.self_attn.o_proj.weight": 8 * 32,
        "0.mlp.gate_proj.weight": 32,
        "0.mlp.up_proj.weight": 32,
        "0.mlp.down_proj.weight": 32,
    }
    assert counts("L0H2", "L0H3") == {
        "0.self_attn.q_proj.weight": 16 * 32,
        "0.self_attn.o_proj.weight": 16 * 32,
        "0.self_attn.k_proj.weight": 8 * 32,
        "0.self_attn.v_proj.weight": 8 * 32,
    }
    o_proj = owned.entries(Circuit.of(owned.space, ["L1H2"]))[
        "model.layers.1.self_attn.o_proj.weight"
    ]
    assert o_proj[:, 16:24].all()


def test_counts_of_gpt2_whose_weights_are_transposed_and_have_biases():
    owned = weight_map(random_model("gpt2"))
    masks = owned.entries(Circuit.of(owned.space, ["L0H3", "L1N2"]))
    # d_model 32, d_head 8: queries, keys and values of a head lie 32 columns apart.
    assert {name.removeprefix("transformer.h."): int(m.sum()) for name, m in masks.items()} == {
        "0.attn.c_attn.weight": 3 * 8 * 32,
        "0.attn.c_attn.bias": 3 * 8,
        "0.attn.c_proj.weight": 8 * 32,
        "1.mlp.c_fc.weight": 32,
        "1.mlp.c_fc.bias": 1,
        "1.mlp.c_proj.weight": 32,
    }
    bias = torch.nonzero(masks["transformer.h.0.attn.c_attn.bias"]).flatten().tolist()
    assert bias == [*range(24, 32), *range(56, 64), *range(88, 96)]
    assert masks["transformer.h.0.attn.c_proj.weight"][24:32].all()


def test_rows_of_fused_projections():
    neox = weight_map(random_model("gpt_neox"))
    masks = neox.entries(Circuit.of(neox.space, ["L0H1"]))
    # Each head's query, key and value follow each other: 3 x 8 rows a head.
    bias = masks["gpt_neox.layers.0.attention.query_key_value.bias"]
    assert torch.nonzero(bias).flatten().tolist() == list(range(24, 48))
    phi3 = weight_map(random_model("phi3"))
    masks = phi3.entries(Circuit.of(phi3.space, ["L0H2", "L0H3", "L0N5"]))
    # 32 rows of queries, 16 of keys, 16 of values; heads 2 and 3 share the second key and value.
    rows = masks["model.layers.0.self_attn.qkv_proj.weight"].all(1)
    assert torch.nonzero(rows).flatten().tolist() == [
        *range(16, 32),
        *range(40, 48),
        *range(56, 64),
    ]
    rows = masks["model.layers.0.mlp.gate_up_proj.weight"].all(1)
    assert torch.nonzero(rows).flatten().tolist() == [5, 24 + 5]


def test_mixtures_of_experts_are_refused_with_what_is_supported(monkeypatch):
    monkeypatch.setitem(
        ARCHITECTURES, "mixtral", ("mixtral", {**ARCHITECTURES["llama"][1], "num_local_experts": 2})
    )
    with pytest.raises(UnsupportedModelError) as refusal:
        weight_map(random_model("mixtral"))
    message = str(refusal.value)
    assert message.startswith("cannot tell which weights of MixtralForCausalLM belong")
    assert "the MLP of model.layers.0" in message
    assert "supported are Llama, Mistral" in message


def test_a_block_with_other_parameters_than_those_known_is_refused():
    model = random_model("llama")
    model.model.layers[1].self_attn.g_proj = torch.nn.Linear(32, 32)
    with pytest.raises(
        UnsupportedModelError, match=r"the attention of model\.layers\.1 has a form"
    ):
        weight_map(model)


def test_a_model_without_a_list_of_layers_is_refused():
    with pytest.raises(UnsupportedModelError, match="has no list of layers"):
        weight_map(random_model("llama").model)


def test_a_circuit_of_another_model_is_refused(tiny_folder):
    owned = weight_map(LlamaForCausalLM.from_pretrained(tiny_folder))
    circuit = Circuit.of(UnitSpace(4, 8, 512), ["L3H7"])
    for ask in (owned.entries, owned.outputs):
        with pytest.raises(ConfigError, match="4 layers, 8 heads and 512 neurons"):
            ask(circuit)
    with pytest.raises(ConfigError, match="shared_kv must be one of whole groups, any, never"):
        owned.entries(Circuit.of(owned.space, ["L0H0"]), "half")  # type: ignore[arg-type]
