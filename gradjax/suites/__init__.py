"""Suites: problems with what may be spent on them and what counts as solved.

A target is set by a rule (`gradjax.suites.rule`), and the rule was run:
`python -m scripts.set_targets` did, and docs/results/targets.md has what it found. It
counts as met by a tuned setting on seeds that set nothing; one run of each problem is
`python -m scripts.run_suite`.
"""

from typing import NamedTuple

from gradjax.types import Target

_MOMENTUM = "sgd(momentum=0.9)"
_BITS = "bits_per_character"


class Workload(NamedTuple):
    """One problem of a suite."""

    problem: str  # an expression of `gradjax.problems.make`
    batch_size: int | None  # None: the problem has no data
    num_steps: int
    target: Target  # of validation, where there is one; else of the loss
    optimizer: str  # the best of those that were tuned, which set the target
    learning_rate: float  # its
    is_slow: bool = False  # a run takes seconds: the rule tries less


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
    # All of it within ten seconds, one run of each.
    "toy": (
        _low("quadratic(condition=100)", None, 200, 2.57e-10, _MOMENTUM, 2.15),
        _low("rosenbrock", None, 1_000, 2.38e-06, _MOMENTUM, 0.00215),
        _low("least_squares", 32, 200, 0.272, "adam", 0.1),
        _low("logistic_regression", 32, 200, 0.134, "adam", 0.0215),
        _reads("wine_mlp", 32, 100, 0.944, "sgd", 0.0464),
    ),
    # Within two minutes, one run of each, once the data sets are prepared.
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
    # A quarter of a minute a run; one epoch, or as much as a search of rates can pay.
    "standard": (
        _slow(_reads("mnist_cnn", 128, 430, 0.984, "rmsprop", 0.00562)),
        _slow(_low("mnist_vae", 32, 1_719, 116.0, "adam", 0.00562)),
        _slow(_reads("clinc_gru", 64, 470, 0.899, _MOMENTUM, 1.0)),
        _slow(_low("shakespeare_lstm", 32, 245, 2.8, "adam", 0.00562, _BITS)),
    ),
}
