"""Writes a report of finished runs and sweeps: one HTML page, CSV and LaTeX.

usage: python -m scripts.report FOLDER... [--csv=FILE] [--baseline=OPTIMIZER]
           [--pairs=baseline|all] [--target=VALUE] [--out=report] [--title=TEXT]

The page needs no network and no server: it holds its data, its charts and its tables.
Folders of one problem and one budget are compared with each other. `--csv` adds
anyone's results, with the columns optimizer, problem, seed, step, metric and value, and
perhaps gradients, seconds and direction (min or max is better). Verdicts compare each
optimizer with the baseline over common seeds. The baseline and the pairs of a folder of
`scripts.compare` are those of its command; for others there are no verdicts without
`--baseline`. `--pairs=all` compares every pair of optimizers, and corrects for all of
them. Times to target need a target: that of the suite with the same budget, or
`--target=0.97`, or for one of several problems `--target='digits_mlp=0.97'`; without
any, it is what the baseline reaches.
"""

import argparse
import math
import shlex
import sys
from collections.abc import Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path

from gradjax.analysis import family
from gradjax.analysis.across import across
from gradjax.analysis.comparison import Table, compare
from gradjax.analysis.horizons import speedups
from gradjax.errors import Refusal
from gradjax.files import named_disk_errors, write_bytes
from gradjax.pages.content import content
from gradjax.pages.page import page
from gradjax.pages.pairs import pairs_csv
from gradjax.pages.speedups import speedups_csv
from gradjax.pages.tables import to_csv, to_latex
from gradjax.plots.comparison import learning_curves
from gradjax.plots.profiles import performance_profiles
from gradjax.records.comparisons import asked_of, outcomes_of
from gradjax.records.outcomes_csv import outcomes_csv
from gradjax.report import terminal
from gradjax.suites import known
from gradjax.types.comparisons import Metric, Outcome
from scripts import parsing


def gather(
    folders: list[str], csv: str | None
) -> dict[tuple[str, Metric], list[Outcome]]:
    """Returns (problem, metric) -> all outcomes of the folders and of the CSV file."""
    found: dict[tuple[str, Metric], list[Outcome]] = {}
    parts = [part for folder in folders for part in outcomes_of(folder)]
    parts += outcomes_csv(csv) if csv else []
    for metric, own in parts:
        for one in own:
            found.setdefault((one.problem, metric), []).append(one)
    if not found:
        raise Refusal("a report needs a folder or --csv=FILE")
    return found


def tables_of(
    found: dict[tuple[str, Metric], list[Outcome]],
    baseline: str | None,
    targets: Sequence[str] = (),
    pairs: str = "baseline",
) -> list[Table]:
    """Returns the table of each problem; the baseline counts where it was run.

    Args:
      found: what `gather` returns.
      baseline: the optimizer that others are compared with; None: no verdicts.
      targets: "0.97" for the only problem, or "digits_mlp=0.97" for one of several.
        Without one, that of the suite counts.
      pairs: the family of the verdicts, see `analysis.comparison.compare`.
    """
    tables = []
    optimizers = {one.optimizer for own in found.values() for one in own}
    if baseline is not None and baseline not in optimizers:
        there = ", ".join(sorted(optimizers))
        raise Refusal(f"--baseline={baseline}: there are {there}")
    given = _targets(targets, [problem for problem, _ in found])
    for (problem, metric), own in found.items():
        target = given.get(problem, metric.target)
        if target is None:
            target = known.target_of(problem, metric.chosen_by or metric.name)
        metric = metric._replace(target=target)
        names = {one.optimizer for one in own if one.role == "fresh"}
        against = baseline if baseline in names else None
        tables.append(compare(own, metric, against, pairs=pairs))
    return tables


def _recorded(name: str, folders: Sequence[str]) -> str | None:
    """Returns what the commands of the comparisons among the folders have given."""
    known = [asked_of(folder).get(name) for folder in folders]
    values = list(dict.fromkeys(one for one in known if one is not None))
    if len(values) > 1:
        said = ", ".join(map(str, values))
        raise Refusal(
            f"the folders have several values of {name}: give --{name}=one of {said}"
        )
    return str(values[0]) if values else None


def _targets(texts: Sequence[str], problems: list[str]) -> dict[str, float]:
    """Reads the targets: problem with its budget -> value."""
    found = {}
    for text in texts:
        name, _, value = text.rpartition("=")
        named = [one for one in problems if one == name or one.startswith(f"{name}, ")]
        named = dict.fromkeys(named if name else problems)
        if len(named) != 1:
            there = ", ".join(dict.fromkeys(problems))
            raise Refusal(f"--target={text}: say of which problem; there are {there}")
        (problem,) = named
        found[problem] = _number(text, value)
    return found


def _number(text: str, value: str) -> float:
    try:
        found = float(value)
    except ValueError:
        found = math.nan
    if not math.isfinite(found):
        raise Refusal(f"--target={text}: {value!r} is not a finite number")
    return found


def main(arguments: list[str]) -> int:
    """Runs the command; returns its exit code: 2 after one line on stderr."""
    try:
        write(arguments)
    except Refusal as error:
        print(f"report: {error}", file=sys.stderr)
        return 2
    return 0


def write(arguments: list[str]) -> None:
    """Writes report.html, .csv and .tex, the curves of each problem, and profiles."""
    asked = _parser().parse_args(arguments)
    baseline = asked.baseline or _recorded("baseline", asked.folders)
    pairs = family.check(asked.pairs or _recorded("pairs", asked.folders) or "baseline")
    found = gather(asked.folders, asked.csv)
    tables = tables_of(found, baseline, asked.target, pairs)
    trials = [one for own in found.values() for one in own]
    spent = sum(one.num_gradients for one in trials)
    facts = {
        "Sources": "\n".join([*asked.folders, *([asked.csv] if asked.csv else [])]),
        "Intervals": "Student's interval of the mean over fresh seeds, at 95 %",
        "Rules": "docs/protocol.md states the rules of a comparison. Each problem lists"
        " those that its trials keep and those that they do not keep.",
        "Cost": f"{len(trials):,} trials" + (f", {spent:,} gradients" if spent else ""),
        "Command": shlex.join(["python", "-m", "scripts.report", *arguments]),
        "Made by": f"gradjax {version('gradjax')} on {date.today():%Y-%m-%d}",
    }
    curves, profiles = learning_curves(tables), _profiles(tables)
    html = page(content(asked.title, tables, facts), {**curves, **profiles})
    files = {
        "report.html": html,
        "report.csv": to_csv(tables),
        "report.tex": to_latex(tables),
    }
    if any(table.pairs for table in tables):
        files["pairs.csv"] = pairs_csv(tables)
    if ratios := speedups(tables):
        files["speedups.csv"] = speedups_csv(ratios)
    for k, svg in enumerate(curves.values()):
        files[f"curves-{k}.svg"] = svg
    for svg in profiles.values():
        files["profiles.svg"] = svg
    with named_disk_errors(asked.out):
        asked.out.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            write_bytes(asked.out / name, text.encode())
    terminal.say(f"{asked.out / 'report.html'}: {len(html) / 1e6:.2f} MB")


def _profiles(tables: Sequence[Table]) -> dict[str, str]:
    """Returns the picture of the profiles by its heading, if there are any."""
    found = across(tables)
    svg = performance_profiles(found) if found else None
    return {} if svg is None else {"Performance profiles": svg}


def _parser() -> argparse.ArgumentParser:
    parser = parsing.parser("report", __doc__)
    of = "of finished runs, sweeps and comparisons"
    parser.add_argument("folders", nargs="*", help=of)
    parser.add_argument("--csv", help="a file with the results of others")
    parser.add_argument(
        "--baseline", help="what others are compared with; default that of the folder"
    )
    parser.add_argument(
        "--pairs", help="baseline or all; default that of the folder, else baseline"
    )
    help_ = "the value that counts as solved, perhaps as problem=value"
    parser.add_argument("--target", action="append", default=[], help=help_)
    parser.add_argument("--out", type=Path, default=Path("report"), help="a folder")
    title = "Comparison of optimizers"
    parser.add_argument("--title", default=title, help=f"of the page; {title}")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
