"""Types for problems, optimizers, programs and the results of a run.

The names of axes are: trials, steps, batch, features, classes, time.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import jax

Params: TypeAlias = Any  # a pytree of arrays
ModelState: TypeAlias = Any  # a pytree of arrays; None for a network without a state
Batch: TypeAlias = Any  # a pytree of arrays, each [batch, ...]
Key: TypeAlias = jax.Array  # one typed PRNG key
Hparams: TypeAlias = dict[str, Any]  # dotted path -> f32[]; all are traced
MetricSums: TypeAlias = dict[str, tuple[jax.Array, jax.Array]]  # name -> (sum, count)


class Model(NamedTuple):
    """A parametric function; it may be written with any library."""

    init: Callable[[Key], Params]
    apply: Callable[..., Any]
    # (params, inputs, key=None) -> outputs; the key is given only in training. With a
    # state it is (params, inputs, key, state) -> (outputs, new state), and without a
    # key the state does not change
    init_state: Callable[[Key], ModelState] | None = None
    # of a network that keeps a state beside its parameters, as BatchNorm does


class Source(NamedTuple):
    """The source of the batches of one split."""

    num_examples: int
    arrays: Any  # read by `take`; an argument of the program, not a constant in it
    take: Callable[[Any, jax.Array], Batch]  # (arrays, indices u32[batch]) -> batch


class Splits(NamedTuple):
    """The three splits of a data set; validation and test may be None."""

    train: Source
    validation: Source | None = None
    test: Source | None = None


class Dataset(NamedTuple):
    """A data set of labelled images on the host, with a fixed split."""

    name: str  # its TFDS name, or "digits"
    train: dict[str, Any]  # "image" u8[examples, height, width, channels], "label" i32
    validation: dict[str, Any]
    test: dict[str, Any]
    num_classes: int
    max_value: float  # divides the images, so that inputs lie in [0, 1]
    fingerprint: str  # sha256 of the source
    origin: str  # one readable line: the folder or the package


class Target(NamedTuple):
    """The value of a metric at which a problem counts as solved."""

    metric: str = "loss"
    value: float | None = None
    mode: str = "min"  # "min" where smaller values are better, else "max"


class Minimum(NamedTuple):
    """The known minimum of a problem; on the host, in float64."""

    params: tuple[Params, ...]  # all known minimisers, each a pytree
    loss: float  # the minimum: mean over all training data and over the noise
    curvature: tuple[float, float] | None = None
    # the smallest and the largest eigenvalue of the Hessian at the first minimiser


class Examples(NamedTuple):
    """Held-out images for a picture, and the predictions of the model for them."""

    images: Any  # f32[examples, height, width, channels], in [0, 1]
    labels: Any  # i32[examples]
    probabilities: Any  # f32[examples, classes]


class Problem(NamedTuple):
    """A function to minimise, with its data; it does not depend on a model library."""

    init: Callable[[Key], Params]
    loss: Callable[..., Any]
    # loss(params, batch, key) -> (f32[], aux): the objective, a mean over examples, and
    # scalars f32[] that are traced because they cost nothing (training accuracy)
    metrics: Callable[..., MetricSums] | None = None
    # metrics(params, batch, key) -> {name: (sum, count)}: metrics of held-out data
    data: Splits | None = None  # None: the loss needs no batch
    target: Target = Target()
    report: Callable[..., "Report"] | None = None
    # (params, data) -> Report: called once at the end, on the host (BLEU, samples)
    minimum: Minimum | None = None  # None: the minimum is not known
    examples: Callable[..., Examples] | None = None  # params -> images for the picture
    about: dict[str, Any] | None = None
    # description of the data for the record, as values that JSON can hold
    init_state: Callable[[Key], ModelState] | None = None
    # what the network keeps beside its parameters, such as running means. With it,
    # loss(params, batch, key, state) -> (f32[], aux, new state), and metrics, report
    # and examples get the state as their last argument and do not change it


class Report(NamedTuple):
    """Results of trained parameters that are not metrics."""

    figures: dict[str, float]  # name -> value: BLEU, recall@10
    texts: dict[str, list[str]] = {}  # heading -> printed lines: samples
    files: dict[str, bytes] = {}  # name -> content of a file for the record's folder


class TrainState(NamedTuple):
    """The state that a training step updates."""

    params: Params
    opt_state: Any
    alive: jax.Array  # bool[]: the run has not diverged so far
    model_state: ModelState = None  # of the network, from the last finite loss


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


class Program(NamedTuple):
    """A training run as pure functions of (hyperparameters, seed)."""

    plan: Plan
    hparams: Hparams  # all traced numbers, at their defaults
    init: Callable[..., TrainState]  # (hparams, seed u32[]) -> state
    step: Callable[..., tuple[TrainState, StepInfo]]  # (state, batch, hparams, key, i)
    executables: dict[Any, Any]  # cache of compiled calls, filled by `trials.lanes`


class Series(NamedTuple):
    """One curve."""

    steps: Any  # i32[points]: optimizer steps taken when each value was measured
    values: Any  # f32[points]


class Result(NamedTuple):
    """The result of one run, on the host: one row of `Trials`."""

    params: Params  # the kept ones, as evaluated: averaged where the optimizer averages
    state: TrainState  # after the last segment
    trace: dict[str, Series]
    # loss, learning_rate, validation_loss, ...; NaN after the step at which the run
    # diverged or was stopped
    evaluation: dict[str, dict[str, float]]
    # split -> metric -> value, measured at `params`; NaN for a diverged run
    status: str  # "finished", "diverged" or "stopped early"
    num_steps: int  # steps taken until the run ended
    diverged_step: int | None  # the first step with a non-finite loss
    kept_step: int  # steps taken when `params` were reached
    num_gradients: int  # gradients computed
    compile_s: float  # seconds
    run_s: float  # seconds of training and evaluation
    model_state: ModelState = None  # of the network, beside `params`
    hparams: Hparams = {}  # the hyperparameters of the run, f32[] each
    seed: int = 0
