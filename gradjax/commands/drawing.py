"""Draws the pictures of a record; one that fails is a line, and loses no result."""

from collections.abc import Callable
from pathlib import Path

from gradjax.commands.job import Job, name_of
from gradjax.data import sizes
from gradjax.errors import Refusal
from gradjax.files import named_disk_errors, write_bytes
from gradjax.problems import state as states
from gradjax.report import dashboard, pictures, terminal
from gradjax.report.summary import Winner
from gradjax.report.trained import Trained
from gradjax.sweeps.choose import GroupResult

DASHBOARD = "dashboard"
NAMES = ("curves.png", "sensitivity.png", "dashboard.png")
# What draws a picture: (job, groups of the search, trials to draw, their parameters).
Make = Callable[[Job, list[GroupResult], Winner, Trained], dict[str, bytes]]


def no_picture(error: Exception) -> str:
    """Returns the line that a picture could not be drawn, without its end."""
    reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
    return f"no picture is drawn ({reason}); the results are stored"


def check(plot: bool | str) -> None:
    """Refuses a value of --plot that names no picture."""
    if not isinstance(plot, bool) and plot != DASHBOARD:
        raise Refusal(f"--plot={plot!r}: expected true, false or {DASHBOARD}")


def makers(plot: bool | str, folder: Path | None = None) -> dict[str, Make]:
    """Returns the first file of each drawing that is asked for -> what draws it.

    Args:
      plot: of the options.
      folder: those that it already has are left out; None: all are returned.
    """
    found: dict[str, Make] = {"curves.png": _pictures} if plot else {}
    if plot == DASHBOARD:
        found["dashboard.png"] = _dashboard
    return {
        name: make
        for name, make in found.items()
        if folder is None or not (folder / name).is_file()
    }


def draw(
    job: Job,
    done: list[GroupResult],
    won: Winner,
    loaded: Trained,
    makers: dict[str, Make],
) -> None:
    """Draws the pictures; a failure is one line, because all results are stored."""
    for make in makers.values():
        try:
            files = make(job, done, won, loaded)
        except Exception as error:
            terminal.say(f"{no_picture(error)}, and the same command draws it later")
            continue
        with named_disk_errors(job.folder):
            for name, content in files.items():
                write_bytes(job.folder / name, content)


def _title(job: Job) -> str:
    """Returns the problem, the number of steps and the batch size, for a title."""
    plan = job.program.plan
    batch = "" if plan.batch_size is None else f" of {plan.batch_size}"
    return f"{name_of(job.settings)}, {plan.num_steps:,} steps{batch}"


def _pictures(
    job: Job, done: list[GroupResult], won: Winner, loaded: Trained
) -> dict[str, bytes]:
    if job.space.dimensions:
        return pictures.of_sweep(_title(job), done)
    examples = None
    for one in list(loaded.values())[:1]:
        examples = states.examples(*one)
    epoch_steps = sizes.epoch_steps(job.problem.data, job.settings.batch_size)
    return pictures.of_run(_title_of_run(job), won, epoch_steps, examples)


def _title_of_run(job: Job) -> str:
    settings = job.settings
    return f"{name_of(settings)}: {settings.optimizer}, {settings.schedule}"


def _dashboard(
    job: Job, done: list[GroupResult], won: Winner, _loaded: Trained
) -> dict[str, bytes]:
    plan = job.program.plan
    if job.space.dimensions:
        return {"dashboard.png": dashboard.of_sweep(_title(job), done, plan)}
    return {"dashboard.png": dashboard.of_run(_title_of_run(job), won, plan)}
