"""A learned schedule beside tuned ones: a sentence, a table, figures."""

from typing import Any, NamedTuple

import numpy as np

from gradjax.analysis.statistics import Interval, student_interval

LEARNED = "learned"


class Tuned(NamedTuple):
    """A learning rate over a run: a peak times the numbers of a schedule."""

    peak: float
    values: np.ndarray  # f32[points], in [0, 1]


class Learned(NamedTuple):
    """What a descent along a hypergradient came to."""

    what: str  # "200 steps of sgd on quadratic"
    start: str  # where it began: a name in `schedules`
    split: str  # whose loss it went down
    schedules: dict[str, Tuned]  # constant, cosine, `start`, learned
    path: np.ndarray  # f32[outer, trials]: the losses before each outer step
    fresh: dict[str, dict[str, np.ndarray]]
    # split -> schedule -> f32[trials], with seeds that nothing was chosen on


def gain(losses: dict[str, np.ndarray], name: str) -> Interval | None:
    """How much lower the learned schedule ends than another, in pairs of one seed.

    None where a run diverged.
    """
    differences = losses[name] - losses[LEARNED]
    return student_interval(differences) if np.isfinite(differences).all() else None


def sentence(found: Learned) -> str:
    """What there is to learn."""
    schedules, losses = found.schedules, found.fresh[found.split]
    rates = schedules[LEARNED].peak * schedules[LEARNED].values
    peak = schedules[found.start].peak
    begun = f"{found.start} (peak {peak:.2g})"
    begun = f"constant rate ({peak:.2g})" if found.start == "constant" else begun
    count, end = len(losses[LEARNED]), _mean(losses[LEARNED])
    said = (
        f"The {_loss(found.split)} after {found.what} has a gradient in each of the"
        f" {len(rates)} numbers of its schedule: {len(found.path) - 1} steps down"
        f" along it, from the best {begun}, made one that goes from a rate of"
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
    """Each schedule's rates, and where it ends on every split there is."""
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
    """summary.json's: schedules, losses with fresh seeds, and gains in pairs."""
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
    return f"{mean:.3g}" if np.isfinite(mean) else "no loss, for a run diverged"


def _span(rates: np.ndarray) -> str:
    low, high = rates.min(), rates.max()
    return f"{low:.3g}" if low == high else f"from {low:.2g} to {high:.3g}"


def _or_none(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None
