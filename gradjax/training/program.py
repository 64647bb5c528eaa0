"""program(problem, optimizer) -> Program; run(program, hparams, seed) -> Result.

The host's side of a run: what is static is planned and compiled once, then blocks of
steps are called in turn, with an evaluation where one is due.
"""

import functools
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradjax import optimizers, problems, schedules
from gradjax.data.order import MAX_EXAMPLES
from gradjax.errors import Refusal
from gradjax.training import compilation, evaluation, traces
from gradjax.training import step as steps
from gradjax.training.blocks import block_length, blocks
from gradjax.training.numbers import checked_hparams, checked_seed
from gradjax.types import Hparams, Plan, Problem, Program, Result, TrainState


def program(
    problem: Problem,
    optimizer: Any = "adam",
    schedule: Any = "constant",
    *,
    num_steps: int,
    batch_size: int | None = None,
    eval_every: int | None = None,
) -> Program:
    """Everything about a run but its numbers and its seed, ready to compile.

    Args:
      problem: what is minimised.
      optimizer: an expression (`"adamw(b2=0.95)"`), a function such as `optax.adamw`,
        or a finished optax transformation.
      schedule: an expression (`"warmup_cosine(warmup=0.05)"`), or numbers f32[n] at
        equally spaced points: the shape over the run that multiplies the learning rate.
      num_steps: optimizer steps of the whole run.
      batch_size: examples a step; None takes the whole training split.
      eval_every: steps between two evaluations; None evaluates at the end only.

    Returns:
      A Program. Its `hparams` are the numbers that `run` may be given.

    Raises:
        Refusal: a count that is not positive, a batch larger than the data, a loss that
            is not one, or what `optimizers.split` and `schedules.split` refuse.
    """
    for name, count in (("num_steps", num_steps), ("eval_every", eval_every)):
        if count is not None and (type(count) is not int or not 1 <= count < 2**31):
            raise Refusal(f"{name}={count!r}: must be a positive whole number, < 2**31")
    if not isinstance(problem, Problem):
        raise Refusal(
            f"{type(problem).__name__} is no Problem: gradjax.problem makes one"
        )
    optimizer_spec, numbers = optimizers.split(optimizer, num_steps=num_steps)
    optimizers.check_problem(optimizer_spec, problem)
    schedule_spec, schedule_numbers = schedules.split(schedule, num_steps)
    size = _batch_size(problem, batch_size, num_steps)
    problems.check(problem, size)
    interval = min(eval_every or num_steps, num_steps)
    plan = Plan(
        problem,
        optimizer_spec,
        schedule_spec,
        num_steps,
        size,
        interval,
        block_length(interval),
    )
    hparams = {**numbers, **schedule_numbers}
    shapes = tuple((path, np.shape(value)) for path, value in hparams.items())
    steps.check(plan, hparams)
    return Program(
        plan,
        hparams,
        functools.partial(steps.init, plan),
        functools.partial(steps.step, plan),
        functools.cache(functools.partial(_compiled, plan, shapes)),
    )


def run(
    program: Program,
    hparams: Hparams | None = None,
    seed: int = 0,
    on_block: Callable[[int, dict[str, float]], None] = lambda *_: None,
) -> Result:
    """Trains from the first step to the last, or until the loss is not finite.

    Args:
      program: from `gradjax.program`.
      hparams: numbers that replace the program's defaults; never a recompile.
      seed: of the initial parameters, the batch order and dropout.
      on_block: called on the host with (0, {}) when all is compiled, then after each
        block with (steps taken, the means since the last evaluation if one was due,
        else {}).

    Returns:
      A Result, on the host.

    Raises:
        Refusal: an unknown or impossible number, or a seed that is not one.
    """
    plan, numbers = program.plan, checked_hparams(program, hparams or {})
    root = checked_seed(seed)
    _, compile_s = _timed(compile_all, program)
    state, run_s = _timed(program.compiled("init"), numbers, root)
    on_block(0, {})
    train, infos, windows, means, eval_s = _arrays(plan, "train"), [], [], [], 0.0
    for start, length in blocks(plan):
        args = (state, numbers, root, np.uint32(start), train)
        (state, info), block_s = _timed(program.compiled("block", length), *args)
        infos, run_s, taken = [*infos, info], run_s + block_s, start + length
        if taken % plan.eval_every and taken < plan.num_steps:
            on_block(taken, {})
            continue
        held_out, seconds = _timed(_evaluate, program, state, "validation")
        window, eval_s = traces.window(infos), eval_s + seconds
        infos, windows, means = [], [*windows, window], [*means, (taken, held_out)]
        on_block(taken, traces.window_means(window) | held_out)
        if not state.alive:
            break
    splits, seconds = _timed(_evaluate_all, program, state)
    trace = traces.training_series(windows) | traces.evaluation_series(means)
    params = jax.device_get(_eval_params(program, state))
    diverged_step = traces.diverged_step(trace["loss"], params)
    per_step = optimizers.num_gradients(plan.optimizer)
    return Result(
        params=params,
        state=jax.device_get(state),
        trace=trace,
        evaluation=splits,
        status="finished" if diverged_step is None else "diverged",
        diverged_step=diverged_step,
        num_steps=means[-1][0],
        num_gradients=traces.num_gradients(trace, per_step),
        compile_s=compile_s,
        run_s=run_s,
        eval_s=eval_s + seconds,
    )


def compile_all(program: Program) -> None:
    """Compiles every part of a run; what is compiled already costs nothing."""
    program.compiled("init")
    if optimizers.has_eval_params(program.plan.optimizer):
        program.compiled("params")
    for length in {length for _, length in blocks(program.plan)}:
        program.compiled("block", length)
    for split in _split_names(program.plan):
        program.compiled("evaluate", split)


def _eval_params(program: Program, state: TrainState) -> Any:
    """Compiled where it computes: in a program its roundings are another's."""
    if not optimizers.has_eval_params(program.plan.optimizer):
        return state.params
    return program.compiled("params")(state)


def _batch_size(problem: Problem, batch_size: int | None, num_steps: int) -> int | None:
    if problem.data is None:
        if batch_size is not None:
            raise Refusal(f"batch_size={batch_size}: this problem has no data")
        return None
    num_examples = problem.data.train.num_examples
    size = num_examples if batch_size is None else batch_size
    if type(size) is not int or not 1 <= size <= num_examples:
        raise Refusal(
            f"batch_size={size!r}: must be between 1 and the {num_examples} training"
            " examples"
        )
    if num_examples > MAX_EXAMPLES or (num_steps + 1) * size >= 2**32:
        raise Refusal(
            f"{num_steps} steps of {size} examples: at most 2**32 positions are counted"
        )
    return size


def _compiled(
    plan: Plan, shapes: tuple[tuple[str, Any], ...], kind: str, static: Any = None
) -> Callable[..., Any]:
    """The executable of one part of a run, compiled from shapes alone."""
    seed = jax.ShapeDtypeStruct((), jnp.uint32)
    hparams = {name: jax.ShapeDtypeStruct(s, jnp.float32) for name, s in shapes}
    init = functools.partial(steps.init, plan)
    if kind == "init":
        quick = compilation.quick_options()
        return jax.jit(init).lower(hparams, seed).compile(compiler_options=quick)
    state = jax.eval_shape(init, hparams, seed)
    if kind == "block":
        block = functools.partial(steps.block, plan, static)
        args = (state, hparams, seed, seed, _arrays(plan, "train"))
        return jax.jit(block, donate_argnums=0).lower(*args).compile()
    if kind == "params":
        params = functools.partial(evaluation.eval_params, plan)
        return jax.jit(params).lower(state).compile()
    measured = functools.partial(_measured, plan, static)
    return jax.jit(measured).lower(state, _arrays(plan, static)).compile()


def _measured(plan: Plan, split: str, state: TrainState, arrays: Any) -> Any:
    source = getattr(plan.problem.data, split, None)
    return evaluation.evaluate(
        plan.problem, evaluation.eval_params(plan, state), source, arrays
    )


def _split_names(plan: Plan) -> list[str]:
    data = plan.problem.data
    if data is None:
        return ["train"]  # the loss itself
    return [name for name in data._fields if getattr(data, name)]


def _arrays(plan: Plan, split: str) -> Any:
    source = getattr(plan.problem.data, split, None)
    return None if source is None else source.arrays


def _evaluate(program: Program, state: TrainState, split: str) -> dict[str, float]:
    """`<split>_<metric>` -> mean over the split; {} where there is no such split."""
    if split not in _split_names(program.plan):
        return {}
    means = program.compiled("evaluate", split)(state, _arrays(program.plan, split))
    return {f"{split}_{name}": float(mean) for name, mean in means.items()}


def _evaluate_all(program: Program, state: TrainState) -> dict[str, dict[str, float]]:
    return {
        split: {
            name.removeprefix(f"{split}_"): mean
            for name, mean in _evaluate(program, state, split).items()
        }
        for split in _split_names(program.plan)
    }


def _timed(function: Callable[..., Any], *args: Any) -> tuple[Any, float]:
    """The result, when it is there, and the seconds it took."""
    start = time.perf_counter()
    result = jax.block_until_ready(function(*args))
    return result, time.perf_counter() - start
