"""Types for the results of one trial and of many."""

from collections import Counter
from typing import Any, NamedTuple

import numpy as np

from gradjax.types import shown
from gradjax.types.core import TrainState
from gradjax.types.problems import Hparams, ModelState, Params


class Series(NamedTuple):
    """One curve.

    Attributes:
      steps: i32[points], the optimizer steps taken when each value was measured.
      values: f32[points].
    """

    steps: Any
    values: Any


class Result(NamedTuple):
    """The result of one run, on the host: one row of `Trials`.

    Attributes:
      params: the kept parameters, as evaluated: averaged where the optimizer averages.
      state: the TrainState after the last segment.
      trace: name -> Series of loss, learning_rate, validation_loss, ...; NaN after the
        step at which the run diverged or was stopped. A loss is that of the parameters
        before the update of its step.
      evaluation: split -> metric -> value, measured at `params`; NaN for a diverged
        run.
      status: "finished", "diverged" or "stopped early".
      num_steps: steps taken until the run ended.
      diverged_step: the first step with a non-finite loss, or None.
      kept_step: steps taken when `params` were reached.
      num_gradients: gradients computed.
      compile_s: seconds.
      run_s: seconds of training and evaluation.
      model_state: of the network, beside `params`.
      hparams: the hyperparameters of the run, f32[] each.
      seed: the seed of the run.
      has_learned: whether a gradient has changed a parameter.
    """

    params: Params
    state: TrainState
    trace: dict[str, Series]
    evaluation: dict[str, dict[str, float]]
    status: str
    num_steps: int
    diverged_step: int | None
    kept_step: int
    num_gradients: int
    compile_s: float
    run_s: float
    model_state: ModelState = None
    hparams: Hparams = {}
    seed: int = 0
    has_learned: bool = True

    def __repr__(self) -> str:
        """Returns the status, the evaluation and the curves in one line."""
        return shown.of(
            self,
            status=self.status,
            num_steps=self.num_steps,
            seed=self.seed,
            hparams=shown.numbers(self.hparams),
            evaluation=shown.numbers(self.evaluation),
            trace=list(self.trace),
            params=shown.sizes(self.params),
        )


class Trials(NamedTuple):
    """The results of many trials, on the host; the first axis of arrays is trials.

    Attributes:
      hparams: f32[trials] each; f32[trials, n] of a schedule given as numbers.
      seeds: u32[trials].
      params: the kept parameters, as evaluated (averaged where the optimizer averages);
        of a diverged trial the last finite ones.
      state: the TrainState after the last segment of each trial.
      trace: name -> Series with values f32[trials, points]; NaN after the trial's end.
      evaluation: split -> metric -> f32[trials], measured at `params`; NaN where the
        trial diverged or was stopped by successive halving.
      status: text [trials]: "finished", "diverged", "stopped early" by patience,
        "stopped" by successive halving, or "set aside" (it ended the process twice).
      num_steps: i64[trials], steps taken until the trial ended.
      diverged_step: i64[trials], the first step with a non-finite loss, or 0.
      kept_step: i64[trials], steps taken when `params` were reached.
      num_gradients: i64[trials], gradients computed.
      best: f32[trials], the best value of the target's metric on validation (without
        that split: of the training curve), or NaN.
      best_step: i64[trials], the first step with that value, or 0.
      target_step: i64[trials], the first evaluation that met the target, or 0.
      compile_s: seconds.
      run_s: seconds for all trials: training, evaluation and work on the host.
      model_state: of the network, beside `params`, [trials, ...].
      has_learned: bool[trials], whether a gradient has changed a parameter.
    """

    hparams: Hparams
    seeds: Any
    params: Params
    state: TrainState
    trace: dict[str, Series]
    evaluation: dict[str, dict[str, Any]]
    status: Any
    num_steps: Any
    diverged_step: Any
    kept_step: Any
    num_gradients: Any
    best: Any
    best_step: Any
    target_step: Any
    compile_s: float
    run_s: float
    model_state: ModelState = None
    has_learned: Any = True

    def __repr__(self) -> str:
        """Returns the number of trials of each status and the best in one line."""
        best = np.asarray(self.best)[np.isfinite(self.best)]
        return shown.of(
            self,
            trials=len(self.status),
            status=dict(Counter(map(str, self.status))),
            best=f"{best.min():g} to {best.max():g}" if best.size else "none",
            hparams=list(self.hparams),
            trace=list(self.trace),
            params=shown.sizes(self.params),
        )
