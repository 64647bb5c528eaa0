"""Studies of one optimizer under two names, where every "better" is a mistake.

`scripts.check_statistics` counts these mistakes: in simulated studies in which the
optimizer is tuned twice, and in real ones that train one setting on other seeds.
"""

from collections.abc import Iterator

import numpy as np

from gradjax.analysis.comparison import compare
from gradjax.analysis.tuned_verdicts import StudyMeans, study_verdicts, tuned_verdicts
from gradjax.analysis.verdicts import BETTER, verdicts
from gradjax.suites import SUITES, Workload, problem_of, rule
from gradjax.types import Series
from gradjax.types.comparisons import Metric, Outcome

_NAMES = ("a", "b")
_NUM_TRIALS, _NUM_SEEDS, _NUM_TUNINGS = 20, 10, 5
_NOISE = 0.1  # the spread over seeds, where the loss rises by 1 to the end of the range


def simulated(num_studies: int) -> tuple[float, float, float]:
    """Returns how often one optimizer, tuned twice, is called better than itself.

    Its loss is (2 u - 1)^2 at the place u of the unit interval, with normal noise of
    each seed. Each of the two tunings has its own 20 points and seeds, and the setting
    with the smallest loss is trained on 10 fresh seeds of its own.

    Args:
      num_studies: the number of simulated studies.

    Returns:
      The shares of studies in which the verdict on the chosen settings, that on the
      optimizers over the trials of one tuning, and that over five tunings is "better".
    """
    random = np.random.default_rng(6)
    found = [_simulated_study(random) for _ in range(num_studies)]
    settings, once, several = np.mean(found, axis=0)
    return float(settings), float(once), float(several)


def _simulated_study(random: np.random.Generator) -> tuple[bool, bool, bool]:
    searches: dict[str, list[np.ndarray]] = {name: [] for name in _NAMES}
    fresh: dict[str, list[np.ndarray]] = {name: [] for name in _NAMES}
    for name in _NAMES:
        for _ in range(_NUM_TUNINGS):
            losses = (2 * random.uniform(size=_NUM_TRIALS) - 1) ** 2
            tried = losses + random.normal(0, _NOISE, _NUM_TRIALS)
            seeds = random.normal(0, _NOISE, _NUM_SEEDS)
            searches[name].append(tried)
            fresh[name].append(losses[tried.argmin()] + seeds)
    pairs = [("a", "b")]
    means = {
        name: StudyMeans(tuple(range(_NUM_TUNINGS)), np.mean(own, axis=1), 0)
        for name, own in fresh.items()
    }
    (settings,) = verdicts({name: own[0] for name, own in fresh.items()}, pairs, "min")
    (once,) = tuned_verdicts(
        {name: own[0] for name, own in searches.items()}, pairs, "min"
    )
    (several,) = study_verdicts(means, pairs, "min")
    return settings.word == BETTER, once.word == BETTER, several.word == BETTER


def real(num_studies: int) -> Iterator[tuple[str, int, int]]:
    """Trains one setting on many seeds, and compares it with itself on other seeds.

    Args:
      num_studies: of each problem, with 10 seeds for each of the two names.

    Yields:
      For each problem of the suite "toy" that draws something by its seed: the problem,
      the number of studies, and in how many of them the verdict is "better".
    """
    for one in SUITES["toy"]:
        values, metric = _values(one, 2 * _NUM_SEEDS * num_studies)
        if np.ptp(values) == 0.0:  # every seed gives the same
            continue
        studies = values.reshape(num_studies, len(_NAMES), _NUM_SEEDS)
        found = [_real_verdict(one.problem, metric, own) for own in studies]
        yield one.problem, num_studies, found.count(BETTER)


def _values(one: Workload, num_seeds: int) -> tuple[np.ndarray, Metric]:
    """Returns the final values of the tuned setting of an entry: f64[seeds]."""
    rates = {"learning_rate": [one.learning_rate]}
    seeds = range(10_000, 10_000 + num_seeds)
    found = rule.run(problem_of(one), one, one.optimizer, rates, seeds)
    metric = Metric(one.target.metric, one.target.mode)
    return np.asarray(rule.final_values(found, one), np.float64), metric


def _real_verdict(problem: str, metric: Metric, values: np.ndarray) -> str:
    """Returns the verdict on values f64[2, seeds] of one setting under two names."""
    empty = Series(np.empty(0), np.empty(0))
    outcomes = [
        Outcome(problem, name, "fresh", seed, {}, float(value), empty)
        for name, own in zip(_NAMES, values, strict=True)
        for seed, value in enumerate(own)
    ]
    rows = compare(outcomes, metric, "b").rows
    (word,) = [row.verdict.word for row in rows if row.verdict is not None]
    return word
