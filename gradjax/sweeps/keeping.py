"""Chooses the trials whose parameters are stored (`--keep_params`)."""

from collections.abc import Callable

import numpy as np

from gradjax.sweeps import choose
from gradjax.sweeps.points import Trial
from gradjax.types import Target, Trials

Keep = Callable[[Target, list[Trial], Trials], np.ndarray]
# (target, trials of a cohort, their results) -> bool[trials]


def rule_of(keep_params: str, label: str, has_fresh_seeds: bool) -> str:
    """Returns which trials of a round keep their parameters: "none", "all" or "best".

    "best" stores the parameters of fresh seeds and of single runs. If a sweep has no
    fresh seeds, it stores those of every setting that is the best of its optimizer
    among the cohorts so far.

    Args:
      keep_params: as it was given.
      label: the name of the round.
      has_fresh_seeds: whether the best settings run again on fresh seeds.
    """
    if keep_params != "best":
        return keep_params
    if not label.startswith("search"):
        return "all"
    return "none" if has_fresh_seeds else "best"


def keeper(rule: str) -> Keep:
    """Returns a function that applies a rule to one cohort after another."""
    best_scores: dict[str, float] = {}

    def keep(target: Target, cohort: list[Trial], found: Trials) -> np.ndarray:
        is_sound = found.status != "set aside"
        if rule == "all":
            return is_sound
        is_kept = np.zeros_like(is_sound)
        if rule == "none":
            return is_kept
        scores = choose.setting_scores(choose.trial_scores(cohort, found, target))
        for optimizer, own in choose.by_optimizer(scores).items():
            winner = choose.best(own)
            if winner is None or winner.score >= best_scores.get(optimizer, np.inf):
                continue
            best_scores[optimizer] = winner.score
            ids = {one.trial.id for one in winner.trials}
            is_kept |= np.asarray([one.id in ids for one in cohort])
        return is_kept

    return keep
