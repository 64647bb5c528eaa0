"""`gradjax.compare`, and the check of its arguments."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gradjax import expressions
from gradjax.analysis import family
from gradjax.comparing import asked as asking
from gradjax.comparing import running, spaces
from gradjax.comparing.asked import Asked
from gradjax.comparing.result import Comparison
from gradjax.errors import Refusal
from gradjax.sweeps import given, points, workers
from gradjax.tuning import arguments, planned
from gradjax.tuning.arguments import count
from gradjax.types import Sweep


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
    retune: bool = True,
    studies: int = 1,
    seed: int = 0,
    workdir: str | Path | None = None,
    overwrite: bool = False,
    accept_changes: bool = False,
    executor: str = "inline",
    num_workers: int | None = None,
    ray_address: str | None = None,
    diagnostics: Any = None,
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
      schedule: as `gradjax.program` takes it, the same for all optimizers with a
        learning rate. A line names those without one, which follow no schedule.
      num_gradients: the budget of a trial; None: the number of steps of the suite. An
        optimizer that computes two gradients in a step gets half the steps, and one
        whose number varies, such as lbfgs, stops when it has spent them.
      batch_size: examples; None: the number of the suite.
      horizons: multiples of the budget; each is tuned and compared by itself. With a
        schedule that is constant after a warmup in steps, or until its decay, as
        `"wsd(warmup=0, decay=0.2)"`, longer trials go on from the states of the shorter
        ones, to the same bits as if they were trained alone.
      retune: False: each optimizer is tuned at the horizon 1 alone (without it, at the
        shortest), and its setting is taken at the others. The tables say so.
      studies: K independent tunings of each optimizer, 1 or at least 3, each with its
        own points, seeds of its trials and fresh seeds. The verdict on the optimizers
        is then a paired t test over the K mean values on fresh seeds; all else is of
        the first tuning. 1: that verdict compares the trials of the one search.
      seed: of the search, and of the initial parameters and batches of its trials; each
        further study has the next number.
      workdir: the folder, with a record for each problem and optimizer. If the process
        is killed, the same call resumes and ends with the same bits; a call with more
        optimizers, problems, trials, seeds or studies trains only what is new. None:
        nothing is kept but the result.
      overwrite: train those cells again whose stored record is of another plan, such as
        that of an optimizer whose source has changed.
      accept_changes: continue although versions, sources or the device have changed.
      executor: what runs the trials of a cell, as `gradjax.tune` takes it. Longer
        horizons, which go on from the states of shorter ones, run inline.
      num_workers: as `gradjax.tune` takes it.
      ray_address: likewise.
      diagnostics: what is measured in every trial, as `gradjax.program` takes it; the
        curves are in the record of each cell. Longer horizons then begin anew.

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
            retune=retune,
            studies=studies,
            seed=seed,
            executed=Sweep(
                executor=executor,
                num_workers=count("num_workers", num_workers, None),
                ray_address=ray_address,
            ),
            diagnostics=diagnostics,
        )
        with planned.folder(workdir, "compare") as folder:
            found = running.run(asked, folder, overwrite, accept_changes)
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
      more: num_trials, num_seeds, pairs, search, schedule, seed, horizons, retune,
        studies and diagnostics of `compare`; `executed`, a Sweep with the executor.

    Raises:
        Refusal: see `compare`.
    """
    executed = more.get("executed", Sweep())
    workers.check(executed)
    texts = asking.optimizers_of(optimizers, objects)
    schedule = given.schedule(more["schedule"], objects)
    with expressions.given(objects):
        found = spaces.spaces_of(texts, ranges)
    horizons = asking.horizons_of(more["horizons"])
    seed = count("seed", more["seed"], low=0)
    num_seeds = count("num_seeds", more["num_seeds"], low=2)
    return Asked(
        tasks=asking.tasks_of(problems, num_gradients, batch_size),
        optimizers=texts,
        spaces=found,
        objects=objects,
        schedule=schedule,
        num_trials=count("num_trials", more["num_trials"]),
        num_seeds=num_seeds,
        baseline=asking.baseline_of(baseline, texts, objects),
        pairs=family.check(more["pairs"]),
        search=asking.search_of(more["search"]),
        seed=seed,
        horizons=horizons,
        retune=asking.retune_of(more["retune"], horizons),
        studies=asking.studies_of(more["studies"], seed, num_seeds),
        executed=executed,
        diagnostics=given.diagnostics(more.get("diagnostics"), objects),
    )
