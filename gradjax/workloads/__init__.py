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


def _low(problem: str, batch_size: int | None, num_steps: int, loss: float) -> Workload:
    return Workload(problem, batch_size, num_steps, Target("loss", loss, "min"))


def _reads(problem: str, num_steps: int, accuracy: float) -> Workload:
    return Workload(problem, 32, num_steps, Target("accuracy", accuracy, "max"))


SUITES: dict[str, tuple[Workload, ...]] = {
    # All of it within ten seconds, one run of each.
    "toy": (
        _low("quadratic(condition=100)", None, 200, 2.57e-10),
        _low("rosenbrock", None, 1_000, 2.38e-06),
        _low("least_squares", 32, 200, 0.272),
        _low("logistic_regression", 32, 200, 0.134),
        _reads("wine_mlp", 100, 0.944),
    ),
    # Within two minutes, one run of each; MNIST has to be prepared.
    "small": (
        _reads("digits_logistic", 500, 0.972),
        _reads("digits_mlp", 500, 0.972),
        _reads("digits_cnn", 500, 0.983),
        _low("digits_vae", 32, 500, 25.5),
        _reads("mnist_logistic", 1_719, 0.924),
        _reads("mnist_mlp", 1_719, 0.97),
    ),
}
