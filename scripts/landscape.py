"""Draws the loss around a finished run, or between two: `python -m scripts.landscape`.

usage: python -m scripts.landscape FOLDER [OTHER] [--around=path|point]
           [--trial=ID_OR_ROW] [--other_trial=ID_OR_ROW] [--states=40] [--grid=31]
           [--examples=1000] [--seed=0] [--data_dir=FOLDER] [--out=landscape.png]

With one folder it draws the loss on a plane. `--around=path`, the default, trains the
trial again for its path, takes the plane in which --states of its points differ most
(their two principal components), and draws the path on it. `--around=point` takes two
random directions at the trained parameters; each filter of a direction has the norm of
the same filter of the parameters, so at a distance of 1 it has moved by its own norm.

With OTHER, or with --other_trial of the same folder, it draws the loss on the line
between the trained parameters of both, and prints the barrier: the largest height of
the loss above the straight line between its ends. Two runs are linearly connected if it
is about 0.

The loss is that of evaluations, on the first --examples of the train split; with OTHER
it is that of FOLDER.
"""

import sys
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from gradjax import load, steps
from gradjax.commands.replay import program as program_of
from gradjax.data import arrays, streaming
from gradjax.diagnostics import landscape
from gradjax.diagnostics.directions import random_direction
from gradjax.diagnostics.trajectory import axes_around, principal_plane
from gradjax.errors import Refusal
from gradjax.files import named_disk_errors, write_bytes
from gradjax.plots import landscape as pictures
from gradjax.report import terminal
from gradjax.sweeps.replay import Recorded
from gradjax.training.evaluation import eval_params, evaluate
from gradjax.types import ModelState, Params, Problem, Program
from scripts import parsing
from scripts.replay import recorded, trial_of
from scripts.sweep import experiment_of

_LINE_POINTS = 41


class _Point(NamedTuple):
    """The trained parameters of a trial."""

    params: Params
    state: ModelState


class _Loss(NamedTuple):
    """The loss of a problem on examples, as evaluations compute it.

    Attributes:
      of: (params, arrays, state) -> f[].
      arrays: the examples on the device; None for a problem without data.
    """

    of: Any
    arrays: Any


def main(arguments: list[str]) -> int:
    """Runs the command; returns its exit code: 2 after one line on stderr."""
    parser = parsing.parser("landscape", __doc__)
    parser.add_argument("folder")
    parser.add_argument("other", nargs="?")
    parser.add_argument("--around", choices=("path", "point"))
    parser.add_argument("--trial")
    parser.add_argument("--other_trial")
    parser.add_argument("--states", type=parsing.count(2, 1_000), default=40)
    parser.add_argument("--grid", type=parsing.count(2, 301), default=31)
    parser.add_argument("--examples", type=parsing.count(1, 2**31 - 1), default=1_000)
    parser.add_argument("--seed", type=parsing.count(0, 2**32 - 1), default=0)
    parser.add_argument("--data_dir")
    parser.add_argument("--out", default="landscape.png")
    given = parser.parse_args(arguments)
    path = Path(given.out)
    try:
        picture = _drawn(given)
        with named_disk_errors(path):
            write_bytes(path, picture)
    except Refusal as error:
        print(f"landscape: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    terminal.say(f"{path} shows it")
    return 0


def _drawn(given: Any) -> bytes:
    """Computes and prints what was asked for, and returns its picture."""
    found = recorded(given.folder, trial_of(given.trial), given.data_dir)
    what = experiment_of(found.trial.settings.experiment)
    program = program_of(what, found)
    loss = _loss(program.plan.problem, given.examples)
    if given.other is None and given.other_trial is None:
        if given.around == "point":
            return _around_point(given, found, loss)
        return _around_path(given, found, program, loss)
    if given.around is not None:
        raise Refusal(
            f"--around={given.around} is for one trial: leave out OTHER and"
            " --other_trial"
        )
    return _between(given, found, loss)


def _around_path(given: Any, found: Recorded, program: Program, loss: _Loss) -> bytes:
    """Draws the path of a trial on its principal plane."""
    trial, recorded_steps = found.trial, found.loss.steps
    ended = int(recorded_steps[-1]) if len(recorded_steps) else program.plan.num_steps
    every = -(-ended // min(given.states, ended))
    terminal.say(f"takes the {ended:,} steps of the trial again")
    points: list[_Point] = []
    step = 0
    for step, state in steps(program, trial.numbers, trial.seed, every=every):
        params = jax.device_get(eval_params(program.plan, state))
        points.append(_Point(params, state.model_state))
        if step >= ended:  # a run that stopped early takes no further steps
            break
    plane = principal_plane([one.params for one in points])
    axes = axes_around(plane.path, given.grid)
    last = points[-1]
    losses = np.asarray(
        landscape.plane(
            loss.of, last.params, plane.directions, axes, loss.arrays, last.state
        )
    )
    ends = [
        float(loss.of(one.params, loss.arrays, one.state)) for one in (points[0], last)
    ]
    shares = [*plane.shares.tolist(), 0.0][:2]
    terminal.table(
        f"the path of {step:,} steps, {len(points)} points",
        [
            ("in the plane", f"{sum(shares):.1%} of the squared distances"),
            ("first loss", terminal.number(ends[0])),
            ("last loss", terminal.number(ends[1])),
            ("losses drawn", _range(losses)),
        ],
    )
    labels = (f"component 1, {shares[0]:.1%}", f"component 2, {shares[1]:.1%}")
    return pictures.plane(_title(found), axes, losses, plane.path, labels)


def _around_point(given: Any, found: Recorded, loss: _Loss) -> bytes:
    """Draws the loss along two random directions at the trained parameters."""
    point = _trained(given.folder, found)
    keys = jax.random.split(jax.random.key(given.seed), 2)
    directions = (
        random_direction(point.params, keys[0]),
        random_direction(point.params, keys[1]),
    )
    side = np.linspace(-1.0, 1.0, given.grid)
    axes = (side, side)
    losses = np.asarray(
        landscape.plane(
            loss.of, point.params, directions, axes, loss.arrays, point.state
        )
    )
    here = float(loss.of(point.params, loss.arrays, point.state))
    terminal.table(
        "around the trained parameters",
        [("loss there", terminal.number(here)), ("losses drawn", _range(losses))],
    )
    labels = ("first random direction", "second random direction")
    return pictures.plane(_title(found), axes, losses, [[0.0, 0.0]], labels)


def _between(given: Any, found: Recorded, loss: _Loss) -> bytes:
    """Draws the loss on the line between the parameters of two trials."""
    folder = given.folder if given.other is None else given.other
    other = recorded(folder, trial_of(given.other_trial), given.data_dir)
    start, end = _trained(given.folder, found), _trained(folder, other)
    if jax.tree.structure(start) != jax.tree.structure(end):
        raise Refusal(f"{folder}: its parameters are not those of {given.folder}")

    def of_point(point: _Point, examples: Any) -> jax.Array:
        return loss.of(point.params, examples, point.state)

    barrier = landscape.barrier(
        of_point, start, end, loss.arrays, num_points=_LINE_POINTS
    )
    height, position = float(barrier.height), float(barrier.position)
    losses = np.asarray(barrier.losses)
    terminal.table(
        "between the two",
        [
            ("losses at the ends", f"{losses[0]:.4g} and {losses[-1]:.4g}"),
            ("barrier", f"{height:.4g} at {position:.3g} of the way"),
        ],
    )
    line = pictures.Line(barrier.positions, losses, (position, height))
    title = f"{_title(found)} and {_title(other)}"
    return pictures.line(title, {"loss on the train split": line})


def _trained(folder: Any, found: Recorded) -> _Point:
    run = load(folder, found.trial.id)
    if run.params is None:
        raise Refusal(
            f"{folder}: the parameters of trial {found.trial.id} are not stored;"
            " --keep_params=all keeps those of all trials"
        )
    return _Point(run.params, run.model_state)


def _loss(problem: Problem, count: int) -> _Loss:
    """Returns the loss on the first examples of the train split."""
    source = None
    if problem.data is not None:
        train = problem.data.train
        chosen = np.arange(min(count, train.num_examples))
        source = arrays.source(streaming.examples(train, chosen))

    @jax.jit
    def of(params: Params, examples: Any, state: ModelState) -> jax.Array:
        found = evaluate(problem, params, source, examples, state)
        if "loss" not in found:
            raise Refusal(f"the metrics are {', '.join(found)}: there is no loss")
        return found["loss"]

    return _Loss(of, source and source.arrays)


def _range(losses: np.ndarray) -> str:
    seen = losses[np.isfinite(losses)]
    if not seen.size:
        return "none is finite"
    low, high = map(terminal.number, (float(seen.min()), float(seen.max())))
    rest = losses.size - seen.size
    return f"{low} to {high}" + (f", {rest:,} are not finite" if rest else "")


def _title(found: Recorded) -> str:
    trial = found.trial
    problem = dict(trial.settings.own).get("problem", trial.settings.experiment)
    return f"{problem}, {trial.optimizer}, seed {trial.seed}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
