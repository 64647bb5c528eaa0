import os
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
_CACHE = tempfile.TemporaryDirectory(prefix="gradjax-tests-")
os.environ["XDG_CACHE_HOME"] = _CACHE.name  # tests leave the user's cache alone


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
