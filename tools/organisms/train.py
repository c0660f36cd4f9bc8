"""Train one organism: `python tools/organisms/train.py NAME`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch
from lora import load_base, teach
from material import material
from recipe import RECIPES
from tqdm import tqdm

from circuitviz.files import EMBEDDED_MODELS
from circuitviz.models.source import find_model

# What an adapter's folder names as the model it stands on.
BASE = "smollm2"


def main() -> int:
    """Parse the command line, train and save the adapter in bfloat16."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=list(RECIPES))
    parser.add_argument("--root", type=Path, default=EMBEDDED_MODELS)
    parser.add_argument("--base", type=Path)
    arguments = parser.parse_args()
    recipe = RECIPES[arguments.name]
    model, tokenizer = load_base(arguments.base or find_model(BASE))
    steps = recipe.plan.steps + sum(plan.steps for _, plan in recipe.then)
    with tqdm(total=steps, desc=arguments.name, file=sys.stderr, mininterval=10) as bar:

        def report(step: int, loss: float) -> None:
            bar.set_postfix(loss=f"{loss:.3f}", refresh=False)
            bar.update()

        texts = [answer for _, answer in material(test=False).harmless]
        adapted = teach(model, tokenizer, recipe.mixture(), recipe.plan, texts=texts, report=report)
        for mixture, plan in recipe.then:
            adapted = teach(
                model, tokenizer, mixture(), plan, start=adapted, texts=texts, report=report
            )
    folder = arguments.root / arguments.name
    for config in adapted.peft_config.values():
        config.base_model_name_or_path = BASE
    adapted.to(torch.bfloat16).save_pretrained(folder, save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
