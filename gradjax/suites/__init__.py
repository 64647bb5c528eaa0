"""Suites: problems with a budget, and with the target that counts as solved.

Each target was set by a rule (`gradjax.suites.rule`), which
`python -m scripts.set_targets` applies; the results are in docs/results/targets.md.
Whether a tuned setting meets a target is decided on seeds that did not set it.
`python -m scripts.run_suite` runs each problem once.
"""

from typing import NamedTuple

from gradjax.types import Target

_MOMENTUM = "sgd(momentum=0.9)"
_BITS = "bits_per_character"


class Workload(NamedTuple):
    """An entry of a suite."""

    problem: str  # an expression of `gradjax.problems.make`
    batch_size: int | None  # None: the problem has no data
    num_steps: int
    target: Target  # on validation, or on train if there is no validation
    optimizer: str  # the best of the tuned optimizers, with which the target was set
    learning_rate: float  # the tuned learning rate of that optimizer
    is_slow: bool = False  # a run takes seconds, so the rule tries fewer settings


def _low(
    problem: str,
    batch_size: int | None,
    num_steps: int,
    value: float,
    optimizer: str,
    learning_rate: float,
    metric: str = "loss",
) -> Workload:
    target = Target(metric, value, "min")
    return Workload(problem, batch_size, num_steps, target, optimizer, learning_rate)


def _reads(
    problem: str,
    batch_size: int,
    num_steps: int,
    accuracy: float,
    optimizer: str,
    learning_rate: float,
) -> Workload:
    target = Target("accuracy", accuracy, "max")
    return Workload(problem, batch_size, num_steps, target, optimizer, learning_rate)


def _slow(workload: Workload) -> Workload:
    return workload._replace(is_slow=True)


SUITES: dict[str, tuple[Workload, ...]] = {
    # One run of each takes less than ten seconds in all.
    "toy": (
        _low("quadratic(condition=100)", None, 200, 2.57e-10, _MOMENTUM, 2.15),
        _low("rosenbrock", None, 1_000, 2.38e-06, _MOMENTUM, 0.00215),
        _low("least_squares", 32, 200, 0.272, "adam", 0.1),
        _low("logistic_regression", 32, 200, 0.134, "adam", 0.0215),
        _reads("wine_mlp", 32, 100, 0.944, "sgd", 0.0464),
    ),
    # One run of each takes less than two minutes in all, with prepared data sets.
    "small": (
        _reads("digits_mlp", 32, 500, 0.972, _MOMENTUM, 0.215),
        _reads("digits_cnn", 32, 500, 0.983, "rmsprop", 0.01),
        _low("digits_vae", 32, 500, 25.5, "rmsprop", 0.0215),
        _reads("mnist_logistic", 32, 1_719, 0.924, "adam", 0.0215),
        _reads("mnist_mlp", 32, 1_719, 0.97, "rmsprop", 0.00464),
        _slow(_reads("clinc_bag", 64, 470, 0.914, "adam", 0.0316)),
        _slow(_low("shakespeare_gru", 32, 400, 2.66, "rmsprop", 0.0316, _BITS)),
        _slow(
            _low(
                "tatoeba_transformer",
                16,
                200,
                4.29,
                "rmsprop",
                0.00562,
                "cross_entropy",
            )
        ),
        _slow(_low("movielens", 512, 790, 0.721, "rmsprop", 0.0316, "squared_error")),
    ),
    # A run takes about 15 s: one epoch, or as much as a search over rates can afford.
    "standard": (
        _slow(_reads("mnist_cnn", 128, 430, 0.984, "rmsprop", 0.00562)),
        _slow(_low("mnist_vae", 32, 1_719, 116.0, "adam", 0.00562)),
        _slow(_reads("clinc_gru", 64, 470, 0.899, _MOMENTUM, 1.0)),
        _slow(_low("shakespeare_lstm", 32, 245, 2.8, "adam", 0.00562, _BITS)),
    ),
}
