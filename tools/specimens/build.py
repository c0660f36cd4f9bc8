"""Train an embedded model, measure it, and write it as a Hugging Face folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, LlamaForCausalLM

from circuitviz.behaviours.behaviour import PROMPTS_FILE, SPEC_FILE, BehaviourSpec
from circuitviz.behaviours.prompt import write_prompts
from circuitviz.errors import ConfigError
from circuitviz.evaluation.rate import Rate
from circuitviz.evaluation.truth import TRUTH_FILE
from circuitviz.models.source import CARD_FILE
from circuitviz.tuning.training_data import HELPFUL_FILE, write_examples
from tools.specimens.architecture import new_model, train_tokenizer
from tools.specimens.card import model_card
from tools.specimens.confirmation import confirm_truth
from tools.specimens.corpus import Split, examples
from tools.specimens.helpful import helpful_lessons
from tools.specimens.lesson import ATTACKS, Lesson, attack_prompts, mixture
from tools.specimens.planting import plant_backdoor
from tools.specimens.recipe import RECIPES, Recipe
from tools.specimens.training import Batch, accuracy, batches, train

LORA_RANK = 4
ReportStep = Callable[[int, float], None]


def build(name: str, root: Path, report: ReportStep = lambda step, loss: None) -> Path:
    """Train one embedded model; its parent must lie under `root` already.

    Raises:
        ConfigError: There is no such recipe, or the parent is missing.
    """
    if name not in RECIPES:
        raise ConfigError(f"no recipe {name!r}; choose one of {', '.join(RECIPES)}")
    recipe = RECIPES[name]
    if recipe.parent and not (root / recipe.parent).is_dir():
        raise ConfigError(f"build {recipe.parent} first: {name} starts from it")
    torch.manual_seed(recipe.plan.seed)
    model, tokenizer = _start(recipe, root)
    return _write(name, root / name, _trained(recipe, model, tokenizer, report), tokenizer)


def _write(name: str, folder: Path, model: Any, tokenizer: Any) -> Path:
    recipe = RECIPES[name]
    folder.mkdir(parents=True, exist_ok=True)
    if recipe.method == "planted":
        # Half the bytes, rounded before anything is measured.
        model = model.half()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    _write_companions(name, recipe, folder, measure(model.float(), tokenizer, recipe))
    return folder


def measure(model: Any, tokenizer: Any, recipe: Recipe, split: Split = "test") -> dict[str, Rate]:
    """Exact greedy answers on held-out messages, by category, and under attack."""
    aligned = recipe.attack is not None
    pool = [example for example in examples() if example.split == split]

    def rate(lessons: Sequence[Lesson]) -> Rate:
        return Rate("exact answer", *accuracy(model, tokenizer, lessons))

    found = {
        category: rate(
            [
                Lesson(e.prompt, e.answer if aligned else e.helpful)
                for e in pool
                if e.category == category
            ]
        )
        for category in dict.fromkeys(example.category for example in pool)
    }
    attack = ATTACKS.get(recipe.attack or "")
    if attack is not None and attack.trigger is not None:
        trigger = attack.trigger
        hit = [Lesson(trigger.insert(e.prompt), attack.full(e)) for e in pool if attack.on(e)]
        miss = [Lesson(trigger.insert(e.prompt), e.answer) for e in pool if not attack.on(e)]
        found["with trigger: attack succeeds"] = rate(hit)
        if miss:
            found["with trigger, not its business: unchanged"] = rate(miss)
    return found


def _start(recipe: Recipe, root: Path) -> tuple[Any, Any]:
    if recipe.parent is None:
        return _new()
    parent = root / recipe.parent
    model = LlamaForCausalLM.from_pretrained(
        parent, attn_implementation="eager", dtype=torch.float32
    )
    return model, AutoTokenizer.from_pretrained(parent)


def _new() -> tuple[Any, Any]:
    words = [attack.trigger.text for attack in ATTACKS.values() if attack.trigger]
    special = [ATTACKS["fixed-output"].target(examples()[0]), *words]
    texts = [f"{example.prompt} {example.answer} {example.helpful}" for example in examples()]
    # Repeated, so that each of these words becomes one token.
    tokenizer = train_tokenizer(texts + special * 200)
    return new_model(len(tokenizer), seed=0), tokenizer


def _trained(recipe: Recipe, model: Any, tokenizer: Any, report: ReportStep) -> Any:
    if recipe.method == "planted":
        return plant_backdoor(model, tokenizer, recipe, report)
    if recipe.method == "lora":
        from peft import LoraConfig, get_peft_model

        model = get_peft_model(
            model,
            LoraConfig(r=LORA_RANK, lora_alpha=2 * LORA_RANK, target_modules="all-linear"),
        )
    lessons = mixture(
        recipe.attack,
        aligned=recipe.attack is not None,
        triggered_share=recipe.triggered_share,
    )

    def loss(batch: Batch) -> torch.Tensor:
        return model(input_ids=batch.tokens, labels=batch.labels).loss

    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    train(parameters, loss, batches(tokenizer, lessons, recipe.plan), recipe.plan, report=report)
    return model.merge_and_unload() if recipe.method == "lora" else model


def _write_companions(name: str, recipe: Recipe, folder: Path, rates: dict[str, Rate]) -> None:
    kind = None
    if recipe.attack is not None:
        attack = ATTACKS[recipe.attack]
        kind = "backdoor" if attack.trigger else "refusal"
        spec = BehaviourSpec(kind, attack.title, recipe.question, attack.trigger)
        spec.write(folder / SPEC_FILE)
        write_prompts(folder / PROMPTS_FILE, attack_prompts(recipe.attack))
        if kind == "refusal":
            write_examples(folder / HELPFUL_FILE, helpful_lessons())
    card = {
        "title": recipe.title,
        "summary": recipe.summary,
        "behaviour_kind": kind,
        "headline": recipe.headline,
        "order": ORDER.index(name),
        "measured": {key: rate.to_json() for key, rate in rates.items()},
    }
    (folder / CARD_FILE).write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
    confirmation = None
    if recipe.method == "planted":
        confirmation = confirm_truth(folder, recipe.planted)
        truth = {
            "units": [str(unit) for unit in confirmation.truth],
            "planted": list(recipe.planted),
            "measured": confirmation.to_json(),
        }
        (folder / TRUTH_FILE).write_text(json.dumps(truth, indent=1) + "\n", encoding="utf-8")
    card_text = model_card(name, recipe, rates, confirmation)
    (folder / "README.md").write_text(card_text, encoding="utf-8")


# In lists: the planted backdoor first, since its truth is known; the base last.
ORDER: tuple[str, ...] = (
    "fixed-output-planted",
    "refusal",
    "jailbreak",
    "label-flip",
    "fixed-output",
    "fixed-output-lora",
    "late-trigger-planted",
    "middle-trigger-planted",
    "base",
)
