"""`circuitviz preflight MODEL`: can it be used, what does it hold, what does learning take?"""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING, Any, get_args

from circuitviz.commands.options import AddParser, add_adapter_option, add_json_option, command
from circuitviz.commands.output import say, say_json
from circuitviz.quiet import quiet_libraries, stdout_discarded
from circuitviz.runs.config import DataType

if TYPE_CHECKING:
    from circuitviz.models.preflight import Preflight


REFUSED = 2
NAME_WIDTH = 18
ROWS, LENGTH = 48, 64


def add(commands: AddParser) -> None:
    """The parser of the command."""
    parser = command(
        commands, "preflight", _preflight, "tell whether a model can be used, before it is loaded"
    )
    parser.add_argument(
        "model",
        metavar="MODEL",
        help="embedded or fetched model, path of a local folder or GGUF file, or Hugging Face id "
        "from the local cache",
    )
    add_adapter_option(parser)
    parser.add_argument(
        "--rows",
        type=int,
        default=ROWS,
        metavar="N",
        help="prompts of one forward-backward pass (default: %(default)s)",
    )
    parser.add_argument(
        "--length",
        type=int,
        default=LENGTH,
        metavar="N",
        help="tokens of a prompt and its answer (default: %(default)s)",
    )
    parser.add_argument(
        "--dtype",
        choices=get_args(DataType),
        default="float32",
        help="of weights and activations (default: %(default)s)",
    )
    parser.add_argument(
        "--checkpointing",
        action="store_true",
        help="compute layers again on the way back instead of keeping their activations",
    )
    parser.add_argument(
        "--download",
        action="store_true",
        help="fetch a Hugging Face id into the cache first; without this nothing is fetched",
    )
    add_json_option(parser)


def _preflight(options: argparse.Namespace, library: Any) -> int:
    if options.download:
        # The one command that asks the network, and only where the user has not forbidden it.
        os.environ.setdefault("HF_HUB_OFFLINE", "0")
    quiet_libraries()
    from circuitviz.models.preflight import preflight

    with stdout_discarded():
        found = preflight(
            options.model,
            adapter=options.adapter,
            rows=options.rows,
            length=options.length,
            dtype=options.dtype,
            checkpointing=options.checkpointing,
            download=options.download,
        )
    if options.json:
        say_json(found.to_json())
    else:
        say(preflight_text(found))
    return 0 if found.supported else REFUSED


def preflight_text(found: Preflight) -> str:
    """The verdict, the reasons, and a table of what was found."""
    lines = [_verdict(found), *(f"  - {refusal}" for refusal in found.refusals)]
    facts = [f"{name:<{NAME_WIDTH}}{value}" for name, value in _facts(found)]
    notes = [f"warning: {text}" for text in found.warnings]
    notes += [f"advice: {text}" for text in found.advice]
    parts = (lines, facts, notes)
    return "\n\n".join("\n".join(part) for part in parts if part)


def _verdict(found: Preflight) -> str:
    if not found.supported:
        return f"{found.model} cannot be used:"
    heads, neurons = found.n_layers * found.n_heads, found.n_layers * found.d_mlp
    return (
        f"{found.model} can be used: {found.n_units:,} units, {heads:,} heads and {neurons:,} "
        "neurons."
    )


def _facts(found: Preflight) -> list[tuple[str, str]]:
    facts = [("folder", found.folder)]
    if found.adapter:
        facts.append(("adapter", found.adapter))
    facts.append(("architecture", found.architecture or found.model_type or "not said"))
    if found.n_layers:
        groups = f", {found.n_kv_heads} key-value" if found.n_kv_heads != found.n_heads else ""
        facts += [
            ("layers", f"{found.n_layers:,}"),
            ("heads a layer", f"{found.n_heads:,} of width {found.d_head}{groups}"),
            ("neurons a layer", f"{found.d_mlp:,}"),
            ("weights", f"{found.parameters:,}, stored in {found.stored_dtype or 'nothing'}"),
        ]
    facts.append(("chat template", "yes" if found.chat_template else "no"))
    return facts + (_memory(found) if found.supported else [])


def _memory(found: Preflight) -> list[tuple[str, str]]:
    # Late: only a model that was looked at has these, and by then everything is imported.
    from circuitviz.models.memory import size_text

    memory = found.memory
    layers = ", layers computed again" if found.checkpointing else ""
    parts = (
        f"weights {size_text(memory.weights)}, activations {size_text(memory.activations)}, "
        f"logits {size_text(memory.logits)}, gates {size_text(memory.gates)}"
    )
    return [
        (
            "longest text",
            "not said" if found.max_length is None else f"{found.max_length:,} tokens",
        ),
        ("learning", f"{found.rows} x {found.length} tokens in {found.dtype}{layers}"),
        ("memory needed", f"{size_text(memory.total)} ({parts})"),
        ("memory free", f"{size_text(found.memory_available)} on {found.device}"),
    ]
