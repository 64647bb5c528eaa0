import gc
import os
import shutil
import signal
import tempfile
from pathlib import Path

import jax
import pytest

from gradjax import problems
from gradjax.errors import Refusal

# A shell's background job ignores Ctrl-C, one under nohup a hangup, and so would all
# that they start.
for number, handler in (
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGHUP, signal.SIG_DFL),
):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, handler)
jax.config.update("jax_numpy_rank_promotion", "raise")

# The cache of one session of tests, which begins empty and is shared by its workers and
# by the commands that they start. The user's cache stays as it is.
_SESSION = os.environ.setdefault("GRADJAX_TESTS_SESSION", str(os.getpid()))
CACHE = Path(tempfile.gettempdir()) / f"gradjax-tests-{_SESSION}"
CACHE.mkdir(exist_ok=True)
os.environ["XDG_CACHE_HOME"] = str(CACHE)
jax.config.update("jax_compilation_cache_dir", str(CACHE / "tests"))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)

_WORKER_BYTES = 2 * 2**30  # that one worker may take: 1.5 GB, and a command it starts


def pytest_sessionfinish(session):
    if not hasattr(session.config, "workerinput"):  # not a worker: all are done
        shutil.rmtree(CACHE, ignore_errors=True)


def pytest_xdist_auto_num_workers():
    """Returns the number of workers of `-n auto`: one per core, if memory allows."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return max(1, min(cores or os.cpu_count() or 1, memory // _WORKER_BYTES))


@pytest.fixture(scope="module", autouse=True)
def _forget_compiled_programs():
    """Compiled programs of a finished module would fill the memory of its worker."""
    yield
    jax.clear_caches()
    gc.collect()


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


@pytest.fixture
def data_dir():
    """Real TFDS data: $TFDS_DATA_DIR, or shared/ beside the checkout."""
    beside = Path(__file__).parents[2] / "shared" / "data" / "tensorflow_datasets"
    folder = Path(os.environ.get("TFDS_DATA_DIR") or beside)
    if not folder.is_dir():
        pytest.skip(f"no real data: TFDS_DATA_DIR is not set and {beside} is absent")
    return folder
