"""Gives the batches of a round to the workers of an executor, and commits the results.

The store is the truth: a batch is done when its files are committed, and the first
commit of a batch wins. A batch whose worker is lost is given to another one. After
three tries it is set aside, and the others go on. Where no batch is waiting, one that
takes much longer than the others gets a second worker.
"""

import itertools
import math
import statistics
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from gradjax.errors import Interrupted, Refusal
from gradjax.executors import Executor, WorkerLost
from gradjax.records import adopted
from gradjax.records import store as stored
from gradjax.records.adopted import File
from gradjax.sweeps import remote
from gradjax.sweeps.batch import Counts, Task
from gradjax.sweeps.remote import Answer

_TRIES = 3
_REASON = 300  # characters of the line that says why there is no answer
_WAIT_S = 0.5  # for an answer, before signals and times are looked at again
_GATHER_S = 0.5  # answers within it are committed together, which saves calls of fsync
_PROBE_S = 300.0  # in which the worker of a machine must say how it is
_MANY, _RECENT = 3, 101  # ended batches that tell how long one takes; those counted
_SLOW, _SLOW_S = 3.0, 30.0  # times the usual time, and seconds, until a second worker
_LATE, _LATE_S = 20.0, 1_800.0  # likewise, until a worker is given up


class Hooks(NamedTuple):
    """Functions that `run` calls."""

    set_aside: Callable[[Task], list[File]]  # the files of a batch without results
    finished: Callable[[Counts], None]  # after each batch
    say: Callable[[str], None]
    stop_requested: Callable[[], int | None]  # the number of a signal
    clock: Callable[[], float] = time.monotonic  # in seconds


class _State(NamedTuple):
    """The batches of a round, which `run` changes."""

    waiting: deque[int]  # places of tasks that no worker has
    running: dict[Any, tuple[int, float]]  # handle -> (place of its task, begun), in
    # the order in which they began, so that a look at the oldest ones is short
    copies: Counter[int]  # workers that have a task now
    tries: Counter[int]  # of which no answer came
    ended: list[tuple[int, float, Answer]]  # (place, moment, answer), not committed yet
    answered: set[int]  # tasks with an answer, committed or not
    done: set[int]  # tasks that are committed
    took: dict[str, deque[float]]  # of a group -> seconds of its last batches
    usual: dict[str, float]  # of a group -> the median of these, if there are enough
    doubled: set[int]  # tasks that a second worker has got


def run(store: Any, executor: Executor, tasks: list[Task], hooks: Hooks) -> None:
    """Trains batches on the workers of an executor, until all are committed.

    Args:
      store: open to write.
      executor: its workers have been probed.
      tasks: of batches that are not committed.
      hooks: functions that are called.

    Raises:
        Refusal: a worker refused a task, or two workers computed other bits.
        Interrupted: a signal asked for a stop. What is committed stays; the running
            batches are trained again from their start.
    """
    waiting, tries = deque(range(len(tasks))), Counter[int]()
    state = _State(waiting, {}, Counter(), tries, [], set(), set(), {}, {}, set())
    has_waited = False
    try:
        while len(state.done) < len(tasks):
            number = hooks.stop_requested()
            if number is not None:
                _commit(store, state, hooks)
                raise Interrupted(number, f"{len(state.done)} of {len(tasks)} batches")
            has_waited = _fill(executor, tasks, state, hooks, has_waited)
            for handle in executor.wait(list(state.running), _WAIT_S):
                _take(store, executor, tasks, state, hooks, handle)
            _cancel_doubles(executor, state)
            _give_up(store, executor, tasks, state, hooks)
            oldest = state.ended[0][1] if state.ended else math.inf
            if hooks.clock() - oldest >= _GATHER_S or not state.running:
                _commit(store, state, hooks)
    finally:
        for handle in state.running:
            executor.cancel(handle)


def probe(executor: Executor, say: Callable[[str], None]) -> None:
    """Asks a worker on each machine whether it is as the record needs it.

    Raises:
        Refusal: one is not, or gives no answer; the line says which and why.
    """
    question = remote.dump_task(None)
    asked = [executor.submit(question, node) for node in executor.nodes()]
    if not asked:
        raise Refusal("--executor: there is no worker")
    left, end = list(asked), time.monotonic() + _PROBE_S
    while left and time.monotonic() < end:
        for handle in executor.wait(left, _WAIT_S):
            left.remove(handle)
            try:
                answer = remote.load(executor.result(handle))
            except WorkerLost as lost:
                raise Refusal(f"a worker cannot start: {lost}") from lost
            _check(answer)
            if answer.environment is not None:
                say(f"{answer.where} has another environment; its rows are marked")
    if left:
        raise Refusal(
            f"{len(left)} of {len(asked)} workers did not answer in {_PROBE_S:g} s; are"
            " they busy with other tasks?"
        )


def mark_of(store: Any, environment: dict[str, Any] | None) -> dict[str, int]:
    """Returns the field of lines of another environment; empty for that of the plan.

    The journal has an event for each of these environments, in order.
    """
    if environment is None:
        return {}
    events = stored.events(store)
    known = [one["worker"] for one in events if "worker" in one]
    if environment not in known:
        stored.append(store, {"worker": environment})
        known.append(environment)
    return {"worker": known.index(environment) + 1}


def left_of(store: Any, prefixes: Iterable[str]) -> list[str]:
    """Returns the batches of which nothing is committed, in order."""
    return [one for one in prefixes if not stored.committed_segments(store, one)]


def _fill(
    executor: Executor, tasks: list[Task], state: _State, hooks: Hooks, has_said: bool
) -> bool:
    """Gives tasks to free workers; returns whether there is none, which it says once.

    All machines of a cluster may be lost, and others may join it later.
    """
    slots = executor.slots()
    free = slots - len(state.running)
    if not (slots or state.running):
        if not has_said:
            hooks.say("no worker is left: waiting until one joins")
        return True
    while free > 0 and state.waiting:
        _submit(executor, tasks, state, hooks, state.waiting.popleft())
        free -= 1
    if free <= 0 or state.waiting:
        return False
    now = hooks.clock()
    least = max(_SLOW * min(state.usual.values(), default=0.0), _SLOW_S)
    for _, (place, begun) in _begun_before(now - least, state):
        if free <= 0:
            return False
        usual = state.usual.get(_group(tasks[place]))
        is_slow = usual is not None and now - begun > max(_SLOW * usual, _SLOW_S)
        if is_slow and place not in state.doubled:
            state.doubled.add(place)
            hooks.say(
                f"{tasks[place].prefix} takes {now - begun:,.0f} s, where others take"
                f" {usual:,.0f}: a second worker begins it, too"
            )
            _submit(executor, tasks, state, hooks, place)
            free -= 1
    return False


def _submit(
    executor: Executor, tasks: list[Task], state: _State, hooks: Hooks, place: int
) -> None:
    handle = executor.submit(remote.dump_task(tasks[place]), None)
    state.running[handle] = place, hooks.clock()
    state.copies[place] += 1


def _take(
    store: Any,
    executor: Executor,
    tasks: list[Task],
    state: _State,
    hooks: Hooks,
    handle: Any,
) -> None:
    """Takes the answer of a worker, or notes that there is none."""
    place, begun = state.running.pop(handle)
    state.copies[place] -= 1
    try:
        answer = remote.load(executor.result(handle))
    except WorkerLost as lost:
        reason = " ".join(str(lost).split())[:_REASON]
        _missed(store, tasks, state, hooks, place, reason)
        return
    if answer.refusal is not None:
        _commit(store, state, hooks)
    _check(answer)
    now, group = hooks.clock(), _group(tasks[place])
    state.ended.append((place, now, answer))
    if place in state.answered:
        return
    state.answered.add(place)
    own = state.took.setdefault(group, deque(maxlen=_RECENT))
    own.append(now - begun)
    if len(own) >= _MANY:
        state.usual[group] = statistics.median(own)


def _commit(store: Any, state: _State, hooks: Hooks) -> None:
    """Commits the answers that have been taken, together."""
    batches = [
        adopted.Batch(answer.files, mark_of(store, answer.environment))
        for _, _, answer in state.ended
    ]
    is_new = adopted.commit(store, batches)
    for (place, _, answer), is_first in zip(state.ended, is_new, strict=True):
        if is_first:
            state.done.add(place)
            hooks.finished(answer.counts)
    state.ended.clear()


def _cancel_doubles(executor: Executor, state: _State) -> None:
    """Ends the tasks of batches that have an answer from another worker."""
    if not state.doubled & state.answered:
        return
    for other in [k for k, of in state.running.items() if of[0] in state.answered]:
        executor.cancel(other)
        state.copies[state.running.pop(other)[0]] -= 1
    state.doubled.difference_update(state.answered)


def _missed(
    store: Any,
    tasks: list[Task],
    state: _State,
    hooks: Hooks,
    place: int,
    reason: str,
) -> None:
    """Lets another worker try a batch, or sets it aside."""
    if place in state.answered:
        return
    state.tries[place] += 1
    task, count = tasks[place], state.tries[place]
    hooks.say(f"{task.prefix}: try {count} of {_TRIES} gave no result: {reason}")
    if state.copies[place]:  # the other one may still end
        return
    if count < _TRIES:
        state.waiting.append(place)
        return
    hooks.say(f"{task.prefix}: {len(task.trials)} trials are set aside")
    adopted.commit(store, [adopted.Batch(hooks.set_aside(task), {})])
    state.answered.add(place)
    state.done.add(place)


def _give_up(
    store: Any, executor: Executor, tasks: list[Task], state: _State, hooks: Hooks
) -> None:
    """Ends tasks that take so long that their workers must be lost or stuck."""
    now = hooks.clock()
    for handle, (place, begun) in _begun_before(now - _LATE_S, state):
        usual = state.usual.get(_group(tasks[place]))
        if usual is None or now - begun < max(_LATE * usual, _LATE_S):
            continue
        executor.cancel(handle)
        del state.running[handle]
        state.copies[place] -= 1
        reason = f"no answer in {now - begun:,.0f} s"
        _missed(store, tasks, state, hooks, place, reason)


def _begun_before(moment: float, state: _State) -> list[tuple[Any, tuple[int, float]]]:
    """Returns the items of `running` that began at a moment or earlier."""
    items = state.running.items()
    return list(itertools.takewhile(lambda one: one[1][1] <= moment, items))


def _group(task: Task) -> str:
    return task.prefix.rpartition("-")[0]


def _check(answer: Answer) -> None:
    """Raises the refusal of a worker."""
    if answer.refusal is not None:
        raise Refusal(f"{answer.where}: {answer.refusal}")
