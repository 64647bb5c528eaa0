import contextlib
import ctypes
import gc
import os
import runpy
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import hypothesis
import jax
import pytest

from gradjax import problems
from gradjax.commands import compilation_cache, signals
from gradjax.errors import Refusal
from gradjax.records import faults
from gradjax.trials import devices

# A shell's background job ignores Ctrl-C, one under nohup a hangup, and so would all
# that they start.
for number, handler in (
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGHUP, signal.SIG_DFL),
):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, handler)
jax.config.update("jax_numpy_rank_promotion", "raise")
# The time of an example says how busy the machine is.
hypothesis.settings.register_profile("gradjax", deadline=None)
hypothesis.settings.load_profile("gradjax")
# Lines of source code in each compiled operation are a tenth of the time of a test.
os.environ["JAX_TRACEBACK_IN_LOCATIONS_LIMIT"] = "0"
jax.config.update("jax_traceback_in_locations_limit", 0)

# The cache of one session of tests, which begins empty and is shared by its workers and
# by the commands that they start. `.ci/run` names one for both of its sessions, and
# removes it. The user's cache stays as it is.
_IS_OWN_CACHE = "GRADJAX_TESTS_SESSION" not in os.environ
_SESSION = os.environ.setdefault("GRADJAX_TESTS_SESSION", str(os.getpid()))
CACHE = Path(tempfile.gettempdir()) / f"gradjax-tests-{_SESSION}"
CACHE.mkdir(exist_ok=True)
os.environ["XDG_CACHE_HOME"] = str(CACHE)
jax.config.update("jax_compilation_cache_dir", str(CACHE / "tests"))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)

ROOT = Path(__file__).resolve().parents[1]
# With the first, XLA reads its flags again before each compilation, so that they can be
# changed between tests. Without the fusion emitters compiling takes half of the time.
_FLAGS_OF_TESTS = "--xla_flags_reset=true --xla_cpu_use_fusion_emitters="
_NOT_SET = "unknown to this version of XLA"
_WORKER_BYTES = 2 * 2**30  # that one worker may take: 1.5 GB, and a command it starts
_PROGRAMS_BYTES = 1.1e9  # from which compiled programs are forgotten between tests
_most_resident = [_PROGRAMS_BYTES]


def _is_quick(config):
    """Whether the slow tests are left out, as in `make test`."""
    return config.option.markexpr == "not slow"


def _is_optimized(request):
    """Whether a module or a test has the mark, and the slow tests are not left out."""
    is_marked = request.node.get_closest_marker("optimized") is not None
    return is_marked and not _is_quick(request.config)


def _optimize(is_on):
    """Compiles with or without XLA's optimizations from now on, in commands as well.

    Programs of tests run for milliseconds. Without most of XLA's optimizations and
    without its fusion emitters, they are compiled in a quarter of the time. The
    settings are environment variables, which the commands that a test starts inherit.
    Tests with the mark `optimized` are compiled as users do, unless the slow tests are
    left out.
    """
    jax.config.update("jax_disable_most_optimizations", not is_on)
    os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "false" if is_on else "true"
    if _BEFORE != _NOT_SET:
        os.environ["XLA_FLAGS"] = f"{_BEFORE} {_FLAGS_OF_TESTS}{str(is_on).lower()}"


def _flags_before():
    """Returns the user's flags of XLA, or _NOT_SET where XLA does not know those above.

    An XLA without one of the flags ends the process, so another process tries them.
    """
    before = os.environ.get("XLA_FLAGS", "")
    command = [sys.executable, "-c", "import jax; jax.devices()"]
    variables = os.environ | {"XLA_FLAGS": f"{before} {_FLAGS_OF_TESTS}false"}
    ended = subprocess.run(command, env=variables, capture_output=True)
    return _NOT_SET if ended.returncode else before


# Before the other files of tests are imported, because they compute, and then XLA has
# read its flags. The workers of a session inherit the first variable.
_BEFORE = os.environ.get("GRADJAX_TESTS_XLA_FLAGS") or _flags_before() or " "
os.environ["GRADJAX_TESTS_XLA_FLAGS"] = _BEFORE
_optimize(False)


def pytest_collection_finish():
    """Spends a tenth less time on collecting garbage.

    What has been imported stays, and tracing makes many objects that soon are freed.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 100)


def pytest_sessionfinish(session):
    if _IS_OWN_CACHE and not hasattr(session.config, "workerinput"):  # all are done
        shutil.rmtree(CACHE, ignore_errors=True)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers():
    """Returns the number of workers of `-n auto`: one per core, if memory allows."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return max(1, min(cores or os.cpu_count() or 1, memory // _WORKER_BYTES))


@pytest.fixture(scope="module", autouse=True)
def _forget_compiled_programs():
    """Compiled programs of a finished module would fill the memory of its worker."""
    yield
    _release()


@pytest.fixture(scope="module", autouse=True)
def _compiled_in_module(request):
    """Optimizes a module with the mark `optimized`, with what its fixtures compile."""
    _optimize(_is_optimized(request))


@pytest.fixture(autouse=True)
def _compiled(request, _compiled_in_module):
    """Optimizes a test with the mark `optimized`."""
    _optimize(_is_optimized(request))


@pytest.fixture(autouse=True)
def _bounded_memory():
    """Forgets compiled programs after a test where they take too much memory.

    Where that does not help, because the module still uses them, it waits until they
    take a quarter more.
    """
    yield
    if _resident() > _most_resident[0]:
        _release()
        _most_resident[0] = max(_PROGRAMS_BYTES, 1.25 * _resident())


def _release():
    """Forgets compiled programs, and returns free memory to the system."""
    jax.clear_caches()
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # of glibc
    if trim is not None:
        trim(0)


def _resident():
    """Returns the memory of this process in bytes; 0 where the system does not say."""
    try:
        pages = Path("/proc/self/statm").read_text().split()[1]
    except OSError:
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


@pytest.fixture(scope="session")
def made():
    """The problem of a name; skips where its data set is not prepared."""

    def make(name):
        try:
            return problems.make(name)
        except Refusal as refusal:
            if "not prepared" not in str(refusal):
                raise
            pytest.skip(str(refusal))

    return make


class Ended(NamedTuple):
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def typed(tmp_path, monkeypatch, capsys):
    """Runs `python -m <module> <flags>` in this process, which saves its start.

    The current folder is tmp_path, and there are no prepared data sets unless
    TFDS_DATA_DIR is given. The CPU backend and the cache of compiled programs stay
    those of the test session.
    """

    def run(module, *flags, **more):
        before = {number: signal.getsignal(number) for number in signals.HEARD}
        capsys.readouterr()
        faults.forget()
        with monkeypatch.context() as patch, contextlib.ExitStack() as after:
            for number, handler in before.items():
                after.callback(signal.signal, number, handler)
            patch.chdir(tmp_path)
            patch.delenv("TFDS_DATA_DIR", raising=False)
            for name, value in ({"HOME": str(CACHE)} | more).items():
                patch.setenv(name, value)
            patch.setattr(sys, "argv", [module, *flags])
            patch.delitem(sys.modules, module, raising=False)
            patch.setattr(compilation_cache, "keep", lambda _: None)
            patch.setattr(devices, "use", lambda _: None)
            with pytest.raises(SystemExit) as stopped:
                runpy.run_module(module, run_name="__main__", alter_sys=True)
        said = capsys.readouterr()
        return Ended(stopped.value.code or 0, said.out, said.err)

    return run


@pytest.fixture
def interrupted(monkeypatch):
    """A context in which Ctrl-C is pressed when the nth segment begins."""

    @contextlib.contextmanager
    def at(number):
        reached = []

        def interrupt(name):
            reached.append(name)
            if reached.count("segment:begun") == number:
                raise KeyboardInterrupt

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(faults, "reach", interrupt)
            yield

    return at


@pytest.fixture(scope="session")
def process():
    """Runs `python -m <module> <flags>` in a folder, as a process of its own."""

    def run(folder, module, *flags, **more):
        kept = {k: v for k, v in os.environ.items() if k != "TFDS_DATA_DIR"}
        return subprocess.run(
            [sys.executable, "-m", module, *flags],
            cwd=folder,
            env=kept | {"PYTHONPATH": str(ROOT), "HOME": str(CACHE)} | more,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
        )

    return run


@pytest.fixture
def data_dir():
    """Real TFDS data: $TFDS_DATA_DIR, or shared/ beside the checkout."""
    beside = Path(__file__).parents[2] / "shared" / "data" / "tensorflow_datasets"
    folder = Path(os.environ.get("TFDS_DATA_DIR") or beside)
    if not folder.is_dir():
        pytest.skip(f"no real data: TFDS_DATA_DIR is not set and {beside} is absent")
    return folder
