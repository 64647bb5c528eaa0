"""Progress of trials on the terminal: a bar on a terminal, plain lines elsewhere."""

import contextlib
import math
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from gradjax.report import terminal
from gradjax.report.terminal import number
from gradjax.sweeps import batch
from gradjax.sweeps.batch import Counts
from gradjax.training.traces import window_ends, window_starts
from gradjax.trials.batches import Active, OnSegment
from gradjax.trials.results import BlockRange, Results, steps_taken
from gradjax.types import Plan, Target

_SAY_EVERY_S = 2.0
_MAX_LINES = 12  # of a run, so that they fit on a screen with the table
Show = Callable[[int, int, dict[str, float]], None]  # (steps taken, all steps, means)


class Watch(NamedTuple):
    """Functions that are called after each segment of a cohort."""

    computed: OnSegment
    read: OnSegment = lambda *_: None  # for a segment that an earlier process computed
    ended: Callable[[Counts], None] = lambda _: None  # for a batch of a worker


@contextlib.contextmanager
def of_run(epoch_steps: int | None) -> Iterator[Watch]:
    """Shows a single run: its loss, its metrics, steps per second and the time left.

    Args:
      epoch_steps: steps of one pass over the train split; None: there are no data.
    """
    if not sys.stdout.isatty():
        yield Watch(_each_evaluation(_line(epoch_steps)))
        return
    with _bar(epoch_steps) as show:
        yield Watch(_each_evaluation(show))


def of_trials(label: str, num_trials: int, target: Target) -> Watch:
    """Shows a round: finished and diverged trials, the best value, and the time left.

    Args:
      label: the name of the round, as `words_of` writes it.
      num_trials: the number of trials in all groups of the round.
      target: the target whose metric ranks the trials.
    """
    first, before, said_at = [], [Counts()], [-math.inf]
    of_workers = [Counts()]

    def place(active: Active, blocks: BlockRange) -> tuple[int, bool]:
        """Returns the steps taken, and whether the cohort has ended."""
        plan = active.results.plan
        taken = min(sum(blocks) * plan.block_steps, plan.num_steps)
        return taken, taken == plan.num_steps or not len(active.rows)

    def read(active: Active, blocks: BlockRange) -> None:
        if place(active, blocks)[1]:
            before[0] = batch.add(before[0], batch.counts(active, target), target)

    def computed(active: Active, blocks: BlockRange) -> None:
        plan, now = active.results.plan, time.monotonic()
        taken, is_over = place(active, blocks)
        size, so_far = (
            len(active.own.seed),
            batch.add(before[0], batch.counts(active, target), target),
        )
        done = before[0].trials + (size if is_over else size * taken / plan.num_steps)
        first.extend([] if first else [(now, done)])
        started, was = first[0]
        pace = (now - started) / (done - was) if done > was else 0.0
        left = f"  {pace * (num_trials - done):,.0f} s left" if done > was else ""
        if is_over:
            before[0] = so_far
        if is_over or now - said_at[0] > _SAY_EVERY_S:
            said_at[0] = now
            ended = int(done) if is_over else before[0].trials
            more = f", {size} more at step {taken:,} of {plan.num_steps:,}"
            said = (
                f"{label}: {ended:,} of {num_trials:,} trials{'' if is_over else more}"
            )
            terminal.say(f"{said}{_format_counts(so_far, target)}{left}")

    def ended(counts: Counts) -> None:
        now, so_far = time.monotonic(), batch.add(of_workers[0], counts, target)
        of_workers[0], done = so_far, so_far.trials
        first.extend([] if first else [(now, done)])
        if now - said_at[0] < _SAY_EVERY_S and done < num_trials:
            return
        started, was = first[0]
        said_at[0] = now
        seconds = (now - started) / max(1, done - was) * (num_trials - done)
        left = f"  {seconds:,.0f} s left" if done > was else ""
        said = f"{label}: {done:,} of {num_trials:,} trials"
        terminal.say(f"{said}{_format_counts(so_far, target)}{left}")

    return Watch(computed, read, ended)


def _each_evaluation(show: Show) -> OnSegment:
    """Returns a callback that gives each block of a segment of one trial to `show`."""

    def on_segment(active: Active, blocks: BlockRange) -> None:
        results, plan = active.results, active.results.plan
        first, count = blocks
        end = int(results.diverged_step[0] or results.early_step[0] or plan.num_steps)
        for step in steps_taken(plan)[first : first + count].tolist():
            if results.diverged_step[0] and step >= end:
                return  # the table says where it diverged
            is_due = step % plan.eval_every == 0 or step == plan.num_steps
            show(step, plan.num_steps, _means(results, step) if is_due else {})
            if step >= end:
                return

    return on_segment


def _means(results: Results, step: int) -> dict[str, float]:
    """Returns the evaluation, and the means of the curves since the previous one."""
    plan: Plan = results.plan
    start = (step - 1) // plan.eval_every * plan.eval_every
    count = -(-plan.num_steps // plan.block_steps)
    starts = window_starts(plan, results.every, 0, count)
    sizes = window_ends(plan, results.every, 0, count) - starts
    within = (starts >= start) & (starts < step)
    weights = sizes[within] / sizes[within].sum()
    means = {
        name: float(values[0, within].astype(np.float64) @ weights)
        for name, values in results.trace.items()
    }
    block = -(-step // plan.block_steps) - 1
    for name, values in results.validation.items():
        means[f"validation_{name}"] = float(values[0, block])
    return means


def _line(epoch_steps: int | None) -> Show:
    """Returns a function that prints a line for each evaluation, or for every n-th.

    There are about twelve lines at most; the first and the last evaluation have one.
    """
    started, every = [time.monotonic(), 0.0], 0

    def show(taken: int, num_steps: int, means: dict[str, float]) -> None:
        nonlocal every
        if not started[1]:  # the speed is measured from the end of the first segment
            started[:] = [time.monotonic(), float(taken)]
        if not means:
            return
        is_first, every = not every, every or _interval(taken, num_steps)
        if not is_first and taken % every and taken < num_steps:
            return
        passed, done = time.monotonic() - started[0], taken - started[1]
        pace = ""
        if passed > 0 and done > 0:
            left = passed / done * (num_steps - taken)
            pace = f"  {done / passed:,.0f} steps/s  {left:.0f} s left"
        epoch = f"epoch {taken / epoch_steps:.4g}  " if epoch_steps else ""
        terminal.say(f"train  {epoch}step {taken}/{num_steps}  {_spoken(means)}{pace}")

    return show


def _interval(eval_every: int, num_steps: int) -> int:
    """Returns the number of steps between two lines, a multiple of `eval_every`."""
    count = -(-num_steps // eval_every)
    return eval_every * -(-count // _MAX_LINES)


@contextlib.contextmanager
def _bar(epoch_steps: int | None) -> Iterator[Show]:
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("train"),
        BarColumn(bar_width=10),
        TextColumn("{task.fields[place]}"),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(compact=True),
        TextColumn("{task.fields[means]}"),
    )
    with Progress(*columns, refresh_per_second=8) as bar:
        blank: dict[str, Any] = {"place": "compiling", "rate": "", "means": ""}
        task = bar.add_task("train", total=None, **blank)
        started = [0.0, 0.0]

        def show(taken: int, num_steps: int, means: dict[str, float]) -> None:
            if not started[0]:
                started[:] = [time.monotonic(), float(taken)]
            passed = max(time.monotonic() - started[0], 1e-9)
            shown: dict[str, Any] = {"means": _brief(means)} if means else {}
            place = f"epoch {taken / epoch_steps:.1f}" if epoch_steps else ""
            bar.update(
                task,
                total=num_steps,
                completed=taken,
                place=place or f"step {taken:,}",
                rate=f"{(taken - started[1]) / passed:,.0f} steps/s",
                **shown,
            )

        yield show


def _format_counts(so_far: Counts, target: Target) -> str:
    said = f", {so_far.diverged:,} diverged" if so_far.diverged else ""
    said += f", {so_far.stopped:,} stopped" if so_far.stopped else ""
    if so_far.best is None:
        return said
    return f"{said}  best {target.metric} {number(so_far.best)}"


def _brief(means: dict[str, float]) -> str:
    """Writes the means so short that they fit beside a bar in 80 columns."""
    held_out = means.get("validation_accuracy", means.get("validation_loss"))
    shown = {"loss": means["loss"], "acc": means.get("accuracy"), "val": held_out}
    return " ".join(f"{name} {v:.3f}" for name, v in shown.items() if v is not None)


def _spoken(means: dict[str, float]) -> str:
    """Writes the means as "loss 0.269  accuracy 0.922  validation loss 0.3"."""
    hidden = ("learning_rate", "num_gradients")
    shown = {k: v for k, v in means.items() if k not in hidden}
    training = [f"{k} {number(v)}" for k, v in shown.items() if "validation_" not in k]
    held_out = {
        k.removeprefix("validation_"): v for k, v in shown.items() if "validation_" in k
    }
    measured = [f"{k} {number(held_out[k])}" for k in sorted(held_out, reverse=True)]
    parts = [*training, "validation " + "  ".join(measured)] if measured else training
    return "  ".join(parts)
