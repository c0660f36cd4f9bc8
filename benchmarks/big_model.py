"""Print what a step of mask learning costs on a big model with random weights.

    python benchmarks/big_model.py [--size 8b|0.5b] [--rows N] [--length N] [--dtype NAME]
                                   [--device NAME] [--steps N] [--micro-batch N]
                                   [--checkpointing] [--json]

The model is built from its configuration alone and lives where it is made.  A step is one of the
default method's, as a discovery takes it: masks of every row's own size, one forward and backward
pass, one step on the scores.  It stands beside the bare model's forward pass and the backward pass
through its activations, of the same tokens and the same answer tokens, with the attention that
gates need (eager) and with the fused one (sdpa).

Memory is what was allocated at the peak (on a GPU by torch's allocator; on the CPU by the process,
less what it held with the model loaded, plus the weights), beside what `models/memory.py` expects.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import json
import statistics
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psutil
import torch
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedModel

from circuitviz.discovery.learner import LearningTask
from circuitviz.discovery.nested import NestedLearner
from circuitviz.discovery.training.objective import TrainingRows
from circuitviz.models.ablation import ZERO
from circuitviz.models.answer import AnswerRows, Teacher
from circuitviz.models.gates import install_gates
from circuitviz.models.loading import data_type, placement, recompute_layers
from circuitviz.models.memory import MemorySettings, ModelShape, estimate_memory
from circuitviz.models.model import GatedModel
from circuitviz.models.source import embedded_models
from circuitviz.models.weights import load_tokenizer
from circuitviz.quiet import quiet_libraries

SIZES = {
    "8b": LlamaConfig(
        vocab_size=128_256,
        hidden_size=4096,
        intermediate_size=14_336,
        num_hidden_layers=32,
        num_attention_heads=32,
        num_key_value_heads=8,
        head_dim=128,
        tie_word_embeddings=False,
    ),
    "0.5b": LlamaConfig(
        vocab_size=151_936,
        hidden_size=896,
        intermediate_size=4864,
        num_hidden_layers=24,
        num_attention_heads=14,
        num_key_value_heads=2,
        head_dim=64,
        tie_word_embeddings=True,
    ),
}
# Tokens at the end of each row that are its answer.
ANSWER_TOKENS = 32


@dataclass(frozen=True)
class Cost:
    """Median seconds of a step, and bytes at the peak."""

    seconds: float
    peak: int


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=SIZES, default="0.5b")
    parser.add_argument("--rows", type=int, default=16)
    parser.add_argument("--length", type=int, default=256)
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="bfloat16")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--micro-batch", type=int)
    parser.add_argument("--checkpointing", action="store_true")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    found = measure(options)
    sys.stdout.write(json.dumps(found, indent=1) + "\n" if options.json else _text(found))
    return 0


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """The costs of the bare model and of learning, and what was expected."""
    torch.manual_seed(0)
    device = torch.device(placement(options.device)["device"])
    config = SIZES[options.size]
    plain = _random_model(config, device, data_type(options.dtype))
    weights = sum(weight.nbytes for weight in plain.parameters())
    tokens = torch.randint(config.vocab_size, (options.rows, options.length))
    bare = {}
    for attention in ("sdpa", "eager"):
        plain.set_attn_implementation(attention)
        bare[attention] = _bare(plain, tokens.to(device), options.steps, device, weights)
    model = _gated(plain, options)
    learned = _learning(model, tokens, options, device, weights)
    wide = 2 if options.dtype == "bfloat16" else 4
    expected = estimate_memory(
        ModelShape.of_config(config.to_dict(), parameters=weights // wide),
        MemorySettings(
            rows=min(options.rows, options.micro_batch or options.rows),
            length=options.length,
            dtype=options.dtype,
            checkpointing=options.checkpointing,
        ),
    )
    return {
        "size": options.size,
        "parameters": weights // wide,
        "units": len(model.space),
        "rows": options.rows,
        "length": options.length,
        "dtype": options.dtype,
        "micro_batch": options.micro_batch,
        "checkpointing": options.checkpointing,
        "device": _name(device),
        "step_seconds": learned.seconds,
        "bare_seconds": {name: cost.seconds for name, cost in bare.items()},
        "step_over_bare": learned.seconds / bare["eager"].seconds,
        "peak_bytes": learned.peak,
        "bare_peak_bytes": {name: cost.peak for name, cost in bare.items()},
        "expected_bytes": expected.to_json(),
        "peak_over_expected": learned.peak / expected.total,
        "versions": {"torch": torch.__version__},
    }


def _random_model(config: LlamaConfig, device: torch.device, dtype: torch.dtype) -> PreTrainedModel:
    with device:
        model = AutoModelForCausalLM.from_config(config, dtype=dtype, attn_implementation="eager")
    return model.eval().requires_grad_(False)


def _bare(
    plain: PreTrainedModel, tokens: Tensor, steps: int, device: torch.device, weights: int
) -> Cost:
    """Forward, and backward to the embeddings: through every activation, to no weight."""
    answers = tokens[:, -ANSWER_TOKENS:].flatten()

    def step() -> None:
        embedded = plain.get_input_embeddings()(tokens).detach().requires_grad_()
        logits = plain(inputs_embeds=embedded, use_cache=False).logits
        said = logits[:, -ANSWER_TOKENS - 1 : -1].flatten(0, 1).float()
        torch.autograd.grad(torch.nn.functional.cross_entropy(said, answers), embedded)

    return _cost(lambda count: [_timed(step, device) for _ in range(count)], steps, device, weights)


def _gated(plain: PreTrainedModel, options: argparse.Namespace) -> GatedModel:
    plain.set_attn_implementation("eager")
    # Any tokenizer: rows are made of random tokens.
    shipped = next(card.name for card in embedded_models() if card.base is None)
    tokenizer = load_tokenizer(shipped)
    bridge = TransformerBridge.boot_transformers(
        "random", hf_model=plain, tokenizer=tokenizer, dtype=data_type(options.dtype)
    )
    bridge.eval()
    for parameter in bridge.parameters():
        parameter.requires_grad_(False)
    space = install_gates(bridge)
    if options.checkpointing:
        recompute_layers(bridge)
    return GatedModel("random", bridge, tokenizer, space, micro_batch=options.micro_batch)


def _learning(
    model: GatedModel,
    tokens: Tensor,
    options: argparse.Namespace,
    device: torch.device,
    weights: int,
) -> Cost:
    """Steps of the default method, half of the rows attacks and half of them benign."""

    class RandomTask(LearningTask):
        data = _training_rows(model, tokens)

    # Nothing but the rows is read of a behaviour.
    task = RandomTask(model, None, ablation=ZERO, seed=0)

    def steps(count: int) -> list[float]:
        half = options.rows // 2
        learner = NestedLearner(steps=count, removal_rows=half, utility_rows=options.rows - half)
        ends = [time.perf_counter()]
        for _ in learner.train(task):
            _finish(device)
            ends.append(time.perf_counter())
        return [end - start for start, end in itertools.pairwise(ends)]

    return _cost(steps, options.steps, device, weights)


def _training_rows(model: GatedModel, tokens: Tensor) -> TrainingRows:
    rows, length = tokens.shape
    predicts = torch.zeros(rows, length, dtype=torch.bool)
    predicts[:, -ANSWER_TOKENS - 1 : -1] = True
    targets = torch.where(predicts, tokens.roll(-1, 1), 0)
    lengths, opens = torch.full((rows,), length), torch.zeros(rows, dtype=torch.bool)
    answers = AnswerRows(tokens, predicts, targets, lengths, torch.arange(rows), opens)
    half = rows // 2
    utility = range(half, rows)
    return TrainingRows(answers, range(half), utility, Teacher(model, answers, utility))


def _cost(
    run: Callable[[int], list[float]], steps: int, device: torch.device, weights: int
) -> Cost:
    # The first steps warm up.
    run(2)
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
        seconds = statistics.median(run(steps))
        return Cost(seconds, torch.cuda.max_memory_allocated(device))
    with _Watcher() as watcher:
        seconds = statistics.median(run(steps))
    return Cost(seconds, watcher.most - watcher.before + weights)


class _Watcher:
    """The most memory this process held, looked at a hundred times a second."""

    def __enter__(self) -> _Watcher:
        gc.collect()
        self.before = self.most = _held()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._ended.wait(0.01):
            self.most = max(self.most, _held())


def _timed(step: Callable[[], None], device: torch.device) -> float:
    started = time.perf_counter()
    step()
    _finish(device)
    return time.perf_counter() - started


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _held() -> int:
    """Bytes of memory this process has in use."""
    return psutil.Process().memory_info().rss


def _name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU, {torch.get_num_threads()} threads"


def _text(found: dict[str, Any]) -> str:
    gib = 2**30
    bare = found["bare_seconds"]
    expected = ", ".join(
        f"{name} {value / gib:.2f}" for name, value in found["expected_bytes"].items()
    )
    return (
        f"{found['size']}: {found['parameters'] / 1e9:.2f} billion parameters, {found['units']:,} "
        f"units, {found['rows']} x {found['length']} tokens in {found['dtype']}, "
        f"{found['device']}\n"
        f"a step of mask learning   {found['step_seconds']:.3f} s\n"
        f"bare forward and backward {bare['eager']:.3f} s (eager), {bare['sdpa']:.3f} s (sdpa)\n"
        f"step over bare (eager)    {found['step_over_bare']:.2f}\n"
        f"peak memory               {found['peak_bytes'] / gib:.2f} GiB\n"
        f"expected                  {expected} GiB (measured over expected: "
        f"{found['peak_over_expected']:.2f})\n"
    )


if __name__ == "__main__":
    quiet_libraries()
    sys.exit(main())
