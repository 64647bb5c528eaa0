"""Runs each problem of a suite once: `python -m scripts.run_suite small`.

This command prints the result of each run, its target and its seconds, with compiling
and reading data. Without --optimizer a problem is trained with the setting that set its
target, and about half of all seeds meet the target. Your own expression includes its
learning rate, as in --optimizer='adam(3e-3)'. The schedule is a cosine, as for the
targets, and the seed was not used to set them. A problem whose data set is not prepared
is left out, and the exit code is then 2.
"""

import argparse
import sys
import time

from gradjax import expressions, optimizers
from gradjax.errors import Refusal
from gradjax.report import terminal
from gradjax.suites import SUITES, Workload, problem_of, rule
from gradjax.types import Problem
from scripts import parsing

_HEAD = (
    "| problem | optimizer | metric | reached | target | met | seconds |\n"
    "|---|---|---|---:|---:|---|---:|"
)


def row(
    problem: Problem, workload: Workload, optimizer: str | None, seed: int
) -> tuple[str, bool]:
    """Returns a table line without its seconds, and whether the target was met."""
    expression, settings = optimizer or workload.optimizer, {}
    if optimizer is None:
        settings = {"learning_rate": [workload.learning_rate]}
    found = rule.run(problem, workload, expression, settings, range(seed, seed + 1))
    values, goal = rule.final_values(found, workload), workload.target
    is_met = rule.num_met(values, goal) == 1
    said = f"{expression} at {workload.learning_rate:g}" if settings else expression
    cells = (
        f"`{workload.problem}`",
        f"`{said}`",
        goal.metric,
        f"{values[0]:.5g}",
        f"{goal.value:g}",
        "yes" if is_met else "no",
    )
    return f"| {' | '.join(cells)} |", is_met


def _parser() -> argparse.ArgumentParser:
    parser = parsing.parser("run_suite", __doc__)
    known = ", ".join(SUITES)
    parser.add_argument("suite", nargs="*", help=f"one or more of {known}; default all")
    parser.add_argument("--optimizer", help="replaces the settings of the targets")
    seed = rule.OTHER_SEEDS[0]
    help_ = f"the seed of the runs; default {seed}"
    parser.add_argument(
        "--seed", type=parsing.count(0, 2**32 - 1), default=seed, help=help_
    )
    return parser


def main(arguments: list[str]) -> int:
    """Runs the command; returns its exit code: 2 after a line on stderr."""
    flags = _parser().parse_args(arguments)
    began, met, num_left = time.monotonic(), [], 0
    try:
        if flags.optimizer is not None:
            optimizers.split(flags.optimizer)
        suites = [
            expressions.lookup(name, SUITES, "suite") for name in flags.suite or SUITES
        ]
        for workload in (workload for suite in suites for workload in suite):
            started = time.monotonic()
            try:
                problem = problem_of(workload)
            except Refusal as refusal:  # the data set is not prepared; others continue
                _complain(f"{workload.problem} is left out: {refusal}")
                num_left += 1
                continue
            line, is_met = row(problem, workload, flags.optimizer, flags.seed)
            line = f"{line} {time.monotonic() - started:.1f} |"
            terminal.say(line if met else f"{_HEAD}\n{line}")
            met.append(is_met)
    except Refusal as refusal:
        _complain(f"{refusal}")
        return 2
    left = f", {num_left} left out" if num_left else ""
    seconds = time.monotonic() - began
    terminal.say(f"\n{sum(met)} of {len(met)} met{left}, {seconds:.0f} s in all")
    return 2 if num_left else 0


def _complain(line: str) -> None:
    print(f"run_suite: {' '.join(line.split())}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
