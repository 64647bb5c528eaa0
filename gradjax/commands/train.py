"""Trains from settings to a finished record. A run is a sweep of one trial.

The plan is written first and never changes. Each round of trials is appended to the
journal before it runs, and each segment is committed. So the same command resumes after
any kill, and a command with more trials or seeds runs only the new ones.
"""

import contextlib
import functools
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from gradjax import executors, records
from gradjax.commands import drawing, signals
from gradjax.commands.experiment import Experiment
from gradjax.commands.job import Job, job_of, name_of, work_of
from gradjax.data import sizes
from gradjax.errors import Refusal
from gradjax.files import named_disk_errors, write_bytes, write_json
from gradjax.records import following
from gradjax.records import store as stored
from gradjax.records.inspection import environments
from gradjax.report import (
    announce,
    progress,
    summary,
    table,
    terminal,
    trained,
)
from gradjax.sweeps import choose, extended, longer, rounds, workers
from gradjax.sweeps.choose import GroupResult
from gradjax.sweeps.context import Context, Reporter
from gradjax.trials import processes
from gradjax.trials.lanes import Lanes, Ready
from gradjax.types import Options, Settings, Sweep, Target

_NO_SWEEP, _NO_OPTIONS = Sweep(), Options()
_LanesOf = Callable[[Settings], Lanes]  # the lanes of the settings of a group


def train(
    what: Experiment,
    settings: Settings,
    asked: Sweep = _NO_SWEEP,
    options: Options = _NO_OPTIONS,
    may_restart: bool = False,
) -> dict[str, Any]:
    """Trains a run or a sweep, stores it and prints its table.

    Wrong input is refused before anything is compiled or written.

    Args:
      what: the experiment.
      settings: the settings of the run; a point of a sweep replaces parts of them.
      asked: what varies and how it is searched; without a space it is a run.
      options: the folder of the record, and whether it is replaced.
      may_restart: whether JAX's CPU backend may be restarted with another number of
        threads. A command does this, and a library does not.

    Returns:
      The summary, as in summary.json.

    Raises:
        Refusal: bad input; another plan in the folder; a full disk.
        Interrupted: a signal requested a stop; the segment is finished and stored.
    """
    processes.start(asked.coordinator, asked.num_processes, asked.process_id)
    drawing.check(options.plot)
    if not processes.is_first():
        terminal.silence()
    make = functools.partial(job_of, what, settings, asked, options, may_restart)
    job = processes.together(make)
    store = _opened(job, options)
    try:
        if job.extension is not None:
            store = extended.begin(store, job.plan, job.extension, terminal.say)
        job = job._replace(lanes=_compiled_at_once(job.lanes))
        with signals.heard() as stop_requested:
            found = _run(job, store, options, _agreed(stop_requested))
            processes.wait()  # for the first one, which writes the summary
            return found
    finally:
        stored.close(store)


def _opened(job: Job, options: Options) -> Any:
    """Opens the store; of several processes only the first one writes in it."""
    plan = longer.plan_before(job.plan, job.extension)

    def opened() -> Any:
        if not processes.is_first():
            return None
        if options.workdir is None:
            job.folder.parent.mkdir(parents=True, exist_ok=True)
        return stored.create_or_open(
            job.folder,
            plan,
            say=terminal.say,
            accept_changes=job.asked.accept_changes,
            overwrite=options.overwrite,
        )

    def followed() -> Any:
        return following.open_to_follow(job.folder, plan, terminal.say)

    store = processes.together(opened)
    return processes.together(lambda: store if processes.is_first() else followed())


def _agreed(stop_requested: signals.StopRequested) -> signals.StopRequested:
    """Returns a function that tells every process of a signal that one has heard."""
    return lambda: processes.largest(stop_requested() or 0) or None


def command_line(name: str) -> str:
    """Returns the command line of this process."""
    is_console = sys.argv[0] == f"gradjax {name}"
    start = ["gradjax", name] if is_console else ["python", "-m", f"experiments.{name}"]
    return shlex.join([*start, *sys.argv[1:]])


def spoken(folder: Path) -> Path:
    """Returns the path as a person would type it from the current folder."""
    is_below = folder.is_relative_to(Path.cwd())
    return folder.relative_to(Path.cwd()) if is_below else folder


def _run(
    job: Job, store: Any, options: Options, stop_requested: signals.StopRequested
) -> dict[str, Any]:
    """Runs the rounds and reports them."""
    before, has_summary = len(store.files), (job.folder / "summary.json").is_file()
    for line in job.notes:
        terminal.say(line)
    is_run = not job.space.dimensions
    epoch_steps = sizes.epoch_steps(job.problem.data, job.settings.batch_size)
    if is_run and not has_summary:
        announce.run(job.problem, job.settings, job.program, store)
    work = functools.partial(work_of, job)
    with (
        _watch(job, epoch_steps) as reporter,
        workers.executor(job.asked, work, terminal.say) as executor,
    ):
        context = Context(
            job.settings,
            job.asked,
            job.space,
            store,
            job.lanes,
            reporter,
            stop_requested,
            executor=executor,
        )
        done = rounds.search(context, job.method)
        fresh = rounds.fresh(context, done)
    groups = [*done, *fresh]
    if not processes.is_first():
        return {}
    if has_summary and len(store.files) == before:
        kept = _read_summary(job.folder)
        if _is_of(kept, store, groups):
            table.show(kept)
            if missing := drawing.makers(options.plot, job.folder):
                won = summary.winner(done, fresh)
                loaded = trained.load(job.lanes, store, won)
                drawing.draw(job, done, won, loaded, missing)
            how = "is finished already; --overwrite trains again"
            terminal.say(f"{spoken(job.folder)} {how}")
            return kept
    found = _write_results(job, store, done, fresh, options)
    table.show(found)
    terminal.say(f"{spoken(job.folder)} keeps this {'run' if is_run else 'sweep'}")
    return found


def _compiled_at_once(
    lanes: Callable[[Settings], Lanes],
) -> Callable[[Settings], Lanes]:
    """Returns lanes whose compilation a signal ends, because nothing is lost then."""

    @functools.cache
    def of(group: Settings) -> Lanes:
        made = lanes(group)

        @functools.cache
        def ready() -> Ready:
            with signals.at_once():
                return made.ready()

        return made._replace(ready=ready)

    return of


def _read_summary(folder: Path) -> dict[str, Any]:
    """Reads the summary; an empty one if it is damaged, because it is made again."""
    try:
        return records.summary_of(folder)
    except Refusal as damage:
        terminal.say(f"{damage}; it is written again")
        return {}


def _write_results(
    job: Job,
    store: Any,
    done: list[GroupResult],
    fresh: list[GroupResult],
    options: Options,
) -> dict[str, Any]:
    """Writes the files of the problem, the summary and, at last, the pictures."""
    setup = summary.Setup(
        job.problem,
        _about(job),
        job.settings.keep,
        job.settings.patience,
        job.program.plan.batch_size,
        sizes.epoch_steps(job.problem.data, job.settings.batch_size),
    )
    won = summary.winner(done, fresh)
    with named_disk_errors(job.folder):
        (job.folder / "summary.json").unlink(missing_ok=True)
    loaded = trained.load(job.lanes, store, won)
    reports = trained.reports(loaded)
    found = summary.summarize(setup, done, fresh, reports)
    found["num_changes"] = len(environments(stored.events(store)))
    found["request"] = choose.request([*done, *fresh])
    files = {name: of for one in reports.values() for name, of in one.files.items()}
    with named_disk_errors(job.folder):
        for name in drawing.NAMES:  # of fewer trials
            (job.folder / name).unlink(missing_ok=True)
        for name, content in files.items():
            write_bytes(job.folder / name, content)
        write_json(job.folder / "summary.json", found)
    drawing.draw(job, done, won, loaded, drawing.makers(options.plot))
    return found


@contextlib.contextmanager
def _watch(job: Job, epoch_steps: int | None) -> Iterator[Reporter]:
    """Shows the progress of trials while they run."""
    has_workers = job.asked.executor != executors.INLINE
    if job.space.dimensions or job.settings.seeds > 1:
        announced = functools.partial(announce.round, job.lanes, has_workers)
        yield Reporter(announced, signals.at_once()(announce.estimate), _progress)
        return
    with contextlib.ExitStack() as stack:
        # The bar appears when a segment is computed, and not if all segments are read.
        watch = functools.cache(
            lambda: stack.enter_context(progress.of_run(epoch_steps))
        )

        def start(lanes: Lanes, *_: Any) -> None:
            signals.at_once()(announce.diagnostics)(lanes)
            watch()

        counted = functools.partial(announce.counted, job.lanes, has_workers)
        yield Reporter(counted, start, lambda *_: _Later(watch))


def _progress(label: str, num_trials: int, target: Target) -> progress.Watch:
    return progress.of_trials(announce.words_of(label), num_trials, target)


class _Later(NamedTuple):
    """A watch that is made after the first segment was computed."""

    watch: Any

    def computed(self, *args: Any) -> None:
        """Shows a segment that was computed."""
        self.watch().computed(*args)

    def read(self, *args: Any) -> None:
        """Shows nothing of a segment that was read."""

    def ended(self, *args: Any) -> None:
        """Shows nothing of a batch: the one of a run is all of it."""


def _about(job: Job) -> dict[str, Any]:
    """Returns the first entries of the summary."""
    return {
        "experiment": job.experiment.name,
        "problem": name_of(job.settings),
        "dataset": dict(job.settings.own).get("dataset"),
        "space": [one.name for one in job.space.dimensions],
        "command": command_line(job.experiment.name),
    }


def _is_of(kept: dict[str, Any], store: Any, groups: list[GroupResult]) -> bool:
    """Returns whether a summary is of these trials, in this environment."""
    num_changes = len(environments(stored.events(store)))
    is_same = kept.get("request") == choose.request(groups)
    return is_same and kept.get("num_changes") == num_changes
