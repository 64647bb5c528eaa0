"""Types for problems, optimizers, programs and the results of a run.

The names of axes are: trials, steps, batch, features, classes, time.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from gradjax.types import shown
from gradjax.types.diagnostics import Diagnostic
from gradjax.types.problems import (
    Hparams,
    ModelState,
    Params,
    Problem,
)


class TrainState(NamedTuple):
    """The state that a training step updates.

    Attributes:
      params: the parameters.
      opt_state: the state of the optimizer.
      alive: bool[], whether the run has not diverged so far.
      model_state: of the network, from the last finite loss.
      num_gradients: f32[], computed so far; None if the run has no limit of them.
    """

    params: Params
    opt_state: Any
    alive: jax.Array
    model_state: ModelState = None
    num_gradients: jax.Array | None = None

    def __repr__(self) -> str:
        """Returns the sizes of the state in one line."""
        parts = self._asdict()
        if self.num_gradients is None:
            del parts["num_gradients"]
        sizes = {name: shown.sizes(part) for name, part in parts.items()}
        return shown.of(self, **sizes)


class Kept(NamedTuple):
    """The parameters that a run has selected so far."""

    params: Params  # as evaluated: averaged where the optimizer averages
    score: jax.Array  # f32[], of the best evaluation; larger is better
    step: jax.Array  # u32[], steps taken when `params` were copied
    num_waited: jax.Array  # u32[], evaluations since the best one
    stopped_step: jax.Array  # u32[], the step at which patience ended the run, or 0
    model_state: ModelState = None  # of the network, copied with `params`


class StepInfo(NamedTuple):
    """The values that a training step reports."""

    loss: jax.Array  # f32[]
    learning_rate: jax.Array  # f32[]
    aux: dict[str, jax.Array]  # f32[] each


class Call(NamedTuple):
    """A parsed expression: `adamw(b2=0.95)`. Values are literals, tuples or Calls."""

    name: str
    args: tuple[Any, ...] = ()
    kwargs: tuple[tuple[str, Any], ...] = ()


class TracedNumber(NamedTuple):
    """The place of a traced number in a spec; `path` is its key in Hparams."""

    path: str


class Entry(NamedTuple):
    """An optimizer, and the properties of it that the training step needs."""

    make: Callable[..., Any]  # (**arguments) -> optax.GradientTransformation
    rate: tuple[str, float] | None = ("learning_rate", 1e-3)
    # the argument that is the learning rate, and its default; None: there is no rate
    static: tuple[str, ...] = ()
    # arguments that are never traced, because they change the program
    needs: tuple[str, ...] | None = ()
    # the extra arguments of its update: value, grad, ...; None: those that it names
    gradient: str = "batch"
    # or "per_example", for differential privacy; for a wrapper also "inner": the kind
    # that its first optimizer takes
    eval_params: Callable[[Any, Params], Params] | None = None
    # (opt_state, params) -> params for evaluation; None: the parameters themselves
    step_size: Callable[..., jax.Array] | None = None
    # (updates, grads, params, opt_state, **arguments) -> f32[], for an optimizer that
    # computes its own step size
    num_gradients: int | Callable[..., jax.Array] = 1
    # gradients per step, the unit of a budget; where the number varies, a function with
    # the arguments of `step_size`
    inner: tuple[str, ...] = ()  # arguments that are optimizers; "*": positional ones
    refuses: tuple[str, ...] = ()  # extras that a wrapper cannot pass to its optimizer
    key: str | None = None  # the argument that takes a random key from the trial's seed
    accumulates: str | None = None
    # the argument that counts the steps of one update, for a wrapper like multi_steps
    paper: str = ""  # authors and year
    differs: str = ""  # where its numbers are not those of the paper
    tolerates: bool = False  # it goes on after a loss that is not finite
    is_own: bool = False  # it is given by the user, so its states are looked at
    space: tuple[tuple[str, str], ...] = ()
    # argument -> the range in which a comparison tunes it; the rate is "learning_rate"


class OptimizerSpec(NamedTuple):
    """An optimizer whose numbers are replaced by `TracedNumber`: static, hashable."""

    entry: Entry
    args: tuple[Any, ...] = ()  # literals, TracedNumbers and OptimizerSpecs
    kwargs: tuple[tuple[str, Any], ...] = ()
    rates: tuple[str, ...] = ()  # keys of the Hparams that the schedule multiplies
    scheduled: tuple[tuple[str, "ScheduleSpec"], ...] = ()
    # Hparams with a schedule of their own: `<path>.peak` times a shape


class ScheduleSpec(NamedTuple):
    """A schedule whose numbers are replaced by `TracedNumber`: static, hashable."""

    shape: Callable[..., jax.Array]  # (progress f32[], **arguments) -> f32[] in [0, 1]
    kwargs: tuple[tuple[str, Any], ...] = ()


class Mesh(NamedTuple):
    """The sizes of the axes of a mesh of devices, which compute one run together."""

    data: int = 1  # parts of a batch, whose devices hold the same parameters
    fsdp: int = 1  # parts of a batch, and of each parameter (fully sharded)


class Plan(NamedTuple):
    """The static part of a run."""

    problem: Problem
    optimizer: OptimizerSpec
    schedule: ScheduleSpec
    num_steps: int
    batch_size: int | None  # None: the problem has no data
    eval_every: int  # steps between two evaluations
    block_steps: int  # steps of a block; evaluations are due only at the end of a block
    keep: str = "last"  # which parameters are kept: "last", or "best" on validation
    patience: int | None = None
    # evaluations without improvement after which a run stops; None: it does not stop
    max_gradients: int | None = None
    # gradients after which a run and its schedule end; None: there is no limit
    diagnostics: tuple[Diagnostic, ...] = ()  # measured between the steps
    mesh: Mesh | None = None  # the devices of a run; None: one device
    accumulate: int = 1  # parts of a batch whose gradients are computed in turn
    remat: bool = False  # values inside layers are computed again for the gradient


class Program(NamedTuple):
    """A training run as pure functions of (hyperparameters, seed).

    Attributes:
      plan: the static part of the run.
      hparams: all traced numbers, at their defaults; `run` may replace them.
      init: (hparams, seed u32[]) -> TrainState.
      step: (state, batch, hparams, key, i u32[]) -> (TrainState, StepInfo).
      executables: a cache of compiled calls.
      start: (params, model state or None) at which every trial starts; None: where the
        problem's `init` does.
    """

    plan: Plan
    hparams: Hparams
    init: Callable[..., TrainState]
    step: Callable[..., tuple[TrainState, StepInfo]]
    executables: dict[Any, Any]
    start: Any = None

    def __repr__(self) -> str:
        """Returns the sizes of the plan and the hyperparameters in one line."""
        plan = self.plan._asdict()
        names = ("num_steps", "batch_size", "eval_every", "keep", "patience")
        sizes = {name: plan[name] for name in names}
        return shown.of(self, **sizes, hparams=shown.numbers(self.hparams))
