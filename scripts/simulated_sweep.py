"""Runs a sweep on a simulated cluster, measures its driver and checks its record."""

import resource
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from experiments.minimize import EXPERIMENT
from gradjax.commands.experiment import settings_of
from gradjax.commands.job import Job, job_of
from gradjax.files import read_npz
from gradjax.records import frames, journal, opening
from gradjax.records import store as stored
from gradjax.report import summary, trained
from gradjax.sweeps import batch, planning, rounds
from gradjax.sweeps.context import Context
from gradjax.tuning.searched import SILENT
from gradjax.types import Options, Sweep
from scripts import simulated_cluster as simulated
from scripts.simulated_cluster import Cluster

_WINDOW = 1_000  # answers over which the time of the driver is a mean
PARTS = ("plan", "list", "dispatch", "read", "open", "frames")


class Measured(NamedTuple):
    """What a simulated sweep has shown."""

    cluster: Cluster
    num_trials: int
    lane_width: int  # trials of a batch
    num_batches: int
    counts: dict[str, int]  # see `simulated_cluster.Log`
    num_doubled: int  # batches that a second worker began
    num_set_aside: int  # batches
    num_poisoned: int  # of them, those that end each of their workers
    hours: float  # by the clock of the cluster
    window: int  # answers
    cpu_ms: list[float]  # of the driver, for each answer: first, middle, last window
    wall_ms: list[float]  # likewise, with fsync
    journal_bytes: int
    round_bytes: int  # the line of the journal that lists the trials
    seconds: dict[str, float]  # of each of PARTS
    memory_mb: dict[str, float]  # the most that the process had until its end
    faults: list[str]  # lines on trials that are missing or doubled


def measure(
    cluster: Cluster, num_trials: int, lane_width: int, folder: Path
) -> Measured:
    """Runs a sweep on a simulated cluster.

    Args:
      cluster: what it is like.
      num_trials: the trials of the sweep.
      lane_width: the trials of a batch.
      folder: of the record, which stays.
    """
    log, lines, seconds, memory = simulated.new_log(), [], {}, {}
    began = [time.perf_counter()]

    def ended(part: str) -> None:
        now = time.perf_counter()
        seconds[part], began[0] = now - began[0], now
        memory[part] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3

    asked = Sweep(
        sweep=("learning_rate=log(1e-4,1)",),
        search="random",
        trials=num_trials,
        fresh_seeds=0,
        lane_width=lane_width,
        executor="processes",
        num_workers=cluster.num_workers,
    )
    settings = settings_of(EXPERIMENT, problem="quadratic", steps=10)
    options = Options(workdir=str(folder), plot=False)
    job = job_of(EXPERIMENT, settings, asked, options, may_restart=False)
    ended("plan")
    write = _writer(job, asked, lane_width)
    began[0] = time.perf_counter()
    store = stored.create_or_open(folder, job.plan, say=lines.append)

    def start() -> Any:
        ended("list")
        return simulated.start(cluster, write, log)

    def progress(*_: Any) -> Any:
        return _Watch(lambda *_: "dispatch" in seconds or ended("dispatch"))

    reporter = SILENT._replace(progress=progress)
    context = Context(
        *(job.settings, asked, job.space, store, job.lanes, reporter, lambda: None),
        executor=start,
        clock=log.clock,
    )
    won = summary.winner(rounds.search(context, job.method), [])
    trained.load(job.lanes, store, won)
    ended("read")
    seconds["dispatch"] -= log.outside[1]
    stored.close(store)
    opened = opening.open_to_read(folder, say=lines.append)
    ended("open")
    found = frames(folder)
    ended("frames")
    statuses = found.trials.set_index("trial")["status"].to_dict()
    aside = [one for one in lines if one.endswith("trials are set aside")]
    about = _about(folder)
    # In the last answers the driver mostly waits for stragglers, and looks around.
    num_answers = max(len(log.answers) - cluster.num_workers, len(log.answers) // 2)
    window = min(_WINDOW, num_answers // 3)
    return Measured(
        *(cluster, num_trials, lane_width, len(opened.cohorts), log.counts),
        sum("a second worker begins it" in one for one in lines),
        len(aside),
        sum(one.partition(":")[0] in log.poisoned for one in aside),
        log.clock() / 3600,
        window,
        *_times(log.answers[:num_answers], window),
        *about[:2],
        seconds,
        memory,
        [*about[2], *_faults(opened, statuses, num_trials, lines, aside)],
    )


class _Watch(NamedTuple):
    """A watch that notes when the first batch is read."""

    read: Callable[..., Any]

    def computed(self, *_: Any) -> None:
        """Is never called, because the workers compute everything."""
        raise RuntimeError("the driver computed a segment, which a worker should do")

    def ended(self, *_: Any) -> None:
        """Shows nothing of a batch that a worker has trained."""


def _writer(job: Job, asked: Sweep, width: int) -> simulated.Write:
    """Trains one batch, from which the files of all others are made."""
    few = asked._replace(trials=width)
    first = planning.first_trials(few, job.space, job.method, job.settings)
    task = batch.Task("search-0-0-0000", first, "", None, "", "best")
    files, _ = batch.train(job.lanes(first[0].settings), task, None)
    return simulated.writer(files, [one.id for one in first])


def _times(
    answers: list[tuple[float, float]], window: int
) -> tuple[list[float], list[float]]:
    """Returns the milliseconds of the driver for an answer, CPU and wall.

    Args:
      answers: of the log, those that are looked at.
      window: over how many of them a mean is taken.
    """
    last = len(answers) - 1
    ends = (window, (last + window) // 2, last)
    pairs = [(answers[k - window], answers[k]) for k in ends]
    cpu, wall = (
        [(after[k] - before[k]) / window * 1e3 for before, after in pairs]
        for k in range(2)
    )
    return cpu, wall


def _about(folder: Path) -> tuple[int, int, list[str]]:
    """Returns the bytes of the journal and of its list of trials, and its faults."""
    path = folder / journal.FILE
    found = journal.read(path)
    names = Counter(one["name"] for one in found.records if "name" in one)
    doubled = [name for name, count in names.items() if count > 1]
    rounds_ = [one for one in found.records if "ids" in one.get("event", {})]
    faults = [f"{name} has several lines in the journal" for name in doubled]
    size = sum(len(journal.encode(one)) for one in rounds_)
    return path.stat().st_size, size, faults


def _faults(
    store: Any,
    statuses: dict[str, str],
    num_trials: int,
    lines: list[str],
    aside: list[str],
) -> list[str]:
    """Returns a line for everything that is wrong with the record."""
    found = [f"{len(statuses)} trials"] if len(statuses) != num_trials else []
    segments = stored.committed_segments(store)
    of = {
        name.rpartition("-")[0]: read_npz(store.folder / line["file"], only="trial")
        for name, line in segments.items()
    }
    counts = Counter(id for arrays in of.values() for id in arrays["trial"].tolist())
    found += [f"{id} is in {n} segments" for id, n in counts.items() if n > 1]
    found += [f"{id} is in no segment" for id in statuses.keys() - counts.keys()]
    said = {one.partition(":")[0] for one in aside}
    expected = {id for name in said for id in of[name]["trial"].tolist()}
    for id, status in statuses.items():
        if status != ("set aside" if id in expected else "finished"):
            found.append(f"{id} is {status}")
    about = str(store.folder)  # a line on damage begins with its file
    return [*found, *(one for one in lines if one.startswith(about))]
