"""Runs the segments of one trial on a mesh of devices, from host to host.

The state on the host is complete, as it is for one device. So a snapshot is stored as
always, and goes on with any mesh. In a run of several processes each of them has the
complete state on its host, and gives its own devices their parts of it.
"""

import time
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.experimental import multihost_utils

from gradjax.data import streaming
from gradjax.errors import Refusal
from gradjax.training import compilation, mesh, segment
from gradjax.training.segment import SegmentReport
from gradjax.trials import memory
from gradjax.types import Mesh, Plan


class _Compiled(NamedTuple):
    """The programs of a mesh, and where their arguments lie."""

    mesh: Mesh
    init: Any  # own -> state
    run: Any  # (state, own, which, arrays) -> (state, report)
    states: Any  # the sharding of each leaf of the state


def devices(of: Mesh, width: int, num_devices: int | None) -> tuple[Any, ...]:
    """Returns the devices of a mesh, which make one call of one lane together.

    Raises:
        Refusal: a width or a number of devices other than 1.
    """
    for name, value in (("lane_width", width), ("num_devices", num_devices)):
        if value not in (None, 1):
            raise Refusal(
                f"{name}={value}: all devices of mesh={mesh.text_of(of)} compute one"
                f" trial, so leave {name} out"
            )
    return tuple(mesh.of_devices(of).devices.flat)


def ready(
    of: tuple[Plan, Any], parts: tuple[Any, ...], data: tuple[Any, Any], traced_s: float
) -> tuple[tuple[Any, ...], float, int]:
    """Compiles the programs of a trial for a mesh, and copies the data to its devices.

    Args:
      of: the plan, and the shapes of the state and the report of a segment, [1, ...].
      parts: the program that starts a trial with its argument, and that of a segment
        with its arguments.
      data: the arrays, and what reads the examples of a streamed split, or None.
      traced_s: the time for tracing, in seconds.

    Returns:
      The only call, which all devices make together; the seconds for all of this; and
      the bytes of memory that a call takes on each device.

    Raises:
        Refusal: a call does not fit into memory.
    """
    begun = time.perf_counter() - traced_s
    made = _compiled(*of, parts)
    bytes_of_each, own = memory.needed_bytes(made.run), jax.local_devices()[0]
    num_sharing = min(jax.local_device_count(), mesh.size(made.mesh))
    shared = num_sharing if own.platform == "cpu" else 1  # the memory of the host
    memory.release_freed()
    memory.in_flight(bytes_of_each * shared, (own,))
    call = _call(of[0], made, *data)
    return (call,), time.perf_counter() - begun, bytes_of_each


def _compiled(plan: Plan, shapes: Any, parts: tuple[Any, ...]) -> _Compiled:
    of, (init, own, run, arguments) = plan.mesh, parts
    assert of is not None
    state, report = shapes
    states, whole = _states(of, state), mesh.replicated(of)
    reports: SegmentReport = jax.tree.map(lambda _: whole, report)
    reports = reports._replace(
        params=_states(of, report.params), model_state=_states(of, report.model_state)
    )
    quick = compilation.quick_options()
    start = compilation.compile_placed(init, (own,), (whole, states), options=quick)
    arrays: dict[str, Any] = dict.fromkeys(arguments[3], whole)
    if isinstance(arguments[3].get("train"), streaming.Staged):
        arrays["train"] = _staged(of)
    placed = (states, whole, whole, arrays), (states, reports)
    options = compilation.options_of(plan)
    run = compilation.compile_placed(run, arguments, placed, (0,), options)
    return _Compiled(of, start, run, states)


def _call(plan: Plan, made: _Compiled, arrays: Any, stage: Any) -> Any:
    """Returns a function from host to host that runs a segment on the mesh."""
    whole = mesh.replicated(made.mesh)
    there = _put(arrays, whole)

    def call(state: Any, own: Any, first: int, count: int, *part: Any) -> Any:
        given = there
        if stage is not None:
            staged = stage(own.seed, first, count)
            given = there | {"train": _put_own(staged, made.mesh)}
        own = _put(own, whole)
        state = made.init(own) if state is None else _put(state, made.states)
        own = own._replace(start=None)
        which = segment.inputs(plan, first, count, *part)
        # NaN fills what is not computed in a report, and would be a false alarm.
        with jax.debug_nans(False):
            return _fetch(made.run(state, own, _put(which, whole), given))

    return call


def _staged(of: Mesh) -> streaming.Staged:
    """Returns the shardings of staged examples."""
    whole = mesh.replicated(of)
    return streaming.Staged(mesh.examples_sharding(of), whole, whole)


def _put_own(staged: streaming.Staged, of: Mesh) -> streaming.Staged:
    """Copies the examples that this process has read to its devices."""
    divided = mesh.examples_sharding(of)
    examples = jax.tree.map(
        lambda leaf: jax.make_array_from_process_local_data(divided, leaf),
        staged.examples,
    )
    seeds, first = _put((staged.seeds, staged.first), mesh.replicated(of))
    return streaming.Staged(examples, seeds, first)


def _states(of: Mesh, shapes: Any) -> Any:
    """Returns the shardings of leaves [1, ...] of a state."""
    return jax.tree.map(lambda leaf: mesh.sharding_of(of, leaf.shape, 1), shapes)


def _put(tree: Any, shardings: Any) -> Any:
    """Copies arrays, which are the same in each process, to the devices."""
    if jax.process_count() == 1:
        return jax.device_put(tree, shardings)

    def put(leaf: Any, sharding: Any) -> jax.Array:
        values = np.asarray(leaf)
        return jax.make_array_from_callback(
            values.shape, sharding, lambda index: values[index]
        )

    if isinstance(shardings, jax.sharding.Sharding):
        return jax.tree.map(lambda leaf: put(leaf, shardings), tree)
    return jax.tree.map(put, tree, shardings)


def _fetch(tree: Any) -> Any:
    """Copies complete arrays to the host of every process, one after the other."""
    if jax.process_count() == 1:
        return jax.device_get(tree)

    def fetch(leaf: jax.Array) -> np.ndarray:
        if leaf.is_fully_replicated:
            return np.asarray(leaf.addressable_data(0))
        return np.asarray(multihost_utils.process_allgather(leaf, tiled=True))

    return jax.tree.map(fetch, tree)
