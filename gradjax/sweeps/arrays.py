"""A sweep over one's own loss: arrays in, arrays with an axis of trials out."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gradjax import expressions
from gradjax.errors import Refusal
from gradjax.training.program import program as make_program
from gradjax.trials import batches, lanes
from gradjax.trials import lane_width as widths_of
from gradjax.types import Problem, Trials


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
    width: int | None = None,
    num_devices: int | None = None,
    trace_every: int = 1,
) -> Trials:
    """Trains every setting with every seed, as one compiled program.

    Args:
      problem: what is minimised.
      optimizer: as `gradjax.program` takes it.
      hparams: name -> a value for each setting, all of one length: a grid is given
        flattened. The names are those of `program.hparams`; what is not named stays at
        its default.
      seeds: each setting is run with all of them.
      schedule: as `gradjax.program` takes it.
      num_steps: optimizer steps of each run.
      batch_size: examples a step; None takes the whole training split.
      eval_every: steps between two evaluations; None evaluates at the end only.
      width: trials that are mapped together on one device; None: what was measured to
        be fast. Bits depend on it, and on nothing else but the setting and the seed.
      num_devices: None: all there are. On a CPU, one for each core is fast:
        `jax.config.update("jax_num_cpu_devices", 2)` before anything else of jax.
      trace_every: steps a point of the training curves; 0: at most 1,000 points.

    Returns:
      Trials: setting 0 with every seed, then setting 1, ...

    Raises:
        Refusal: what `gradjax.program` refuses; unknown names, lengths that differ, no
            seed; a number out of bounds, with the setting that has it.
    """
    if isinstance(seeds, int) or not isinstance(hparams or {}, Mapping):
        raise Refusal(
            "sweep takes hparams={name: [a value for each setting]}, seeds=[0, 1, ...]"
        )
    program = make_program(
        problem,
        optimizer,
        schedule,
        num_steps=num_steps,
        batch_size=batch_size,
        eval_every=eval_every,
    )
    settings = _settings(hparams or {}, program.hparams)
    if not len(seeds):
        raise Refusal("seeds is empty: give at least one")
    num_trials = len(settings) * len(seeds)
    widths = widths_of.capped(widths_of.usual_widths(), num_trials, num_devices)
    chosen = widths_of.usual_width(program, widths) if width is None else width
    return batches.run(
        lanes.lanes(program, chosen, num_devices, trace_every),
        [one for one in settings for _ in seeds],
        [seed for _ in settings for seed in seeds],
    )


def _settings(
    hparams: Mapping[str, Sequence[Any]], known: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """One dictionary a setting."""
    for name in hparams:
        if name not in known:
            line = expressions.unknown(name, known, "hyperparameter")
            raise Refusal(
                f"{line} (an argument becomes one when the expression names it)"
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
