"""Ray: a batch of trials is a plain task on a worker of a cluster (extra `[ray]`).

Ray Core is used without actors, because an actor takes the tasks that wait for it with
it when its node is lost. Ray does not try a task again: the driver decides that, and
limits the time of a task.
"""

import contextlib
import functools
import logging
import os
import pickle
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax

from gradjax.errors import Refusal
from gradjax.executors import ray_address
from gradjax.executors.protocol import Asked, Executor, Function, WorkerLost

_FETCH_S = 300.0  # in which an answer must arrive that a worker has given
# Variables that a worker takes over, because they can change bits. Ray itself sets
# OMP_NUM_THREADS.
_DECIDING = ("XLA_FLAGS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_PLACES = ("TFDS_DATA_DIR",)  # variables for a worker that has none of its own
# Lines of Ray that match are not printed. It is read by the import. Of a lost node Ray
# prints forty lines of its log, where `WorkerLost` says what happened.
_QUIET = "RAY_DEDUP_LOGS_SKIP_REGEX"
_HEARD = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1")


def start(function: Function, work: bytes, asked: Asked) -> Executor:
    """Connects to a Ray cluster, or uses the connection that this process has.

    A task takes as many CPUs as an operation has threads, and an accelerator where JAX
    of this process computes on one.

    Args:
      function: as `protocol.Executor` describes it.
      work: likewise; it is stored in the cluster once.
      asked: the number of tasks at the same time; None: as many as the cluster has room
        for.

    Raises:
        Refusal: Ray is not installed, the address does not answer, or Ray has another
            version there.
    """
    ray, is_own = _connected(asked.address)
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    needs = needs_of(asked, jax.default_backend())
    options = {
        "num_cpus": needs["CPU"],
        "num_gpus": needs.get("GPU", 0),
        "resources": {name: needs[name] for name in ("TPU",) if name in needs},
        "max_retries": 0,
    }
    # JAX keeps the accelerator with which a process has begun, and Ray may give the
    # next task another one. So a process with an accelerator runs one task.
    remote = ray.remote(max_calls=0 if len(needs) == 1 else 1)(_function())
    given = [ray.put(work)]  # in a list, so that a worker fetches it once
    here = (_paths(), _variables(), str(Path.cwd()), pickle.dumps(function))

    def places() -> dict[str, int]:
        """Returns node -> the tasks for which it has room when nothing runs."""
        alive = [one for one in ray.nodes() if one["Alive"]]
        found = {one["NodeID"]: room(one["Resources"], needs) for one in alive}
        return {node: count for node, count in found.items() if count}

    if not places():
        _disconnect(ray, is_own)
        wanted = " and ".join(f"{count:g} {name}" for name, count in needs.items())
        raise Refusal(
            f"--executor=ray: no node of the cluster has {wanted}, which a task takes:"
            " a CPU for each thread of an operation (--num_threads)"
        )

    def slots() -> int:
        count = sum(places().values())
        return min(count, asked.num_workers or count)

    def submit(task: bytes, node: Any) -> Any:
        strategy: Any = "SPREAD"  # the default fills one node after another
        if node is not None:
            strategy = NodeAffinitySchedulingStrategy(node, soft=False)
        own = remote.options(**options, scheduling_strategy=strategy)
        return own.remote(here, given, task)

    def wait(handles: list[Any], seconds: float) -> list[Any]:
        if not handles:
            time.sleep(seconds)
            return []
        first, _ = ray.wait(handles, num_returns=1, timeout=seconds, fetch_local=False)
        if not first:
            return []
        count = len(handles)
        return ray.wait(handles, num_returns=count, timeout=0, fetch_local=False)[0]

    def cancel(handle: Any) -> None:
        with contextlib.suppress(Exception):  # it has ended, or its node is lost
            ray.cancel(handle, force=True)

    return Executor(
        slots=slots,
        nodes=lambda: list(places()),
        submit=submit,
        wait=wait,
        result=functools.partial(_result, ray),
        cancel=cancel,
        close=functools.partial(_disconnect, ray, is_own),
    )


def _connected(address: str) -> tuple[Any, bool]:
    """Returns the module `ray`, connected, and whether this function connected it."""
    with _own_signals():
        quiet = {_QUIET: ".*"} if _QUIET not in os.environ else {}
        os.environ.update(quiet)
        try:
            import ray
        except ImportError as error:
            raise Refusal(
                "--executor=ray needs Ray, which is not installed: pip install"
                " 'gradjax[ray]'"
            ) from error
        finally:
            for name in quiet:
                del os.environ[name]
        if ray.is_initialized():
            return ray, False
        ray_address.check(address)
        try:
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        except Exception as error:
            ray.shutdown()
            if isinstance(error, ConnectionError) and address == "auto":
                raise Refusal(
                    "--executor=ray: no Ray cluster runs on this machine; start one"
                    " with `ray start --head`, or give --ray_address=HOST:PORT"
                ) from error
            raise Refusal(
                f"--ray_address={address}: {' '.join(str(error).split())}"
            ) from error
    return ray, True


@contextlib.contextmanager
def _own_signals() -> Iterator[None]:
    """Keeps how this process reacts to signals and errors, which Ray changes."""
    numbers = [getattr(signal, name) for name in _HEARD if hasattr(signal, name)]
    before = {one: signal.getsignal(one) for one in numbers}
    hook = sys.excepthook
    try:
        yield
    finally:
        sys.excepthook = hook
        for number, handler in before.items():
            if handler is not None and signal.getsignal(number) is not handler:
                signal.signal(number, handler)


def _disconnect(ray: Any, is_own: bool) -> None:
    """Ends the connection, unless the user's code made it."""
    if is_own:
        ray.shutdown()


def needs_of(asked: Asked, backend: str) -> dict[str, float]:
    """Returns what a task takes of a node: resource -> count.

    Args:
      asked: has the number of threads of an operation.
      backend: that JAX has here: "cpu", "gpu" or "tpu".
    """
    accelerator = {"gpu": "GPU", "tpu": "TPU"}.get(backend)
    more = {accelerator: 1.0} if accelerator else {}
    return {"CPU": float(asked.threads or 1)} | more


def room(resources: dict[str, float], needs: dict[str, float]) -> int:
    """Returns the number of tasks that a node can run at the same time."""
    return int(min(resources.get(name, 0) // need for name, need in needs.items()))


def _paths() -> list[str]:
    """Returns where this process finds modules that are not installed, in order."""
    installed = [Path(one).resolve() for one in (sys.prefix, sys.base_prefix)]
    places = [Path(one).absolute() for one in sys.path]
    return [
        str(one)
        for one in places
        if not any(one.resolve().is_relative_to(prefix) for prefix in installed)
    ]


def _variables() -> dict[str, str | None]:
    """Returns the variables of this process that a worker takes over; None: unset."""
    names = {*_DECIDING, *(one for one in os.environ if one.startswith("JAX_"))}
    found = {name: os.environ.get(name) for name in sorted(names)}
    for name in _PLACES:
        if name in os.environ:
            found[f"?{name}"] = os.environ[name]
    return found


def _function() -> Callable[..., bytes]:
    """Returns the function that Ray sends to the workers by its content.

    It prepares the process before gradjax and JAX are imported there.
    """

    def run(here: Any, given: Any, task: bytes) -> bytes:
        import os
        import sys

        paths, variables, folder, _ = here
        for name, value in variables.items():
            if name.startswith("?"):
                os.environ.setdefault(name[1:], value)
            elif value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        new = [one for one in paths if one not in sys.path and os.path.exists(one)]
        sys.path[:0] = new
        if os.path.isdir(folder):
            os.chdir(folder)
        from gradjax.executors import ray_tasks

        return ray_tasks.called(here[-1], given[0], task)

    return run


def called(function: bytes, given: Any, task: bytes) -> bytes:
    """Runs a task in a process of Ray."""
    return pickle.loads(function)(_fetched(given), task)


@functools.lru_cache(maxsize=1)
def _fetched(given: Any) -> bytes:
    """Fetches the work once in a process."""
    import ray

    return ray.get(given)


def _result(ray: Any, handle: Any) -> bytes:
    """Returns the answer of a task that has ended.

    Raises:
        WorkerLost: with the reason.
    """
    from ray import exceptions

    try:
        return ray.get(handle, timeout=_FETCH_S)
    except exceptions.NodeDiedError:
        reason = "its node was lost"
    except exceptions.WorkerCrashedError:
        reason = "its process ended"
    except exceptions.OutOfMemoryError:
        reason = "Ray ended its process, because the memory of the node was full"
    except exceptions.ObjectLostError:
        reason = "its answer was lost with its node"
    except exceptions.TaskCancelledError:
        reason = "it was cancelled"
    except exceptions.GetTimeoutError:
        reason = f"its answer did not arrive in {_FETCH_S:g} s"
    except exceptions.RayTaskError as error:
        cause = error.cause
        reason = f"{type(cause).__name__}: {cause}"
    except exceptions.RayError as error:
        reason = f"{type(error).__name__}: {error}"
    raise WorkerLost(" ".join(reason.split())[:500])
