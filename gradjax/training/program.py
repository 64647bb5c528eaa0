"""Makes a Program: everything about a run except its hyperparameters and its seed."""

import functools
from typing import Any

from gradjax import optimizers, problems, schedules
from gradjax.counts import as_whole
from gradjax.data import streaming
from gradjax.data.order import MAX_EXAMPLES
from gradjax.diagnostics.registry import read as read_diagnostics
from gradjax.errors import Refusal
from gradjax.optimizers.build import name_of
from gradjax.own_code import named_errors
from gradjax.schedules import shapes
from gradjax.training import accumulation, limit, measuring, selection, targets
from gradjax.training import mesh as meshes
from gradjax.training import step as steps
from gradjax.training.blocks import block_length
from gradjax.types import (
    Hparams,
    Mesh,
    OptimizerSpec,
    Plan,
    Problem,
    Program,
    ScheduleSpec,
)


def program(
    problem: Problem,
    optimizer: Any = "adam",
    schedule: Any = "constant",
    *,
    num_steps: int,
    batch_size: int | None = None,
    eval_every: int | None = None,
    keep: str = "last",
    patience: int | None = None,
    max_gradients: int | None = None,
    diagnostics: Any = None,
    mesh: str | Mesh | None = None,
    accumulate: int = 1,
    remat: bool = False,
) -> Program:
    """Makes the program of a run: all but its hyperparameters and its seed.

    Args:
      problem: the problem to minimise.
      optimizer: an expression (`"adamw(b2=0.95)"`), a function such as `optax.adamw`,
        or a finished optax transformation.
      schedule: the shape over the run that multiplies the learning rate: an expression
        (`"warmup_cosine(warmup=0.05)"`), numbers f32[n] at equally spaced points, or
        a function (progress f32[] in [0, 1), **arguments with defaults) -> f32[]. A
        schedule of optax is adapted by `gradjax.schedules.from_optax`.
      num_steps: the number of optimizer steps of the complete run.
      batch_size: examples in a batch; None takes the complete training split.
      eval_every: steps between two evaluations; None evaluates only at the end.
      keep: which parameters a run returns: "last", or "best", those with the best
        value of the target's metric on validation (of equal values the earlier one).
      patience: evaluations without improvement after which a run stops; None: a run
        always continues to its end.
      max_gradients: a run stops after the first step at which it has computed so many
        gradients, and its schedule ends there. It is for an optimizer whose number of
        gradients varies from step to step; `num_steps` then is a number of steps that
        it does not reach. The status of the run is "stopped early", at the evaluation
        that follows. None: there is no limit. It is at most 2**24, and `multi_steps`
        cannot have one.
      diagnostics: what is measured between the steps: an expression such as
        `"[sharpness(every=50), layer_norms]"`, or a list of these, of functions that
        take parts of a step by name, and of `gradjax.diagnostics.Diagnostic`. Each
        value is a curve of the results. The steps of the run stay the same.
      mesh: the devices that compute one run together, such as `"data=4,fsdp=2"`. A
        batch is divided over all of them, and each parameter over those of the axis
        `fsdp`. The batch is the same, and so is the curve up to rounding. None: one
        device.
      accumulate: the gradient of a batch is the mean over so many equal parts of it,
        computed one after the other, which takes the memory of one part. Unlike in
        `multi_steps`, this is one step with one batch (`training.accumulation`).
      remat: compute the values inside each layer of a Transformer or of a residual
        network again for the gradient, instead of keeping them: less memory, more time.

    Returns:
      A Program. Its `hparams` are the numbers that `run` may replace.

    Raises:
        Refusal: a count that is not positive, what `limit.check` refuses, a batch
            larger than the data, more than 2**31 training examples, a loss that does
            not have the required form, a target that is none or that is not measured,
            held-out examples of which the metrics fail, a selection without validation
            data, a schedule that is not constant beside an optimizer without a learning
            rate, a mesh that does not divide the batch or the devices, what
            `accumulation.check` and `gradients.check_remat` refuse, or what
            `optimizers.split` and `schedules.split` refuse.
    """
    num_steps = _count("num_steps", num_steps)
    eval_every = None if eval_every is None else _count("eval_every", eval_every)
    patience = as_whole(patience) or patience
    if not isinstance(problem, Problem):
        raise Refusal(
            f"{type(problem).__name__} is no Problem: gradjax.problem makes one"
        )
    targets.check_form(problem.target)
    optimizer_spec, numbers = optimizers.split(optimizer, num_steps=num_steps)
    schedule_spec, schedule_numbers = schedules.split(schedule, num_steps)
    _check_schedule(optimizer_spec, schedule_spec, schedule)
    size = _batch_size(problem, batch_size)
    problems.check(problem, size)
    optimizer_spec = optimizers.resolve(optimizer_spec, numbers, problem)
    optimizers.check_problem(optimizer_spec, problem)
    optimizer_spec = optimizers.with_rate_factors(optimizer_spec, problem)
    interval = min(eval_every or num_steps, num_steps)
    plan = Plan(
        problem,
        optimizer_spec,
        schedule_spec,
        num_steps,
        size,
        interval,
        block_length(interval, streaming.staged_steps(problem, size)),
        keep,
        patience,
        None if max_gradients is None else _count("max_gradients", max_gradients),
        read_diagnostics(diagnostics, num_steps),
        meshes.read(mesh),
        _count("accumulate", accumulate),
        bool(remat),
    )
    limit.check(plan)
    meshes.check(plan)
    accumulation.check(plan)
    hparams = {**numbers, **schedule_numbers}
    info = steps.check(plan, hparams)
    _check_measures(plan, hparams, list(info.aux))
    measuring.check(plan, hparams, list(info.aux))
    return of_plan(plan, hparams)


def with_diagnostics(program: Program, given: Any) -> Program:
    """Returns the program with other diagnostics; None leaves it as it is.

    Raises:
        Refusal: what `program` refuses of diagnostics.
    """
    if given is None:
        return program
    plan = program.plan._replace(
        diagnostics=read_diagnostics(given, program.plan.num_steps)
    )
    info = steps.check(plan, program.hparams)
    measuring.check(plan, program.hparams, list(info.aux))
    return of_plan(plan, program.hparams)._replace(start=program.start)


def with_mesh(program: Program, given: str | Mesh | None) -> Program:
    """Returns the program on the devices of a mesh; None: on one device.

    Raises:
        Refusal: a mesh that is none, or that does not divide the batch or the devices.
    """
    plan = program.plan._replace(mesh=meshes.read(given))
    if plan.mesh == program.plan.mesh:
        return program
    meshes.check(plan)
    accumulation.check(plan)
    return of_plan(plan, program.hparams)._replace(start=program.start)


def _check_schedule(
    optimizer: OptimizerSpec, schedule: ScheduleSpec, given: Any
) -> None:
    """Refuses a schedule that would multiply nothing.

    Raises:
        Refusal: the optimizer has no learning rate, and the schedule is not constant.
    """
    if not optimizer.rates and schedule.shape is not shapes.constant:
        name = getattr(schedule.shape, "__name__", "a function")
        text = given if isinstance(given, str) else name
        raise Refusal(
            f"schedule={text}: {name_of(optimizer)} has no learning rate that a"
            " schedule could multiply; leave the schedule out"
        )


def _count(name: str, value: Any) -> int:
    count = as_whole(value)
    if count is None or not 1 <= count < 2**31:
        raise Refusal(f"{name}={value!r}: must be a positive whole number, < 2**31")
    return count


def of_plan(plan: Plan, hparams: Hparams) -> Program:
    """Returns the program of a plan with these hyperparameters as its defaults."""
    init, step = (
        functools.partial(steps.init, plan),
        functools.partial(steps.step, plan),
    )
    return Program(plan, hparams, init, step, {})


def _check_measures(plan: Plan, hparams: Hparams, curves: list[str]) -> None:
    """Refuses a selection or a target of a metric that is not measured.

    Raises:
        Refusal: see `selection` and `targets`; or an exception of the metrics.
    """
    data = plan.problem.data
    with named_errors("the metrics fail"):
        names = targets.metrics(plan, hparams)
    is_validated = data is not None and data.validation is not None
    selection.check(plan, names if is_validated else None)
    if not is_validated:  # then the curves of training are looked at, too
        names = sorted({*names, *curves, "loss"})
    targets.check_measured(plan.problem.target, names)


def _batch_size(problem: Problem, batch_size: int | None) -> int | None:
    if problem.data is None:
        if batch_size is not None:
            raise Refusal(f"batch_size={batch_size}: this problem has no data")
        return None
    num_examples = problem.data.train.num_examples
    size = num_examples if batch_size is None else as_whole(batch_size)
    if size is None or not 1 <= size <= num_examples:
        raise Refusal(
            f"batch_size={batch_size!r}: must be between 1 and the {num_examples}"
            " training examples"
        )
    if num_examples > MAX_EXAMPLES:
        raise Refusal(f"{num_examples} training examples: expected at most 2**31")
    return size
