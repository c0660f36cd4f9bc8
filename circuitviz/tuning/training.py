"""Train some of a model's weight entries, an epoch at a time, resumably."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.utils.data import DataLoader, WeightedRandomSampler
from transformers import get_cosine_schedule_with_warmup

from circuitviz.files import whole_folder
from circuitviz.models.answer import AnswerRows, encode_answers
from circuitviz.models.model import GatedModel
from circuitviz.tuning.training_data import Example, TrainingData
from circuitviz.tuning.tunable import Entries, Guard, Tunable, digest

WARM_UP_SHARE = 0.1
CLIP_NORM = 1.0
MOMENTS = ("exp_avg", "exp_avg_sq")
# Every epoch of every seed draws its rows anew.
EPOCHS_PER_SEED = 1_000_000


@dataclass(frozen=True)
class Plan:
    """How long and how fast to train.

    Attributes:
        epochs: Passes over the new examples.
        learning_rate: Peak of a cosine schedule with warm-up.
        weight_decay: Of AdamW (decoupled, arXiv:1711.05101), a step's share is this times the
            learning rate.
        rows: Messages a step.
    """

    epochs: int
    learning_rate: float
    weight_decay: float
    rows: int = 32


class Training:
    """Fine-tuning with AdamW of the entries that may move, by the epoch.

    The loss is the mean cross-entropy over answer tokens.
    The same seed gives the same weights on the same machine, also where it was stopped between
    two epochs and goes on in another process.

    Args:
        model: What to train, in place.
        data: What to teach.
        entries: Which weight entries may move.
        plan: How long and how fast.
        seed: Seed of the rows drawn.
    """

    def __init__(
        self, model: Tunable, data: TrainingData, entries: Entries, plan: Plan, *, seed: int = 0
    ) -> None:
        self._model, self._data, self._plan, self._seed = model, data, plan, seed
        self.steps_per_epoch = -(-data.rows // plan.rows)
        self._names = list(entries.open)
        self._fingerprint = _fingerprint(model, data, entries, plan, seed)
        self._guard = Guard(model.parameters, entries)
        self._optimiser = torch.optim.AdamW(
            self._guard.trained, lr=plan.learning_rate, weight_decay=plan.weight_decay
        )
        total = plan.epochs * self.steps_per_epoch
        self._schedule = get_cosine_schedule_with_warmup(
            self._optimiser, round(WARM_UP_SHARE * total), total
        )
        self.epoch = 0

    @property
    def done(self) -> bool:
        """Whether all epochs are."""
        return self.epoch >= self._plan.epochs

    def run_epoch(self, on_step: Callable[[int, float], None] = lambda step, loss: None) -> float:
        """Train for one epoch and return its mean loss, nats per answer token.

        Args:
            on_step: Called with how many of all steps are done, and the latest loss; may raise to
                stop, and then this epoch is lost.
        """
        losses = []
        for batch in self._loader():
            loss = answer_loss(self._model.gated, batch)
            self._optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(self._guard.trained, CLIP_NORM)
            self._optimiser.step()
            self._schedule.step()
            self._guard.restore()
            losses.append(loss.item())
            on_step(self.epoch * self.steps_per_epoch + len(losses), losses[-1])
        self.epoch += 1
        return sum(losses) / len(losses)

    def finish(self) -> bool:
        """Let go of the model, and say whether every frozen entry is what it was, bit for bit."""
        unmoved = self._guard.unmoved()
        self._guard.release()
        return unmoved

    def keep(self, folder: Path, notes: Any) -> None:
        """Write all that is needed to go on after this epoch; replaces an earlier epoch.

        Args:
            folder: Where to; it holds nothing else.
            notes: JSON values that `resume` gives back.
        """
        tensors = {f"model/{name}": value for name, value in self._model.state().items()}
        for name in self._names:
            state = self._optimiser.state[self._model.parameters[name]]
            tensors |= {f"{moment}/{name}": state[moment].contiguous() for moment in MOMENTS}
        with whole_folder(folder) as draft:
            save_file(tensors, draft / "state.safetensors")
            state = {"training": self._fingerprint, "epoch": self.epoch, "notes": notes}
            (draft / "state.json").write_text(json.dumps(state), encoding="utf-8")

    def resume(self, folder: Path) -> Any | None:
        """Go on from what `keep` wrote.

        Returns:
            Its notes; None where there is nothing, or what other data, entries or another plan came
            to, and then nothing changes.
        """
        if not (folder / "state.json").is_file():
            return None
        state = json.loads((folder / "state.json").read_text(encoding="utf-8"))
        if state.get("training") != self._fingerprint:
            return None
        tensors = load_file(folder / "state.safetensors")
        self.epoch = int(state["epoch"])
        self._model.take({name: tensors[f"model/{name}"] for name in self._model.parameters})
        steps = self.epoch * self.steps_per_epoch
        for name in self._names:
            self._optimiser.state[self._model.parameters[name]] = {
                "step": torch.tensor(float(steps)),
                **{moment: tensors[f"{moment}/{name}"].clone() for moment in MOMENTS},
            }
        self._schedule.load_state_dict(
            {**self._schedule.state_dict(), "last_epoch": steps, "_step_count": steps + 1}
        )
        rate = self._plan.learning_rate * self._schedule.lr_lambdas[0](steps)
        self._optimiser.param_groups[0]["lr"] = rate
        return state["notes"]

    def _loader(self) -> DataLoader[AnswerRows]:
        new, old = self._data.new, self._data.old
        # Half of the rows are new ones.
        weights = [1 / len(new)] * len(new) + [1 / max(1, len(old))] * len(old)
        generator = torch.Generator().manual_seed(EPOCHS_PER_SEED * self._seed + self.epoch)
        return DataLoader(
            [*new, *old],  # type: ignore[arg-type]  # a list is a map-style dataset
            batch_size=self._plan.rows,
            sampler=WeightedRandomSampler(weights, self._data.rows, generator=generator),
            collate_fn=lambda examples: encode(self._model.gated, examples),
        )


def _fingerprint(
    model: Tunable, data: TrainingData, entries: Entries, plan: Plan, seed: int
) -> str:
    """What one training is, its first weights included, so that it goes on from no other."""
    start = {name: digest(value) for name, value in model.parameters.items()}
    masks = {name: mask if mask is None else digest(mask) for name, mask in entries.open.items()}
    text = json.dumps([start, asdict(data), masks, asdict(plan), seed])
    return hashlib.sha256(text.encode()).hexdigest()


def encode(model: GatedModel, examples: Sequence[Example]) -> AnswerRows:
    """Examples in the chat template, answers to their end."""
    messages, answers = zip(*((one.text, one.answer) for one in examples), strict=True)
    return encode_answers(model, messages, answers, longest=None)


def answer_loss(model: GatedModel, rows: AnswerRows) -> Float[Tensor, ""]:
    """Cross-entropy, mean over all answer tokens, in nats."""
    logits = model.logits(rows.tokens)
    targets = rows.targets.to(logits.device)
    predicts = rows.predicts.to(logits.device)
    tokens = nn.functional.cross_entropy(logits.transpose(1, 2), targets, reduction="none")
    return (tokens * predicts).sum() / predicts.sum()
