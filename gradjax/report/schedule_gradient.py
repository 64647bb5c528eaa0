"""A learned schedule compared with tuned ones: a sentence, a table and figures."""

from typing import Any, NamedTuple

import numpy as np

from gradjax.analysis.statistics import Interval, student_interval

LEARNED = "learned"


class Tuned(NamedTuple):
    """The learning rate over a run: a peak times the numbers of a schedule."""

    peak: float
    values: np.ndarray  # f32[points], in [0, 1]


class Learned(NamedTuple):
    """The result of gradient descent on the numbers of a schedule."""

    what: str  # the run, such as "200 steps of sgd on quadratic"
    start: str  # the schedule at which the descent started, a name in `schedules`
    split: str  # the split whose loss was minimised
    schedules: dict[str, Tuned]  # constant, cosine, `start`, learned
    path: np.ndarray  # f32[outer, trials]: the losses before each outer step
    fresh: dict[str, dict[str, np.ndarray]]
    # split -> schedule -> f32[trials], losses with seeds on which nothing was chosen


def gain(losses: dict[str, np.ndarray], name: str) -> Interval | None:
    """Returns how much lower the loss of the learned schedule is than that of another.

    The differences are paired by seed. None if a run diverged.
    """
    differences = losses[name] - losses[LEARNED]
    return student_interval(differences) if np.isfinite(differences).all() else None


def sentence(found: Learned) -> str:
    """Returns the lesson in one sentence."""
    schedules, losses = found.schedules, found.fresh[found.split]
    rates = schedules[LEARNED].peak * schedules[LEARNED].values
    peak = schedules[found.start].peak
    start = f"{found.start} (peak {peak:.2g})"
    start = f"constant rate ({peak:.2g})" if found.start == "constant" else start
    count, end = len(losses[LEARNED]), _mean(losses[LEARNED])
    said = (
        f"The {_loss(found.split)} after {found.what} has a gradient in each of the"
        f" {len(rates)} numbers of its schedule: {len(found.path) - 1} steps down"
        f" this gradient, from the best {start}, lead to a schedule from a rate of"
        f" {rates[0]:.2g} to {rates[-1]:.2g}. With {count} fresh seeds it ends at {end}"
    )
    others = [name for name in schedules if name != LEARNED]
    return ", ".join([said, *(_against(found, name) for name in others)])


def _against(found: Learned, name: str) -> str:
    losses = found.fresh[found.split]
    is_first = name == next(iter(found.schedules))
    note = " (paired, Student's 95 % interval)" if is_first else ""
    lower = _lower(gain(losses, name))
    return f"the best {name} at {_mean(losses[name])}: {lower}{note}"


def _lower(gained: Interval | None) -> str:
    if gained is None:
        return "a run diverged"
    estimate, low, high = gained
    if low > 0.0:
        return f"{estimate:.2g} lower [{low:.2g}, {high:.2g}]"
    if high < 0.0:
        return f"{-estimate:.2g} higher [{-high:.2g}, {-low:.2g}]"
    return f"no clear difference, {estimate:.2g} [{low:.2g}, {high:.2g}]"


def rows(found: Learned) -> list[tuple[str, str]]:
    """Returns a row for each schedule: its rates, and its final loss on each split."""
    table = []
    for name, tuned in found.schedules.items():
        rates = tuned.peak * tuned.values
        ends = [
            f"{_loss(split)} {_mean(losses[name])}"
            for split, losses in found.fresh.items()
        ]
        table.append((name, f"rate {_span(rates)}; {', '.join(ends)}"))
    first, best = found.path[0].mean(), found.path.mean(axis=1).min()
    seeds = f"{found.path.shape[1]} seeds of the descent"
    table.append((f"on the {seeds}", f"from {first:.4g} to {best:.4g}"))
    return table


def figures(found: Learned) -> dict[str, Any]:
    """Returns figures for summary.json: schedules, fresh losses, and paired gains."""
    ends = {
        split: {name: _or_none(seen.mean()) for name, seen in losses.items()}
        for split, losses in found.fresh.items()
    }
    others = [name for name in found.schedules if name != LEARNED]
    gains = {
        split: {name: gain(losses, name) for name in others}
        for split, losses in found.fresh.items()
    }
    return {
        "split": found.split,
        "outer_steps": len(found.path) - 1,
        "descent_losses": found.path.mean(axis=1).tolist(),
        "schedules": {
            name: {"peak": tuned.peak, "values": tuned.values.tolist()}
            for name, tuned in found.schedules.items()
        },
        "fresh_losses": ends,
        "gains": {
            split: {n: one and one._asdict() for n, one in by_name.items()}
            for split, by_name in gains.items()
        },
    }


def _loss(split: str) -> str:
    return "loss" if split == "train" else f"{split} loss"


def _mean(losses: np.ndarray) -> str:
    mean = losses.mean()
    return f"{mean:.3g}" if np.isfinite(mean) else "no loss, because a run diverged"


def _span(rates: np.ndarray) -> str:
    low, high = rates.min(), rates.max()
    return f"{low:.3g}" if low == high else f"from {low:.2g} to {high:.3g}"


def _or_none(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None
