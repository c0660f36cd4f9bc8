"""Messages with given answers, tokenised and padded: what teacher forcing runs on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from circuitviz.models.ablation import ZERO, Ablation, message_key
from circuitviz.models.gates import Gates
from circuitviz.models.generation import MAX_ROWS, rows_at_once
from circuitviz.models.model import LONGEST_ANSWER, GatedModel
from circuitviz.units import Circuit

# Tokens run together: enough to fill the processor, little enough for its cache.
BATCH_TOKENS = 1536

# Of the intact model's log-probabilities, what is kept; of more, only what they are made from.
KEPT_BYTES = 2**28


@dataclass(frozen=True)
class AnswerRows:
    """Right-padded rows: a user message in the chat template, then a given answer.

    Attributes:
        tokens: Message and answer.
        predicts: True where the next token is one of the answer's.
        targets: The next token where `predicts`, 0 elsewhere.
        lengths: Tokens before padding.
        keys: What `Ablation.reference` draws by.
        opens: Whether answers that start like the row's are meant.
    """

    tokens: Int[Tensor, "rows pos"]
    predicts: Bool[Tensor, "rows pos"]
    targets: Int[Tensor, "rows pos"]
    lengths: Int[Tensor, " rows"]
    keys: Int[Tensor, " rows"]
    opens: Bool[Tensor, " rows"]

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def answer_tokens(self) -> Int[np.ndarray, " rows"]:
        """How many answer tokens each row has."""
        return self.predicts.sum(1).numpy()

    def take(self, rows: Int[Tensor, " few"]) -> AnswerRows:
        """Some rows, cut to the longest of them."""
        width = int(self.lengths[rows].max())
        return AnswerRows(
            self.tokens[rows, :width],
            self.predicts[rows, :width],
            self.targets[rows, :width],
            self.lengths[rows],
            self.keys[rows],
            self.opens[rows],
        )


def encode_answers(
    model: GatedModel,
    messages: Sequence[str],
    answers: Sequence[str],
    *,
    complete: bool | Sequence[bool] = True,
    longest: int | Sequence[int | None] | None = LONGEST_ANSWER,
) -> AnswerRows:
    """Tokenise messages with their answers.

    Args:
        model: Whose tokenizer and chat template to use.
        messages: User messages.
        answers: One answer a message.
        complete: Whether an answer includes its end, all alike or one by one; without it, rows
            match any answer that *starts* like this.
        longest: Of an answer with at least so many tokens only those count, and not its end,
            since no more of it is ever generated, all alike or one by one; None takes all.
    """
    whole = [complete] * len(messages) if isinstance(complete, bool) else complete
    most = longest if isinstance(longest, Sequence) else [longest] * len(messages)
    pairs = [
        (model.prompt_tokens(message), model.answer_tokens(answer, complete=ends, longest=limit))
        for message, answer, ends, limit in zip(messages, answers, whole, most, strict=True)
    ]
    lengths = torch.tensor([len(prompt) + len(answer) for prompt, answer in pairs])
    shape = (len(pairs), int(lengths.max()))
    tokens, targets = (torch.zeros(shape, dtype=torch.long), torch.zeros(shape, dtype=torch.long))
    predicts = torch.zeros(shape, dtype=torch.bool)
    for row, (prompt, answer) in enumerate(pairs):
        end = len(prompt) + len(answer)
        tokens[row, :end] = torch.tensor(prompt + answer)
        span = slice(len(prompt) - 1, end - 1)
        predicts[row, span] = True
        targets[row, span] = torch.tensor(answer)
    keys = torch.tensor([message_key(message) for message in messages])
    opens = torch.tensor([not ends for ends in whole])
    return AnswerRows(tokens, predicts, targets, lengths, keys, opens)


def answer_log_probs(
    model: GatedModel, rows: AnswerRows, gates: Gates | None = None
) -> Float[Tensor, "answer_tokens d_vocab"]:
    """Log-probabilities in fp32 under gates, on the model's device."""
    return model.logits_at(rows.tokens, rows.predicts, gates).float().log_softmax(-1)


class Teacher:
    """What the intact model thinks of given answers.

    All of it is kept where it fits into `KEPT_BYTES`.  With a large vocabulary and many prompts it
    does not: then the hidden states are kept, a hundredth of it, and unembedded when needed; where
    an architecture has none such, the model is run again each time.

    Args:
        model: The model.
        rows: Messages with answers.
        wanted: The rows that `log_probs` will be asked for; None is all of them.
    """

    def __init__(
        self, model: GatedModel, rows: AnswerRows, wanted: Sequence[int] | None = None
    ) -> None:
        self._model, self._rows = model, rows
        picks = torch.tensor(list(range(len(rows)) if wanted is None else wanted))
        # A model that thinks in half precision is remembered in half precision.
        kept_as = torch.float32 if model.dtype == torch.float32 else torch.float16
        size = kept_as.itemsize * int(rows.predicts[picks].sum()) * model.d_vocab
        self._kept: dict[int, Tensor] = {}
        self._hidden: dict[int, Tensor] = {}
        if size <= KEPT_BYTES:
            self._kept = _by_pick(
                rows, picks, lambda batch: answer_log_probs(model, batch).to("cpu", kept_as)
            )
        elif model.has_hidden:
            self._hidden = _by_pick(
                rows, picks, lambda batch: model.hidden_at(batch.tokens, batch.predicts).cpu()
            )

    @torch.no_grad()
    def log_probs(self, picks: Sequence[int]) -> Float[Tensor, "answer_tokens d_vocab"]:
        """Log-probabilities of the answers of these rows in their order, on the CPU."""
        if self._hidden:
            hidden = torch.cat([self._hidden[pick] for pick in picks]).to(self._model.device)
            return self._model.unembed(hidden).float().log_softmax(-1).cpu()
        if self._kept:
            return torch.cat([self._kept[pick] for pick in picks]).float()
        answers = intact_log_probs(self._model, self._rows.take(torch.tensor(list(picks))))
        return torch.cat([answers[place] for place in range(len(picks))])


def intact_log_probs(
    model: GatedModel, rows: AnswerRows
) -> dict[int, Float[Tensor, "answer_tokens d_vocab"]]:
    """The intact model's log-probabilities in fp32 by row, on the CPU."""
    return _by_pick(
        rows, torch.arange(len(rows)), lambda batch: answer_log_probs(model, batch).cpu()
    )


@torch.no_grad()
def _by_pick(
    rows: AnswerRows, picks: Tensor, think: Callable[[AnswerRows], Tensor]
) -> dict[int, Tensor]:
    """For each of some rows, what is thought [answer tokens, ...] of its answer."""
    picked = rows.take(picks)
    thoughts: dict[int, Tensor] = {}
    for _, indices in batches(picked, np.ones((1, len(picked)), dtype=bool)):
        batch = picked.take(indices)
        parts = think(batch).split(batch.predicts.sum(1).tolist())
        thoughts.update(zip(picks[indices].tolist(), parts, strict=True))
    return thoughts


def batches(
    rows: AnswerRows, wanted: Bool[np.ndarray, "circuits rows"]
) -> Iterator[tuple[Int[Tensor, " pairs"], Int[Tensor, " pairs"]]]:
    """Pairs of indices (circuits, rows), batched with pairs of like length.

    Args:
        rows: What is run.
        wanted: Which pairs to give.
    """
    lengths = rows.lengths
    owners, prompts = (torch.from_numpy(index) for index in np.nonzero(wanted))
    by_length = lengths[prompts].argsort(stable=True)
    owners, prompts = owners[by_length], prompts[by_length]
    start = 0
    while start < len(prompts):
        count = max(1, BATCH_TOKENS // int(lengths[prompts[start]]))
        end = min(start + count, len(prompts))
        yield owners[start:end], prompts[start:end]
        start = end


@torch.no_grad()
def greedy_answers(
    model: GatedModel,
    prompts: Sequence[str],
    guesses: Sequence[Sequence[str]],
    circuit: Circuit | None = None,
    *,
    ablation: Ablation = ZERO,
    max_new_tokens: int = LONGEST_ANSWER,
    checkpoint: Callable[[], None] = lambda: None,
) -> list[str]:
    """The same answers as `model.generate`, verified from guesses where those are right.

    A guess is the greedy answer exactly when each of its tokens is the most likely one after
    those before it, which one forward pass shows (speculative decoding, arXiv:2211.17192, with
    the draft given).  Only prompts whose guesses all fail are generated token by token.

    Args:
        model: The model.
        prompts: User messages.
        guesses: Candidate answers to each message.
        circuit: Units to knock out; None for the intact model.
        ablation: What knocked-out units are replaced by.
        max_new_tokens: Longest generated answer.
        checkpoint: Called before each batch; may raise to stop.
    """
    pairs = [(row, guess) for row, tries in enumerate(guesses) for guess in dict.fromkeys(tries)]
    answers: dict[int, str] = {}
    longest = max((len(model.prompt_tokens(prompts[row])) for row, _ in pairs), default=0)
    together = rows_at_once(longest + max_new_tokens + 1, model.d_vocab)
    for start in range(0, len(pairs), together):
        checkpoint()
        chunk = pairs[start : start + together]
        rows = encode_answers(
            model,
            [prompts[row] for row, _ in chunk],
            [guess for _, guess in chunk],
            longest=max_new_tokens,
        )
        gates = model.knocked_out([circuit], ablation, rows.keys.tolist())
        likeliest = model.logits(rows.tokens, gates).argmax(-1).cpu()
        right = ((likeliest == rows.targets) | ~rows.predicts).all(1).tolist()
        for (row, guess), ok in zip(chunk, right, strict=True):
            if ok:
                answers[row] = model.cut(guess, max_new_tokens)
    left = [row for row in range(len(prompts)) if row not in answers]
    for start in range(0, len(left), MAX_ROWS):
        checkpoint()
        rest = left[start : start + MAX_ROWS]
        generated = model.generate(
            [prompts[row] for row in rest],
            circuit,
            ablation=ablation,
            max_new_tokens=max_new_tokens,
        )
        answers.update(zip(rest, generated, strict=True))
    return [answers[row] for row in range(len(prompts))]
