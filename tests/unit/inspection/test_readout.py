import pytest
import torch

from circuitviz.inspection.promoted import look_at_writing
from circuitviz.inspection.prompt_pair import pair_of
from circuitviz.inspection.readout import FrozenNorm, Readout, last_state
from circuitviz.models.loading import load_model
from circuitviz.units import Unit
from tests.architectures import random_model, save_model
from tests.tiny import SENTENCES

TOKENS = (1, 3, 8, 9, 10, 11, 4)


def shares(model):
    """The shares of all writes to the logits at the last position, and the logits."""
    readout = Readout(model, last_state(model, TOKENS))
    total = readout.constant() + readout.logits(readout.state.embedding)
    for unit in model.space:
        total = total + readout.logits(readout.write(unit))
    with torch.no_grad():
        return total, model.logits(torch.tensor([TOKENS]))[0, -1]


@pytest.mark.parametrize("name", ["llama", "gemma", "olmo2", "granite", "smollm3"])
def test_the_shares_of_everything_that_is_written_add_up_to_the_logits(name, tmp_path):
    changes = {"residual_multiplier": 0.5, "logits_scaling": 4.0} if name == "granite" else {}
    total, logits = shares(load_model(str(save_model(random_model(name, **changes), tmp_path))))
    torch.testing.assert_close(total, logits, rtol=1e-3, atol=1e-3)


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
