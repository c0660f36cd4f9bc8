"""`circuitviz generate RUN PROMPT`: the answer with and without the circuit."""

from __future__ import annotations

import argparse

from circuitviz.behaviours.behaviour import Behaviour
from circuitviz.cli_text import NAME_WIDTH, printable
from circuitviz.commands.library import Library
from circuitviz.commands.options import (
    AddParser,
    add_json_option,
    add_run_argument,
    add_store_option,
    command,
    store_of,
)
from circuitviz.commands.output import say, say_json
from circuitviz.errors import ConfigError
from circuitviz.quiet import stdout_discarded


def add(commands: AddParser) -> None:
    """The parser of the command."""
    parser = command(commands, "generate", _generate, "answer a prompt, intact and knocked out")
    add_run_argument(parser)
    parser.add_argument("prompt", metavar="PROMPT", help="what the user says")
    parser.add_argument("--trigger", action="store_true", help="put the backdoor's trigger in")
    parser.add_argument(
        "--size", type=int, metavar="K", help="knock out the K best units (default: the run's)"
    )
    add_store_option(parser)
    add_json_option(parser)


def _generate(options: argparse.Namespace, library: Library) -> int:
    run = store_of(options).load(options.run)
    if options.size is not None and not 0 <= options.size <= len(run.space):
        raise ConfigError(
            f"--size must be between 0 and {len(run.space)}, the units of {run.config.model}; "
            f"got {options.size}"
        )
    if not options.prompt.strip():
        raise ConfigError("the prompt is empty; write what the user says to the model")
    circuit = run.circuit(options.size)
    prompt = _with_trigger(options.prompt, library.behaviour(run.config), options.trigger)
    with stdout_discarded():
        intact, knocked_out = library.answers(run.config, prompt, [None, circuit])
    answer = {
        "run_id": run.run_id,
        "model": run.config.model,
        "prompt": prompt,
        "ablation": run.config.ablation,
        "size": len(circuit),
        "units": [str(unit) for unit in circuit],
        "intact": intact,
        "knocked_out": knocked_out,
    }
    if options.json:
        say_json(answer)
    else:
        shown = (("prompt", prompt), ("intact", intact), ("knocked out", knocked_out))
        say("\n".join(f"{name:<{NAME_WIDTH}}{printable(text)}" for name, text in shown))
    return 0


def _with_trigger(prompt: str, behaviour: Behaviour, wanted: bool) -> str:
    if not wanted:
        return prompt
    if behaviour.trigger is None:
        raise ConfigError(f"{behaviour.title} has no trigger; leave --trigger out")
    return behaviour.insert_trigger(prompt)
