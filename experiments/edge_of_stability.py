r"""The edge of stability: training drives the sharpness up to 2 / learning rate.

Claim:    in full-batch gradient descent the sharpness, which is the largest eigenvalue
          of the Hessian, rises to 2 / rate and stays there: in the last third of the
          run the mean of sharpness x rate / 2 lies in [0.97, 1.06] for three learning
          rates. With Adam the preconditioned sharpness does the same at 38 / rate: the
          mean of its product with rate / 38 lies in [0.95, 1.05].
Cost:     about a minute on two cores.
Command:  python -m experiments.edge_of_stability
          python -m experiments.edge_of_stability --seeds=3
          python -m experiments.edge_of_stability --learning_rate=0.15,0.3 --steps=4000

On a quadratic, gradient descent diverges if the sharpness is above 2 / rate, and Adam
with fixed second moments and b1 = 0.9 if the preconditioned sharpness is above
(2 + 2 b1) / ((1 - b1) rate) = 38 / rate. On a network both train on at this limit, and
the loss falls although not in every step (Cohen et al. 2021, arXiv:2103.00065, and
2022, arXiv:2207.14484).

The network has `depth` hidden layers of `width` tanh units. It gets the training images
of the bundled digits, minus their mean image, and the loss is half the squared distance
of its outputs to the one-hot label, averaged over the images. Every step uses all
images. The learning rates of gradient descent are lanes of one sweep. The diagnostics
`sharpness` and `adam_sharpness` measure inside the compiled program.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import gradjax
from gradjax import optimizers, problems, types
from gradjax.commands import experiment, flags, lesson
from gradjax.commands.experiment import Lesson
from gradjax.commands.flags import Flag
from gradjax.commands.main import main
from gradjax.data import digits
from gradjax.errors import Refusal
from gradjax.plots.edge_of_stability import MAX_RATES, Trained, edge_of_stability
from gradjax.problems import arguments
from gradjax.report import edge_of_stability as report
from gradjax.report import terminal
from gradjax.report.edge_of_stability import Rule
from gradjax.types import Batch, LessonResult, Options, Params, Problem, Series, Trials

_MEASURED = 12  # measurements at least, so that the settled part has four
_MAX_LANES = 16  # trials that are computed together


class Settings(NamedTuple):
    """The settings of the lesson."""

    experiment: str
    width: int = 48
    depth: int = 3
    learning_rate: tuple[str, ...] = ("0.2,0.25,0.35",)  # of gradient descent
    adam_rate: float = 0.002
    steps: int = 2_000
    every: int = 20  # steps between two measurements
    products: int = 8  # Hessian products of a measurement
    seed: int = 0  # the first seed
    seeds: int = 1  # the number of seeds


_DESCENT = Rule("gradient descent", "sgd", "sharpness", "sharpness", 2.0, (0.97, 1.06))
_ADAM = Rule(
    "Adam",
    "adam",  # b1 = 0.9, so (2 + 2 b1) / (1 - b1) = 38
    "adam_sharpness",
    "preconditioned sharpness",
    38.0,
    (0.95, 1.05),
)


def run(settings: Settings, options: Options) -> dict[str, Any]:
    """Checks the settings, trains with both optimizers and shows the results."""
    arguments.whole("--width", settings.width, 1, 1_024)
    arguments.whole("--depth", settings.depth, 1, 16)
    arguments.whole("--steps", settings.steps, _MEASURED, 100_000)
    arguments.whole("--every", settings.every, 1, settings.steps // _MEASURED)
    arguments.whole("--products", settings.products, 2, 100)
    arguments.whole("--seeds", settings.seeds, 1, 100)
    arguments.number("--adam_rate", settings.adam_rate, 1e-6, 1.0)
    name, seed, seeds = settings.experiment, settings.seed, settings.seeds
    experiment.check(types.Settings(name, seed=seed, seeds=seeds))
    rules = {_DESCENT: _rates(settings.learning_rate), _ADAM: [settings.adam_rate]}
    data = problems.about(digits.load())
    return lesson.run(settings, options, lambda: _find(settings, rules), data)


def _rates(texts: tuple[str, ...]) -> list[float]:
    """Reads the learning rates, which are separated by commas.

    Raises:
        Refusal: one is not a number in range, is given twice, or there are too many.
    """
    words = [word.strip() for word in ",".join(texts).split(",")]
    rates: list[float] = []
    for word in words:
        try:
            value = float(word)
        except ValueError:
            expected = "expected numbers, such as 0.1,0.2"
            raise Refusal(f"--learning_rate={word[:40]!r}: {expected}") from None
        rate = arguments.number("--learning_rate", value, 1e-6, 100.0)
        if rate in rates:
            raise Refusal(f"--learning_rate={word}: given twice")
        rates.append(rate)
    if len(rates) > MAX_RATES:
        raise Refusal(f"--learning_rate: {len(rates)} of them; at most {MAX_RATES}")
    return rates


def tanh_digits(width: int, depth: int) -> Problem:
    """Makes the problem: the mean of 1/2 |network(image) - one-hot label|^2, on digits.

    Args:
      width: tanh units of a hidden layer.
      depth: hidden layers. All kernels begin with the variance 1 / fan-in (LeCun et al.
        1998) and all biases at 0.

    Returns:
      A Problem with 1,257 training examples: "x" f32[64], the image minus the mean
      image, and "y" f32[10], the one-hot label.
    """
    train = digits.load().train
    pixels = train["image"].reshape(len(train["label"]), -1) / digits.MAX_VALUE
    x = np.asarray(pixels - pixels.mean(axis=0), np.float32)
    y = np.eye(10, dtype=np.float32)[train["label"]]
    sizes = (x.shape[1], *[width] * depth, y.shape[1])
    initial = jax.nn.initializers.lecun_normal()

    def init(key: jax.Array) -> Params:
        layers = {}
        for k, shape in enumerate(zip(sizes[:-1], sizes[1:], strict=True)):
            kernel = initial(jax.random.fold_in(key, k), shape)
            layers[f"layer_{k}"] = {"kernel": kernel, "bias": jnp.zeros(shape[1])}
        return layers

    def loss(params: Params, batch: Batch, _key: jax.Array) -> tuple[jax.Array, dict]:
        outputs = batch["x"]
        for k in range(depth + 1):
            layer = params[f"layer_{k}"]
            outputs = jnp.tanh(outputs) if k else outputs
            outputs = outputs @ layer["kernel"] + layer["bias"][None]
        return 0.5 * jnp.square(outputs - batch["y"]).sum(axis=1).mean(), {}

    return gradjax.problem(loss, init, {"x": x, "y": y})


def _find(settings: Settings, rules: dict[Rule, list[float]]) -> LessonResult:
    """Trains with both optimizers, and finds where their sharpness settles."""
    problem = tanh_digits(settings.width, settings.depth)
    network = f"{settings.depth} x {settings.width} tanh units"
    what = f"digits, {network}, mean squared error, full batch"
    terminal.say(
        f"{what}: {settings.steps:,} steps, the sharpness measured every"
        f" {settings.every}; two programs to compile"
    )
    ends, drawn, trace = [], [], {}
    for rule, rates in rules.items():
        trials = _train(settings, problem, rule, rates)
        each = [rate for rate in rates for _ in range(settings.seeds)]
        ends += report.ends(rule, each, trials)
        curves = trials.trace["loss"], trials.trace[rule.diagnostic]
        drawn.append(Trained(rule.name, rule.measured, each, rule.threshold, *curves))
        trace |= _trace(rule, trials)
    return LessonResult(
        report.sentence(settings.steps, ends),
        report.figures(ends),
        report.rows(ends),
        trace,
        {"picture.png": functools.partial(edge_of_stability, what, drawn)},
    )


def _train(
    settings: Settings, problem: Problem, rule: Rule, rates: list[float]
) -> Trials:
    """Trains with each rate and each seed, as the lanes of one sweep."""
    # The batch of a step is the complete data, so its sharpness is that of the data.
    numbers = f"every={settings.every}, num_products={settings.products}"
    trials = gradjax.sweep(
        problem,
        rule.optimizer,
        {optimizers.RATE: rates},
        range(settings.seed, settings.seed + settings.seeds),
        num_steps=settings.steps,
        lane_width=min(len(rates) * settings.seeds, _MAX_LANES),
        num_devices=1,  # because a step is too short to be divided among cores
        trace_every=1,
        diagnostics=f"[{rule.diagnostic}({numbers})]",
    )
    terminal.say(
        f"{rule.name} at {terminal.join_words([f'{rate:g}' for rate in rates])}:"
        f" compiled in {trials.compile_s:.1f} s, run in {trials.run_s:.1f} s"
    )
    return trials


def _trace(rule: Rule, trials: Trials) -> dict[str, Series]:
    """Returns the loss and the curves of the diagnostic; a row is a rate and a seed."""
    names = ("loss", *(name for name in trials.trace if rule.diagnostic in name))
    return {f"{rule.optimizer}.{name}": trials.trace[name] for name in names}


LESSON = Lesson(
    "edge_of_stability",
    Settings,
    {
        "Network": [
            Flag("width", "integer", "tanh units of a hidden layer: from 1 to 1,024"),
            Flag("depth", "integer", "hidden layers: from 1 to 16"),
        ],
        "Learning rates": [
            Flag(
                "learning_rate",
                "strings",
                f"the rates of gradient descent, up to {MAX_RATES}, given in several"
                " flags or separated by commas",
            ),
            Flag("adam_rate", "float", "the rate of Adam"),
        ],
        "Duration": [
            Flag("steps", "integer", "steps of a run: from 12 to 100,000"),
            Flag(
                "every",
                "integer",
                "steps between two measurements of the sharpness; a run has at least"
                f" {_MEASURED} of them",
            ),
            Flag(
                "products",
                "integer",
                "Hessian products of a measurement, which starts at the result of the"
                " last one: from 2 to 100",
            ),
        ],
        "Randomness": [
            Flag("seed", "integer", "the seed of the initial parameters"),
            Flag("seeds", "integer", "runs of each rate, with seed, seed + 1, ..."),
        ],
        "Output": flags.OUTPUT,
    },
    run,
)

if __name__ == "__main__":
    main(LESSON)
