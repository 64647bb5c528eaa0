"""Trains digits with every optimizer: `python -m scripts.optimizer_table`.

For each optimizer a learning rate is chosen from half decades around its default, by
validation accuracy on seed 0. The test accuracy is that of fresh seeds at this rate.
This takes about six minutes on two cores. `--optimizers` takes names, expressions and
import paths to your own, such as 'mine:rule(b1=0.9),adam'.
"""

import argparse
import functools
import os
import platform
import shlex
import sys
import time
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

import gradjax
from gradjax import expressions, optimizers, problems
from gradjax.analysis.statistics import student_interval
from gradjax.errors import Refusal
from gradjax.files import named_disk_errors, write_bytes
from gradjax.report import terminal
from gradjax.types import Program, Result
from scripts import pages, parsing

SOLVED = 0.90  # test accuracy
_PROBLEM, _STEPS, _BATCH = "digits_mlp", 1_200, 32  # 30 epochs, as in the experiment
_HALF_DECADES = range(-6, 5)  # from a thousandth to a hundred times the default rate
# Arguments that an expression must give.
_ARGUMENTS = {"dpsgd": "l2_norm_clip=1.0, noise_multiplier=0.1"}
# Optimizers that fail here: the reason, and an expression that shows it.
_REASONS = {
    "acprop": "its denominator is that of the step before, so a pixel that was dark in"
    " every batch so far moves by its gradient over 1e-8 when it lights",
}
_REMEDIES = {"acprop": "acprop(eps=0.001)"}
_HEAD = """\
| optimizer | rate | of its default | validation | test, fresh seeds | steps/s |\
 gradients a step | compile, s |
|---|---:|---:|---:|---:|---:|---:|---:|"""


class Row(NamedTuple):
    """The results of one optimizer."""

    expression: str
    rate: float | None  # None: the optimizer has no rate
    default: float | None
    validation: float  # accuracy on seed 0, by which the rate was chosen
    test: tuple[float, float, float]  # mean over the fresh seeds, 95 % interval
    steps_per_s: float  # the median over the fresh seeds
    gradients_per_step: float
    compile_s: float


def measure(expression: str, num_seeds: int) -> Row:
    """Searches the rate and runs the fresh seeds; compiles once."""
    program = _program(expression)
    path = _rate_path(program)
    default = None if path is None else program.hparams[path]
    rates = [] if default is None else [default * 10 ** (k / 2) for k in _HALF_DECADES]
    start = time.perf_counter()
    found = {rate: _run(program, rate, 0) for rate in rates or [None]}
    compile_s = next(iter(found.values())).compile_s
    rate = max(found, key=lambda rate: _score(found[rate]))
    fresh = [_run(program, rate, seed) for seed in range(1, num_seeds + 1)]
    _say(f"{expression}: {len(found)} rates in {time.perf_counter() - start:.1f} s")
    accuracies = np.asarray([one.evaluation["test"]["accuracy"] for one in fresh])
    return Row(
        expression,
        rate,
        default,
        _score(found[rate]),
        student_interval(accuracies),
        float(np.median([one.num_steps / one.run_s for one in fresh])),
        float(np.mean([one.num_gradients / one.num_steps for one in fresh])),
        compile_s,
    )


def table(rows: list[Row]) -> str:
    """Returns the rows as Markdown, the best first."""
    # NaN is the mean of an optimizer that diverged on a fresh seed; it ranks last.
    ordered = sorted(rows, key=lambda row: np.nan_to_num(-row.test[0], nan=np.inf))
    return "\n".join([_HEAD, *map(_line, ordered)])


def document(rows: list[Row], num_seeds: int, flags: str) -> str:
    """Returns the complete page."""
    named = [row for row in rows if row.expression not in _REMEDIES.values()]
    below = [row.expression for row in named if not row.test[0] >= SOLVED]
    solved = f"{len(named) - len(below)} of {len(named)} optimizers reach {SOLVED:.2f}"
    verdict = "\n".join(map(_reason, below))
    return f"""\
# Every optimizer on digits

`python -m scripts.optimizer_table{flags}`

- The network 64-128-10 with relu, batch {_BATCH}, {_STEPS:,} steps (30 epochs), a
  constant rate; what an expression does not say is at its default.
- Rate: the best of {len(_HALF_DECADES)} half decades from a thousandth to a hundred
  times the default, by validation accuracy on seed 0. Test: the mean over seeds 1 to
  {num_seeds} at that rate, with Student's 95 % interval; one test image is 0.003.
- Steps/s: of one run with its evaluation, without compilation.
- Machine: {os.cpu_count()} cores ({platform.machine()}), {jax.default_backend()};
  Python {platform.python_version()}, jax {jax.__version__}.

{solved} on the test set.
{verdict}

{table(rows)}
"""


def run(names: list[str], num_seeds: int, out: Path | None) -> None:
    """Measures and prints the table; writes it to `out` if that is given.

    Raises:
        Refusal: a file that cannot be written, or an optimizer that cannot take a step.
    """
    if out is not None:
        with named_disk_errors(out.parent):
            out.parent.mkdir(parents=True, exist_ok=True)
    wanted = [
        *map(_expression, names),
        *(_REMEDIES[n] for n in names if n in _REMEDIES),
    ]
    for expression in wanted:  # refused before anything is measured
        _program(expression)
    rows = [measure(expression, num_seeds) for expression in wanted]
    is_all = names == sorted(optimizers.OPTIMIZERS)
    listed = ",".join(names)
    said = "" if is_all else f" --optimizers={shlex.quote(listed)}"
    flags = f"{said} --seeds={num_seeds}"
    terminal.say(table(rows))
    if out is None:
        return
    with named_disk_errors(out.parent):
        write_bytes(out, document(rows, num_seeds, flags).encode())


@functools.cache
def _problem() -> gradjax.Problem:
    return problems.make(_PROBLEM)


@functools.cache
def _program(expression: str) -> Program:
    return gradjax.program(_problem(), expression, num_steps=_STEPS, batch_size=_BATCH)


def _rate_path(program: Program) -> str | None:
    """Returns the key of the learning rate; None if the optimizer has no rate."""
    return next(iter(program.plan.optimizer.rates), None)


def _run(program: Program, rate: float | None, seed: int) -> Result:
    path = _rate_path(program)
    hparams = {} if rate is None or path is None else {path: rate}
    return gradjax.run(program, hparams, seed)


def _score(result: Result) -> float:
    """Returns the validation accuracy; a run that diverged never ranks first."""
    accuracy = result.evaluation["validation"]["accuracy"]
    return accuracy if result.status == "finished" else -1.0


def _line(row: Row) -> str:
    factor = f"{row.rate / row.default:.3g}" if row.rate and row.default else ""
    mean, low, high = row.test
    cells = (
        f"`{row.expression}`",
        "none" if row.rate is None else f"{row.rate:.3g}",
        factor,
        f"{row.validation:.3f}",
        f"{mean:.3f} [{low:.3f}, {high:.3f}]",
        f"{row.steps_per_s:,.0f}",
        f"{row.gradients_per_step:.2f}",
        f"{row.compile_s:.1f}",
    )
    return f"| {' | '.join(cells)} |"


def _expression(name: str) -> str:
    return f"{name}({_ARGUMENTS[name]})" if name in _ARGUMENTS else name


def _reason(name: str) -> str:
    """Returns a line on an optimizer that fails here."""
    if name not in _REASONS:
        return f"\n`{name}` does not, and why is not known."
    return f"\n`{name}` does not: {_REASONS[name]}. `{_REMEDIES[name]}` shows it."


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _names(text: str) -> list[str]:
    """Reads names, expressions and import paths that are separated by commas."""
    try:
        calls = expressions.parse(f"optimizers({text})").args
        for call in calls:
            optimizers.split(call)
    except Refusal as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if not calls:
        raise argparse.ArgumentTypeError("expected optimizers, such as adam,mine:rule")
    return sorted({expressions.unparse(call) for call in calls})


def main(arguments: list[str]) -> int:
    """Runs the command; returns its exit code: 2 after one line on stderr."""
    parser = argparse.ArgumentParser(
        prog="optimizer_table",
        usage=argparse.SUPPRESS,  # a bad flag is refused in one line
        description=(__doc__ or "").partition("\n\n")[2],
        allow_abbrev=False,
    )
    every = sorted(optimizers.OPTIMIZERS)
    parser.add_argument("--optimizers", type=_names, default=every, help="a,b; all")
    parser.add_argument(
        "--seeds", type=parsing.count(2, 100), default=3, help="fresh ones; 3"
    )
    usual = pages.place("optimizers.md")
    parser.add_argument("--out", type=Path, help=f"{usual}, of all")
    parser.add_argument("--write", action="store_true", help=f"{pages.HELP}, of all")
    flags = parser.parse_args(arguments)
    try:
        if flags.write and flags.optimizers != every:
            raise Refusal("--write: the committed page is of all optimizers")
        if flags.optimizers == every:
            flags.out = pages.place("optimizers.md", flags.out, flags.write)
        run(flags.optimizers, flags.seeds, flags.out)
    except Refusal as error:
        _say(f"optimizer_table: {error}")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
