"""Finds the best learning rate at several widths, in the standard form and in muP.

usage: python -m scripts.width_transfer [--widths=64,128,256,512,1024] [--steps=500]
           [--optimizers=sgd,adam] [--model='mlp(widths=(64, 64, 64))'] [--seeds=3]
           [--batch_size=32] [--dataset=digits] [--out=width_transfer.png]

At each width rates that differ by a factor of 2 are tried, with several seeds each and
the schedule cosine, around the best one, until it lies inside of them. The loss is the
mean over the last tenth of the steps, and its geometric mean over the seeds is
compared. The table has the best rates; under muP they stay put, so a rate that was
tuned at a small width serves a large one. Width 1,024 takes most of the time: on two
busy cores a run of 500 steps takes about 11 s with sgd and 20 s with adam.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np

import gradjax
from gradjax.analysis.rate_search import Searched, score, search, shift
from gradjax.errors import Refusal
from gradjax.files import named_disk_errors, write_bytes
from gradjax.plots.width_transfer import Sweep, width_transfer
from gradjax.problems import images
from gradjax.problems.parametrized import at_width
from gradjax.report import terminal
from scripts import parsing
from scripts.parsing import count

PARAMETRIZATIONS = ("standard", "mup")
_START = {"sgd": -2, "adam": -8}  # places of the first rates; the rate is 2 ** place
_USUAL_START = -8
_SCHEDULE = "cosine"  # without it the last losses are noise, and so is the best rate
_TAIL = 10  # the loss is the mean over the last steps / _TAIL steps


def losses(
    problem: gradjax.Problem,
    optimizer: str,
    places: list[int],
    num_steps: int,
    num_seeds: int,
    batch_size: int,
) -> dict[int, np.ndarray]:
    """Trains at each rate with each seed: place of the rate -> f32[seeds]."""
    trials = gradjax.sweep(
        problem,
        optimizer,
        {"learning_rate": [2.0**place for place in places]},
        range(num_seeds),
        _SCHEDULE,
        num_steps=num_steps,
        batch_size=batch_size,
        trace_every=1,
    )
    tail = max(1, num_steps // _TAIL)
    values = np.asarray(trials.trace["loss"].values)[:, -tail:].mean(axis=1)
    values = np.where(np.asarray(trials.status) == "finished", values, np.inf)
    rows = values.reshape(len(places), num_seeds)
    return dict(zip(places, rows, strict=True))


def of_widths(
    flags: argparse.Namespace, optimizer: str, parametrization: str
) -> dict[int, Searched]:
    """Finds the best rate at each width; each search begins at the one before."""
    found: dict[int, Searched] = {}
    start = _START.get(optimizer.partition("(")[0], _USUAL_START)
    for width in flags.widths:
        began = time.monotonic()
        model = at_width(flags.model, width)
        problem = images.load(flags.dataset, model, parametrization=parametrization)

        def measure(places: list[int], problem: gradjax.Problem = problem):
            how = (flags.steps, flags.seeds, flags.batch_size)
            return losses(problem, optimizer, places, *how)

        found[width] = search(measure, start)
        best = found[width].best
        start = start if best is None else best
        terminal.say(_line(optimizer, parametrization, width, found[width], began))
    return found


def _line(
    optimizer: str, parametrization: str, width: int, one: Searched, began: float
) -> str:
    tried = ", ".join(f"2^{k}: {score(x):.4g}" for k, x in one.losses.items())
    best = "none" if one.best is None else f"2^{one.best} = {2.0**one.best:.3g}"
    spent = time.monotonic() - began
    what = f"{optimizer} {parametrization} width {width:,}"
    return f"{what}: best {best} ({tried}), {spent:.0f} s"


def verdict(optimizer: str, by_name: dict[str, dict[int, Searched]]) -> str:
    """Returns a sentence on how far the best rate moves over the widths."""
    said = []
    for name, by_width in by_name.items():
        best = {width: one.best for width, one in by_width.items()}
        known = {width: place for width, place in best.items() if place is not None}
        if len(known) < len(best):
            said.append(f"{name}: no best rate at a width")
            continue
        moved = shift(known)
        said.append(f"{name} {2**moved:g} ({moved} grid steps)")
    return f"{optimizer}: the best rate moves by a factor of {', '.join(said)}"


def _sweep(one: Searched) -> Sweep:
    rates = [2.0**place for place in one.losses]
    best = None if one.best is None else 2.0**one.best
    return Sweep(rates, [score(x) for x in one.losses.values()], best)


def _read(arguments: list[str]) -> argparse.Namespace:
    parser = parsing.parser("width_transfer", __doc__)
    widths = (64, 128, 256, 512, 1024)
    parser.add_argument("--widths", type=parsing.widths, default=widths)
    parser.add_argument("--steps", type=count(10, 10**6), default=500)
    parser.add_argument("--optimizers", default="sgd,adam")
    parser.add_argument("--model", default="mlp(widths=(64, 64, 64))")
    parser.add_argument("--seeds", type=count(1, 100), default=3)
    parser.add_argument("--batch_size", type=count(1, 10**6), default=32)
    parser.add_argument("--dataset", default="digits")
    parser.add_argument("--out", type=Path, default=Path("width_transfer.png"))
    return parser.parse_args(arguments)


def _check(flags: argparse.Namespace, optimizers: list[str]) -> None:
    """Makes each program at the first width, so that a bad flag costs no training."""
    model = at_width(flags.model, flags.widths[0])
    for parametrization in PARAMETRIZATIONS:
        problem = images.load(flags.dataset, model, parametrization=parametrization)
        for optimizer in optimizers:
            sizes = {"num_steps": flags.steps, "batch_size": flags.batch_size}
            gradjax.program(problem, optimizer, _SCHEDULE, **sizes)


def main(arguments: list[str]) -> int:
    """Runs the command; returns its exit code: 2 after one line on stderr."""
    flags = _read(arguments)
    try:
        names = flags.optimizers.split(",")
        _check(flags, names)
        found = {
            name: {one: of_widths(flags, name, one) for one in PARAMETRIZATIONS}
            for name in names
        }
        for name in names:
            terminal.say(verdict(name, found[name]))
        title = f"{flags.model} on {flags.dataset}: {flags.steps:,} steps"
        picture = width_transfer(
            title,
            {
                name: {
                    one: {width: _sweep(x) for width, x in by_width.items()}
                    for one, by_width in by_name.items()
                }
                for name, by_name in found.items()
            },
        )
        with named_disk_errors(flags.out.parent):
            write_bytes(flags.out, picture)
        terminal.say(f"{flags.out} shows it")
    except Refusal as error:
        print(f"width_transfer: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
