"""Draws the loss around a finished run, or between two: `python -m scripts.landscape`.

usage: python -m scripts.landscape FOLDER [OTHER] [--around=path|point]
           [--trial=ID_OR_ROW] [--other_trial=ID_OR_ROW] [--states=40] [--grid=31]
           [--examples=1000] [--seed=0] [--data_dir=FOLDER] [--out=landscape.png]

With one folder it draws the loss on a plane. `--around=path`, the default, trains the
trial again for its path, takes the plane in which --states of its points differ most
(their two principal components), and draws the path on it. `--around=point` takes two
random directions at the trained parameters; each filter of a direction has the norm of
the same filter of the parameters, so a distance of 1 is the length of the parameters.

With OTHER, or with --other_trial of the same folder, it draws the loss on the line
between the trained parameters of both, and prints the barrier: the largest height of
the loss above the straight line between its ends. Two runs are linearly connected if it
is about 0.

The loss is that of evaluations, on the first --examples of the train split.
"""

import functools
import sys
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gradjax import load, steps
from gradjax.commands.replay import program as program_of
from gradjax.data import streaming
from gradjax.diagnostics import landscape
from gradjax.diagnostics.directions import random_direction
from gradjax.diagnostics.trajectory import axes_around, principal_plane
from gradjax.errors import Refusal
from gradjax.files import named_disk_errors, write_bytes
from gradjax.plots import landscape as pictures
from gradjax.problems import state as model_states
from gradjax.report import terminal
from gradjax.sweeps.replay import Recorded
from gradjax.training.evaluation import eval_params
from gradjax.types import Batch, ModelState, Params, Problem, Program
from scripts import parsing
from scripts.replay import recorded, trial_of
from scripts.sweep import experiment_of

_LINE_POINTS = 41


class _Point(NamedTuple):
    """The trained parameters of a trial."""

    params: Params
    state: ModelState


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
    try:
        path = Path(given.out)
        with named_disk_errors(path):
            write_bytes(path, _drawn(given))
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
    batch = _batch(program.plan.problem, given.examples)
    if given.other is None and given.other_trial is None:
        if given.around == "point":
            return _around_point(given, found, program, batch)
        return _around_path(given, found, program, batch)
    if given.around is not None:
        raise Refusal(
            f"--around={given.around} is for one trial: leave out OTHER and"
            " --other_trial"
        )
    return _between(given, found, program, batch)


def _around_path(given: Any, found: Recorded, program: Program, batch: Batch) -> bytes:
    """Draws the path of a trial on its principal plane."""
    trial, num_steps = found.trial, program.plan.num_steps
    every = -(-num_steps // min(given.states, num_steps))
    terminal.say(f"takes the {num_steps:,} steps of the trial again")
    states = [
        state for _, state in steps(program, trial.numbers, trial.seed, every=every)
    ]
    points = [jax.device_get(eval_params(program.plan, one)) for one in states]
    plane = principal_plane(points)
    axes = axes_around(plane.path, given.grid)
    of = functools.partial(_loss, program.plan.problem)
    state = states[-1].model_state
    losses = np.asarray(
        landscape.plane(of, plane.origin, plane.directions, axes, batch, state)
    )
    first, last = (
        float(of(one, batch, own.model_state))
        for one, own in ((points[0], states[0]), (points[-1], states[-1]))
    )
    shares = [*plane.shares.tolist(), 0.0][:2]
    terminal.table(
        f"the path of {num_steps:,} steps, {len(points)} points",
        [
            ("in the plane", f"{sum(shares):.1%} of the squared distances"),
            ("first loss", terminal.number(first)),
            ("last loss", terminal.number(last)),
            ("losses drawn", _range(losses)),
        ],
    )
    labels = (f"component 1, {shares[0]:.1%}", f"component 2, {shares[1]:.1%}")
    return pictures.plane(_title(found), axes, losses, plane.path, labels)


def _around_point(given: Any, found: Recorded, program: Program, batch: Batch) -> bytes:
    """Draws the loss along two random directions at the trained parameters."""
    point = _trained(given.folder, found)
    keys = jax.random.split(jax.random.key(given.seed), 2)
    directions = (
        random_direction(point.params, keys[0]),
        random_direction(point.params, keys[1]),
    )
    side = np.linspace(-1.0, 1.0, given.grid)
    axes = (side, side)
    of = functools.partial(_loss, program.plan.problem)
    losses = np.asarray(
        landscape.plane(of, point.params, directions, axes, batch, point.state)
    )
    here = float(of(point.params, batch, point.state))
    terminal.table(
        "around the trained parameters",
        [("loss there", terminal.number(here)), ("losses drawn", _range(losses))],
    )
    labels = ("first random direction", "second random direction")
    return pictures.plane(_title(found), axes, losses, [[0.0, 0.0]], labels)


def _between(given: Any, found: Recorded, program: Program, batch: Batch) -> bytes:
    """Draws the loss on the line between the parameters of two trials."""
    folder = given.folder if given.other is None else given.other
    other = recorded(folder, trial_of(given.other_trial), given.data_dir)
    start, end = _trained(given.folder, found), _trained(folder, other)
    of = functools.partial(_loss, program.plan.problem)
    both = jax.tree.structure(start), jax.tree.structure(end)
    if both[0] != both[1]:
        raise Refusal(f"{folder}: its parameters are not those of {given.folder}")
    pair = functools.partial(_loss_of_point, of)
    barrier = landscape.barrier(pair, start, end, batch, num_points=_LINE_POINTS)
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


def _batch(problem: Problem, count: int) -> Batch:
    """Returns the first examples of the train split; None without data."""
    if problem.data is None:
        return None
    source = problem.data.train
    return streaming.examples(source, np.arange(min(count, source.num_examples)))


def _loss(
    problem: Problem, params: Params, batch: Batch, state: ModelState
) -> jax.Array:
    """Computes the loss as evaluations do: without dropout, or with one fixed key."""
    found = model_states.metrics(problem, params, batch, jax.random.key(0), state)
    if "loss" not in found:
        raise Refusal(f"the metrics are {', '.join(found)}: there is no loss")
    total, count = found["loss"]
    return jnp.asarray(total / count)


def _loss_of_point(of: Any, point: _Point, batch: Batch) -> jax.Array:
    return of(point.params, batch, point.state)


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
