"""What a run is made of, and what it gives back.

Axes are named in one vocabulary: trials, steps, batch, features, classes, time.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import jax

Params: TypeAlias = Any  # a pytree of arrays
Batch: TypeAlias = Any  # a pytree of arrays, each [batch, ...]
Key: TypeAlias = jax.Array  # one typed PRNG key
Hparams: TypeAlias = dict[str, Any]  # dotted path -> f32[], every one of them traced
MetricSums: TypeAlias = dict[str, tuple[jax.Array, jax.Array]]  # name -> (sum, count)


class Model(NamedTuple):
    """A parametric function, whatever library it was written in."""

    init: Callable[[Key], Params]
    apply: Callable[..., jax.Array]  # (params, inputs, key=None) -> outputs


class Source(NamedTuple):
    """Where the batches of one split come from."""

    num_examples: int
    arrays: Any  # what `take` reads; passed into the program, so never a constant of it
    take: Callable[[Any, jax.Array], Batch]  # (arrays, indices u32[batch]) -> batch


class Splits(NamedTuple):
    """The three parts of a data set; validation and test may be None."""

    train: Source
    validation: Source | None = None
    test: Source | None = None


class Dataset(NamedTuple):
    """A labelled data set on the host, split once and for all."""

    name: str  # its TFDS name, or "digits"
    train: dict[str, Any]  # "image" u8[examples, height, width, channels], "label" i32
    validation: dict[str, Any]
    test: dict[str, Any]
    num_classes: int
    max_value: float  # divides the images, so that inputs lie in [0, 1]
    fingerprint: str  # sha256 of where it came from
    origin: str  # one readable line: the folder or the package


class Target(NamedTuple):
    """What counts as solved: a metric, its value and the better direction."""

    metric: str = "loss"
    value: float | None = None
    mode: str = "min"  # "min" or "max"


class Minimum(NamedTuple):
    """Where a problem is least; on the host, in float64."""

    params: tuple[Params, ...]  # every minimiser that is known, each a pytree
    loss: float  # the objective there, over all training data and all noise
    curvature: tuple[float, float] | None = None
    # the smallest and the largest eigenvalue of the Hessian at the first minimiser


class Examples(NamedTuple):
    """Held-out images for a picture, and what the model predicts for them."""

    images: Any  # f32[examples, height, width, channels], in [0, 1]
    labels: Any  # i32[examples]
    probabilities: Any  # f32[examples, classes]


class Problem(NamedTuple):
    """What is minimised. Only functions, so any model library will do."""

    init: Callable[[Key], Params]
    loss: Callable[..., tuple[jax.Array, dict[str, jax.Array]]]
    # loss(params, batch, key) -> (f32[], aux): the objective, a mean over examples, and
    # scalars f32[] worth a curve that cost nothing extra (a training accuracy)
    metrics: Callable[..., MetricSums] | None = None
    # metrics(params, batch, key) -> {name: (sum, count)}: held-out measures
    data: Splits | None = None  # None: the loss needs no batch
    target: Target = Target()
    report: Callable[..., "Report"] | None = None
    # (params, data) -> Report: on the host, once, at the end (BLEU, samples)
    minimum: Minimum | None = None  # None: it is not known
    examples: Callable[[Params], Examples] | None = None  # what a picture may show
    about: dict[str, Any] | None = (
        None  # what a record says of the data, ready for JSON
    )


class Report(NamedTuple):
    """What a problem says of trained parameters, beyond its metrics."""

    figures: dict[str, float]  # name -> value: BLEU, recall@10
    texts: dict[str, list[str]] = {}  # heading -> lines as printed: samples
    files: dict[str, bytes] = {}  # name -> content, what the record needs to open again


class TrainState(NamedTuple):
    """What a training step carries."""

    params: Params
    opt_state: Any
    alive: jax.Array  # bool[]: no non-finite loss so far


class Kept(NamedTuple):
    """The parameters that a run has selected so far."""

    params: Params  # at evaluation: averaged, where the optimizer averages
    score: jax.Array  # f32[], of the best evaluation; larger is better
    step: jax.Array  # u32[], steps taken when `params` were copied
    num_waited: jax.Array  # u32[], evaluations since the best one
    stopped_step: jax.Array  # u32[], where patience ended the run, or 0


class StepInfo(NamedTuple):
    """What a training step reports."""

    loss: jax.Array  # f32[]
    learning_rate: jax.Array  # f32[]
    aux: dict[str, jax.Array]  # f32[] each


class Call(NamedTuple):
    """A parsed expression: `adamw(b2=0.95)`. Values are literals, tuples or Calls."""

    name: str
    args: tuple[Any, ...] = ()
    kwargs: tuple[tuple[str, Any], ...] = ()


class TracedNumber(NamedTuple):
    """Stands in a spec where a traced number goes; `path` is its key in Hparams."""

    path: str


class Entry(NamedTuple):
    """What the training step must know about an optimizer."""

    make: Callable[..., Any]  # (**arguments) -> optax.GradientTransformation
    rate: tuple[str, float] | None = ("learning_rate", 1e-3)
    # which argument is "the rate", and its default; None: the rule has none
    static: tuple[str, ...] = ()  # arguments that never trace: they change the program
    needs: tuple[str, ...] = ()  # extras its update takes, exactly: value, grad, ...
    gradient: str = "batch"
    # or "per_example", for differential privacy; of a wrapper also "inner": what the
    # first optimizer in it takes
    eval_params: Callable[[Any, Params], Params] | None = None  # (opt_state, params)
    step_size: Callable[..., jax.Array] | None = None
    # (updates, grads, params, opt_state, **arguments) -> f32[]: of a rule with its own
    num_gradients: int | Callable[..., jax.Array] = 1
    # gradients a step, the unit of a budget; the same function where it varies
    inner: tuple[str, ...] = ()  # arguments that are optimizers; "*": positional ones
    refuses: tuple[str, ...] = ()  # extras that a wrapper cannot give to what it holds
    key: str | None = None  # the argument that takes a random key, of the trial's seed
    paper: str = ""  # authors and year


class OptimizerSpec(NamedTuple):
    """An optimizer with its numbers taken out: static, hashable."""

    entry: Entry
    args: tuple[Any, ...] = ()  # literals, TracedNumbers and OptimizerSpecs
    kwargs: tuple[tuple[str, Any], ...] = ()
    rates: tuple[str, ...] = ()  # the Hparams that the schedule multiplies
    scheduled: tuple[tuple[str, "ScheduleSpec"], ...] = ()
    # Hparams with a schedule of their own: `<path>.peak` times its shape


class ScheduleSpec(NamedTuple):
    """A schedule with its numbers taken out: static, hashable."""

    shape: Callable[..., jax.Array]  # (progress f32[], **arguments) -> f32[] in [0, 1]
    kwargs: tuple[tuple[str, Any], ...] = ()


class Plan(NamedTuple):
    """Everything static about a run."""

    problem: Problem
    optimizer: OptimizerSpec
    schedule: ScheduleSpec
    num_steps: int
    batch_size: int | None  # None: the problem has no data
    eval_every: int  # steps between two evaluations
    block_steps: int  # steps of a block; evaluations are due only at the end of a block
    keep: str = "last"  # which parameters are kept: "last", or "best" on validation
    patience: int | None = None
    # evaluations without improvement after which a run stops; None: it never does


class Program(NamedTuple):
    """One training run as pure functions of (hyperparameters, seed)."""

    plan: Plan
    hparams: Hparams  # every number that is traced, at its default
    init: Callable[..., TrainState]  # (hparams, seed u32[]) -> state
    step: Callable[..., tuple[TrainState, StepInfo]]  # (state, batch, hparams, key, i)
    executables: dict[Any, Any]  # what has been compiled of it, by `trials.lanes`


class Series(NamedTuple):
    """One curve."""

    steps: Any  # i32[points]: optimizer steps taken when each value was seen
    values: Any  # f32[points]


class Result(NamedTuple):
    """What one run returns, on the host: one row of `Trials`."""

    params: Params  # the kept ones, at evaluation: averaged, where the optimizer does
    state: TrainState  # after the last segment
    trace: dict[str, Series]  # loss, learning_rate, validation_loss, ...; NaN after the
    # step at which the run diverged or was stopped
    evaluation: dict[
        str, dict[str, float]
    ]  # split -> metric -> value, of `params`; NaN
    # for a diverged run
    status: str  # "finished", "diverged" or "stopped early"
    num_steps: int  # steps taken until the run ended
    diverged_step: int | None  # the first step with a non-finite loss
    kept_step: int  # steps taken when `params` were reached
    num_gradients: int  # gradients spent
    compile_s: float
    run_s: float  # training and evaluation
