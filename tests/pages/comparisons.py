"""Comparisons made by hand, for the tests of a page."""

import numpy as np

from gradjax.analysis.comparison import compare
from gradjax.types import Series
from gradjax.types.comparisons import Metric, Outcome

ACCURACY = Metric("test_accuracy", "max", 360, "validation_accuracy", 0.9)


def outcomes(names, num_seeds=6, num_points=20, num_trials=4, problem="digits"):
    """Fresh seeds and trials of a search of each optimizer, of which one diverged."""
    random = np.random.default_rng(0)
    steps = np.arange(1, num_points + 1) * 10
    for i, name in enumerate(names):
        for k in range(num_seeds + num_trials):
            is_fresh = k < num_seeds
            rate = 0.1 if is_fresh else 10.0 ** (1 - 4 * (k - num_seeds) / num_trials)
            best = 1 - 0.05 * np.log10(rate / 0.1) ** 2 - 0.01 * i
            values = best - 1 / np.sqrt(steps) + random.normal(0, 0.01, num_points)
            is_lost = k == num_seeds  # the trial with the largest rate
            yield Outcome(
                problem,
                name,
                "fresh" if is_fresh else "search",
                k,
                {"learning_rate": rate, "momentum": 0.9 - 0.01 * (k % 3)}
                if not is_fresh
                else {"learning_rate": rate, "momentum": 0.9},
                np.nan if is_lost else float(values[-1]),
                Series(steps, np.where(is_lost & (steps > 50), np.nan, values)),
                50 if is_lost else int(steps[-1]),
                50 if is_lost else 0,
                f"runs/{name}, trial {k}",
                num_gradients=50 if is_lost else int(steps[-1]),
                seconds=0.01 * steps[-1],
                search="halton",
                command=f"python -c 'show {k}'",
            )


def table(names, metric=ACCURACY, baseline=None, **sizes):
    """The comparison of these optimizers with the first one."""
    found = list(outcomes(names, **sizes))
    return compare(found, metric, baseline or names[0])
