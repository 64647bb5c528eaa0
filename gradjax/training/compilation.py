"""One compiled program on each of several devices.

A program for one device is compiled once and then loaded on the others: the same
machine code, so the same bits, and no second compilation. One program over all devices
would be another: XLA optimises what has several partitions otherwise.
"""

import contextlib
import io
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from jax.sharding import SingleDeviceSharding

# Compiling threefry at the usual level takes seconds, running it once milliseconds.
# Measured for a network of two layers on 2 CPU cores: 0.6 s against 4.5. The random
# bits are the same, the last digit of a normal number drawn from them may not be; so a
# single run and a lane compile it alike.
_QUICKLY = {"xla_backend_optimization_level": 0}


def quick_options() -> dict[str, Any]:
    """Compiler options for what runs once, such as an initialisation."""
    return _QUICKLY if jax.default_backend() == "cpu" else {}


def compiled(
    function: Callable[..., Any],
    arguments: tuple[Any, ...],
    devices: tuple[Any, ...],
    donate_argnums: tuple[int, ...] = (),
    options: dict[str, Any] | None = None,
) -> tuple[jax.stages.Compiled, ...]:
    """The function, ready to be called on each device.

    Args:
      function: traced once.
      arguments: shapes, or arrays that have them.
      devices: of one kind.
      donate_argnums: as `jax.jit` takes them.
      options: XLA's, as `Lowered.compile` takes them.
    """

    def compiled_for(device: Any) -> jax.stages.Compiled:
        there = SingleDeviceSharding(device)
        jitted = jax.jit(
            function,
            donate_argnums=donate_argnums,
            in_shardings=there,
            out_shardings=there,
        )
        return jitted.lower(*arguments).compile(compiler_options=options)

    config: Any = jax.config
    if config.jax_compilation_cache_dir:  # what came from it cannot be moved
        with _one_key_for_all_devices():
            return tuple(compiled_for(device) for device in devices)
    first, *others = devices
    original = compiled_for(first)
    return (original, *(moved(original, at) or compiled_for(at) for at in others))


def moved(executable: jax.stages.Compiled, device: Any) -> jax.stages.Compiled | None:
    """The same machine code on another device of this process.

    Returns:
      None where this version of jax does not let one do it: it has no public function
      for it, so this one asks for private names.
    """
    try:
        from jax.experimental import serialize_executable
        from jaxlib import xla_client

        options = xla_client.CompileOptions()
        options.num_replicas = options.num_partitions = 1
        options.device_assignment = xla_client.DeviceAssignment.create(
            np.asarray([[device.id]])
        )
        there = xla_client.DeviceList((device,))
        content, in_tree, out_tree = serialize_executable.serialize(executable)

        def placed(pid: Any) -> Any:
            kind, *rest = pid
            if kind == "exec":
                return device.client.deserialize_executable(rest[0], there, options)
            return device if kind == "device" else device.client

        reader: Any = pickle.Unpickler(io.BytesIO(content))
        reader.persistent_load = placed
        unloaded, args_info, no_kwargs = reader.load()
        return jax.stages.Compiled(
            unloaded.load(), [], in_tree.unflatten(args_info), out_tree, no_kwargs
        )
    except (ImportError, AttributeError, TypeError, ValueError, NotImplementedError):
        return None
    except (pickle.UnpicklingError, jax.errors.JaxRuntimeError):
        return None


@contextlib.contextmanager
def _one_key_for_all_devices() -> Iterator[None]:
    """In the cache of compiled programs, where jax keeps one for each CPU device.

    Then what is compiled for one is read for the others, in this process and the next.
    A private name, too: without it every device compiles its own.
    """
    try:
        from jax._src import cache_key

        original = cache_key._hash_serialized_compile_options
    except (ImportError, AttributeError):
        yield
        return

    def without_device(hashed: Any, options: Any, **_: Any) -> None:
        original(hashed, options, strip_device_assignment=True)

    cache_key._hash_serialized_compile_options = without_device
    try:
        yield
    finally:
        cache_key._hash_serialized_compile_options = original
