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
from gradjax.data.ratings import Ratings
from gradjax.errors import Refusal
from gradjax.problems import bias_baseline, recommendation
from gradjax.report import terminal
from scripts import parsing

_DATASET = "movielens/latest-small-ratings"


def main(arguments: list[str]) -> int:
    """Runs the command; returns its exit code: 2 after one line on stderr."""
    parser = parsing.parser("recommend_splits", __doc__)
    parser.add_argument("dataset", nargs="?", default=_DATASET, help=_DATASET)
    parser.add_argument(
        "splits", nargs="?", type=parsing.count(2, 1_000), default=5, help="5"
    )
    asked = parser.parse_args(arguments)
    try:
        compare(asked.dataset, asked.splits)
    except Refusal as error:
        print(f"recommend_splits: {error}", file=sys.stderr)
        return 2
    return 0


def compare(dataset: str, num_splits: int) -> None:
    """Prints a line per split, then the mean difference with Student's interval."""
    loaded = ratings.load(dataset)
    terminal.say("| split | factorisation | user and item biases | difference |")
    terminal.say("|---|---|---|---|")
    pairs = []
    for index in range(num_splits):
        ours, theirs = _score(dataset, loaded, index)
        pairs.append((ours, theirs))
        terminal.say(f"| {index} | {ours:.4f} | {theirs:.4f} | {ours - theirs:+.4f} |")
    ours, theirs = np.array(pairs).T
    mean, low, high = student_interval(ours - theirs)
    terminal.say(f"| mean | {ours.mean():.4f} | {theirs.mean():.4f} | {mean:+.4f} |")
    terminal.say(
        f"\nStudent's 95 % interval of the difference: {low:+.4f} to {high:+.4f}"
    )


def _score(dataset: str, loaded: Ratings, index: int) -> tuple[float, float]:
    """Returns the test RMSE of factorisation and of biases on one split."""
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
    sys.exit(main(sys.argv[1:]))
