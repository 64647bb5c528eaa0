"""Types for models, data and problems.

The names of axes are: trials, steps, batch, features, classes, time.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import jax

from gradjax.types import shown

Params: TypeAlias = Any  # a pytree of arrays
ModelState: TypeAlias = Any  # a pytree of arrays; None for a network without a state
Batch: TypeAlias = Any  # a pytree of arrays, each [batch, ...]
Key: TypeAlias = jax.Array  # one typed PRNG key
Hparams: TypeAlias = dict[str, Any]  # dotted path -> f32[]; all are traced
MetricSums: TypeAlias = dict[str, tuple[jax.Array, jax.Array]]  # name -> (sum, count)


class RateFactors(NamedTuple):
    """What multiplies the learning rate in each parameter, by family of optimizers.

    Attributes:
      adam: a pytree of floats, one for each leaf of the parameters, for rules whose
        updates do not depend on the scale of the gradient, in each entry.
      sgd: likewise, for rules whose updates are linear in the gradients.
      family: "adam" or "sgd" for every optimizer; None: that of each known rule.
    """

    adam: Any
    sgd: Any
    family: str | None = None


class Model(NamedTuple):
    """A parametric function; it may be written with any library."""

    init: Callable[[Key], Params]
    apply: Callable[..., Any]
    # (params, inputs, key=None) -> outputs; the key is given only in training. With a
    # state it is (params, inputs, key, state) -> (outputs, new state), and without a
    # key the state does not change
    init_state: Callable[[Key], ModelState] | None = None
    # of a network that keeps a state beside its parameters, as BatchNorm does
    rate_factors: RateFactors | None = None
    # of a parametrization such as muP; None: every leaf has the same learning rate


class Source(NamedTuple):
    """The source of the batches of one split.

    Attributes:
      num_examples: the number of examples.
      arrays: what `take` reads; an argument of the program, not a constant in it. Of a
        streamed split these are examples that have been read, and before a run a
        sample of one example.
      take: (arrays, indices u32[batch]) -> batch, a pytree with leaves [batch, ...].
      read: (indices u32[n], of numpy) -> examples on the host, a pytree of numpy arrays
        [n, ...]; with it the split is streamed (`gradjax.data.streaming`). None:
        `arrays` has the whole split.
      workers: the number of processes that call `read`; 0: a thread of this process.
    """

    num_examples: int
    arrays: Any
    take: Callable[[Any, jax.Array], Batch]
    read: Callable[[Any], Any] | None = None
    workers: int = 0

    def __repr__(self) -> str:
        """Returns the number of examples and the size of the arrays in one line."""
        sizes = "streamed" if self.read else shown.sizes(self.arrays)
        return shown.of(self, num_examples=self.num_examples, arrays=sizes)


class Splits(NamedTuple):
    """The three splits of a data set.

    Attributes:
      train: the examples of the batches.
      validation: the examples on which settings and steps are chosen, or None.
      test: the examples that are evaluated once, at the kept parameters, or None.
    """

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
    """The value of a metric at which a problem counts as solved.

    `gradjax.program` refuses a target with other fields than these. A problem gets it
    by `problem._replace(target=gradjax.Target("accuracy", 0.9, "max"))`.

    Attributes:
      metric: the name of the metric, which also selects settings and steps. Without it
        among the metrics the loss selects them; where trials are ranked, which is in
        every stored run, `tune` and `compare`, one of the two must be measured.
      value: the value that counts as solved, a finite number; None: there is none.
      mode: "min" where smaller values are better, or "max".
    """

    metric: str = "loss"
    value: float | None = None
    mode: str = "min"


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
    """A function to minimise, with its data; it does not depend on a model library.

    Attributes:
      init: (key) -> params, a pytree of floats.
      loss: (params, batch, key) -> (f32[], aux): the objective, a mean over examples,
        and scalars that are traced because they cost nothing (training accuracy).
      metrics: (params, batch, key) -> {name: (sum, count)}: metrics of held-out data;
        None: the loss alone.
      data: the splits; None: the loss needs no batch.
      target: the value of a metric at which the problem counts as solved, a Target. Its
        metric ranks settings and selects steps.
      report: (params, data) -> Report, called once at the end, on the host (BLEU).
      minimum: the known minimum; None: it is not known.
      examples: (params) -> Examples, images for the picture.
      about: a description of the data for the record, as values that JSON can hold.
      init_state: (key) -> what the network keeps beside its parameters, such as running
        means. With it, loss(params, batch, key, state) -> (f32[], aux, new state), and
        metrics, report and examples get the state as their last argument and do not
        change it.
      apply: the network: (params, batch, key=None) -> outputs, the key in training;
        with a state (params, batch, key, state) -> (outputs, new state).
      rate_factors: what multiplies the learning rate in each parameter; None: nothing.
      describe: (batch) -> a line of text for each example, on the host, for a reader of
        a replay; None: the examples have no text.
    """

    init: Callable[[Key], Params]
    loss: Callable[..., Any]
    metrics: Callable[..., MetricSums] | None = None
    data: Splits | None = None
    target: Target = Target()
    report: Callable[..., "Report"] | None = None
    minimum: Minimum | None = None
    examples: Callable[..., Examples] | None = None
    about: dict[str, Any] | None = None
    init_state: Callable[[Key], ModelState] | None = None
    apply: Callable[..., Any] | None = None
    rate_factors: RateFactors | None = None
    describe: Callable[[Batch], list[str]] | None = None

    def __repr__(self) -> str:
        """Returns the number of examples and the target in one line."""
        sizes = {} if self.data is None else self.data._asdict()
        sizes = {name: one.num_examples for name, one in sizes.items() if one}
        return shown.of(self, examples=shown.numbers(sizes), target=self.target)


class Report(NamedTuple):
    """Results of trained parameters that are not metrics."""

    figures: dict[str, float]  # name -> value: BLEU, recall@10
    texts: dict[str, list[str]] = {}  # heading -> printed lines: samples
    files: dict[str, bytes] = {}  # name -> content of a file for the record's folder
