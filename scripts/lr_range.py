"""Finds a learning rate in one short run: `python -m scripts.lr_range`.

usage: python -m scripts.lr_range --problem=digits_mlp --optimizer=adam
           [--low=1e-6] [--high=10] [--steps=200] [--seeds=5] [--batch_size=N]
           [--out=lr_range.png] [--quiet]

The learning rate rises exponentially from --low to --high. The suggestion is the rate
at which the smoothed loss falls fastest; the loss diverges from the second rate on.
This command prints both for each seed, with the median and the range over the seeds,
and draws the losses. All seeds are trained together as one program. If not more than
half of the seeds have a suggestion, there is none, and the exit code is 1. --quiet
prints the suggestion alone, and draws only if --out is given.
"""

import argparse
import math
import sys
import warnings
from pathlib import Path
from typing import NamedTuple

from gradjax import problems
from gradjax.analysis.lr_range import Outcome, Spread
from gradjax.errors import Refusal
from gradjax.files import named_disk_errors, write_bytes
from gradjax.plots.lr_range import Curve, Marks
from gradjax.plots.lr_range import lr_range as draw
from gradjax.report import terminal
from gradjax.suites import SUITES
from gradjax.tuning.lr_range import LEAST, MAX_STEPS, MIN_STEPS, MOST, RangeTest
from gradjax.tuning.lr_range import lr_range as measure
from scripts import parsing

_OUT = "lr_range.png"
_MAX_SEEDS = 1_000
NOTHING_FOUND = 1  # the exit code


class _Asked(NamedTuple):
    """The flags after their checks."""

    problem: str
    optimizer: str
    batch_size: int | None
    out: Path | None  # None: no picture


def main(arguments: list[str]) -> int:
    """Runs the command; returns its exit code: 2 after one line on stderr."""
    flags = _parser().parse_args(arguments)
    try:
        asked = _checked(flags)
        with warnings.catch_warnings(record=True) as notes:
            warnings.simplefilter("always", UserWarning)
            found = measure(
                problems.make(asked.problem),
                asked.optimizer,
                flags.low,
                flags.high,
                flags.steps,
                range(flags.seeds),
                asked.batch_size,
            )
        if asked.out is not None:
            with named_disk_errors(asked.out.parent):
                write_bytes(asked.out, picture(asked.problem, asked.optimizer, found))
    except Refusal as error:
        _complain(f"{error}")
        return 2
    for note in notes:
        _complain(f"{note.message}")
    if flags.quiet:
        if found.suggestion is None:
            _complain(_nothing(found))
        else:
            terminal.say(f"{found.suggestion.median:.3g}")
    else:
        terminal.say("\n".join([*_head(asked, found), *table(found), ""]))
        terminal.say("\n".join([*conclusions(found), f"{asked.out} shows it"]))
    return NOTHING_FOUND if found.suggestion is None else 0


def table(found: RangeTest) -> list[str]:
    """Returns a line for each seed: its two rates, and its smoothed loss."""
    cells = [("seed", "suggestion", "diverges from", "smoothed loss", "steps")]
    for seed, one in zip(found.seeds, found.outcomes, strict=True):
        cells.append((f"{seed}", *_rates_of(one), _fall(one), f"{one.num_tested:,}"))
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        for row in cells
    ]


def conclusions(found: RangeTest) -> list[str]:
    """Returns a sentence about the suggestion and one about the divergence."""
    lines = []
    if found.suggestion is None:
        lines.append(_nothing(found))
    else:
        lines.append(f"suggested learning rate: {_spread(found, found.suggestion)}")
    if found.divergence is not None:
        lines.append(f"the loss diverges from: {_spread(found, found.divergence)}")
    else:
        num = sum(one.divergence is not None for one in found.outcomes)
        which = "no seed" if num == 0 else f"only {num} of {len(found.seeds)} seeds"
        verb = "diverge" if num > 1 else "diverges"
        lines.append(
            f"{which} {verb} up to a learning rate of {found.rates[-1]:g}: give a"
            " larger --high to see more"
        )
    return lines


def picture(problem: str, optimizer: str, found: RangeTest) -> bytes:
    """Returns the losses over the learning rate, as a PNG."""
    curves = [
        Curve(losses, one.smoothed, one.suggestion, one.divergence)
        for losses, one in zip(found.losses, found.outcomes, strict=True)
    ]
    marks = Marks(*(one and one[:3] for one in (found.suggestion, found.divergence)))
    return draw(f"{problem}, {optimizer}", found.rates, curves, marks)


def _head(asked: _Asked, found: RangeTest) -> list[str]:
    size = asked.batch_size
    batches = "" if size is None else f", batches of {size} examples"
    first = (
        f"{asked.problem}, {asked.optimizer}: learning rates from {found.rates[0]:g} to"
        f" {found.rates[-1]:g} in {len(found.rates):,} steps{batches}"
    )
    ratios = [
        f"{path} is {ratio:g} times this rate" for path, ratio in found.ratios.items()
    ]
    return [first, *ratios]


def _rates_of(one: Outcome) -> tuple[str, str]:
    suggestion = "no fall" if one.suggestion is None else f"{one.suggestion:.3g}"
    divergence = "not seen" if one.divergence is None else f"{one.divergence:.3g}"
    return suggestion, divergence


def _fall(one: Outcome) -> str:
    """Returns the smoothed loss at the first step and its least value."""
    tested = [x for x in one.smoothed[: one.num_tested] if math.isfinite(x)]
    if not tested:
        return "not finite"
    return f"{tested[0]:.4g} to {min(tested):.4g}"


def _spread(found: RangeTest, one: Spread) -> str:
    if len(found.seeds) == 1:
        return f"{one.median:.3g} (one seed, so its spread is not known)"
    which = f"{one.num_seeds} of {len(found.seeds)} seeds"
    which = which if one.num_seeds < len(found.seeds) else f"{one.num_seeds} seeds"
    return f"{one.median:.3g}, the median; {which} from {one.low:.3g} to {one.high:.3g}"


def _nothing(found: RangeTest) -> str:
    """Returns why there is no suggestion, and which flag helps."""
    count = sum(one.suggestion is None for one in found.outcomes)
    start = f"no suggestion: the loss of {count} of {len(found.seeds)} seeds"
    if len(found.seeds) == 1:
        start = "no suggestion: the loss"
    if all(one.num_tested <= MIN_STEPS for one in found.outcomes):
        return f"{start} diverges in the first steps: give a smaller --low"
    ends = [one.divergence for one in found.outcomes]
    if all(end is None for end in ends):
        return f"{start} never falls by more than its noise: give a larger --high"
    return (
        f"{start} never falls by more than its noise before it diverges: give more"
        " --steps, or a larger --batch_size"
    )


def _checked(flags: argparse.Namespace) -> _Asked:
    """Checks the flags that do not stand alone."""
    if not flags.low < flags.high:
        raise Refusal(f"--low={flags.low:g} is not below --high={flags.high:g}")
    problem = " ".join(flags.problem.split())
    size = flags.batch_size
    if size is None:
        known = {one.problem: one for suite in SUITES.values() for one in suite}
        size = known[problem].batch_size if problem in known else None
    out = flags.out or (None if flags.quiet else _OUT)
    if out is not None and (not out.endswith(".png") or "\0" in out):
        raise Refusal(f"--out={out}: expected a file whose name ends in .png")
    if out is not None and not Path(out).parent.is_dir():
        raise Refusal(f"--out={out}: {Path(out).parent} is not a folder")
    return _Asked(problem, flags.optimizer, size, None if out is None else Path(out))


def _rate(text: str) -> float:
    """Reads the value of a flag that takes a learning rate."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not LEAST <= value <= MOST:
        said = text if len(text) <= 40 else f"{text[:37]}..."
        expected = f"must be a number from {LEAST:g} to {MOST:g}"
        raise argparse.ArgumentTypeError(f"{said!r}: {expected}")
    return value


def _parser() -> argparse.ArgumentParser:
    parser = parsing.parser("lr_range", __doc__)
    add = parser.add_argument
    add("--problem", required=True, help="a name, a call or an import path")
    add("--optimizer", required=True, help="an expression, as in adamw(b2=0.95)")
    add("--low", type=_rate, default=1e-6, help="the first rate; default 1e-6")
    add("--high", type=_rate, default=10.0, help="the last rate; default 10")
    steps = parsing.count(MIN_STEPS, MAX_STEPS)
    add("--steps", type=steps, default=200, help="rates that are tried; default 200")
    seeds = parsing.count(1, _MAX_SEEDS)
    add("--seeds", type=seeds, default=5, help="runs; default 5")
    help_ = "examples; default that of the suite with this problem, else all examples"
    add("--batch_size", type=parsing.count(1, 2**31 - 1), help=help_)
    add("--out", help=f"the picture; default {_OUT}")
    add("--quiet", action="store_true", help="print the suggestion alone")
    return parser


def _complain(line: str) -> None:
    print(f"lr_range: {' '.join(line.split())}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
