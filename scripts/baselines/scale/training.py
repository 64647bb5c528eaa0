"""A process that trains the trials of a sweep in one of the ways."""

import os
from collections.abc import Callable

import jax
import numpy as np

from gradjax.trials import batches, devices, lanes
from scripts import device_networks
from scripts.baselines.scale import Task

_FLAG = "--xla_force_host_platform_device_count"


def make(
    task: Task, num_trials: int, num_cores: int, has_devices: bool
) -> Callable[[], float]:
    """Compiles the lanes and runs them once; a measurement gives seconds.

    Args:
      task: the sweep.
      num_trials: the trials of this process.
      num_cores: that it uses.
      has_devices: whether each core is a device of JAX.
    """
    if has_devices:  # before the backend starts
        variables = os.environ.get("XLA_FLAGS", "")
        os.environ["XLA_FLAGS"] = f"{variables} {_FLAG}={num_cores}".strip()
    devices.use(num_cores)  # one thread for each call, as a command does
    case = device_networks.mlp_case(8, task.hidden)
    program = device_networks.program_of(case, task.num_steps)
    if has_devices:  # `lanes.lanes` takes one device for all cores of a CPU
        own = tuple(jax.devices())
        assert len(own) == num_cores, "XLA_FLAGS were read too late"
        made = lanes._lanes(program, task.width, own, False)
    else:
        made = lanes.lanes(program, task.width, num_cores)
    hparams = [{"learning_rate": x} for x in np.geomspace(1e-4, 1e-2, num_trials)]

    def measure() -> float:
        return batches.run(made, hparams, list(range(num_trials))).run_s

    measure()
    return measure
