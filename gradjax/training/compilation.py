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

# At XLA's usual level, compiling the random generator threefry takes seconds, although
# it then runs once, for milliseconds. Measured for a network of two layers on 2 CPU
# cores: 0.6 s at level 0 and 4.5 s at the usual level. The random bits are the same,
# but a normal number that is drawn from them may differ in its last digit.
_CPU_QUICK = {"xla_backend_optimization_level": 0}
# Without this option some operations of a GPU give other bits in each run. Measured on
# one H200, in us per step with and without it: the tutorial MLP 67 and 40, the CNN 309
# and 229, a Transformer 1,756 and 1,273.
_GPU = {"xla_gpu_deterministic_ops": True}


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
    if is_eager():
        return function
    there = SingleDeviceSharding(device)
    jitted = jax.jit(
        function,
        donate_argnums=donate_argnums,
        in_shardings=there,
        out_shardings=there,
    )
    own = _GPU if device.platform == "gpu" else {}
    lowered = jitted.lower(*arguments)
    return lowered.compile(compiler_options={**own, **(options or {})} or None)
