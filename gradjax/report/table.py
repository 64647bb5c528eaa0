"""The table that is printed at the end of a run or a sweep, from its summary."""

import math
from typing import Any

from gradjax.report import terminal
from gradjax.report.terminal import number


def show(summary: dict[str, Any]) -> None:
    """Prints the texts that the problem reported, then the table."""
    for heading, lines in summary["texts"].items():
        terminal.say("\n".join([f"{heading}:", *(f"  {line}" for line in lines)]))
    if not summary["space"]:
        terminal.table(f"{summary['problem']}: {summary['status']}", run_rows(summary))
        return
    terminal.table(f"sweep: {summary['status']}", _sweep_rows(summary))
    for name, found in summary["optimizers"].items():
        title = f"{name}, best of {found['settings']} settings:"
        terminal.table(title, _optimizer_rows(found, summary["metric"]))


def run_rows(summary: dict[str, Any]) -> list[tuple[str, str]]:
    """Returns (name, value) of each line of the table of a run."""
    rows = []
    for split in ("train", "validation", "test"):
        measured = [name for name in summary if name.startswith(f"{split}_")]
        for name in sorted(measured, key=lambda name: not name.endswith("_loss")):
            rows.append((_words(name), _with_interval(summary, name)))
    for name in summary["reported"]:
        rows.append((_words(name), _with_interval(summary, name)))
    if "gap" in summary:
        rows.append(("above the minimum", _with_interval(summary, "gap")))
    rows += _evaluation_rows(summary)
    rows += _count_rows(summary)
    rows.append(("steps", f"{summary['steps']:,}"))
    rows.append(("compile time", f"{summary['compile_s']:.2f} s"))
    rows.append(("run time", f"{summary['run_s']:.2f} s"))
    for name in ("examples", "steps"):
        if f"{name}_per_s" in summary:
            rows.append((f"{name}/s", f"{summary[f'{name}_per_s']:,.0f}"))
    return rows


def _evaluation_rows(summary: dict[str, Any]) -> list[tuple[str, str]]:
    """Returns the rows of the kept parameters and of the best and last evaluation."""
    one = summary["trials"][0]
    best = next((k for k in one if k.startswith("best_validation_")), None)
    if best is None:
        return []
    metric = best.removeprefix("best_")
    by = "best on validation" if summary["keep"] == "best" else "the last"
    first = " (first seed)" if len(summary["trials"]) > 1 else ""
    rows = [(f"parameters kept{first}", f"{by}, step {one['kept_step']:,}")]
    for which in ("best", "last"):
        value, step = one[f"{which}_{metric}"], one[f"{which}_step"]
        said = "not finite"
        if _is_known(value):
            said = f"{_words(metric)} {number(value)} at step {step:,}"
        if which == "best" and _is_known(one.get("best_epoch")):
            said += f" (epoch {one['best_epoch']:.4g})"
        rows.append((f"{which} evaluation{first}", said))
    return rows


def _sweep_rows(summary: dict[str, Any]) -> list[tuple[str, str]]:
    which = "best" if summary["keep"] == "best" else "last"
    chosen = f"{_words(summary['metric'])} of the {which} evaluation"
    return [
        ("trials", f"{summary['num_trials']:,}"),
        *_count_rows(summary),
        ("chosen by", chosen),
        ("compile time", f"{summary['compile_s']:.1f} s"),
        ("run time", f"{summary['run_s']:.1f} s"),
    ]


def _count_rows(summary: dict[str, Any]) -> list[tuple[str, str]]:
    """Returns the rows of trials that did not finish, and of warnings."""
    rows = []
    for name in ("diverged", "stopped_early", "stopped", "set_aside"):
        if summary[f"num_{name}"]:
            rows.append((_words(name), f"{summary[f'num_{name}']:,}"))
    if summary["num_changes"]:
        said = "not all in one environment: `environment` of gradjax.frames says which"
        rows.append(("warning", said))
    if not summary["space"]:
        rows += [("warning", line) for line in summary["warnings"]]
    return rows


def _optimizer_rows(found: dict[str, Any], metric: str) -> list[tuple[str, str]]:
    warnings = [("warning", line) for line in found["warnings"]]
    if found["best"] is None:
        return warnings
    point = {k: v for k, v in found["best"].items() if k != "optimizer"}
    at = ", ".join(
        f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in point.items()
    )
    rows = [("at", at or "its defaults")]
    test = f"test_{metric.partition('_')[2]}"
    for kind, said in (("searched", "to choose it"), ("fresh", "fresh seeds")):
        for name, spread in found.get(kind, {}).items():
            # The test split is shown for fresh seeds only.
            if name == metric or (name == test and kind == "fresh"):
                rows.append((f"{_words(name)}, {said}", _seeds(spread)))
    return [*rows, *warnings]


def _seeds(spread: dict[str, Any]) -> str:
    if not _is_known(spread["mean"]):
        return "not finite"
    said = number(spread["mean"])
    if _is_known(spread["low"]):
        said += f" (95 % interval {number(spread['low'])} to {number(spread['high'])})"
    return f"{said}, {len(spread['values'])} seeds"


def _with_interval(summary: dict[str, Any], name: str) -> str:
    value, spread = summary[name], summary["intervals"].get(name)
    if not _is_known(value):
        return "not finite"
    if not spread or not _is_known(spread["low"]):
        return number(value)
    low, high, std = (number(spread[name]) for name in ("low", "high", "std"))
    return f"{number(value)}  (std {std}, 95 % interval {low} to {high})"


def _is_known(value: Any) -> bool:
    return value is not None and math.isfinite(value)


def _words(name: str) -> str:
    return name.replace("_", " ")
