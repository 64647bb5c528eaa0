"""Lines about the progress of a comparison: one for each cell, and some within."""

import functools
import math
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from gradjax.comparing.cells import Cell
from gradjax.report import announce
from gradjax.report.terminal import number
from gradjax.sweeps import choose
from gradjax.sweeps.context import Reporter
from gradjax.trials.batches import Active
from gradjax.trials.results import BlockRange
from gradjax.tuning.searched import Found
from gradjax.types import Target

_SAY_EVERY_S = 30.0
Say = Callable[[str], None]


def reporter(name: str, say: Say) -> Reporter:
    """Returns what prints a line at most every thirty seconds while a cell trains."""
    return Reporter(
        announce=lambda *_: None,
        estimate=lambda *_: None,
        progress=lambda label, count, _target: _watch(name, label, count, say),
    )


class _Watch(NamedTuple):
    """Functions that are called after each segment of a cohort."""

    computed: Callable[[Active, BlockRange], None]
    read: Callable[[Active, BlockRange], None]
    ended: Callable[[Any], None] = lambda _: None  # no executor trains a comparison


def _watch(name: str, label: str, num_trials: int, say: Say) -> _Watch:
    said_at, ended = [time.monotonic()], [0]

    def seen(active: Active, blocks: BlockRange, is_said: bool) -> None:
        plan, size = active.results.plan, len(active.own.seed)
        taken = min(sum(blocks) * plan.block_steps, plan.num_steps)
        is_over = taken == plan.num_steps or not len(active.rows)
        ended[0] += size if is_over else 0
        if is_said and time.monotonic() - said_at[0] > _SAY_EVERY_S:
            said_at[0] = time.monotonic()
            more = "" if is_over else f", {size} more at step {taken:,}"
            words = announce.words_of(label)
            say(f"  {name}: {words}: {ended[0]:,} of {num_trials:,} trials{more}")

    return _Watch(
        functools.partial(seen, is_said=True), functools.partial(seen, is_said=False)
    )


def cell_line(cell: Cell, found: Found, target: Target) -> str:
    """Returns what a cell has found in its search, in one line."""
    scores = choose.setting_scores([one for of in found.done for one in of.scores])
    best = choose.best(scores)
    tried = f"{len(scores)} trials" if cell.num_trials else "nothing to tune"
    lost = sum(math.isinf(one.score) for one in scores)
    diverged = f", {lost} diverged" if lost and cell.num_trials else ""
    if best is None:
        return f"{cell.name}: {tried}, all diverged"
    split, metric, sign = choose.ranking_metric(found.done[0].found.evaluation, target)
    chosen = f"  best {split} {metric} {number(-sign * best.score)}"
    return f"{cell.name}: {tried}{diverged}{chosen}, {cell.num_seeds} fresh seeds"


class Clock(NamedTuple):
    """The seconds that were estimated and that have passed."""

    estimated: list[float]  # of each cell in order
    started: float

    def left(self, num_done: int) -> float:
        """Returns the seconds left, from the pace so far."""
        done, total = sum(self.estimated[:num_done]), sum(self.estimated)
        passed: Any = time.monotonic() - self.started
        pace = passed / done if done else 1.0
        return pace * (total - done)
