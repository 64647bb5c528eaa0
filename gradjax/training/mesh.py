"""Meshes: many devices that compute one run together.

A mesh has the axes `data` and `fsdp`. A batch is divided over the devices of both. Each
parameter, and each leaf of the optimizer's state with its shape, is divided over the
devices of `fsdp`, along its longest axis that they divide; leaves without such an axis
are the same on all devices. XLA computes each step on all devices as if they were one,
and inserts the sums and the copies between them. So the global batch, the mean over it,
the statistics of BatchNorm and the masks of dropout are those of one device, and only
the order of sums differs.

Source: Rajbhandari et al., "ZeRO: Memory Optimizations Toward Training Trillion
Parameter Models", 2020 (stage 3, called fully sharded data parallel); Xu et al.,
"GSPMD: General and Scalable Parallelization for ML Computation Graphs", 2021.
"""

import functools
import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from gradjax.data import streaming
from gradjax.errors import Refusal
from gradjax.types import Mesh, Plan

_AXES = Mesh._fields
_PART = re.compile(r"\s*(\w+)\s*=\s*(\d{1,6})\s*")


def read(given: Any) -> Mesh | None:
    """Reads a mesh from text such as `"data=4,fsdp=2"`; an axis left out has size 1.

    Raises:
        Refusal: it has another form, another axis, one axis twice, or a size of 0.
    """
    if given is None or given == "":
        return None
    if isinstance(given, Mesh):
        given = ",".join(f"{name}={size}" for name, size in given._asdict().items())
    parts = [_PART.fullmatch(part) for part in str(given).split(",")]
    found = [part.groups() for part in parts if part is not None]
    sizes = {name: int(size) for name, size in found}
    is_known = len(sizes) == len(parts) and set(sizes) <= set(_AXES)
    if not is_known or min(sizes.values()) < 1:
        raise Refusal(
            f"mesh={given!r}: expected data=N, fsdp=N or both, as in 'data=4,fsdp=2',"
            " with sizes from 1 on"
        )
    return Mesh(**sizes)


def text_of(mesh: Mesh) -> str:
    """Returns the text of a mesh, such as `"data=4,fsdp=2"`."""
    return ",".join(f"{name}={size}" for name, size in mesh._asdict().items())


def size(mesh: Mesh) -> int:
    """Returns the number of devices of a mesh."""
    return mesh.data * mesh.fsdp


def check(plan: Plan) -> None:
    """Refuses a mesh that does not divide the batch or the devices.

    Raises:
        Refusal: the number of devices is no multiple of that of the mesh, or differs
            from it in a run of several processes; the batch is no multiple of it; or
            the problem has no batch that `data` could divide.
    """
    if plan.mesh is None:
        return
    said, count = f"mesh={text_of(plan.mesh)}", size(plan.mesh)
    available, num_processes = jax.device_count(), jax.process_count()
    if num_processes > 1 and count != available:
        raise Refusal(
            f"{said}: {count} devices, and the {num_processes} processes have"
            f" {available}; a mesh of several processes takes all their devices"
        )
    if available % count:
        raise Refusal(
            f"{said}: {count} devices do not divide the {available} that there are; on"
            " a CPU, XLA_FLAGS=--xla_force_host_platform_device_count=N makes N devices"
        )
    if plan.batch_size is None:
        if plan.mesh.data > 1:
            raise Refusal(
                f"{said}: this problem has no data, so there is no batch to divide;"
                " only fsdp can be larger than 1"
            )
        return
    if plan.batch_size % count:
        low = plan.batch_size // count * count
        near = " or ".join(str(one) for one in (low, low + count) if one)
        raise Refusal(
            f"{said}: its {count} devices do not divide a batch of {plan.batch_size}"
            f" examples; batch_size={near} can be divided"
        )


def of_devices(mesh: Mesh) -> jax.sharding.Mesh:
    """Returns the mesh of the first devices of all processes."""
    return _made(mesh, tuple(jax.devices()[: size(mesh)]))


@functools.cache
def _made(mesh: Mesh, devices: tuple[Any, ...]) -> jax.sharding.Mesh:
    types = (AxisType.Auto,) * len(_AXES)
    return jax.make_mesh(tuple(mesh), _AXES, types, devices=devices)


def replicated(mesh: Mesh) -> NamedSharding:
    """Returns the sharding of what every device holds completely."""
    return NamedSharding(of_devices(mesh), PartitionSpec())


def sharding_of(mesh: Mesh, shape: tuple[int, ...], num_leading: int) -> NamedSharding:
    """Returns the sharding of a leaf of the state.

    Args:
      mesh: the mesh.
      shape: of the leaf.
      num_leading: the number of its first axes that are not divided.
    """
    own = [n if n % mesh.fsdp == 0 else 0 for n in shape[num_leading:]]
    axes: list[str | None] = [None] * len(shape)
    if mesh.fsdp > 1 and max(own, default=0):
        axes[num_leading + int(np.argmax(own))] = "fsdp"
    return NamedSharding(of_devices(mesh), PartitionSpec(*axes))


def split_batch(mesh: Mesh | None, batch: Any) -> Any:
    """Divides the leaves [batch, ...] of a batch over all devices, in a traced program.

    A batch that the devices do not divide, such as the last one of an evaluation, stays
    as it is, and so does every batch without a mesh.
    """
    if mesh is None:
        return batch
    spec, count = PartitionSpec(_AXES), size(mesh)
    there = NamedSharding(of_devices(mesh), spec)

    def split(leaf: Any) -> Any:
        if leaf.shape[0] % count:
            return leaf
        return jax.lax.with_sharding_constraint(leaf, there)

    return jax.tree.map(split, batch)


def own_parts(mesh: Mesh | None) -> streaming.Parts | None:
    """Returns the parts of a batch that the devices of this process compute."""
    if mesh is None:
        return None
    devices = list(of_devices(mesh).devices.flat)
    here = jax.process_index()
    own = [k for k, device in enumerate(devices) if device.process_index == here]
    return streaming.Parts(len(devices), tuple(own))


def examples_sharding(mesh: Mesh) -> NamedSharding:
    """Returns the sharding of staged examples, of which each device has its part."""
    return NamedSharding(of_devices(mesh), PartitionSpec(_AXES))


def staged_batch(mesh: Mesh, examples: Any, step: jax.Array, batch_size: int) -> Any:
    """Returns the batch of a step from staged examples, in a traced program.

    Args:
      mesh: the mesh.
      examples: leaves [devices * steps * batch / devices, ...], as `read_steps` of
        `data.streaming` gives them. No device needs those of another one.
      step: u32[], the place of the step in them.
      batch_size: examples of a batch.

    Returns:
      Leaves [batch, ...].
    """
    count = size(mesh)
    own = batch_size // count

    def taken(leaf: jax.Array) -> jax.Array:
        parts = leaf.reshape(count, -1, *leaf.shape[1:])
        begin = step.astype(jnp.int32) * own
        found = jax.lax.dynamic_slice_in_dim(parts, begin, own, axis=1)
        return found.reshape(batch_size, *leaf.shape[1:])

    return jax.tree.map(taken, examples)


def split_state(mesh: Mesh | None, state: Any) -> Any:
    """Divides the leaves of a state over the devices of `fsdp`, in a traced program."""
    if mesh is None:
        return state
    return jax.tree.map(
        lambda leaf: jax.lax.with_sharding_constraint(
            leaf, sharding_of(mesh, leaf.shape, 0)
        ),
        state,
    )
