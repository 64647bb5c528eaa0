"""Compares factorisation with tuned biases, in pairs over random splits of ratings.

Command:  python -m scripts.recommend_splits [dataset [splits]]

On each split it trains the default of `experiments.recommend` once, and fits user and
item biases, whose two strengths are chosen on the validation split. Both are scored on
the same test rows.
"""

import sys

import numpy as np

import gradjax
from experiments.recommend import EXPERIMENT
from gradjax.analysis.statistics import student_interval
from gradjax.commands import experiment
from gradjax.data import ratings
from gradjax.problems import bias_baseline, recommendation
from gradjax.report import terminal

_DATASET = "movielens/latest-small-ratings"


def main(dataset: str = _DATASET, num_splits: str = "5") -> None:
    """Prints a line per split, then the mean difference with Student's interval."""
    terminal.say("| split | factorisation | user and item biases | difference |")
    terminal.say("|---|---|---|---|")
    pairs = []
    for index in range(int(num_splits)):
        ours, theirs = _score(dataset, index)
        pairs.append((ours, theirs))
        terminal.say(f"| {index} | {ours:.4f} | {theirs:.4f} | {ours - theirs:+.4f} |")
    ours, theirs = np.array(pairs).T
    mean, low, high = student_interval(ours - theirs)
    terminal.say(f"| mean | {ours.mean():.4f} | {theirs.mean():.4f} | {mean:+.4f} |")
    terminal.say(
        f"\nStudent's 95 % interval of the difference: {low:+.4f} to {high:+.4f}"
    )


def _score(dataset: str, index: int) -> tuple[float, float]:
    """Returns the test RMSE of factorisation and of biases on one split."""
    loaded = ratings.load(dataset)
    task = recommendation.task(loaded, split_index=index)
    problem = recommendation.recommendation(task)
    given = experiment.settings_of(EXPERIMENT, dataset=dataset, split_index=index)
    settings = experiment.with_duration(EXPERIMENT, given)
    program = experiment.program_of(EXPERIMENT, problem, settings)
    result = gradjax.run(program, seed=settings.seed)
    rows = task.parts.test
    columns = (loaded.user[rows], loaded.item[rows], loaded.rating[rows])
    biases = recommendation.tuned_baseline(task).biases
    theirs = bias_baseline.rmse(biases, bias_baseline.Rows(*columns))
    return recommendation.rmse(task, result.params, rows), theirs


if __name__ == "__main__":
    main(*sys.argv[1:])
