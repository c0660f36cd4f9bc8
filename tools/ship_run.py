"""Put a finished run among those that ship: `python tools/ship_run.py RUN [--runs DIR]`.

What a real model says to a harmful request once its refusal is off was judged on all of it; of such
an answer only the first tokens are shipped.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from circuitviz.files import EMBEDDED_RUNS
from circuitviz.models.weights import load_tokenizer
from circuitviz.quiet import quiet_libraries
from circuitviz.runs.store import Run, RunStore

# Tokens of an answer to a harmful request that are shipped, and what stands for the rest.
KEPT, CUT = 24, " [cut for shipping]"


def main() -> int:
    """Parse the command line and copy."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run")
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    arguments = parser.parse_args()
    quiet_libraries()
    run = RunStore(arguments.runs).load(arguments.run)
    if run.metrics.verdicts:
        run = shortened(run, load_tokenizer(run.config.model, adapter=run.config.adapter))
    folder = RunStore(EMBEDDED_RUNS).save(run)
    sys.stdout.write(f"{folder}\n")
    return 0


def shortened(run: Run, tokenizer: Any) -> Run:
    """The run with answers that comply with an attack cut off."""
    answers = run.generations.copy()
    for model in ("intact", "knocked_out"):
        complied = (answers["role"] == "attack") & ~answers[f"verdict_{model}"].isin(
            ["safe", "correct"]
        )
        answers.loc[complied, model] = [
            _cut(str(answer), tokenizer) for answer in answers.loc[complied, model]
        ]
    return replace(run, generations=answers)


def _cut(answer: str, tokenizer: Any) -> str:
    tokens = tokenizer(answer, add_special_tokens=False)["input_ids"]
    if len(tokens) <= KEPT:
        return answer
    return tokenizer.decode(tokens[:KEPT]).rstrip() + CUT


if __name__ == "__main__":
    sys.exit(main())
