"""Tunes optimizers from Python, with the search and the record of a sweep."""

import functools
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gradjax import expressions
from gradjax.errors import Refusal
from gradjax.records import reading
from gradjax.sweeps import choose, given, planning, points
from gradjax.training import mesh as meshes
from gradjax.tuning import arguments, outcome, planned, searched
from gradjax.tuning.arguments import count
from gradjax.tuning.planned import Work
from gradjax.types import (
    Mesh,
    ModelState,
    Params,
    Problem,
    Settings,
    Space,
    Sweep,
    Tuned,
)

_ABOUT = {"experiment": "tune", "command": "gradjax.tune"}


def tune(
    problem: Problem,
    optimizers: Any,
    space: Mapping[str, Any],
    *,
    num_steps: int,
    num_trials: int | None = None,
    search: str = "grid",
    num_seeds: int = 1,
    num_fresh_seeds: int = 3,
    seed: int = 0,
    batch_size: int | None = None,
    schedule: Any = "constant",
    eval_every: int | None = None,
    keep: str = "last",
    patience: int | None = None,
    halving: int | None = None,
    workdir: str | Path | None = None,
    overwrite: bool = False,
    accept_changes: bool = False,
    keep_params: str = "best",
    keep_snapshots: int | None = None,
    lane_width: int | None = None,
    num_devices: int | None = None,
    executor: str = "inline",
    num_workers: int | None = None,
    ray_address: str | None = None,
    accept_mixed_bits: bool = False,
    trace_every: int = 0,
    diagnostics: Any = None,
    mesh: str | Mesh | None = None,
    accumulate: int = 1,
    remat: bool = False,
    params: Params = None,
    model_state: ModelState = None,
) -> Tuned:
    """Searches the best setting of each optimizer, and trains it on fresh seeds.

    This is what a command does with `--sweep`: the best setting is chosen by the metric
    of the problem's target on the validation split (without one, on the train split),
    and is trained again on seeds that were not used to choose it.

    Args:
      problem: the problem to minimise.
      optimizers: an optimizer as `gradjax.program` takes it, or a list of them.
      space: name -> a range as text, `"log(low, high[, n])"`, `"linear(...)"` or
        `"int(...)"`, or a list of values. The names are those of `--sweep`:
        `learning_rate`, `batch_size`, `schedule`, `steps`, `optimizer.<path>` and
        `schedule.<path>` for a number of all, and `<name>.<path>` for a number of one
        optimizer alone, such as `adamw.weight_decay`.
      num_steps: the number of optimizer steps of each trial.
      num_trials: the number of points, of all optimizers together; None: all points of
        the grid.
      search: an expression: "grid", "random", "halton", "sobol" or "tpe".
      num_seeds: each point is trained with the seeds seed, seed + 1, ...
      num_fresh_seeds: fresh seeds for the best setting of each optimizer.
      seed: the first seed, also of the search.
      batch_size: as `gradjax.program` takes it.
      schedule: as `gradjax.program` takes it.
      eval_every: steps between two evaluations; None: a tenth of the run.
      keep: as `gradjax.program` takes it.
      patience: as `gradjax.program` takes it.
      halving: successive halving: after each rung one setting in so many continues,
        by the metric of the target on validation (without that split, by the training
        curve of this metric or else of the loss, as a mean since the evaluation
        before); None: all settings run to the end.
      workdir: the folder of the record. It has the same files as that of a command. If
        the process is killed, the same call resumes and ends with the same bits; a call
        with more trials or seeds trains only the new ones; a call with more steps goes
        on, if it began with `keep_params="all"` and its schedule is constant, or `wsd`
        with a warmup in steps; and a call with another problem, or with other sources,
        is refused. None: nothing is kept but the result (a temporary folder holds the
        trials until the call ends).
      overwrite: replace an existing record.
      accept_changes: continue although versions, sources or the device have changed.
      keep_params: "best", "all" or "none": the trials whose parameters are stored.
      keep_snapshots: the number of snapshots of each trial that are kept, evenly over
        the run, so that a replay need not start at the first step; None: none. Each has
        the size of the parameters and the optimizer's state.
      lane_width: the number of trials that are mapped together on one device; None: a
        width that was measured to be fast. The last bits of a trial depend on it.
      num_devices: the number of devices, on a CPU of cores; None: all.
      executor: what runs the trials: "inline" (the threads of this process),
        "processes" (of this machine) or "ray" (a cluster, with the extra `[ray]`). The
        bits of a trial do not depend on it.
      num_workers: the batches of trials that the executor runs at the same time; None:
        as many as the cores, or the cluster, allow.
      ray_address: "HOST:PORT" of the head of a Ray cluster; None: that of this machine.
      accept_mixed_bits: let workers with other versions or devices train, too; their
        rows are marked.
      trace_every: steps per stored point of a curve; 0: at most 1,000 points.
      diagnostics: as `gradjax.program` takes them.
      mesh: as `gradjax.program` takes it; its devices compute one trial after the
        other. A sweep in a folder goes on with another mesh if `accept_changes` is
        given.
      accumulate: as `gradjax.program` takes it.
      remat: likewise.
      params: where every trial starts, as `gradjax.run` takes it.
      model_state: likewise.

    Returns:
      A Tuned, with a Best for each optimizer; `gradjax.frames` opens it.

    Raises:
        Refusal: what `gradjax.program` refuses; metrics with neither that of the target
            nor "loss"; an unknown name; an impossible count; a problem or an optimizer
            that holds something whose content cannot be compared with that of a stored
            sweep; another plan in the folder.
    """
    objects: given.Objects = {}
    points.forget()
    try:
        texts = [given.optimizer(one, objects) for one in arguments.listed(optimizers)]
        start, divided = arguments.initial(params, model_state), meshes.read(mesh)
        settings = Settings(
            "tune",
            optimizer=texts[0],
            schedule=given.schedule(schedule, objects),
            steps=count("num_steps", num_steps),
            batch_size=count("batch_size", batch_size, None),
            eval_every=count("eval_every", eval_every, None),
            keep=keep,
            patience=count("patience", patience, None),
            seed=count("seed", seed, low=0),
            seeds=count("num_seeds", num_seeds),
            trace_every=count("trace_every", trace_every, low=0),
            diagnostics=given.diagnostics(diagnostics, objects),
            accumulate=count("accumulate", accumulate),
            remat=bool(remat),
            init_from=None if start is None else start.digest,
        )
        asked = Sweep(
            search=search,
            trials=count("num_trials", num_trials, None),
            fresh_seeds=count("num_fresh_seeds", num_fresh_seeds, low=0),
            halving=count("halving", halving, None, low=2),
            lane_width=count("lane_width", lane_width, None),
            num_devices=count("num_devices", num_devices, None),
            keep_params=keep_params,
            keep_snapshots=count("keep_snapshots", keep_snapshots, None),
            accept_changes=accept_changes,
            executor=executor,
            num_workers=count("num_workers", num_workers, None),
            ray_address=ray_address,
            accept_mixed_bits=accept_mixed_bits,
            mesh=None if divided is None else meshes.text_of(divided),
        )
        with expressions.given(objects), planned.folder(workdir) as folder:
            varied = arguments.space_of(space, texts)
            work = Work(problem, varied, settings, asked, objects, start)
            return _tune(work, folder, workdir is not None, overwrite)
    except Refusal as error:
        raise Refusal(arguments.as_call(str(error))) from error
    finally:
        points.forget()


def _tune(work: Work, folder: Path, is_stored: bool, overwrite: bool) -> Tuned:
    known = planning.known_plan(folder) if is_stored and not overwrite else {}
    parts = {**planned.parts_of(work.problem), **work.objects}
    plan = functools.partial(planned.plan_of, parts) if is_stored else _no_plan
    made = planned.prepare(work, folder, plan, known=known, may_extend=True)
    with searched.opened(made, warnings.warn, overwrite) as store:
        found = searched.run(made, store, searched.SILENT)
        if is_stored:
            outcome.summarize(made, store, found, _ABOUT)
        curves = list(reading.curves(store))
        rows = list(reading.rows(store).values())
    split, metric, sign = choose.ranking_metric(
        found.done[0].found.evaluation, work.problem.target
    )
    _, params, state = next(iter(found.loaded.values()), (None, None, None))
    return Tuned(
        f"{split}_{metric}",
        outcome.best(found.done, found.fresh, sign),
        found.won.setting.optimizer,
        params,
        state,
        rows,
        curves,
        folder if is_stored else None,
    )


def _no_plan(_work: Work, _varied: Space) -> dict[str, Any]:
    """Returns the plan of a sweep that is not kept, with which nothing is compared."""
    return {}
