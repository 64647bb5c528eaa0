"""Runs the groups of a round: by the workers of an executor, or in this process."""

import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from gradjax.records import extension
from gradjax.sweeps import (
    batch,
    choose,
    dispatch,
    extended,
    halving,
    keeping,
    names,
    points,
    workers,
)
from gradjax.sweeps import shared as sharing
from gradjax.sweeps.choose import GroupResult
from gradjax.sweeps.context import Context, num_fresh_seeds
from gradjax.sweeps.execute import Hooks, kept_blocks, run_cohort
from gradjax.sweeps.points import Trial
from gradjax.training.numbers import checked_hparams
from gradjax.training.trunk import trunk_blocks
from gradjax.trials.lane_width import cohort_size
from gradjax.trials.lanes import Lanes, reading


class _Group(NamedTuple):
    """The trials of a round that share one program."""

    name: str
    own: list[Trial]
    lanes: Lanes
    hooks: Hooks
    cohorts: dict[str, list[Trial]]  # start of the names of its files -> trials


def run(
    context: Context, made: list[Trial], event: dict[str, Any]
) -> list[GroupResult]:
    """Runs the trials of a round, one group after another.

    Args:
      context: the arguments of the sweep.
      made: the trials.
      event: the line of the journal that lists them.
    """
    by_program, label = points.group(made), extension.label(event)
    context.reporter.announce(label, by_program)
    target = context.lanes(made[0].settings).program.plan.problem.target
    watch = context.reporter.progress(label, len(made), target)
    keep = keeping.keeper(_keep_rule(context, label))
    prepared = [
        _prepare(context, event, _name_of(own[0], number, len(by_program)), own)
        for number, own in enumerate(by_program.values(), 1)
    ]
    is_new = "continues" not in event and not context.shared.shorter
    if context.executor is not None and is_new:
        _dispatch(context, event, prepared, watch.ended)
    done = []
    for group in prepared:
        lanes, own = group.lanes, group.own
        target = lanes.program.plan.problem.target
        estimate = functools.partial(
            context.reporter.estimate, lanes, len(own), group.name
        )
        hooks = group.hooks._replace(
            keep=functools.partial(keep, target),
            on_segment=watch.computed,
            on_read=watch.read,
            on_ready=functools.cache(estimate),
        )
        parts = []
        for prefix, part in group.cohorts.items():
            adopt = functools.partial(sharing.adopt, context.shared)
            if "continues" in event:
                adopt = extended.adopt
            adopt(context.store, prefix, lanes, part, event)
            with reading(lanes):
                parts.append(run_cohort(context.store, prefix, lanes, part, hooks))
        found = choose.join(parts)
        done.append(GroupResult(own, found, choose.trial_scores(own, found, target)))
    return done


def _prepare(
    context: Context, event: dict[str, Any], name: str, own: list[Trial]
) -> _Group:
    """Makes the program of a group, and forms its cohorts."""
    label, lanes = extension.label(event), context.lanes(own[0].settings)
    plan = lanes.program.plan
    hooks = Hooks(
        keep=lambda *_: np.zeros(0, bool),
        round_hash=event["hash"],
        trunk=_trunk(context, label, lanes, own),
        kept=kept_blocks(plan, context.asked.keep_snapshots),
        stop_requested=context.stop_requested,
    )
    if context.asked.halving is not None and label.startswith("search"):
        eta = context.asked.halving
        halve = halving.halve(plan, eta, own)
        hooks = hooks._replace(stops=halving.rungs(plan, eta), halve=halve)
    parts = _cohorts(lanes, own, hooks, event)
    cohorts = {f"{label}-{own[0].group}-{k:04d}": one for k, one in enumerate(parts)}
    return _Group(name, own, lanes, hooks, cohorts)


def _dispatch(
    context: Context,
    event: dict[str, Any],
    prepared: list[_Group],
    ended: Callable[[batch.Counts], None],
) -> None:
    """Lets the workers of the executor train the batches of a round."""
    assert context.executor is not None
    label = extension.label(event)
    folder, rule = str(context.store.folder), _keep_rule(context, label)
    tasks = [
        batch.Task(
            *(prefix, part, folder, None, event["hash"], rule),
            group.hooks.trunk,
            group.hooks.kept,
        )
        for group in prepared
        for prefix, part in group.cohorts.items()
    ]
    hooks = dispatch.Hooks(
        set_aside=lambda _: [],
        finished=ended,
        say=context.store.say,
        stop_requested=context.stop_requested,
        clock=context.clock,
    )
    workers.train(context.store, context.executor, tasks, context.lanes, hooks)


def _keep_rule(context: Context, label: str) -> str:
    has_fresh = bool(num_fresh_seeds(context))
    return keeping.rule_of(context.asked.keep_params, label, has_fresh)


def _trunk(context: Context, label: str, lanes: Lanes, own: list[Trial]) -> int:
    """Returns the blocks after which states are stored for longer trials; 0: never.

    The states of a sweep are large, so they are stored only with all its parameters,
    or where another record shares them.
    """
    asked, program = context.asked, lanes.program
    kept = ("all",) if context.space.dimensions else ("all", "best")
    is_kept = asked.keep_params in kept and not label.startswith("fresh")
    if asked.halving or not (is_kept or context.shared.after):
        return 0
    most = min(
        trunk_blocks(program.plan, checked_hparams(program, one.numbers)) for one in own
    )
    if not context.shared.after:
        return most
    blocks = context.shared.after // program.plan.block_steps
    return blocks if blocks <= most else 0


def _name_of(first: Trial, number: int, num_groups: int) -> str:
    """Returns the name of a group: its optimizer and schedule, as they were given."""
    optimizer = first.point.get("optimizer", first.optimizer)
    schedule = first.point.get("schedule", schedule_of(first))
    place = f" ({number} of {num_groups} programs)" if num_groups > 1 else ""
    return f"{optimizer}, {schedule}{place}"


def schedule_of(one: Trial) -> str:
    """Returns the schedule of a trial; constant for an optimizer without a rate.

    Such an optimizer is trained beside the default schedule of an experiment, and
    beside every other one it is refused.
    """
    return names.schedule_for(one.settings.optimizer, one.settings.schedule)


def _cohorts(
    lanes: Lanes, own: list[Trial], hooks: Hooks, event: dict[str, Any]
) -> Iterator[list[Trial]]:
    """Yields the cohorts of a group; with halving, one cohort of all its trials.

    They follow from the trials of the round, so that a command with more seeds finds
    the cohorts of an earlier one. A round that began with an executor has batches in
    place of cohorts, and with `--keep_params=best` the seeds of a setting are in one
    batch, because its settings are compared.
    """
    num_seeds = len({one.seed for one in own})
    size = cohort_size(lanes.program, lanes.width, num_seeds)
    if event.get("is_batched"):
        size = batch.size(lanes.width, num_seeds, event["round"] == "search")
    size = len(own) if hooks.stops else size
    for at in range(0, len(own), size):
        yield own[at : at + size]
