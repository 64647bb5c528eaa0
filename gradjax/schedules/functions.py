"""Schedules that a user writes as functions, of progress or of the step as in optax."""

import inspect
from collections.abc import Callable
from inspect import Parameter
from typing import Any

import jax
import jax.numpy as jnp

from gradjax.errors import Refusal
from gradjax.own_code import named_errors


def as_shape(function: Any, name: str = "") -> tuple[str, Callable[..., Any]]:
    """Checks a function of progress; returns its name and the function.

    Its further arguments have defaults, which become numbers of the program, as those
    of the bundled shapes do.

    Args:
      function: (progress f32[] in [0, 1), **arguments) -> f32[] in [0, 1], without
        branches on its arguments; it multiplies the learning rate.
      name: how it was given; empty: its own name.

    Raises:
        Refusal: it takes no progress, or counts steps as optax's schedules do.
    """
    own = getattr(function, "func", function)  # of a functools.partial
    said = name or f"schedule {getattr(own, '__name__', type(own).__name__)}"
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # no function, or a builtin without a signature
        parameters = []
    kinds = {parameter.kind for parameter in parameters}
    if not parameters or Parameter.VAR_KEYWORD in kinds:
        raise Refusal(f"{said} is not a function (progress, argument=...) -> shape")
    module = str(getattr(own, "__module__", ""))
    if parameters[0].name in ("count", "step") or module.startswith("optax"):
        raise Refusal(
            f"{said} counts steps, as the schedules of optax do: give"
            " gradjax.schedules.from_optax(schedule, num_steps)"
        )
    others = [p.name for p in parameters[1:] if p.default is Parameter.empty]
    if others and not name:
        raise Refusal(f"{said}: {', '.join(others)} without a default")
    if not others:
        _check_value(function, said)
    return getattr(own, "__name__", type(own).__name__), function


def from_optax(
    schedule: Callable[[Any], Any], num_steps: int
) -> Callable[[jax.Array], jax.Array]:
    """Makes a function of progress from a schedule of optax.

        shape(progress) = schedule(progress * num_steps)

    The learning rate multiplies it. With `learning_rate=1.0` the rates are those of the
    schedule: `gradjax.program(problem, "adam", from_optax(schedule, 100),
    num_steps=100)` and `gradjax.run(program, {"learning_rate": 1.0})`.

    Args:
      schedule: step -> rate.
      num_steps: the number of steps of the run.

    Raises:
        Refusal: the number of steps is not positive.
    """
    if isinstance(num_steps, bool) or num_steps < 1:
        raise Refusal(f"num_steps={num_steps!r}: must be a positive whole number")

    def shape(progress: jax.Array) -> jax.Array:
        return jnp.asarray(schedule(jnp.round(progress * num_steps)), float)

    return shape


def _check_value(function: Callable[..., Any], said: str) -> None:
    """Refuses a function whose value at a progress is not one number."""
    progress = jax.ShapeDtypeStruct((), jnp.result_type(float))
    with named_errors(f"{said} has no value at a progress f32[]"):
        found = jax.eval_shape(lambda p: jnp.asarray(function(p)), progress)
    if found.shape or not jnp.issubdtype(found.dtype, jnp.floating):
        form = f"{found.dtype}{list(found.shape)}"
        raise Refusal(f"{said} gives {form} at a progress f32[]: expected f32[]")
