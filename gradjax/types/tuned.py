"""Types for what `gradjax.tune` has found."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gradjax.types import shown
from gradjax.types.problems import ModelState, Params
from gradjax.types.sweeps import Point


class Best(NamedTuple):
    """The best setting of one optimizer, and all that were tried.

    Attributes:
      point: name -> value of the best setting; None if every setting diverged.
      value: the metric of `Tuned.metric` of the best setting in the search, a mean over
        its seeds; NaN if every setting diverged.
      points: the settings of the search, in the order in which they were tried.
      values: f64[settings], the metric of each of them; NaN where a seed diverged or
        was stopped by successive halving.
      fresh: `<split>_<metric>` -> f64[seeds], the best setting on fresh seeds, measured
        at the kept parameters; empty without fresh seeds.
      warnings: lines about the best setting, such as that it is at an end of its range.
    """

    point: Point | None
    value: float
    points: tuple[Point, ...]
    values: Any
    fresh: dict[str, Any]
    warnings: tuple[str, ...]

    def __repr__(self) -> str:
        """Returns the best setting and its value in one line."""
        own = {k: v for k, v in (self.point or {}).items() if k != "optimizer"}
        return shown.of(
            self,
            point="None" if self.point is None else repr(own),
            value=f"{self.value:g}",
            settings=len(self.points),
            fresh={name: float(np.mean(one)) for name, one in self.fresh.items()},
        )


class Tuned(NamedTuple):
    """What `gradjax.tune` has found; `gradjax.frames` opens it.

    Attributes:
      metric: the metric that chooses, such as "validation_accuracy".
      optimizers: the expression of an optimizer -> its Best, in the order in which the
        optimizers were given. A function without an import path is `given:<name>`.
      optimizer: the optimizer with the best setting of all.
      params: the kept parameters of the best setting of all, of its first fresh seed
        (without fresh seeds, of its first seed); None if they were not kept.
      model_state: of the network, beside `params`.
      rows: a dictionary for each trial, the rows of `gradjax.frames(...).trials`.
      curves: (trials, name, steps, values) of the stored points of curves.
      workdir: the folder of the record; None if the sweep was not stored.
    """

    metric: str
    optimizers: dict[str, Best]
    optimizer: str
    params: Params
    model_state: ModelState
    rows: list[dict[str, Any]]
    curves: list[tuple[Any, ...]]
    workdir: Path | None

    def __repr__(self) -> str:
        """Returns the best value of each optimizer in one line."""
        return shown.of(
            self,
            metric=self.metric,
            best={name: float(f"{of.value:g}") for name, of in self.optimizers.items()},
            trials=len(self.rows),
            workdir=str(self.workdir),
        )
