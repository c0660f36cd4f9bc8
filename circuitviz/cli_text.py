"""What the command line prints for people: aligned lines and tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any

from circuitviz.behaviours.screening import Screening
from circuitviz.evaluation.rate import Rate

if TYPE_CHECKING:
    from circuitviz.runs.comparison import Comparison
    from circuitviz.runs.knock_out import KnockOutExport
    from circuitviz.runs.store import Run
    from circuitviz.runs.tuning_store import Tuning


NAME_WIDTH = 14  # characters of the first column


def missed_target(run: Run) -> str:
    """What target was missed, and how far the best circuit came."""
    target, found = run.metrics["target"], run.metrics["circuit"]
    bound = "at most" if run.metrics["behaviour_kind"] == "backdoor" else "at least"
    return (
        f"the target, ASR {bound} {target['asr']:.1%} and {target['utility']:.1%} of utility kept, "
        f"is not reached; the best circuit found (size {found['size']}) has ASR "
        f"{run.rate('asr', 'knocked_out').rate:.1%} and keeps "
        f"{_share(run.metrics['utility_retention'])} on test prompts{_missed(run.metrics)}"
    )


def _missed(metrics: dict[str, Any]) -> str:
    """Which parts of the target were missed, where the run says so."""
    parts = metrics.get("target_missed")
    return f"; missed: {', '.join(parts)}" if parts else ""


def run_summary(run: Run, folder: Path) -> str:
    """A run in aligned lines."""
    metrics, found = run.metrics, run.metrics["circuit"]
    lines = (
        ("run", f"{run.run_id} in {folder}"),
        ("behaviour", f"{metrics['behaviour']} in {metrics['model']}"),
        ("circuit", f"{found['size']} of {metrics['n_units']} units ({found['sparsity']:.2%})"),
        ("heads", f"{found['heads']} of {metrics['n_heads']} ({found['sparsity_heads']:.2%})"),
        (
            "neurons",
            f"{found['neurons']} of {metrics['n_neurons']} ({found['sparsity_neurons']:.2%})",
        ),
        ("units", _shortened(found["units"])),
        ("ASR", f"{run.rate('asr', 'intact')}"),
        *_screening_lines(metrics),
        ("  knocked out", f"{run.rate('asr', 'knocked_out')}"),
        ("utility", f"{run.rate('utility', 'intact')}"),
        ("  knocked out", f"{run.rate('utility', 'knocked_out')}"),
        ("  retention", _share(metrics["utility_retention"])),
        ("recovery", f"{Rate.from_json(metrics['recovery'])}"),
        *_open_lines(metrics),
        ("ablation", run.config.ablation),
        ("time", f"{metrics['seconds']:.1f} s"),
        *_verdict_lines(metrics),
    )
    return "\n".join(f"{name:<{NAME_WIDTH}}{value}" for name, value in lines)


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
    return "\n".join(f"{name:<{NAME_WIDTH}}{value}" for name, value in lines)


def _open_lines(metrics: dict[str, Any]) -> list[tuple[str, str]]:
    """What is told besides where answers are open."""
    lines: list[tuple[str, str]] = []
    if "recovery_ceiling" in metrics:
        lines.append(("  at most", f"{Rate.from_json(metrics['recovery_ceiling'])}"))
    for text, named in (("answers", "of its own answers"), ("neutral", "of a neutral text")):
        if "perplexity" in metrics:
            before, after = (metrics["perplexity"][text][m] for m in ("intact", "knocked_out"))
            change = f"{before:.2f} to {after:.2f} ({after / before - 1:+.1%}), {named}"
            lines.append(("perplexity" if text == "answers" else "", change))
    for model, verdicts in metrics.get("verdicts", {}).items():
        counts = ", ".join(f"{name} {rate['k']}" for name, rate in verdicts.items())
        lines.append(("answers", f"{model.replace('_', ' ')}: {counts}"))
    return lines


def _screening_lines(metrics: dict[str, Any]) -> list[tuple[str, str]]:
    """How many prompts showed the behaviour, where the intact model had to be asked."""
    told = metrics.get("screening")
    return [("  shown by", str(Screening.from_json(told)))] if told else []


def _verdict_lines(metrics: dict[str, Any]) -> list[tuple[str, str]]:
    """A line for every control: whether it behaved, what was counted, what was found."""
    verdicts = (metrics.get("controls") or {}).get("verdicts") or []
    words = {True: "passes", False: "FAILS", None: "-"}
    width = max((len(verdict["number"]) for verdict in verdicts), default=0)
    return [
        (
            "" if place else "controls",
            f"{words[verdict['passed']]:<8}{verdict['number']:<{width}}  {verdict['title']}",
        )
        for place, verdict in enumerate(verdicts)
    ]


def tuning_summary(tuning: Tuning, folder: Path, out: Path | None) -> str:
    """A tuning in aligned lines, then its arms in a table."""
    metrics = tuning.metrics
    lines = [
        ("tuning", f"{tuning.tuning_id} in {folder}"),
        ("behaviour", f"{metrics['behaviour']} in {metrics['model']}"),
        ("scenario", str((metrics.get("scenario") or {}).get("title") or tuning.config.mode)),
        ("circuit", f"{tuning.size} units: {_shortened(metrics['units'])}"),
        ("time", f"{metrics['seconds']:.1f} s"),
        *([("copied to", str(out))] if out and tuning.checkpoint else []),
    ]
    # Where a backdoor is removed, ordinary prompts are what helpfulness counts already.
    further, name = (
        ("exact", "TRIGGERED PROMPTS ANSWERED RIGHT")
        if metrics["behaviour_kind"] == "backdoor"
        else ("utility", "ORDINARY PROMPTS")
    )
    header = ("ARM", "SAFETY", "KEPT", "HELPFULNESS", name, "TRAINED", "SECONDS")
    arms = [("before", metrics["before"]), *((arm, metrics["arms"][arm]) for arm in tuning.arms)]
    table = aligned_table(header, (_arm_row(arm, values, further) for arm, values in arms))
    text = "\n".join(f"{name:<{NAME_WIDTH}}{value}" for name, value in lines)
    return f"{text}\n\n{table}"


def _arm_row(arm: str, values: dict[str, Any], further: str) -> tuple[str, ...]:
    kept, trained, seconds = (
        values.get(key) for key in ("safety_kept", "parameters_trained_share", "seconds")
    )
    return (
        arm,
        _counted(values["safety"]),
        "-" if kept is None or isnan(kept) else f"{kept:.1%}",
        _counted(values["helpfulness"]),
        _counted(values.get(further)),
        "-" if trained is None else f"{trained:.2%}",
        "-" if seconds is None else f"{seconds:.1f}",
    )


def _counted(data: dict[str, Any] | None) -> str:
    """`99.2% (254 of 256, 97.2% to 99.8%)`."""
    if not data:
        return "-"
    rate = Rate.from_json(data)
    return f"{rate.rate:.1%} ({rate.k} of {rate.n}, {rate.low:.1%} to {rate.high:.1%})"


def comparison_tables(found: Comparison) -> str:
    """Runs, then their pairs, then the comparison in a sentence."""
    places = {run["run_id"]: str(place) for place, run in enumerate(found.runs, start=1)}
    runs = [(places[run["run_id"]], *_compared(run)) for run in found.runs]
    pairs = [(f"{places[pair['a']]}, {places[pair['b']]}", *_paired(pair)) for pair in found.pairs]
    first = ("", "RUN", "SIZE", "HEADS", "NEURONS", "ASR", "UTILITY", "RECOVERY")
    second = ("PAIR", "SHARED", "ONLY 1ST", "ONLY 2ND", "JACCARD", "CHANCE", "RANK CORR")
    tables = [
        aligned_table(first, runs),
        aligned_table((*second, "ASR DIFFERENCE (95 %)", "MCNEMAR P"), pairs),
    ]
    return "\n\n".join([*tables, found.sentence, *([found.note] if found.note else [])])


def _compared(run: dict[str, Any]) -> tuple[str, ...]:
    counts = (str(run[key]) for key in ("size", "heads", "neurons"))
    asr, recovery = (
        f"{rate['rate']:.1%} ({rate['k']} of {rate['n']})" if rate else "-"
        for rate in (run["asr"], run["recovery"])
    )
    return run["run_id"], *counts, asr, _share(run["utility_retention"]), recovery


def _paired(pair: dict[str, Any]) -> tuple[str, ...]:
    counts = (str(pair[key]) for key in ("shared", "only_a", "only_b"))
    rho, test, change = (pair[key] for key in ("rank_correlation", "mcnemar", "asr_difference"))
    return (
        *counts,
        f"{pair['jaccard']:.3f}",
        f"{pair['chance_jaccard']:.2g}",
        "-" if rho is None else f"{rho:.3f}",
        "{value:+.3f} ({low:+.3f} to {high:+.3f})".format(**change) if change else "other prompts",
        f"{test['p']:.2g}" if test else "-",
    )


def judge_tables(found: dict[str, Any]) -> str:
    """What `judge_table` found: judges, then how far each two agree."""
    rows = [
        (row["judge"], str(Rate.from_json(row["intact"])), str(Rate.from_json(row["knocked_out"])))
        for row in found["rows"]
    ]
    pairs = [(f"{p['a']} / {p['b']}", f"{p['kappa']:.3f}", str(p["n"])) for p in found["agreement"]]
    tables = [aligned_table(("JUDGE", "ATTACKS THAT SUCCEED, INTACT", "KNOCKED OUT"), rows)]
    tables += [aligned_table(("AGREEMENT", "COHEN'S KAPPA", "ANSWERS"), pairs)] if pairs else []
    return "\n\n".join(tables)


def _shortened(names: Sequence[str], most: int = 12) -> str:
    more = len(names) - most
    return " ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def _share(value: float) -> str:
    return "nothing to keep" if isnan(value) else f"{value:.1%}"


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
