"""What limits the statements of a comparison: doubts, and rules that were not kept."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from gradjax.analysis.searches import searched
from gradjax.types.comparisons import NEVER_RUN, SET_ASIDE, Metric, Outcome

FEWEST_SEEDS = 5
EDGE = 0.05  # of a declared range at each end, on the scale of the search
_DECLARED = f"in the outermost {100 * EDGE:.0f} % of its declared range"
_TRIED = "at the edge of what was tried"
_TOLERANCE = 0.02  # of the gradients of a run, beside the gradients of one step

_NO_TRIALS = "there are no trials of a search"


class Rule(NamedTuple):
    """A rule of a fair comparison, and whether the trials keep it."""

    text: str
    is_kept: bool | None  # None: not known
    detail: str  # what departs from the rule, or what is not known; "": nothing


def doubts(
    own: Sequence[Outcome],
    metric: Metric,
    outcomes: Sequence[Outcome],
) -> list[str]:
    """Returns what limits the statement on one optimizer, each as one sentence.

    Args:
      own: its fresh seeds.
      metric: what `value` is.
      outcomes: all trials of the problem.
    """
    values = np.array([one.value for one in own], np.float64)
    found = _lost(own)
    diverged = int(np.isnan(values).sum())
    if len(values) < FEWEST_SEEDS:
        is_one = len(values) == 1
        found.append(
            "There is only 1 seed."
            if is_one
            else f"There are only {len(values)} seeds."
        )
    step = resolution_step(metric)
    if step is not None and len(values) > 1 and not diverged and np.ptp(values) < step:
        found.append(
            f"The values differ by less than one of {metric.num_examples:,} examples "
            f"({step:.2g}), so the interval is too narrow."
        )
    elif len(values) > 1 and not diverged and np.ptp(values) == 0.0:
        found.append(
            "All seeds gave the same value, so there is no spread to compare it by."
        )
    if own[0].chosen_at:
        found.append(
            f"Its setting was chosen on {own[0].chosen_at}, and not for this length."
        )
    where = _DECLARED if own[0].places is not None else _TRIED
    for name in _at_edge(own[0], outcomes):
        found.append(f"The best {name} lies {where}.")
    return found


def _lost(own: Sequence[Outcome]) -> list[str]:
    """Returns which seeds diverged, ended the process or never ran."""
    found = []
    diverged = sum(bool(np.isnan(one.value)) and not one.failure for one in own)
    if diverged:
        found.append(f"{diverged} of {len(own)} seeds diverged, so there is no mean.")
    failed = [str(one.seed) for one in own if one.failure == SET_ASIDE]
    if failed:
        found.append(
            f"{len(failed)} of {len(own)} seeds ended the process repeatedly and were"
            f" set aside (seed {', '.join(failed)}). Each counts as the worst value, so"
            " there is no mean."
        )
    if any(one.failure == NEVER_RUN for one in own):
        found.append(
            "No fresh seed ran, because no trial of the search ended: there is no"
            " setting to train. All seeds count as the worst value."
        )
    return found


def resolution_step(metric: Metric) -> float | None:
    """Returns the least difference of two accuracies; None of another metric."""
    if "accuracy" not in metric.name or not metric.num_examples:
        return None
    return 1 / metric.num_examples


def rules(outcomes: Sequence[Outcome], metric: Metric) -> list[Rule]:
    """Checks the rules of a fair comparison against the trials of one problem."""
    fresh: dict[str, list[Outcome]] = {}
    for one in outcomes:
        if one.role == "fresh":
            fresh.setdefault(one.optimizer, []).append(one)
    sizes = {name: len(one.settings) for name, one in searched(outcomes).items()}
    return [
        _equal_gradients(fresh),
        _equal_trials(fresh, sizes),
        _inside(fresh, outcomes, sizes),
        _on_validation(metric, sizes),
        _enough_seeds(fresh),
        _common_seeds(fresh),
        _unused_seeds(fresh, outcomes),
        _tuned_for_its_length(fresh, sizes),
    ]


def _equal_gradients(fresh: Mapping[str, list[Outcome]]) -> Rule:
    text = "The runs of all optimizers compute as many gradients (within 2 % or a step)"
    ended = {
        name: [one for one in own if not one.diverged_step and not one.failure]
        for name, own in fresh.items()
    }
    if any(one.num_gradients <= 0 for own in ended.values() for one in own):
        return Rule(text, None, "the gradients of a run are not known")
    spent = {
        name: float(np.median([one.num_gradients for one in own]))
        for name, own in ended.items()
        if own
    }
    steps = [
        one.num_gradients / max(one.steps, 1) for own in ended.values() for one in own
    ]
    if not spent:
        return Rule(text, None, "no run reached its end")
    low, high = min(spent.values()), max(spent.values())
    if high - low <= max(_TOLERANCE * high, max(steps)):
        return Rule(text, True, "")
    said = "; ".join(f"{name} {count:,.0f}" for name, count in spent.items())
    return Rule(
        text, False, f"the budgets are equal in steps, not in gradients: {said}"
    )


def _equal_trials(fresh: Mapping[str, Any], sizes: Mapping[str, int]) -> Rule:
    text = "The search of each optimizer tries as many settings"
    if not sizes:
        return Rule(text, None, _NO_TRIALS)
    counts = {name: sizes.get(name, 0) for name in fresh}
    if len(set(counts.values())) == 1:
        return Rule(text, True, "")
    return Rule(text, False, "; ".join(f"{name} {n}" for name, n in counts.items()))


def _tuned_for_its_length(
    fresh: Mapping[str, list[Outcome]], sizes: Mapping[str, int]
) -> Rule:
    text = "Each optimizer is tuned for the length of the compared runs"
    other = {name: own[0].chosen_at for name, own in fresh.items() if own[0].chosen_at}
    if not other:
        return Rule(text, True if sizes else None, "" if sizes else _NO_TRIALS)
    (at, *_) = other.values()
    return Rule(text, False, f"the settings of {', '.join(other)} were chosen on {at}")


def _inside(
    fresh: Mapping[str, list[Outcome]],
    outcomes: Sequence[Outcome],
    sizes: Mapping[str, int],
) -> Rule:
    """Checks that no chosen setting lies at the edge of its space.

    The space of an optimizer is the declared one: a number is at the edge in the
    outermost 5 % of its range, on the scale of the search. Where no declared range is
    known, as for the results of others, it is at the edge if no tried value lies
    beyond it.
    """
    known = {name: own[0].places is not None for name, own in fresh.items()}
    where = _TRIED if not any(known.values()) else _DECLARED
    text = f"The best setting does not lie {where}"
    if not sizes:
        return Rule(text, None, _NO_TRIALS)
    said = []
    for name, own in fresh.items():
        rule = "" if known[name] or where == _TRIED else f" ({_TRIED})"
        if found := _at_edge(own[0], outcomes):
            said.append(f"{name}: {', '.join(found)}{rule}")
    return Rule(text, not said, "; ".join(said))


def _on_validation(metric: Metric, sizes: Mapping[str, int]) -> Rule:
    text = "Settings are chosen on the validation split, and compared on the test split"
    chosen = metric.chosen_by or metric.name
    if not sizes:
        return Rule(text, None, _NO_TRIALS)
    if chosen.startswith("train_") and metric.name == chosen:
        return Rule(text, None, "the problem has no other split than train")
    if chosen.startswith("validation_") and metric.name.startswith("test_"):
        return Rule(text, True, "")
    said = f"chosen by {chosen}, compared by {metric.name}"
    return Rule(text, False, said.replace("_", " "))


def _enough_seeds(fresh: Mapping[str, list[Outcome]]) -> Rule:
    text = f"Each chosen setting runs on at least {FEWEST_SEEDS} fresh seeds"
    few = [
        f"{name} {len(own)}" for name, own in fresh.items() if len(own) < FEWEST_SEEDS
    ]
    return Rule(text, not few, "; ".join(few))


def _common_seeds(fresh: Mapping[str, list[Outcome]]) -> Rule:
    text = "All optimizers run on the same fresh seeds"
    seeds = {name: {one.seed for one in own} for name, own in fresh.items()}
    common = set.intersection(*seeds.values())
    other = [name for name, own in seeds.items() if own != common]
    said = f"not common to all: those of {', '.join(other)}" if other else ""
    return Rule(text, not other, said)


def _unused_seeds(fresh: Mapping[str, list[Outcome]], outcomes: Any) -> Rule:
    text = "No fresh seed was used in a search"
    used = {one.seed for one in outcomes if one.role == "search"}
    again = sorted(used & {one.seed for own in fresh.values() for one in own})
    return Rule(text, not again, ", ".join(map(str, again[:5])))


def _at_edge(best: Outcome, outcomes: Sequence[Outcome]) -> list[str]:
    """Returns the numbers of a chosen setting that lie at the edge, see `_inside`."""
    if best.places is not None:
        return [name for name, at in best.places.items() if not EDGE < at < 1 - EDGE]
    tried = [
        one.setting
        for one in outcomes
        if (one.role, one.optimizer) == ("search", best.optimizer)
    ]
    names = []
    for name, value in best.setting.items():
        values: list[Any] = [setting.get(name) for setting in tried]
        if not all(isinstance(one, int | float) for one in [value, *values]):
            continue
        if len(set(values)) > 1 and value in (min(values), max(values)):
            names.append(name)
    return names
