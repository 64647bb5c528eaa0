"""The trials of each search as settings with one value each."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from gradjax.types.comparisons import Outcome

_UNIFORM = "random"  # the search whose points are independent and uniform


class Searched(NamedTuple):
    """The settings that the search of one optimizer tried, in their order."""

    settings: tuple[dict[str, Any], ...]
    values: np.ndarray  # f64[settings], means over seeds; NaN where a seed diverged
    trials: tuple[tuple[Outcome, ...], ...]  # of each setting, one per seed
    method: str  # as in "random" or "halton"; "": not known

    @property
    def is_uniform(self) -> bool:
        """Whether the settings are independent and equally distributed."""
        return self.method == _UNIFORM


def searched(outcomes: Sequence[Outcome]) -> dict[str, Searched]:
    """Returns optimizer -> the settings of its search, for those that were tuned.

    A setting with several seeds has their mean as its value.

    Args:
      outcomes: trials of one problem, of any role.
    """
    found: dict[str, dict[str, list[Outcome]]] = {}
    for one in outcomes:
        if one.role == "search":
            key = repr(sorted(one.setting.items(), key=str))
            found.setdefault(one.optimizer, {}).setdefault(key, []).append(one)
    return {name: _of(list(own.values())) for name, own in found.items()}


def _of(settings: list[list[Outcome]]) -> Searched:
    methods = {one.search for seeds in settings for one in seeds}
    return Searched(
        tuple(seeds[0].setting for seeds in settings),
        np.array([np.mean([one.value for one in seeds]) for seeds in settings]),
        tuple(map(tuple, settings)),
        methods.pop() if len(methods) == 1 else "",
    )
