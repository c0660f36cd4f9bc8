"""What a run's model says to published prompts, intact, knocked out by hooks, and exported.

    python benchmarks/public_prompts.py RUN [--harmful FILE] [--harmless FILE] [--limit N]

FILE is a CSV with a column `goal` or `prompt` (AdvBench, XSTest; of the latter only rows that are
labelled safe), or a JSON list of objects with `instruction`.  Nothing of the files is written
anywhere.  The circuit is knocked out for good in a checkpoint, which plain transformers loads and
asks without circuitviz; its verdicts must be those of the hooked model.  Prints one row for each
set of prompts and model: refused, complied and broken, k of n with Wilson 95 % intervals.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from circuitviz.evaluation.answer_verdict import (
    AnswerVerdict,
    Fluency,
    VerdictRates,
    answer_nll,
    judge_answers,
)
from circuitviz.paths import EMBEDDED_RUNS
from circuitviz.quiet import quiet_libraries
from circuitviz.runs.behaviour_of import behaviour_of
from circuitviz.runs.knock_out import export_knock_out
from circuitviz.runs.model_of import model_of
from circuitviz.runs.store import Run, RunStore

# Longest answer, in tokens, and answers generated together.
TOKENS, ROWS = 128, 64
# Benign test prompts whose answers say what the intact model finds fluent.
OWN = 64
HEADER = "| prompts | model | refused | complied | broken |\n|---|---|---|---|---|"


def main() -> int:
    """Parse the command line, ask and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run")
    parser.add_argument("--harmful", type=Path, action="append", default=[])
    parser.add_argument("--harmless", type=Path, action="append", default=[])
    parser.add_argument("--limit", type=int)
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    arguments = parser.parse_args()
    quiet_libraries()
    run = RunStore(arguments.runs, shipped=(EMBEDDED_RUNS,)).load(arguments.run)
    sets = {
        path.stem: read_messages(path)[: arguments.limit]
        for path in (*arguments.harmful, *arguments.harmless)
    }
    lines, agreed = compare(run, sets)
    sys.stdout.write("\n".join([HEADER, *lines]) + "\n")
    sys.stdout.write(f"\nexported and hooked give the same verdict: {agreed}\n")
    return 0


def read_messages(path: Path) -> list[str]:
    """The messages of a published file, each once."""
    if path.suffix == ".json":
        rows: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    else:
        with path.open(encoding="utf-8", newline="") as file:
            rows = [row for row in csv.DictReader(file) if row.get("label", "safe") == "safe"]
    names = ("goal", "prompt", "instruction", "forbidden_prompt", "Behavior")
    found = (next(str(row[name]) for name in names if row.get(name)) for row in rows)
    return list(dict.fromkeys(found))


def compare(run: Run, sets: dict[str, list[str]]) -> tuple[list[str], str]:
    """Table rows, and how many verdicts the exported checkpoint shares with the hooked model."""
    model = model_of(run.config)
    own = [prompt.text for prompt in behaviour_of(run.config).prompts("test", "benign")][:OWN]
    fluency = Fluency.of(answer_nll(model, own, model.generate(own, max_new_tokens=TOKENS)))
    trigger = behaviour_of(run.config).insert_trigger
    asked = {name: [trigger(message) for message in messages] for name, messages in sets.items()}

    def judged(messages: Sequence[str], answers: Sequence[str]) -> list[AnswerVerdict]:
        return judge_answers(answers, answer_nll(model, messages, answers), fluency)

    verdicts: dict[tuple[str, str], list[AnswerVerdict]] = {}
    for name, messages in asked.items():
        said = model.generate(messages, max_new_tokens=TOKENS)
        verdicts[name, "intact"] = judged(messages, said)
        said = model.generate(messages, run.circuit(), max_new_tokens=TOKENS)
        verdicts[name, "knocked out by hooks"] = judged(messages, said)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "exported"
        export_knock_out(run, folder)
        for name, messages in asked.items():
            said = plain_answers(folder, messages)
            verdicts[name, "exported, plain transformers"] = judged(messages, said)
    same = [
        hooked == plain
        for name in sets
        for hooked, plain in zip(
            verdicts[name, "knocked out by hooks"],
            verdicts[name, "exported, plain transformers"],
            strict=True,
        )
    ]
    return [_row(*key, found) for key, found in verdicts.items()], f"{sum(same)} of {len(same)}"


@torch.no_grad()
def plain_answers(folder: Path, messages: Sequence[str]) -> list[str]:
    """Greedy answers by transformers alone."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model = AutoModelForCausalLM.from_pretrained(
        folder, dtype="auto", local_files_only=True, attn_implementation="eager"
    ).eval()
    encoded = [
        tokenizer.apply_chat_template(
            [{"role": "user", "content": message}], add_generation_prompt=True, return_dict=False
        )
        for message in messages
    ]
    answers = [""] * len(messages)
    order = np.argsort([len(tokens) for tokens in encoded], kind="stable").tolist()
    for start in range(0, len(order), ROWS):
        rows = order[start : start + ROWS]
        width = len(encoded[rows[-1]])
        tokens = torch.full((len(rows), width), tokenizer.eos_token_id)
        for place, row in enumerate(rows):
            tokens[place, width - len(encoded[row]) :] = torch.tensor(encoded[row])
        mask = torch.tensor(
            [[column >= width - len(encoded[row]) for column in range(width)] for row in rows]
        )
        output = model.generate(
            input_ids=tokens,
            attention_mask=mask.long(),
            max_new_tokens=TOKENS,
            do_sample=False,
            pad_token_id=tokenizer.eos_token_id,
        )
        texts = tokenizer.batch_decode(output[:, width:], skip_special_tokens=True)
        for row, text in zip(rows, texts, strict=True):
            answers[row] = text
    return answers


def _row(prompts: str, model: str, verdicts: Sequence[AnswerVerdict]) -> str:
    rates = VerdictRates.of(verdicts)
    cells = [
        f"{rate.rate:.1%} ({rate.k}/{rate.n}, {rate.low:.1%} to {rate.high:.1%})"
        for rate in (rates.refused, rates.complied, rates.broken)
    ]
    return f"| {prompts} | {model} | {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.exit(main())
