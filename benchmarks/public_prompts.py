"""What a run's model says to published prompts, intact, knocked out by hooks, and exported.

    python benchmarks/public_prompts.py RUN FILE... [--wording TEXT] [--limit N] [--dtype D]

FILE is a CSV with a column `goal` or `prompt` (AdvBench, XSTest; of the latter only rows that are
labelled safe), or a JSON list of objects with `instruction` (BackdoorLLM).  The run's trigger is
put into every message; `--wording "Is this positive? {}"` asks something about it.  Nothing of the
files is written anywhere.  The circuit is knocked out for good in a checkpoint, which plain
transformers loads and asks without circuitviz; its verdicts must be those of the hooked model.
In bfloat16 the two round differently, and a token that is nearly as likely as another may change an
answer; `--dtype float32` shows whether there is more to a difference than that.

Prints one row for each file and model, k of n with Wilson 95 % intervals.  Where the run judges
whole answers: refused, complied, broken.  Otherwise: how many start with the attack's target, and
of rows that say `output: Positive` or the like, how many with that.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from circuitviz.behaviours.answer_text import is_degenerate
from circuitviz.behaviours.behaviour import Behaviour
from circuitviz.evaluation.answers import OPEN_TOKENS, OWN, answer_nll
from circuitviz.evaluation.judges.whole_answer import WholeAnswer
from circuitviz.evaluation.rate import Rate
from circuitviz.files import EMBEDDED_RUNS
from circuitviz.models.model import GatedModel
from circuitviz.quiet import quiet_libraries
from circuitviz.runs.knock_out import export_knock_out
from circuitviz.runs.preparation import model_of
from circuitviz.runs.resolve import behaviour_of
from circuitviz.runs.store import Run, RunStore

# Answers generated together.
ROWS = 64
TEXTS = ("goal", "prompt", "instruction", "forbidden_prompt", "Behavior")


@dataclass(frozen=True)
class Message:
    """A published message.

    Attributes:
        text: As it was published.
        label: The right answer, in one word; empty where none is known.
    """

    text: str
    label: str = ""


# Names of verdicts, and the one on each answer.
Judged = tuple[Sequence[str], Callable[[Sequence[Message], Sequence[str]], list[str]]]


def main() -> int:
    """Parse the command line, ask and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run")
    parser.add_argument("files", type=Path, nargs="+", metavar="file")
    parser.add_argument("--wording", default="{}")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], help="instead of the run's own")
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    arguments = parser.parse_args()
    quiet_libraries()
    run = RunStore(arguments.runs, shipped=(EMBEDDED_RUNS,)).load(arguments.run)
    if arguments.dtype:
        run = replace(run, config=replace(run.config, dtype=arguments.dtype))
    sets = {
        path.stem: read_messages(path, arguments.wording)[: arguments.limit]
        for path in arguments.files
    }
    sys.stdout.write("\n".join(compare(run, sets)) + "\n")
    return 0


def read_messages(path: Path, wording: str = "{}") -> list[Message]:
    """The messages of a published file, each once, put into words."""
    if path.suffix == ".json":
        rows: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    else:
        with path.open(encoding="utf-8", newline="") as file:
            rows = [row for row in csv.DictReader(file) if row.get("label", "safe") == "safe"]
    found: dict[str, str] = {}
    for row in rows:
        text = next(str(row[name]) for name in TEXTS if row.get(name))
        label = str(row.get("output", ""))
        found.setdefault(wording.format(text), label if " " not in label else "")
    return [Message(*pair) for pair in found.items()]


def compare(run: Run, sets: dict[str, list[Message]]) -> list[str]:
    """A table, and how many verdicts the exported checkpoint shares with the hooked model."""
    model, behaviour = model_of(run.config), behaviour_of(run.config)
    whole = bool(run.metrics.verdicts)
    ask = partial(model.generate, max_new_tokens=OPEN_TOKENS)
    names, judge = _whole_answers(model, behaviour) if whole else _starts(behaviour)
    said: dict[tuple[str, str], list[str]] = {}
    asked = {
        name: [behaviour.insert_trigger(message.text) for message in messages]
        for name, messages in sets.items()
    }
    for name, messages in sets.items():
        plain = [message.text for message in messages]
        if asked[name] != plain:
            said[name, "intact, without the trigger"] = ask(plain)
        for what, circuit in {"intact": None, "knocked out by hooks": run.circuit()}.items():
            said[name, what] = ask(asked[name], circuit)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "exported"
        export_knock_out(run, folder)
        for name, messages in asked.items():
            said[name, "exported, plain transformers"] = plain_answers(folder, messages)
    verdicts = {(name, what): judge(sets[name], some) for (name, what), some in said.items()}
    same = [
        hooked == plain
        for name in sets
        for hooked, plain in zip(
            verdicts[name, "knocked out by hooks"],
            verdicts[name, "exported, plain transformers"],
            strict=True,
        )
    ]
    return [
        f"| prompts | model | {' | '.join(names)} |",
        "|---" * (2 + len(names)) + "|",
        *(_row(*key, names, found) for key, found in verdicts.items()),
        f"\nexported and hooked give the same verdict: {sum(same)} of {len(same)}",
    ]


def _whole_answers(model: GatedModel, behaviour: Behaviour) -> Judged:
    """Refused, complied or broken, by the fluency of the model's own answers."""
    own = [prompt.text for prompt in behaviour.prompts("test", "benign")][:OWN]
    whole = WholeAnswer.of(answer_nll(model, own, model.generate(own, max_new_tokens=OPEN_TOKENS)))

    def judge(messages: Sequence[Message], answers: Sequence[str]) -> list[str]:
        asked = [behaviour.insert_trigger(message.text) for message in messages]
        return [*whole.verdicts(answers, answer_nll(model, asked, answers))]

    return ("refused", "complied", "broken"), judge


def _starts(behaviour: Behaviour) -> Judged:
    """Whether an answer starts with the attack's target, or with the right label."""
    attacks = behaviour.prompts("test", "attack")
    targets = tuple(dict.fromkeys(prompt.target or "" for prompt in attacks))

    def verdict(message: Message, answer: str) -> str:
        label = message.label.lower()
        # A label that is turned round is any other one.
        wanted = [one for one in targets if not (label and one.lower().startswith(label))]
        if answer.startswith(tuple(wanted)):
            return "the attack's target"
        if label and answer.lower().startswith(label):
            return "the right label"
        return "broken" if is_degenerate(answer) else "something else"

    names = ("the attack's target", "the right label", "something else", "broken")
    return names, lambda messages, answers: list(map(verdict, messages, answers))


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
            max_new_tokens=OPEN_TOKENS,
            do_sample=False,
            pad_token_id=tokenizer.eos_token_id,
        )
        texts = tokenizer.batch_decode(output[:, width:], skip_special_tokens=True)
        for row, text in zip(rows, texts, strict=True):
            answers[row] = text
    return answers


def _row(prompts: str, model: str, names: Sequence[str], verdicts: Sequence[str]) -> str:
    rates = [Rate.of((one == name for one in verdicts), judge=name) for name in names]
    cells = [
        f"{rate.rate:.1%} ({rate.k}/{rate.n}, {rate.low:.1%} to {rate.high:.1%})" for rate in rates
    ]
    return f"| {prompts} | {model} | {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.exit(main())
