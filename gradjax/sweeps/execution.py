"""Decides how trials are executed: devices, threads, lane width, mesh."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from gradjax.errors import Refusal
from gradjax.executors import INLINE
from gradjax.sweeps.points import Trial
from gradjax.training import mesh, targets
from gradjax.trials import cores, devices, lane_width, overhead, processes
from gradjax.trials import lanes as lanes_of
from gradjax.trials.lanes import Lanes
from gradjax.types import Program, Settings, Space, Sweep

Groups = list[tuple[Program, list[Trial]]]  # programs and the trials that share them


class Execution(NamedTuple):
    """How trials are executed."""

    programs: list[Program]  # of the first round
    num_devices: int
    num_threads: int | None  # of one operation on a CPU; None on another device
    lane_width: Any  # a width, or the rule of `trials.lane_width`

    @property
    def sent(self) -> "Execution":
        """Returns how a worker executes trials: on one device, which is its own."""
        return self._replace(programs=[], num_devices=1)

    @property
    def recorded(self) -> dict[str, Any]:
        """Returns the entries of the plan that can change the last bits."""
        return {"num_threads": self.num_threads, "lane_width": self.lane_width}


def of_mesh(asked: Sweep) -> dict[str, Any]:
    """Returns what the environment of a record has of a mesh; nothing without one.

    The last bits depend on it, and a run may go on with another one.
    """
    found = mesh.read(asked.mesh)
    if found is None:
        return {}
    several = {"num_processes": jax.process_count()} if processes.are_several() else {}
    return {"mesh": mesh.text_of(found), **several}


def check_devices(asked: Sweep, varied: Space, num_seeds: int) -> None:
    """Refuses devices that have nothing to compute.

    Raises:
        Refusal: several devices for a run of one seed, which one device computes; or a
            mesh beside another number of devices, threads or lanes; or several
            processes without a mesh.
    """
    if asked.coordinator is not None and mesh.read(asked.mesh) is None:
        raise Refusal(
            "--coordinator: give the devices of all processes as a --mesh, such as"
            f" --mesh=data={jax.device_count()}"
        )
    if mesh.read(asked.mesh) is not None:
        for name in ("num_devices", "num_threads", "lane_width"):
            if (value := getattr(asked, name)) not in (None, 1):
                raise Refusal(
                    f"--{name}={value}: with --mesh, all its devices compute one trial"
                    " at a time; leave the flag out"
                )
    count = asked.num_devices
    if count is not None and count > 1 and not varied.dimensions and num_seeds == 1:
        raise Refusal(
            f"--num_devices={count}: one device computes a run of one seed; several"
            " compute the trials of a --sweep or of --seeds=N"
        )


def executed(
    asked: Sweep,
    varied: Space,
    num_seeds: int,
    known: dict[str, Any],
    groups: Groups,
    may_restart: bool,
) -> Execution:
    """Decides devices, threads and lane width, and starts the backend with them.

    Args:
      asked: the settings of the search, which come first.
      varied: the space.
      num_seeds: seeds of each point.
      known: the plan of an existing record, which comes before the rules, so that a
        sweep that resumes has the same bits; an empty one if there is none.
      groups: of the first round.
      may_restart: whether the CPU backend may be restarted with other threads.

    Raises:
        Refusal: more devices than threads, for programs whose bits depend on these; or
            diagnostics that need more memory than there is.
    """
    programs = [program for program, _ in groups]
    if asked.mesh is not None:  # its devices are one, and their backend stays
        _check_memory(programs, 1)
        return Execution(
            programs, 1, known.get("num_threads", devices.num_threads()), 1
        )
    num_devices = _num_devices(asked, varied, num_seeds)
    threads = _threads(asked, known, programs, may_restart)
    num_devices = _num_used(asked, num_devices, threads, programs)
    started = _start_backend(threads, num_devices, may_restart)
    # Small programs have the same bits with every number. So their record keeps its
    # own, and workers take the one that was chosen for them.
    is_free = threads == known.get("num_threads") or asked.executor != INLINE
    is_kept = is_free and all(map(devices.is_small, programs))
    threads = threads if is_kept else started
    num_trials = max(len(own) for _, own in groups)
    num_calls = asked.num_workers or num_devices  # that compute at the same time
    width = _width(asked, varied, known, programs, (num_trials, num_calls))
    _check_memory(programs, width)
    return Execution(programs, num_devices, threads, width)


def _check_memory(programs: list[Program], width: Any) -> None:
    """Refuses diagnostics that need more memory than there is."""
    for one in programs:
        own = width if isinstance(width, int) else lane_width.default_width(one, width)
        overhead.check_memory(one, own, cores.devices(1)[0])


def lanes_by_group(
    execution: Execution, program: Callable[[Settings], Program], *, is_run: bool
) -> Callable[[Settings], Lanes]:
    """Returns a function from the settings of a group to its lanes, made once.

    Args:
      execution: how trials are executed.
      program: settings of a group -> its program.
      is_run: whether the train split is evaluated at the end.
    """

    @functools.cache
    def lanes(group: Settings) -> Lanes:
        width, made = execution.lane_width, program(group)
        targets.check_ranked(made)  # of a group that a later round has found
        if not isinstance(width, int):
            width = lane_width.default_width(made, tuple(map(tuple, width)))
        return lanes_of.lanes(made, width, execution.num_devices, with_train=is_run)

    return lanes


def _num_devices(asked: Sweep, varied: Space, num_seeds: int) -> int:
    """Returns how many devices the trials can use; a run uses at most one per seed."""
    if asked.num_devices is not None:
        return asked.num_devices
    available = cores.num_devices()
    return available if varied.dimensions else min(available, num_seeds)


def _threads(
    asked: Sweep, known: dict[str, Any], programs: list[Program], may_restart: bool
) -> int | None:
    """Returns the number of threads: as asked for, as in the record, or by the rule.

    An existing record decides before the rule, so that a resumed run has the same bits.
    """
    if not cores.is_cpu():
        return None
    if chosen := asked.num_threads or known.get("num_threads"):
        return chosen
    if asked.executor != INLINE and all(map(devices.is_small, programs)):
        return 1  # so that each core has a worker
    if not may_restart:
        return devices.num_threads()
    return max(map(devices.threads_for, programs))


def _num_used(
    asked: Sweep, num_devices: int, threads: int | None, programs: list[Program]
) -> int:
    """Returns the number of devices that can be used with this number of threads.

    Calls that run at the same time need a thread each. With more threads than the plan
    states, the last bits of a large network could differ from those of one call alone.
    """
    if threads is None or threads >= num_devices:
        return num_devices
    if all(map(devices.is_small, programs)):
        return num_devices
    if asked.num_devices is not None:
        raise Refusal(
            f"--num_devices={num_devices}: with --num_threads={threads} at most"
            f" {threads}, because the results of a network of this size depend on the"
            " number of threads"
        )
    return threads


def _start_backend(
    threads: int | None, num_devices: int, may_restart: bool
) -> int | None:
    """Starts the backend with this number of threads; returns that of the plan."""
    if threads is None:
        return None
    if may_restart:
        devices.use(max(threads, num_devices))
        return threads
    return devices.num_threads()


def _width(
    asked: Sweep,
    varied: Space,
    known: dict[str, Any],
    programs: list[Program],
    counts: tuple[int, int],
) -> Any:
    """Returns the lane width or its rule: as asked for, as in the record, or usual."""
    if asked.lane_width is not None:
        return asked.lane_width
    if known:
        return known.get("lane_width", 1)
    if not varied.dimensions:
        return 1
    num_trials, num_devices = counts
    return lane_width.rule_for(programs, num_trials, num_devices)
