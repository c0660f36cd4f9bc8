"""What commands print: results, in lines, tables or JSON, and on standard error the rest."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any

from circuitviz.files import json_text

if TYPE_CHECKING:
    from circuitviz.evaluation.rate import Rate
    from circuitviz.evaluation.results import ArmRates, JudgeTable, Metrics
    from circuitviz.runs.comparison import ComparedPair, ComparedRun, Comparison
    from circuitviz.runs.knock_out import KnockOutExport
    from circuitviz.runs.store import Run
    from circuitviz.runs.tuning_store import Tuning


NAME_WIDTH = 14  # characters of the first column


def on_terminal() -> bool:
    """Whether a person reads the results, not a file or a program."""
    return sys.stdout.isatty()


def say(text: str) -> None:
    """Print a result."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def say_json(value: Any) -> None:
    """Print a result as JSON, null for numbers that are not finite."""
    say(json_text(value, indent=1))


def say_on_stderr(text: str) -> None:
    """Say in one line what is no result."""
    sys.stderr.write(f"circuitviz: {text}\n")


def missed_target(run: Run) -> str:
    """What target was missed, and how far the best circuit came."""
    metrics = run.metrics
    bound = "at least" if metrics.is_refusal else "at most"
    return (
        f"the target, ASR {bound} {metrics.target.asr:.1%} and {metrics.target.utility:.1%} of "
        f"utility kept, is not reached; the best circuit found (size {run.size}) has ASR "
        f"{metrics.asr.knocked_out.rate:.1%} and keeps {_share(metrics.utility_retention)} on test "
        f"prompts; missed: {', '.join(metrics.target_missed)}"
    )


def run_summary(run: Run, folder: Path) -> str:
    """A run in aligned lines."""
    metrics, circuit = run.metrics, run.metrics.circuit
    lines = (
        ("run", f"{run.run_id} in {folder}"),
        ("behaviour", f"{metrics.behaviour} in {metrics.model}"),
        ("circuit", f"{circuit.size} of {metrics.n_units} units ({circuit.sparsity:.2%})"),
        ("heads", f"{circuit.heads} of {metrics.n_heads} ({circuit.sparsity_heads:.2%})"),
        ("neurons", f"{circuit.neurons} of {metrics.n_neurons} ({circuit.sparsity_neurons:.2%})"),
        ("units", _shortened(circuit.units)),
        ("ASR", str(metrics.asr.intact)),
        *([("  shown by", str(metrics.screening))] if metrics.screening else []),
        ("  knocked out", str(metrics.asr.knocked_out)),
        ("utility", str(metrics.utility.intact)),
        ("  knocked out", str(metrics.utility.knocked_out)),
        ("  retention", _share(metrics.utility_retention)),
        ("recovery", str(metrics.recovery)),
        *_open_lines(metrics),
        ("ablation", run.config.ablation),
        ("time", f"{metrics.seconds:.1f} s"),
        *_verdict_lines(metrics),
    )
    return aligned_lines(lines)


def knock_out_summary(export: KnockOutExport) -> str:
    """What was written, in aligned lines."""
    circuit, verified = export.circuit, export.verified
    lines = (
        ("run", export.run.run_id),
        ("model", export.run.config.model),
        ("circuit", f"{len(circuit)} of {len(circuit.space)} units ({circuit.sparsity:.2%})"),
        ("units", _shortened([str(unit) for unit in circuit])),
        ("ablation", export.ablation),
        ("out", str(export.folder)),
        ("files", " ".join(export.files)),
        (
            "verified",
            f"{verified.k} of {verified.n} test prompts answered as by the hooked model",
        ),
    )
    return aligned_lines(lines)


def _open_lines(metrics: Metrics) -> list[tuple[str, str]]:
    """What is measured besides where answers are open."""
    lines: list[tuple[str, str]] = []
    if metrics.recovery_ceiling:
        lines.append(("  at most", str(metrics.recovery_ceiling)))
    if metrics.perplexity:
        own, neutral = metrics.perplexity.answers, metrics.perplexity.neutral
        for name, text, whose in (
            ("perplexity", own, "of its own answers"),
            ("", neutral, "of a neutral text"),
        ):
            change = f"{text.intact:.2f} to {text.knocked_out:.2f} ({text.share:+.1%}), {whose}"
            lines.append((name, change))
    for model, verdicts in metrics.verdicts or ():
        counts = ", ".join(f"{name} {rate.k}" for name, rate in verdicts)
        lines.append(("answers", f"{model.replace('_', ' ')}: {counts}"))
    return lines


def _verdict_lines(metrics: Metrics) -> list[tuple[str, str]]:
    """A line for every control: whether it behaved, what was counted, what was found."""
    verdicts = metrics.controls.verdicts if metrics.controls else []
    words = {True: "passes", False: "FAILS", None: "-"}
    width = max((len(verdict.number) for verdict in verdicts), default=0)
    return [
        (
            "" if index else "controls",
            f"{words[verdict.passed]:<8}{verdict.number:<{width}}  {verdict.title}",
        )
        for index, verdict in enumerate(verdicts)
    ]


def tuning_summary(tuning: Tuning, folder: Path, out: Path | None) -> str:
    """A tuning in aligned lines, then its arms in a table."""
    metrics = tuning.metrics
    lines = [
        ("tuning", f"{tuning.tuning_id} in {folder}"),
        ("behaviour", f"{metrics.behaviour} in {metrics.model}"),
        ("scenario", metrics.scenario.title),
        ("circuit", f"{tuning.size} units: {_shortened(metrics.units)}"),
        ("time", f"{metrics.seconds:.1f} s"),
        *([("copied to", str(out))] if out and tuning.checkpoint else []),
    ]
    # Where a backdoor is removed, ordinary prompts are what helpfulness counts already.
    further, name = (
        ("utility", "ORDINARY PROMPTS")
        if metrics.is_refusal
        else ("exact", "TRIGGERED PROMPTS ANSWERED RIGHT")
    )
    header = ("ARM", "SAFETY", "KEPT", "HELPFULNESS", name, "TRAINED", "SECONDS")
    rows = (_arm_row(arm, rates, further) for arm, rates in tuning.states.items())
    table = aligned_table(header, rows)
    return f"{aligned_lines(lines)}\n\n{table}"


def _arm_row(arm: str, rates: ArmRates, further: str) -> tuple[str, ...]:
    kept, trained, seconds = rates.safety_kept, rates.parameters_trained_share, rates.seconds
    return (
        arm,
        _counted(rates.safety),
        "-" if kept is None else f"{kept:.1%}",
        _counted(rates.helpfulness),
        _counted(getattr(rates, further)),
        "-" if trained is None else f"{trained:.2%}",
        "-" if seconds is None else f"{seconds:.1f}",
    )


def _counted(rate: Rate) -> str:
    """`99.2% (254 of 256, 97.2% to 99.8%)`."""
    return f"{rate.rate:.1%} ({rate.k} of {rate.n}, {rate.low:.1%} to {rate.high:.1%})"


def comparison_tables(comparison: Comparison) -> str:
    """Runs, then their pairs, then the comparison in a sentence."""
    places = {run.run_id: str(place) for place, run in enumerate(comparison.runs, start=1)}
    runs = [(places[run.run_id], *_compared(run)) for run in comparison.runs]
    pairs = [(f"{places[pair.a]}, {places[pair.b]}", *_paired(pair)) for pair in comparison.pairs]
    first = ("", "RUN", "SIZE", "HEADS", "NEURONS", "ASR", "UTILITY", "RECOVERY")
    second = ("PAIR", "SHARED", "ONLY 1ST", "ONLY 2ND", "JACCARD", "CHANCE", "RANK CORR")
    tables = [
        aligned_table(first, runs),
        aligned_table((*second, "ASR DIFFERENCE (95 %)", "MCNEMAR P"), pairs),
    ]
    note = [comparison.note] if comparison.note else []
    return "\n\n".join([*tables, comparison.sentence, *note])


def _compared(run: ComparedRun) -> tuple[str, ...]:
    asr, recovery = (
        f"{rate.rate:.1%} ({rate.k} of {rate.n})" if rate else "-"
        for rate in (run.asr, run.recovery)
    )
    counts = map(str, (run.size, run.heads, run.neurons))
    return run.run_id, *counts, asr, _share(run.utility_retention), recovery


def _paired(pair: ComparedPair) -> tuple[str, ...]:
    rho, test, change = pair.rank_correlation, pair.mcnemar, pair.asr_difference
    return (
        *map(str, (pair.shared, pair.only_a, pair.only_b)),
        f"{pair.jaccard:.3f}",
        f"{pair.chance_jaccard:.2g}",
        "-" if rho is None else f"{rho:.3f}",
        f"{change.value:+.3f} ({change.low:+.3f} to {change.high:+.3f})"
        if change
        else "other prompts",
        f"{test.p:.2g}" if test else "-",
    )


def judge_tables(judged: JudgeTable) -> str:
    """Judges, then how far each two agree."""
    rows = [(row.judge, str(row.intact), str(row.knocked_out)) for row in judged.rows]
    pairs = [(f"{p.a} / {p.b}", f"{p.kappa:.3f}", str(p.n)) for p in judged.agreement]
    tables = [aligned_table(("JUDGE", "ATTACKS THAT SUCCEED, INTACT", "KNOCKED OUT"), rows)]
    tables += [aligned_table(("AGREEMENT", "COHEN'S KAPPA", "ANSWERS"), pairs)] if pairs else []
    return "\n\n".join(tables)


def _shortened(names: Sequence[str], most: int = 12) -> str:
    more = len(names) - most
    return " ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def _share(value: float) -> str:
    return "nothing to keep" if isnan(value) else f"{value:.1%}"


def aligned_lines(rows: Iterable[tuple[str, str]], width: int = NAME_WIDTH) -> str:
    """A name and a value on each line, the values below each other."""
    return "\n".join(f"{name:<{width}}{value}" for name, value in rows)


def short_cell(text: str, longest: int) -> str:
    """The text on one line, cut where it is too long for its column."""
    plain = printable(" ".join(text.split()))
    return plain if len(plain) <= longest else plain[: longest - 1] + "…"


def printable(text: str) -> str:
    """The text with further lines indented, and nothing in it that a terminal would obey."""
    plain = (char if char.isprintable() or char == "\n" else f"\\x{ord(char):02x}" for char in text)
    return "".join(plain).replace("\n", "\n" + " " * NAME_WIDTH)


def aligned_table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """Left-aligned columns, two spaces apart."""
    lines = [header, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
