"""Runs the trials of a plan: the search, then the fresh seeds of the best settings."""

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from gradjax.records import store as stored
from gradjax.report import summary, trained
from gradjax.sweeps import extended, longer, rounds, workers
from gradjax.sweeps.choose import GroupResult
from gradjax.sweeps.context import Context, Reporter
from gradjax.tuning import planned
from gradjax.tuning.planned import Prepared


class Found(NamedTuple):
    """The results of all trials of a plan."""

    done: list[GroupResult]  # of the search, or of a run
    fresh: list[GroupResult]
    won: summary.Winner
    loaded: trained.Trained


@contextlib.contextmanager
def opened(
    made: Prepared, say: Callable[[str], None], overwrite: bool = False
) -> Iterator[Any]:
    """Yields the store of a plan, open to write.

    Raises:
        Refusal: see `records.store.create_or_open`.
    """
    store = stored.create_or_open(
        made.folder,
        longer.plan_before(made.plan, made.extension),
        say=say,
        accept_changes=made.work.asked.accept_changes,
        overwrite=overwrite,
    )
    try:
        if made.extension is not None:
            store = extended.begin(store, made.plan, made.extension, lambda _: None)
        yield store
    finally:
        stored.close(store)


def run(
    made: Prepared,
    store: Any,
    reporter: Reporter,
    stop_requested: Callable[[], int | None] = lambda: None,
) -> Found:
    """Runs all trials that are not stored yet, and reads the others.

    Raises:
        Interrupted: `stop_requested` gave the number of a signal.
    """
    work = functools.partial(planned.work_of, made)
    with workers.executor(made.work.asked, work, store.say) as executor:
        context = Context(
            made.work.settings,
            made.work.asked,
            made.space,
            store,
            made.lanes,
            reporter,
            stop_requested,
            made.work.first_fresh_seed,
            made.work.shared,
            executor,
        )
        done = rounds.search(context, made.method)
        fresh = rounds.fresh(context, done)
    won = summary.winner(done, fresh)
    return Found(done, fresh, won, trained.load(made.lanes, store, won))


class _Silent(NamedTuple):
    """A watch that shows nothing."""

    def computed(self, *_: Any) -> None:
        """Shows nothing of a segment that was computed."""

    def read(self, *_: Any) -> None:
        """Shows nothing of a segment that was read."""

    def ended(self, *_: Any) -> None:
        """Shows nothing of a batch that a worker has trained."""


SILENT = Reporter(
    announce=lambda *_: None, estimate=lambda *_: None, progress=lambda *_: _Silent()
)
