"""`gradjax.compare`, and the steps of a comparison that a command shares."""

import functools
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from gradjax import expressions
from gradjax.analysis import family
from gradjax.comparing import asked as asking
from gradjax.comparing import forecast, progress, result, spaces, stored, timing
from gradjax.comparing.asked import Asked
from gradjax.comparing.cells import Cell, cells_of, listing
from gradjax.comparing.result import Comparison
from gradjax.comparing.stored import Stored
from gradjax.comparing.timing import Maker, Trained
from gradjax.errors import Interrupted, Refusal
from gradjax.files import named_disk_errors
from gradjax.records import comparisons
from gradjax.report import terminal
from gradjax.sweeps import given, points
from gradjax.tuning import arguments, outcome, planned, searched
from gradjax.tuning.arguments import count
from gradjax.tuning.planned import Prepared


class Hooks(NamedTuple):
    """What a command adds to a call."""

    say: Callable[[str], None] = lambda _: None
    warn: Callable[[str], None] = warnings.warn
    stop_requested: Callable[[], int | None] = lambda: None
    may_restart: bool = False
    command: str = "gradjax.compare"

    def pause(self, after: str) -> None:
        """Ends the comparison if a signal has requested a stop."""
        if (number := self.stop_requested()) is not None:
            raise Interrupted(number, after)


_NO_HOOKS = Hooks()


def compare(
    optimizers: Any,
    problems: Any = "small",
    *,
    num_trials: int = 20,
    num_seeds: int = 10,
    baseline: Any = None,
    pairs: str = "baseline",
    spaces: Mapping[str, Any] | None = None,
    search: str = "random",
    schedule: Any = "cosine",
    num_gradients: int | None = None,
    batch_size: int | None = None,
    horizons: Any = (1,),
    seed: int = 0,
    workdir: str | Path | None = None,
    overwrite: bool = False,
    accept_changes: bool = False,
) -> Comparison:
    """Tunes each optimizer on each problem, and compares them on fresh seeds.

    Every optimizer gets the same number of trials, the same points of the unit cube in
    its own space and the same number of gradients. Its best setting on validation is
    trained again on fresh seeds, with the initial parameters and the batches that all
    others get, too. docs/protocol.md states the rules and their reasons.

    Args:
      optimizers: a list of two or more, each as `gradjax.program` takes it. A number
        that is written out, as in `"sgd(momentum=0.9)"`, is fixed.
      problems: the name of a suite, a list of names of problems, or a dictionary from
        names to names, entries of a suite or Problems.
      num_trials: the settings that are tried for each optimizer.
      num_seeds: the fresh seeds of each chosen setting, at least 2.
      baseline: the optimizer that the others are compared with; None: the first.
      pairs: "baseline": each optimizer is compared with the baseline; "all": every
        pair is compared. Holm's method corrects for as many tests, within a problem.
      spaces: name -> a range that replaces the declared one, such as
        `{"adamw.weight_decay": "log(1e-4, 1)"}`; the names are those of `gradjax.tune`.
      search: "random", independent points; or "halton" or "sobol", spread points, with
        which curves of the best of k trials are approximate.
      schedule: as `gradjax.program` takes it, the same for all.
      num_gradients: the budget of a trial; None: the number of steps of the suite. An
        optimizer that computes two gradients in a step gets half the steps, and one
        whose number varies, such as lbfgs, stops when it has spent them.
      batch_size: examples; None: the number of the suite.
      horizons: multiples of the budget; each is tuned and compared by itself.
      seed: of the search, and of the initial parameters and batches of its trials.
      workdir: the folder, with a record for each problem and optimizer. If the process
        is killed, the same call resumes and ends with the same bits; a call with more
        optimizers, problems, trials or seeds trains only what is new. None: nothing is
        kept but the result.
      overwrite: train those cells again whose stored record is of another plan, such as
        that of an optimizer whose source has changed.
      accept_changes: continue although versions, sources or the device have changed.

    Returns:
      A Comparison, with a table for each problem.

    Raises:
        Refusal: what `gradjax.tune` refuses; a problem without a budget; fewer trials
            than the folder holds.
    """
    objects: given.Objects = {}
    points.forget()
    try:
        asked = request(
            objects,
            optimizers,
            problems,
            num_trials=num_trials,
            num_seeds=num_seeds,
            baseline=baseline,
            pairs=pairs,
            ranges=spaces,
            search=search,
            schedule=schedule,
            num_gradients=num_gradients,
            batch_size=batch_size,
            horizons=horizons,
            seed=seed,
        )
        with planned.folder(workdir, "compare") as folder:
            found = run(asked, folder, overwrite, accept_changes)
        return found if workdir is not None else found._replace(workdir=None)
    except Refusal as error:
        raise Refusal(arguments.as_call(str(error))) from error
    finally:
        points.forget()


def request(
    objects: given.Objects,
    optimizers: Any,
    problems: Any,
    *,
    ranges: Mapping[str, Any] | None,
    num_gradients: int | None,
    batch_size: int | None,
    baseline: Any,
    **more: Any,
) -> Asked:
    """Checks the arguments of a comparison, see `compare`.

    Args:
      objects: gets the optimizers that have neither a name nor an import path.
      optimizers: see `compare`.
      problems: see `compare`.
      ranges: `spaces` of `compare`.
      num_gradients: see `compare`.
      batch_size: see `compare`.
      baseline: see `compare`.
      more: num_trials, num_seeds, pairs, search, schedule, seed and horizons of
        `compare`.

    Raises:
        Refusal: see `compare`.
    """
    texts = asking.optimizers_of(optimizers, objects)
    schedule = given.schedule(more["schedule"], objects)
    with expressions.given(objects):
        found = spaces.spaces_of(texts, ranges)
    return Asked(
        tasks=asking.tasks_of(problems, num_gradients, batch_size),
        optimizers=texts,
        spaces=found,
        objects=objects,
        schedule=schedule,
        num_trials=count("num_trials", more["num_trials"]),
        num_seeds=count("num_seeds", more["num_seeds"], low=2),
        baseline=asking.baseline_of(baseline, texts, objects),
        pairs=family.check(more["pairs"]),
        search=asking.search_of(more["search"]),
        seed=count("seed", more["seed"], low=0),
        horizons=asking.horizons_of(more["horizons"]),
    )


def run(
    asked: Asked,
    folder: Path,
    overwrite: bool = False,
    accept_changes: bool = False,
    hooks: Hooks = _NO_HOOKS,
) -> Comparison:
    """Trains what is not stored yet, and compares.

    Args:
      asked: the checked arguments.
      folder: of the comparison; its parent exists.
      overwrite: see `compare`.
      accept_changes: see `compare`.
      hooks: what a command adds.

    Raises:
        Refusal: see `compare`.
        Interrupted: a signal requested a stop; everything so far is stored.
    """
    comparisons.check_folder(folder)
    with expressions.given(asked.objects):
        cells = cells_of(asked)
        for line in forecast.size_lines(asked, cells):
            hooks.say(line)
        hooks.say(forecast.power_line(asked))
        changes = (accept_changes, overwrite)
        found = [stored.look(cell, asked, folder, *changes) for cell in cells]
        made = [_maker(one, overwrite, hooks.may_restart) for one in found]
        for one, make in zip(found, made, strict=True):
            if one.summary is None:
                make()  # refuses what cannot be trained before anything is written
        _create(asked, cells, folder, hooks.command)
        _train(found, made, overwrite, hooks)
    return result.read(asked, cells, folder, is_stored=True)


def _maker(one: Stored, overwrite: bool, may_restart: bool) -> Maker:
    """Returns a function that makes the programs of a cell, once."""
    make = functools.partial(stored.prepare, one, overwrite, may_restart)
    return functools.cache(make)


def _create(asked: Asked, cells: list[Cell], folder: Path, command: str) -> None:
    """Makes the folders, and writes the file of the comparison."""
    about = {
        "command": command,
        "optimizers": list(asked.optimizers),
        "baseline": asked.baseline,
        "pairs": asked.pairs,
        "spaces": {name: spaces.shown(one) for name, one in asked.spaces.items()},
        "search": asked.search,
        "num_trials": asked.num_trials,
        "num_seeds": asked.num_seeds,
        "schedule": asked.schedule,
        "seed": asked.seed,
        "horizons": list(asked.horizons),
    }
    with named_disk_errors(folder):
        folder.mkdir(exist_ok=True)
        comparisons.write(folder, about, listing(cells))
        for cell in cells:
            (folder / cell.folder).parent.mkdir(exist_ok=True)


def _train(
    cells: list[Stored], made: list[Maker], overwrite: bool, hooks: Hooks
) -> None:
    """Trains the cells one after another; those that are whole are only read.

    When all cells of a problem are trained, the time of their gradients is measured,
    and their programs are forgotten, because many programs fill the memory.
    """
    left = [forecast.left_of(one, overwrite) for one in cells]
    estimated = forecast.announce(made, left, hooks.say, hooks.pause)
    clock, trained = progress.Clock(estimated, time.monotonic()), []
    for k, (one, make) in enumerate(zip(cells, made, strict=True)):
        if one.summary is not None:
            best = one.best
        else:
            found = _train_one(one, make(), overwrite and one.is_other, hooks)
            best = timing.best_point(found)
            if left[k].num_runs:
                more = f", about {terminal.duration(clock.left(k + 1))} left"
                line = progress.cell_line(one.cell, found, one.work.problem.target)
                hooks.say(f"{k + 1} of {len(cells)}  {line}{more}")
        trained.append(Trained(one, make, best))
        if [of.cell.label for of in cells[k + 1 : k + 2]] != [one.cell.label]:
            timing.measure(trained, hooks.say, hooks.warn, hooks.pause)
            for of in trained:
                of.made.cache_clear()
            trained = []


def _train_one(
    one: Stored, made: Prepared, is_replaced: bool, hooks: Hooks
) -> searched.Found:
    cell = one.cell
    reporter = progress.reporter(cell.name, hooks.say)
    with searched.opened(made, hooks.warn, is_replaced) as store:
        found = searched.run(made, store, reporter, hooks.stop_requested)
        about = {"experiment": "compare", "command": hooks.command}
        outcome.summarize(made, store, found, about | {"problem": cell.task.name})
    return found
