"""The table that is printed at the end of a run or a sweep, from its summary."""

from typing import Any

from gradjax.report import sweep_table, terminal
from gradjax.report.sweep_table import is_known, words
from gradjax.report.terminal import number


def show(summary: dict[str, Any]) -> None:
    """Prints the texts that the problem reported, then the table."""
    for heading, lines in summary["texts"].items():
        terminal.say("\n".join([f"{heading}:", *(f"  {line}" for line in lines)]))
    if not summary["space"]:
        terminal.table(f"{summary['problem']}: {_status(summary)}", run_rows(summary))
        return
    terminal.table(f"sweep: {summary['status']}", _sweep_rows(summary))
    terminal.say("\n".join(sweep_table.lines(summary)))


def run_rows(summary: dict[str, Any]) -> list[tuple[str, str]]:
    """Returns (name, value) of each line of the table of a run.

    A run whose seeds all diverged has no figures, only counts and times.
    """
    rows = [] if summary["status"] == "diverged" else _figure_rows(summary)
    rows += _count_rows(summary)
    rows.append(("steps", f"{summary['steps']:,}"))
    rows.append(("compile time", f"{summary['compile_s']:.2f} s"))
    rows.append(("run time", f"{summary['run_s']:.2f} s"))
    for name in ("examples", "steps"):
        if f"{name}_per_s" in summary:
            rows.append((f"{name}/s", f"{summary[f'{name}_per_s']:,.0f}"))
    return rows


def _status(summary: dict[str, Any]) -> str:
    steps = [one["diverged_step"] for one in summary["trials"]]
    if summary["status"] != "diverged" or None in steps:
        return summary["status"]
    said = " and ".join(f"{step:,}" for step in sorted({min(steps), max(steps)}))
    between = "between steps" if min(steps) < max(steps) else "at step"
    return f"diverged {between} {said}"


def _figure_rows(summary: dict[str, Any]) -> list[tuple[str, str]]:
    """Returns the rows of the metrics, and of the best and the last evaluation."""
    rows = []
    for split in ("train", "validation", "test"):
        measured = [name for name in summary if name.startswith(f"{split}_")]
        for name in sorted(measured, key=lambda name: not name.endswith("_loss")):
            rows.append((words(name), _with_interval(summary, name)))
    for name in summary["reported"]:
        rows.append((words(name), _with_interval(summary, name)))
    if "gap" in summary:
        rows.append(("above the minimum", _with_interval(summary, "gap")))
    return rows + _evaluation_rows(summary)


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
        if is_known(value):
            said = f"{words(metric)} {number(value)} at step {step:,}"
        if which == "best" and is_known(one.get("best_epoch")):
            said += f" (epoch {one['best_epoch']:.4g})"
        rows.append((f"{which} evaluation{first}", said))
    return rows


def _sweep_rows(summary: dict[str, Any]) -> list[tuple[str, str]]:
    which = "best" if summary["keep"] == "best" else "last"
    chosen = f"{words(summary['metric'])} of the {which} evaluation"
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
            rows.append((words(name), _count(summary, name)))
    if summary["num_changes"]:
        said = "not all in one environment: `environment` of gradjax.frames says which"
        rows.append(("warning", said))
    if not summary["space"]:
        rows += [("warning", line) for line in summary["warnings"]]
    return rows


def _count(summary: dict[str, Any], name: str) -> str:
    """Returns how many of the trials ended in a way, and what that means for means."""
    count, trials = summary[f"num_{name}"], summary["num_trials"]
    if summary["space"] or trials == 1:
        return f"{count:,} of {trials:,}" if trials > 1 else _at_step(summary)
    left_out = count < trials and name in ("diverged", "set_aside")
    return f"{count:,} of {trials:,} seeds" + (
        ", which the figures leave out" if left_out else ""
    )


def _at_step(summary: dict[str, Any]) -> str:
    one = summary["trials"][0]
    return f"at step {one['diverged_step'] or one['steps']:,}"


def _with_interval(summary: dict[str, Any], name: str) -> str:
    value, spread = summary[name], summary["intervals"].get(name)
    if not is_known(value):
        return "not finite"
    if not spread or not is_known(spread["low"]):
        return number(value)
    low, high, std = (number(spread[name]) for name in ("low", "high", "std"))
    said = f"{number(value)}  (std {std}, 95 % interval {low} to {high})"
    coarse = sweep_table.resolution_note(summary, name, spread)
    return f"{said}; {coarse}" if coarse else said
