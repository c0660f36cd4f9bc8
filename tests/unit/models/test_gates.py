"""Gates do exactly what they say: limits, linearity, rows, threads, generation."""

from __future__ import annotations

import threading

import pytest
import torch
from torch import Tensor

from circuitviz.models.ablation import measure_ablation
from circuitviz.models.gates import Gates, edited, recorded
from circuitviz.models.model import GatedModel
from circuitviz.units import Circuit, Unit
from tests.support.tiny import SENTENCES


def tokens_of(model: GatedModel, *messages: str) -> Tensor:
    rows = [model.prompt_tokens(message) for message in messages]
    width = max(map(len, rows))
    return torch.tensor([row + [0] * (width - len(row)) for row in rows])


def everything_kept(model: GatedModel, rows: int = 1) -> Gates:
    return Gates.from_flat(torch.ones(rows, len(model.space)), model.space)


def without(model: GatedModel, *names: str) -> Gates:
    return Gates.knock_out([Circuit.of(model.space, names)])


@torch.no_grad()
def test_all_ones_gates_are_the_plain_model_bit_for_bit(tiny_model: GatedModel) -> None:
    tokens = tokens_of(tiny_model, *SENTENCES)
    plain = tiny_model.logits(tokens)
    assert torch.equal(tiny_model.logits(tokens, everything_kept(tiny_model)), plain)
    for name in ("mean", "resample"):
        reference = measure_ablation(tiny_model, name, SENTENCES).reference([0, 1, 2])
        flat = torch.ones(1, len(tiny_model.space))
        gates = Gates.from_flat(flat, tiny_model.space, reference)
        assert torch.equal(tiny_model.logits(tokens, gates), plain)


@torch.no_grad()
def test_zeroing_a_head_removes_exactly_its_share_of_the_attention_output(
    tiny_model: GatedModel,
) -> None:
    tokens = tokens_of(tiny_model, SENTENCES[0])
    block = tiny_model.bridge.blocks[1]
    z: list[Tensor] = []

    def keep(kind: str, layer: int, activation: Tensor) -> None:
        if (kind, layer) == ("head", 1):
            z.append(activation)

    def attention_output(gates: Gates | None) -> Tensor:
        seen: list[Tensor] = []
        handle = block.attn.register_forward_hook(lambda *args: seen.append(args[2][0]))
        with recorded(keep):
            tiny_model.logits(tokens, gates)
        handle.remove()
        return seen[0]

    removed = attention_output(None) - attention_output(without(tiny_model, "L1H2"))
    w_o = block.attn.W_O[2]
    torch.testing.assert_close(removed, z[0][:, :, 2] @ w_o, rtol=1e-5, atol=1e-6)


@torch.no_grad()
def test_zeroing_everything_leaves_only_the_embedding(tiny_model: GatedModel) -> None:
    # With no head and no neuron the residual stream is the embedding, so a position's logits
    # depend on its own token alone.
    everything = Gates.knock_out([Circuit.everything(tiny_model.space)])
    one = tiny_model.logits(torch.tensor([[1, 40, 50, 60]]), everything)
    other = tiny_model.logits(torch.tensor([[7, 30, 20, 60]]), everything)
    torch.testing.assert_close(one[0, 3], other[0, 3])


@torch.no_grad()
def test_per_row_gates_equal_single_rows(tiny_model: GatedModel) -> None:
    tokens = tokens_of(tiny_model, SENTENCES[0], SENTENCES[0], SENTENCES[0])
    circuits = [Circuit.of(tiny_model.space, names) for names in (["L0H1"], ["L1N3", "L0N20"], [])]
    batch = tiny_model.logits(tokens, Gates.knock_out(circuits))
    for row, circuit in enumerate(circuits):
        alone = tiny_model.logits(tokens[row : row + 1], Gates.knock_out([circuit]))
        torch.testing.assert_close(batch[row], alone[0], rtol=1e-5, atol=1e-5)
    assert not torch.allclose(batch[0], batch[1])


def test_gradients_reach_the_gates_and_nothing_else(tiny_model: GatedModel) -> None:
    flat = torch.ones(1, len(tiny_model.space), requires_grad=True)
    logits = tiny_model.logits(
        tokens_of(tiny_model, SENTENCES[0]), Gates.from_flat(flat, tiny_model.space)
    )
    logits.log_softmax(-1)[0, -1, 5].backward()
    assert flat.grad is not None
    assert bool((flat.grad != 0).all())
    assert all(parameter.grad is None for parameter in tiny_model.bridge.parameters())


@torch.no_grad()
def test_the_gradient_of_a_gate_is_the_slope_of_the_output(tiny_model: GatedModel) -> None:
    tokens = tokens_of(tiny_model, SENTENCES[1])
    unit = tiny_model.space.flat(Unit("neuron", 1, 7))

    def output(gate: float) -> Tensor:
        flat = torch.ones(1, len(tiny_model.space))
        flat[0, unit] = gate
        return tiny_model.logits(tokens, Gates.from_flat(flat, tiny_model.space))[0, -1, 9]

    with torch.enable_grad():
        flat = torch.ones(1, len(tiny_model.space), requires_grad=True)
        tiny_model.logits(tokens, Gates.from_flat(flat, tiny_model.space))[0, -1, 9].backward()
    assert flat.grad is not None
    slope = (output(1.01) - output(0.99)) / 0.02
    assert float(flat.grad[0, unit]) == pytest.approx(float(slope), rel=0.02, abs=1e-4)


def test_two_threads_with_different_circuits_do_not_disturb_each_other(
    tiny_model: GatedModel,
) -> None:
    tokens = tokens_of(tiny_model, SENTENCES[2])
    circuits = {name: Circuit.of(tiny_model.space, [name]) for name in ("L0H0", "L1H3")}
    with torch.no_grad():
        expected = {
            name: tiny_model.logits(tokens, Gates.knock_out([circuit]))
            for name, circuit in circuits.items()
        }
    barrier = threading.Barrier(2)
    wrong: list[str] = []

    def work(name: str) -> None:
        gates = Gates.knock_out([circuits[name]])
        barrier.wait()
        for _ in range(20):
            with torch.no_grad():
                logits = tiny_model.logits(tokens, gates)
            if not torch.allclose(logits, expected[name], rtol=1e-4, atol=1e-5):
                wrong.append(name)

    threads = [threading.Thread(target=work, args=(name,)) for name in circuits]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@torch.no_grad()
def test_gates_act_in_generate(tiny_model: GatedModel) -> None:
    circuit = Circuit.of(tiny_model.space, ["L0H0", "L0H1", "L1N0", "L1N1", "L1N2"])
    tokens = torch.tensor([tiny_model.prompt_tokens(SENTENCES[0])])
    prompt_length = tokens.shape[1]
    for _ in range(6):
        logits = tiny_model.logits(tokens, Gates.knock_out([circuit]))
        tokens = torch.cat([tokens, logits[:, -1:].argmax(-1)], dim=1)
    by_hand = tiny_model.tokenizer.decode(tokens[0, prompt_length:], skip_special_tokens=True)
    generated = tiny_model.generate([SENTENCES[0]], circuit, max_new_tokens=6)
    assert generated == [by_hand]
    assert generated != tiny_model.generate([SENTENCES[0]], max_new_tokens=6)


def test_gates_do_not_outlive_the_call(tiny_model: GatedModel) -> None:
    tokens = tokens_of(tiny_model, SENTENCES[0])
    with torch.no_grad():
        plain = tiny_model.logits(tokens)
        tiny_model.logits(tokens, without(tiny_model, "L0H0"))
        assert torch.equal(tiny_model.logits(tokens), plain)


@torch.no_grad()
def test_an_edited_activation_is_the_one_the_model_goes_on_with(tiny_model: GatedModel) -> None:
    tokens = tokens_of(tiny_model, SENTENCES[0])

    def zero_one(kind: str, layer: int, activation: Tensor) -> Tensor | None:
        if (kind, layer) != ("head", 1):
            return None
        changed = activation.clone()
        changed[:, :, 3] = 0
        return changed

    with edited(zero_one):
        logits = tiny_model.logits(tokens)
    torch.testing.assert_close(logits, tiny_model.logits(tokens, without(tiny_model, "L1H3")))


@torch.no_grad()
def test_only_the_kinds_that_were_asked_for_are_recorded(tiny_model: GatedModel) -> None:
    seen: list[tuple[str, int, tuple[int, ...]]] = []
    tokens = tokens_of(tiny_model, SENTENCES[0])
    length = tokens.shape[1]
    with recorded(lambda kind, layer, value: seen.append((kind, layer, tuple(value.shape)))):
        tiny_model.logits(tokens)
    assert {kind for kind, _, _ in seen} == {"head", "neuron"}
    seen.clear()
    kinds = ("embedding", "pattern", "gate", "up", "residual")
    with recorded(lambda kind, layer, value: seen.append((kind, layer, tuple(value.shape))), kinds):
        tiny_model.logits(tokens)
    layers = [("pattern", layer, (1, 4, length, length)) for layer in (0, 1)]
    layers += [(kind, layer, (1, length, 24)) for kind in ("gate", "up") for layer in (0, 1)]
    whole = [("embedding", -1, (1, length, 32)), ("residual", -1, (1, length, 32))]
    assert sorted(seen) == sorted([*layers, *whole])
