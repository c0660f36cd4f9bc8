import pytest
import torch

from circuitviz.inspection.promoted import FrozenNorm, Readout, last_state, look_at_writing
from circuitviz.inspection.prompt_pair import pair_of
from circuitviz.models.loading import load_model
from circuitviz.units import Unit
from tests.support.architectures import ARCHITECTURES, random_model, save_model
from tests.support.tiny import SENTENCES

TOKENS = (1, 3, 8, 9, 10, 11, 4)


# Norms are worked out in fp32, what a bfloat16 model computes is not.
TOLERANCE = {"float32": 1e-3, "bfloat16": 0.1}
CHANGES = {
    "granite": {"residual_multiplier": 0.5, "logits_scaling": 4.0},
    # A cap that bites: the logits of the random model go up to about 5.
    "gemma2": {"final_logit_softcapping": 4.0},
}
# Models in which nothing but the token and the units writes to the residual stream.
WITHOUT_BIAS = (
    "llama",
    "gemma",
    "gemma2",
    "granite",
    "olmo",
    "olmo2",
    "olmo3",
    "phi3",
    "smollm3",
)
# TransformerLens turns their queries by angles in fp32, so that attention cannot run in bfloat16.
FP32_ONLY = ("olmo", "olmo2", "olmo3")


def each(names):
    """Every name with every dtype it runs in."""
    return [
        (name, dtype)
        for name in names
        for dtype in TOLERANCE
        if dtype == "float32" or name not in FP32_ONLY
    ]


def load(name, dtype, folder):
    model = random_model(name, **CHANGES.get(name, {}))
    return load_model(str(save_model(model, folder)), dtype=dtype)


def capped(readout, logits):
    return logits if readout.cap is None else readout.cap * torch.tanh(logits / readout.cap)


def logits_of(model):
    with torch.no_grad():
        return model.logits(torch.tensor([TOKENS]))[0, -1].float()


@pytest.mark.parametrize(("name", "dtype"), each(WITHOUT_BIAS))
def test_the_shares_of_everything_that_is_written_add_up_to_the_logits(name, dtype, tmp_path):
    model = load(name, dtype, tmp_path)
    readout = Readout(model, last_state(model, TOKENS))
    total = readout.constant() + readout.logits(readout.state.embedding)
    for unit in model.space:
        total = total + readout.logits(readout.write(unit))
    error = (capped(readout, total) - logits_of(model)).abs().max()
    assert error < TOLERANCE[dtype]


@pytest.mark.parametrize(("name", "dtype"), each(sorted(ARCHITECTURES)))
def test_the_share_of_the_whole_residual_is_the_logits(name, dtype, tmp_path):
    model = load(name, dtype, tmp_path)
    readout = Readout(model, last_state(model, TOKENS))
    whole = readout.constant() + readout.logits(readout.state.residual)
    error = (capped(readout, whole) - logits_of(model)).abs().max()
    assert error < TOLERANCE[dtype]
    assert (readout.cap is not None) == (name == "gemma2")


def test_a_layer_norm_with_bias_is_frozen_as_it_is():
    torch.manual_seed(0)
    norm = torch.nn.LayerNorm(8)
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    vector = torch.randn(8)
    parts = torch.randn(8), torch.randn(8)
    parts = *parts, vector - sum(parts)
    with torch.no_grad():
        frozen = FrozenNorm.at(norm, vector)
        assert frozen.centres
        added = frozen.offset + sum(frozen.share(part) for part in parts)
        torch.testing.assert_close(added, norm(vector), rtol=1e-4, atol=1e-4)


def test_a_norm_in_bfloat16_is_frozen_at_fp32_precision():
    torch.manual_seed(0)
    norm = torch.nn.LayerNorm(8).to(torch.bfloat16)
    torch.nn.init.normal_(norm.weight)
    vector = torch.randn(8)
    frozen = FrozenNorm.at(norm, vector)
    expected = torch.nn.functional.layer_norm(vector, (8,)) * norm.weight.detach().float()
    torch.testing.assert_close(frozen.share(vector), expected, rtol=1e-4, atol=1e-4)
    assert norm.weight.dtype == torch.bfloat16


def test_the_scale_of_an_rms_norm_is_the_root_of_the_mean_square():
    frozen = FrozenNorm.at(torch.nn.RMSNorm(2, eps=1e-9), torch.tensor([3.0, 4.0]))
    assert not frozen.centres
    assert frozen.scale == pytest.approx((25 / 2) ** 0.5, rel=1e-4)
    torch.testing.assert_close(
        frozen.share(torch.tensor([25 / 2, 0.0])).sum(), torch.tensor((25 / 2) ** 0.5)
    )


def test_a_unit_that_writes_nothing_promotes_nothing(wired, behaviour):
    pair = pair_of(wired, behaviour, behaviour.prompts("test", "attack")[0])
    written = look_at_writing(wired, pair, Unit("head", 1, 0))
    assert written.towards == (0.0, 0.0)
    assert all(token.triggered == 0 for token in (*written.promoted, *written.suppressed))


def test_promoted_tokens_are_the_largest_shares_and_suppressed_ones_the_smallest(
    tiny_model, behaviour
):
    pair = pair_of(tiny_model, behaviour, behaviour.prompts("test", "attack")[0])
    unit = Unit("head", 1, 2)
    readout = Readout(tiny_model, last_state(tiny_model, pair.triggered.tokens))
    logits = readout.logits(readout.write(unit))
    written = look_at_writing(tiny_model, pair, unit, tokens=3)
    mean = float(logits.mean())
    found = [token.triggered + mean for token in written.promoted]
    assert found == pytest.approx(logits.sort(descending=True).values[:3].tolist(), abs=1e-5)
    found = [token.triggered + mean for token in written.suppressed]
    assert found == pytest.approx(logits.sort().values[:3].tolist(), abs=1e-5)
    towards = float(logits[pair.target] - logits[pair.other])
    assert written.towards[1] == pytest.approx(towards, abs=1e-5)


def test_a_neurons_share_is_its_activation_times_its_direction(tiny_model, behaviour):
    pair = pair_of(tiny_model, behaviour, behaviour.prompts("test", "attack")[1])
    unit = Unit("neuron", 1, 7)
    activation = last_state(tiny_model, pair.triggered.tokens).neurons[1, 7]
    written = look_at_writing(tiny_model, pair, unit)
    assert written.by_direction
    for token in written.promoted:
        assert token.direction is not None
        assert token.triggered == pytest.approx(float(activation) * token.direction, abs=1e-5)


def test_both_rows_end_where_the_answers_part(tiny_model, behaviour):
    pair = pair_of(tiny_model, behaviour, behaviour.prompts("test", "attack")[0])
    assert (pair.target_label, pair.other_label) == ("king", "dog")
    assert pair.clean.labels[-1] == pair.triggered.labels[-1] == "the"
    start, stop = pair.cause
    assert pair.triggered.labels[start:stop] == ("zz",)
    assert pair.clean.text == SENTENCES[0]
