"""Compiles a function ahead of time for each of several devices.

On a CPU one device serves all cores, because several threads may call one executable at
the same time. Measured on 2 cores: two threads on one device take 0.986 to 1.008 of the
time of one thread on each of two devices, for the tutorial MLP, lanes of digits and the
CNN. So a program is compiled once on a CPU. Each of several GPUs compiles the program
for itself, or reads it from JAX's compilation cache.
"""

from collections.abc import Callable
from typing import Any, cast

import jax
from jax.sharding import SingleDeviceSharding

from gradjax.types import Plan

# At XLA's usual level, compiling the random generator threefry takes seconds, although
# it then runs once, for milliseconds. Measured for a network of two layers on 2 CPU
# cores: 0.6 s at level 0 and 4.5 s at the usual level. The random bits are the same,
# but a normal number that is drawn from them may differ in its last digit.
_CPU_QUICK = {"xla_backend_optimization_level": 0}
# Without this option some operations of a GPU give other bits in each run. Measured on
# one H200, in us per step with and without it: the tutorial MLP 67 and 40, the CNN 309
# and 229, a Transformer 1,756 and 1,273.
_GPU = {"xla_gpu_deterministic_ops": True}


# On a CPU XLA drops, before it merges equal operations, the barriers that keep what is
# computed again apart from what was computed first. Rematerialisation would have no
# effect. Measured for a vision Transformer of 6 blocks of width 32 with 64 examples:
# 19.1 MB of temporary memory with this pass, and 3.8 MB without it.
_CPU_REMAT = {"xla_disable_hlo_passes": "cse_barrier_expander"}


def options_of(plan: Plan) -> dict[str, Any]:
    """Returns compiler options for the steps of a plan."""
    is_kept_apart = plan.remat and jax.default_backend() == "cpu"
    return _CPU_REMAT if is_kept_apart else {}


def quick_options() -> dict[str, Any]:
    """Returns compiler options for a program that runs once, as an initialisation."""
    return _CPU_QUICK if jax.default_backend() == "cpu" else {}


def is_eager() -> bool:
    """Returns whether `jax.disable_jit()` is in force, so that nothing is compiled."""
    return cast(Any, jax.config).jax_disable_jit


def compile_for(
    function: Callable[..., Any],
    arguments: tuple[Any, ...],
    device: Any,
    donate_argnums: tuple[int, ...] = (),
    options: dict[str, Any] | None = None,
) -> Callable[..., Any]:
    """Compiles a function for a device.

    Under `jax.disable_jit()` the function itself is returned, so that its steps run one
    operation at a time and a breakpoint in a loss sees values.

    Args:
      function: the function; it is traced once.
      arguments: the shapes of its arguments, or arrays with these shapes.
      device: the device on which it runs.
      donate_argnums: as `jax.jit` takes them.
      options: compiler options of XLA, as `Lowered.compile` takes them.
    """
    there = SingleDeviceSharding(device)
    return compile_placed(function, arguments, (there, there), donate_argnums, options)


def compile_placed(
    function: Callable[..., Any],
    arguments: tuple[Any, ...],
    placed: tuple[Any, Any],
    donate_argnums: tuple[int, ...] = (),
    options: dict[str, Any] | None = None,
) -> Callable[..., Any]:
    """Compiles a function whose arguments and results lie on given devices.

    Args:
      function: as `compile_for` takes it.
      arguments: likewise.
      placed: the shardings of the arguments and of the results, as `jax.jit` takes
        them.
      donate_argnums: as `compile_for` takes it.
      options: likewise.
    """
    if is_eager():
        return function
    jitted = jax.jit(
        function,
        donate_argnums=donate_argnums,
        in_shardings=placed[0],
        out_shardings=placed[1],
    )
    own = _GPU if jax.default_backend() == "gpu" else {}
    lowered = jitted.lower(*arguments)
    return lowered.compile(compiler_options={**own, **(options or {})} or None)
