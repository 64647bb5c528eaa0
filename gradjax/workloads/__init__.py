"""Suites: problems with what may be spent on them and what counts as solved.

A target is set by a rule (`gradjax.workloads.rule`), and the rule was run:
`python -m scripts.set_targets` did, and docs/results/targets.md has what it found. It
counts as met by a tuned setting on seeds that set nothing.
"""

from typing import NamedTuple

from gradjax.types import Target


class Workload(NamedTuple):
    """One problem of a suite."""

    problem: str  # an expression of `gradjax.problems.make`
    batch_size: int | None  # None: the problem has no data
    num_steps: int
    target: Target  # of validation, where there is one; else of the loss
    is_slow: bool = False  # a run takes seconds: the rule tries less


def _low(
    problem: str,
    batch_size: int | None,
    num_steps: int,
    value: float,
    metric: str = "loss",
) -> Workload:
    return Workload(problem, batch_size, num_steps, Target(metric, value, "min"))


def _reads(
    problem: str, num_steps: int, accuracy: float, batch_size: int = 32
) -> Workload:
    target = Target("accuracy", accuracy, "max")
    return Workload(problem, batch_size, num_steps, target)


def _slow(workload: Workload) -> Workload:
    return workload._replace(is_slow=True)


SUITES: dict[str, tuple[Workload, ...]] = {
    # All of it within ten seconds, one run of each.
    "toy": (
        _low("quadratic(condition=100)", None, 200, 2.57e-10),
        _low("rosenbrock", None, 1_000, 2.38e-06),
        _low("least_squares", 32, 200, 0.272),
        _low("logistic_regression", 32, 200, 0.134),
        _reads("wine_mlp", 100, 0.944),
    ),
    # Within two minutes, one run of each, once the data sets are prepared.
    "small": (
        _reads("digits_mlp", 500, 0.972),
        _reads("digits_cnn", 500, 0.983),
        _low("digits_vae", 32, 500, 25.5),
        _reads("mnist_logistic", 1_719, 0.924),
        _reads("mnist_mlp", 1_719, 0.97),
        _slow(_reads("clinc_bag", 470, 0.914, 64)),
        _slow(_low("shakespeare_gru", 32, 400, 2.66, "bits_per_character")),
        _slow(_low("tatoeba_transformer", 16, 200, 4.29, "cross_entropy")),
        _slow(_low("movielens", 512, 790, 0.721, "squared_error")),
    ),
}
