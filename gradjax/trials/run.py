"""Trains one trial in memory."""

from collections.abc import Mapping
from typing import Any

from gradjax.errors import Refusal
from gradjax.training.numbers import check_program
from gradjax.training.program import with_diagnostics
from gradjax.training.start import started_if_given
from gradjax.trials import batches, evaluations, learning
from gradjax.trials.batches import OnSegment
from gradjax.trials.collect import row
from gradjax.trials.evaluations import OnEvaluation
from gradjax.trials.lanes import lanes
from gradjax.types import Hparams, ModelState, Params, Program, Result


def run(
    program: Program,
    hparams: Hparams | None = None,
    seed: int = 0,
    trace_every: int = 1,
    on_segment: OnSegment = lambda *_: None,
    params: Params = None,
    model_state: ModelState = None,
    diagnostics: Any = None,
    on_evaluation: OnEvaluation | None = None,
) -> Result:
    """Trains from the first step to the last, or until the run diverges or stops early.

    This is a `gradjax.sweep` of one trial. The program is compiled once; other
    hyperparameters or another seed do not compile it again.

    Args:
      program: from `gradjax.program`.
      hparams: numbers that replace the program's defaults.
      seed: determines the initial parameters, the batch order and dropout.
      trace_every: each point of a training curve is the mean over so many steps; with
        0 a curve has at most 1,000 points.
      on_segment: is called on the host after each segment with the active trials
        (`trials.batches.Active`) and (first block, number of blocks). If it returns
        True, the run ends there with the status "stopped early" and its final
        evaluation; the evaluation on validation is NaN if none was due at that step.
      params: where the run starts, such as `result.params` of another run; None: where
        the problem's `init` does. The optimizer starts anew. What has to stay as it is
        can be frozen: `partition(matrices=adam, others=set_to_zero)`.
      model_state: the state of the network, given with `params`; None: its initial one.
      diagnostics: as `gradjax.program` takes them, in place of those of the program;
        the program is compiled anew.
      on_evaluation: is called on the host every `eval_every` steps and after the last
        step, for one's own tracker, with those of these that its parameters name:
        `step` (steps taken), `metrics` (name -> float: "loss" of the last steps,
        "validation_loss", ...), `params` (as they are evaluated, now), `trial`, `seed`
        and `hparams`. If it returns True, the run ends there.

    Returns:
      A Result, on the host. A warning says if nothing was learned, because every
      gradient, or the learning rate, was exactly zero.

    Raises:
        Refusal: an unknown or impossible number, parameters that differ from those of
            the problem in a name or a shape, a seed that is not one, or an
            `on_segment` that returns something else than True, False or None.
    """
    check_program(program)
    if not callable(on_segment):
        raise Refusal(f"on_segment={on_segment!r}: expected a function")
    hparams = {} if hparams is None else hparams
    if not isinstance(hparams, Mapping):
        kind = type(hparams).__name__
        raise Refusal(f"hparams are {kind}: expected a dictionary of numbers")
    program = with_diagnostics(program, diagnostics)
    program = started_if_given(program, params, model_state)
    made, stops = lanes(program, num_devices=1, with_train=True), ()
    if on_evaluation is not None:
        evaluations.check(on_evaluation)
        on_segment = evaluations.caller(on_evaluation, on_segment)
        stops = evaluations.blocks_of(made)
    found = batches.run(made, [dict(hparams)], [seed], trace_every, on_segment, stops)
    learning.warn(found)
    return row(found, 0)
