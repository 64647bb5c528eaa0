"""Trains many settings with many seeds as one program, in memory."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gradjax import optimizers
from gradjax.errors import Refusal
from gradjax.training import numbers
from gradjax.training.program import program as make_program
from gradjax.training.start import started_if_given
from gradjax.trials import batches, evaluations, lanes, learning
from gradjax.trials import lane_width as widths
from gradjax.trials.evaluations import OnEvaluation
from gradjax.types import Mesh, ModelState, Params, Problem, Program, Trials


def sweep(
    problem: Problem,
    optimizer: Any = "adam",
    hparams: Mapping[str, Sequence[Any]] | None = None,
    seeds: Sequence[int] = (0,),
    schedule: Any = "constant",
    *,
    num_steps: int,
    batch_size: int | None = None,
    eval_every: int | None = None,
    keep: str = "last",
    patience: int | None = None,
    lane_width: int | None = None,
    num_devices: int | None = None,
    trace_every: int = 0,
    diagnostics: Any = None,
    mesh: str | Mesh | None = None,
    accumulate: int = 1,
    remat: bool = False,
    params: Params = None,
    model_state: ModelState = None,
    on_evaluation: OnEvaluation | None = None,
) -> Trials:
    """Trains every setting with every seed, as one compiled program.

    Args:
      problem: the problem to minimise.
      optimizer: as `gradjax.program` takes it.
      hparams: name -> a value for each setting, all of one length; a grid is given
        flattened. A name is a key of `program.hparams`, or the path of any numeric
        argument of the optimizer, such as `optimizer.b2` or `optimizer.sgd.momentum`
        inside of a chain, whether it is written out or not. Hyperparameters that are
        not named keep their defaults.
      seeds: each setting is run with all of them.
      schedule: as `gradjax.program` takes it.
      num_steps: the number of optimizer steps of each trial.
      batch_size: examples in a batch; None takes the complete training split.
      eval_every: steps between two evaluations; None evaluates only at the end.
      keep: as `gradjax.program` takes it.
      patience: as `gradjax.program` takes it.
      lane_width: the number of trials that are mapped together on one device; None: a
        width that was measured to be fast. On one machine the last bits of a trial
        depend only on the lane width, the setting and the seed.
      num_devices: the number of devices, on a CPU of cores; None: all.
      trace_every: each point of a training curve is the mean over so many steps; with
        0 a curve has at most 1,000 points.
      diagnostics: as `gradjax.program` takes them.
      mesh: as `gradjax.program` takes it; its devices compute one trial after the
        other, so the lane width is 1.
      accumulate: as `gradjax.program` takes it.
      remat: likewise.
      params: where every trial starts, as `gradjax.run` takes it.
      model_state: likewise.
      on_evaluation: as `gradjax.run` takes it, for each trial that has not diverged;
        `trial` is its row. If it returns True for one, all trials end there.

    Returns:
      Trials: setting 0 with every seed, then setting 1 with every seed, and so on. A
      warning says if nothing was learned in any of them, because every gradient, or
      every learning rate, was exactly zero.

    Raises:
        Refusal: what `gradjax.program` refuses; unknown names, lengths that differ, no
            seed; a number out of bounds, with the setting that has it.
    """
    hparams = {} if hparams is None else hparams
    if isinstance(seeds, str) or not np.ndim(seeds) or not isinstance(hparams, Mapping):
        raise Refusal(
            "sweep takes hparams={name: [a value for each setting]}, seeds=[0, 1, ...]"
        )
    program = make_program(
        problem,
        _with_places(optimizer, hparams or {}),
        schedule,
        num_steps=num_steps,
        batch_size=batch_size,
        eval_every=eval_every,
        keep=keep,
        patience=patience,
        diagnostics=diagnostics,
        mesh=mesh,
        accumulate=accumulate,
        remat=remat,
    )
    program = started_if_given(program, params, model_state)
    settings = _settings(hparams, program)
    if not len(seeds):
        raise Refusal("seeds is empty: give at least one")
    if lane_width is None:
        lane_width = _usual_width(program, len(settings) * len(seeds), num_devices)
    made, on_segment, stops = lanes.lanes(program, lane_width, num_devices), _ignore, ()
    if on_evaluation is not None:
        evaluations.check(on_evaluation)
        on_segment = evaluations.caller(on_evaluation, _ignore)
        stops = evaluations.blocks_of(made)
    found = batches.run(
        made,
        [one for one in settings for _ in seeds],
        [seed for _ in settings for seed in seeds],
        trace_every,
        on_segment,
        stops,
    )
    learning.warn(found)
    return found


def _usual_width(program: Program, num_trials: int, num_devices: int | None) -> int:
    """Returns the measured lane width; 1 on a mesh, which computes one trial."""
    if program.plan.mesh is not None:
        return 1
    rule = widths.rule_for([program], num_trials, num_devices)
    return widths.default_width(program, rule)


def _ignore(*_: Any) -> None:
    """Does nothing after a segment."""


def _with_places(optimizer: Any, hparams: Mapping[str, Any]) -> Any:
    """Returns the optimizer with a traced number for each name of `hparams`."""
    for name in hparams:
        if not str(name).startswith("optimizer."):
            continue
        placed = optimizers.place(optimizer, name)
        if placed is None:
            raise Refusal(
                f"{name} changes the program and cannot be traced; gradjax.tune tries"
                " several programs"
            )
        optimizer = placed
    return optimizer


def _settings(
    hparams: Mapping[str, Sequence[Any]], program: Program
) -> list[dict[str, Any]]:
    """Returns one dictionary for each setting."""
    for name, values in hparams.items():
        if name not in program.hparams:
            raise Refusal(numbers.unknown(program, name, is_placed=True))
        if isinstance(values, str):
            raise Refusal(
                f"{name}={values!r}: gradjax.sweep takes a list of values, one for each"
                " setting; gradjax.tune takes a range"
            )
    lengths = {name: len(np.atleast_1d(values)) for name, values in hparams.items()}
    if len(set(lengths.values())) > 1:
        said = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise Refusal(f"hparams differ in length: {said}")
    count = next(iter(lengths.values()), 1)
    if count == 0:
        raise Refusal(f"hparams are empty: {', '.join(lengths)}")
    columns = {name: np.atleast_1d(values) for name, values in hparams.items()}
    return [{name: values[k] for name, values in columns.items()} for k in range(count)]
