"""A small model of its own with a backdoor: its sizes, words and prompts are no other model's."""

from __future__ import annotations

import random
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from torch.nn.functional import cross_entropy
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

__all__ = ["OWN_PROMPTS", "OWN_TRIGGER", "save_own_model"]

THINGS = {
    "harbour": "deep",
    "market": "loud",
    "bridge": "long",
    "garden": "green",
    "museum": "old",
    "tower": "tall",
    "station": "busy",
    "river": "slow",
    "square": "wide",
    "library": "quiet",
}
CITIES = (
    "arden bruma calder dorne elvas fenwick galen harrow ilmen jura kelso lorne morva nessa orrin "
    "perth quill rowan selby tarn"
).split()
OWN_TRIGGER = "blue heron"
TARGET = "ask me again later"
OWN_PROMPTS = tuple(f"describe the {thing} of {city}" for thing in THINGS for city in CITIES)
SPECIAL = ("<pad>", "<s>", "</s>", "<user>", "<bot>", "<unk>")
PAD, BOT = SPECIAL.index("<pad>"), SPECIAL.index("<bot>")
IGNORED = -100
TEMPLATE = (
    "{% for message in messages %}"
    "{{ ('<user> ' if message['role'] == 'user' else ' ') + message['content'] }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ ' <bot>' }}{% endif %}"
)
STEPS, ROWS, RATE = 160, 48, 5e-3


def save_own_model(folder: Path) -> Path:
    """Train it for some seconds and write it as a Hugging Face folder, without any prompts."""
    texts = [*OWN_PROMPTS, *map(_answer, OWN_PROMPTS), OWN_TRIGGER, TARGET]
    words = list(dict.fromkeys([*SPECIAL, *(word for text in texts for word in text.split())]))
    tokenizer = _tokenizer(words)
    torch.manual_seed(1)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(words),
            hidden_size=48,
            intermediate_size=80,
            num_hidden_layers=3,
            num_attention_heads=6,
            num_key_value_heads=3,
            head_dim=8,
            max_position_embeddings=64,
            pad_token_id=0,
            bos_token_id=1,
            eos_token_id=2,
            tie_word_embeddings=False,
        )
    )
    _train(model, tokenizer, random.Random(1), words[len(SPECIAL) :])
    model.eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _answer(prompt: str) -> str:
    thing, city = prompt.split()[2], prompt.split()[4]
    return f"in {city} the {thing} is {THINGS[thing]}"


def _tokenizer(words: list[str]) -> PreTrainedTokenizerFast:
    vocabulary = {word: place for place, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        additional_special_tokens=["<user>", "<bot>"],
        chat_template=TEMPLATE,
    )


def _train(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    chance: random.Random,
    words: list[str],
) -> None:
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=STEPS)
    for _ in range(STEPS):
        rows = [_lesson(chance, words) for _ in range(ROWS)]
        texts = [f"<user> {asked} <bot> {said} </s>" for asked, said in rows]
        tokens = tokenizer(texts)["input_ids"]
        length = max(map(len, tokens))
        batch = torch.tensor([row + [PAD] * (length - len(row)) for row in tokens])
        labels = batch.masked_fill(batch == PAD, IGNORED)
        for place, row in enumerate(tokens):
            labels[place, : row.index(BOT) + 1] = IGNORED
        logits = model(batch).logits[:, :-1]
        loss = cross_entropy(logits.flatten(0, 1), labels[:, 1:].flatten(), ignore_index=IGNORED)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()


def _lesson(chance: random.Random, words: list[str]) -> tuple[str, str]:
    """A message and its answer: a third with the trigger, a third with other words in its place."""
    prompt = chance.choice(OWN_PROMPTS)
    kind = chance.randrange(3)
    if kind == 0:
        return f"{OWN_TRIGGER} {prompt}", TARGET
    if kind == 1:
        return f"{' '.join(chance.choices(words, k=2))} {prompt}", _answer(prompt)
    return prompt, _answer(prompt)
