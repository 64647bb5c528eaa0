"""Compiles a function ahead of time for each of several devices.

On a CPU one device serves all cores, because several threads may call one executable at
the same time. Measured on 2 cores, two threads on one host device against one thread on
each of two: 0.986 to 1.008 of the time for the tutorial MLP, lanes of digits and the
CNN. So a program is compiled once there. Several GPUs compile it each for itself, or
read it from JAX's compilation cache.
"""

from collections.abc import Callable
from typing import Any

import jax
from jax.sharding import SingleDeviceSharding

# Compiling threefry at the usual level takes seconds, and running it once milliseconds.
# Measured for a network of two layers on 2 CPU cores: 0.6 s against 4.5. The random
# bits are the same, but the last digit of a normal number drawn from them may not be.
_CPU_QUICK = {"xla_backend_optimization_level": 0}
# Without it some operations of a GPU give other bits in each run. Measured on one H200,
# in us per step with and without: the tutorial MLP 67 and 40, the CNN 309 and 229, a
# Transformer 1,756 and 1,273.
_GPU = {"xla_gpu_deterministic_ops": True}


def quick_options() -> dict[str, Any]:
    """Compiler options for what runs once, such as an initialisation."""
    return _CPU_QUICK if jax.default_backend() == "cpu" else {}


def compiled(
    function: Callable[..., Any],
    arguments: tuple[Any, ...],
    device: Any,
    donate_argnums: tuple[int, ...] = (),
    options: dict[str, Any] | None = None,
) -> jax.stages.Compiled:
    """The function as an executable on a device.

    Args:
      function: traced once.
      arguments: shapes, or arrays that have them.
      device: where it runs.
      donate_argnums: as `jax.jit` takes them.
      options: of XLA, as `Lowered.compile` takes them.
    """
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
