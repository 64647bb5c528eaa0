"""Suites: problems with a budget, and with the target that counts as solved.

Each target was set by a rule (`gradjax.suites.rule`), which
`python -m scripts.set_targets` applies; the results are in docs/results/targets.md.
Whether a tuned setting meets a target is decided on seeds that did not set it.
`python -m scripts.run_suite` runs each problem once.
"""

from typing import NamedTuple

from gradjax import problems
from gradjax.types import Problem, Target

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


def _below(value: float, metric: str = "loss") -> Target:
    return Target(metric, value, "min")


def _accuracy(value: float) -> Target:
    return Target("accuracy", value, "max")


def _slow(workload: Workload) -> Workload:
    return workload._replace(is_slow=True)


SUITES: dict[str, tuple[Workload, ...]] = {
    # One run of each takes less than ten seconds in all.
    "toy": (
        Workload(
            "quadratic(condition=100)", None, 200, _below(2.57e-10), _MOMENTUM, 2.15
        ),
        Workload("rosenbrock", None, 1_000, _below(2.38e-06), _MOMENTUM, 0.00215),
        Workload("least_squares", 32, 200, _below(0.272), "adam", 0.1),
        Workload("logistic_regression", 32, 200, _below(0.134), "adam", 0.0215),
        Workload("wine_mlp", 32, 100, _accuracy(0.944), "sgd", 0.0464),
    ),
    # One run of each takes less than two minutes in all, with prepared data sets.
    "small": (
        Workload("digits_mlp", 32, 500, _accuracy(0.972), _MOMENTUM, 0.215),
        Workload("digits_cnn", 32, 500, _accuracy(0.983), "rmsprop", 0.01),
        Workload("digits_vae", 32, 500, _below(25.5), "rmsprop", 0.0215),
        Workload("mnist_logistic", 32, 1_719, _accuracy(0.924), "adam", 0.0215),
        Workload("mnist_mlp", 32, 1_719, _accuracy(0.97), "rmsprop", 0.00464),
        _slow(Workload("clinc_bag", 64, 470, _accuracy(0.914), "adam", 0.0316)),
        _slow(
            Workload("shakespeare_gru", 32, 400, _below(2.66, _BITS), "rmsprop", 0.0316)
        ),
        _slow(
            Workload(
                "tatoeba_transformer",
                16,
                200,
                _below(4.29, "cross_entropy"),
                "rmsprop",
                0.00562,
            )
        ),
        _slow(
            Workload(
                "movielens", 512, 790, _below(0.721, "squared_error"), "rmsprop", 0.0316
            )
        ),
    ),
    # A run takes about 15 s: one epoch, or as much as a search over rates can afford.
    "standard": (
        _slow(Workload("mnist_cnn", 128, 430, _accuracy(0.984), "rmsprop", 0.00562)),
        _slow(Workload("mnist_vae", 32, 1_719, _below(116.0), "adam", 0.00562)),
        _slow(Workload("clinc_gru", 64, 470, _accuracy(0.899), _MOMENTUM, 1.0)),
        _slow(
            Workload("shakespeare_lstm", 32, 245, _below(2.8, _BITS), "adam", 0.00562)
        ),
    ),
}


def problem_of(workload: Workload) -> Problem:
    """Makes the problem of an entry, with the target of the entry."""
    return problems.make(workload.problem)._replace(target=workload.target)
