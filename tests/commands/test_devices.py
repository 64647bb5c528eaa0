"""The number of threads of one operation, and whether the bits depend on it.

Run as a script, this file trains one program and prints a digest of its results.
"""

import functools
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from jax.extend import backend

import gradjax
from experiments import mnist
from gradjax import problems
from gradjax.commands.experiment import settings_of
from gradjax.commands.job import job_of
from gradjax.data import digits
from gradjax.errors import Refusal
from gradjax.problems import images, text
from gradjax.trials import cores, devices
from gradjax.types import Options, Sweep

pytestmark = pytest.mark.optimized

ROOT = Path(__file__).resolve().parents[2]
WORDS = ("alpha", "beta", "gamma")
TINY = {
    "mlp": (images.load, "mlp(widths=(16,))"),
    "cnn": (images.load, "cnn(channels=(4, 8))"),
    "gru": (text.load, "gru(width=8)"),
    "transformer": (text.load, "transformer(width=8, depth=1)"),
}
LARGEST = {"tutorial mlp": (images.load, "mlp")}  # of 28x28 images: 1.6 MB
WIDE = {"wide mlp": (images.load, "mlp(widths=(1024, 1024))")}


@functools.cache
def framed():
    """The bundled digits in a frame that makes them as large as those of MNIST."""
    frame = ((0, 0), (10, 10), (10, 10), (0, 0))
    found = digits.load()
    parts = {
        split: part | {"image": np.pad(part["image"], frame)}
        for split, part in found._asdict().items()
        if isinstance(part, dict)
    }
    return found._replace(**parts)


def program_of(name, table):
    """The program of a network; `table` is a file of labelled texts."""
    load, model = (TINY | LARGEST | WIDE)[name]
    if name in LARGEST:
        problem = problems.classification(framed(), problems.model_for(model, framed()))
    else:
        problem = load("digits" if load is images.load else str(table), model)
    return gradjax.program(problem, "adam", num_steps=20, batch_size=32)


def digest(name, table):
    """A digest of the parameters and curves of a run."""
    result = gradjax.run(program_of(name, table), seed=0)
    arrays = [*jax.tree.leaves(result.params), *jax.tree.leaves(result.trace)]
    content = b"".join(np.asarray(one).tobytes() for one in arrays)
    return hashlib.sha256(content).hexdigest()


def num_pool_threads():
    """The threads of XLA's pools for operations in this process."""
    names = [path.read_text() for path in Path("/proc/self/task").glob("*/comm")]
    return sum("XLAEigen" in name for name in names)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Ninety texts whose label is one of their words."""
    path = tmp_path_factory.mktemp("data") / "mine.tsv"
    lines = [f"{WORDS[k % 3]}\tit is {WORDS[k % 3]} of {k}" for k in range(90)]
    path.write_text("\n".join(lines))
    return path


@pytest.fixture(scope="module")
def trained(table):
    """(threads, names) -> what a process with so many threads found."""

    def run(threads, *names):
        done = subprocess.run(
            [sys.executable, __file__, str(table), *names],
            env=os.environ | {"PYTHONPATH": str(ROOT), "NPROC": str(threads)},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return run


@pytest.mark.slow
@pytest.mark.parametrize(
    "names",
    [
        pytest.param(["mlp"], id="mlp"),
        pytest.param(["cnn", "gru", "transformer"], id="others"),
        pytest.param(["tutorial mlp", "wide mlp"], id="mlps"),
    ],
)
def test_one_thread_is_taken_only_where_two_give_the_same_bits(
    names, trained, table, monkeypatch
):
    one, two = (trained(threads, *names) for threads in (1, 2))
    if sys.platform == "linux":
        assert one.pop("pool") < two.pop("pool"), "NPROC decides nothing any more"
    monkeypatch.setattr(cores, "num_cores", lambda: 2)
    for name in names:
        program = program_of(name, table)
        assert devices.is_small(program) == (name not in WIDE)
        assert name in WIDE or one[name] == two[name], f"{name} has other bits"
        few = devices.threads_for(program) == 1
        assert few == (name in TINY), "the time of the largest small one is measured"


@pytest.mark.parametrize("is_one_faster", [True, False])
def test_a_long_run_of_the_tutorial_mlp_takes_the_faster_number(
    is_one_faster, table, monkeypatch
):
    took = {1: 1.0, 2: 2.0 if is_one_faster else 0.5}
    monkeypatch.setattr(cores, "num_cores", lambda: 2)
    monkeypatch.setattr(devices, "_product_seconds", took.pop)
    devices._is_one_faster.cache_clear()
    made = program_of("tutorial mlp", table)
    assert devices.threads_for(made) == 2 and len(took) == 2, "a short run: not timed"
    long = made._replace(plan=made.plan._replace(num_steps=20_000))
    for _ in range(2):  # the product is timed once
        assert devices.threads_for(long) == (1 if is_one_faster else 2)
    assert not took
    devices._is_one_faster.cache_clear()


def test_the_product_takes_its_time_with_each_number(monkeypatch):
    used = []
    monkeypatch.setattr(devices, "use", used.append)
    assert 0.0 < devices._product_seconds(1) < 1.0
    assert used == [1]


def test_the_number_of_threads_is_read_from_the_variable(monkeypatch):
    monkeypatch.setattr(cores, "num_cores", lambda: 6)
    for said, expected in (("3", 3), ("0", 6), ("many", 6), ("", 6)):
        monkeypatch.setenv("NPROC", said)
        assert devices.num_threads() == expected
    monkeypatch.delenv("NPROC")
    assert devices.num_threads() == 6
    monkeypatch.setattr(cores, "is_cpu", lambda: False)
    assert devices.num_threads() is None


def test_the_backend_starts_again_only_with_another_number(monkeypatch):
    restarts = []
    monkeypatch.setattr(backend, "clear_backends", lambda: restarts.append(1))
    monkeypatch.setenv("NPROC", "2")
    devices.use(2)
    assert not restarts
    devices.use(1)
    assert len(restarts) == 1 and os.environ["NPROC"] == "1"
    monkeypatch.setattr(cores, "is_cpu", lambda: False)
    devices.use(2)
    assert len(restarts) == 1, "an accelerator stays as it is"


if __name__ == "__main__":
    found = {name: digest(name, sys.argv[1]) for name in sys.argv[2:]}
    print(json.dumps(found | {"pool": num_pool_threads()}))


def job(tmp_path, model, **asked):
    """The job of two seeds of a network, as a script would plan it."""
    flags = {"dataset": "digits", "model": model, "seeds": 2, "steps": 10}
    settings = settings_of(mnist.EXPERIMENT, **flags)
    options = Options(workdir=str(tmp_path / "run"))
    return job_of(mnist.EXPERIMENT, settings, Sweep(**asked), options, False)


@pytest.mark.parametrize(("model", "count"), [("mlp", 2), ("mlp(widths=(2000,))", 1)])
@pytest.mark.slow
def test_seeds_of_a_large_network_share_the_threads_that_are_asked_for(
    model, count, tmp_path, monkeypatch
):
    monkeypatch.setattr(cores, "num_cores", lambda: 2)
    made = job(tmp_path, model, num_threads=1)
    assert len(made.lanes(made.settings).devices) == count


def test_more_devices_than_threads_are_refused_for_a_large_network(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(cores, "num_cores", lambda: 2)
    with pytest.raises(Refusal, match="with --num_threads=1 at most 1"):
        job(tmp_path, "mlp(widths=(2000,))", num_threads=1, num_devices=2)


@pytest.mark.slow
def test_several_devices_are_refused_for_a_run_of_one_seed(tmp_path, monkeypatch):
    monkeypatch.setattr(cores, "num_cores", lambda: 2)
    settings = settings_of(mnist.EXPERIMENT, dataset="digits", steps=10)
    options = Options(workdir=str(tmp_path / "run"))
    plan = functools.partial(job_of, mnist.EXPERIMENT, options=options)
    with pytest.raises(Refusal, match="--num_devices=2: one device computes a run"):
        plan(settings, Sweep(num_devices=2), may_restart=False)
    for more, asked in ((2, Sweep(num_devices=2)), (1, Sweep(num_devices=1))):
        made = plan(settings._replace(seeds=more), asked, may_restart=False)
        assert len(made.lanes(made.settings).devices) == more
    swept = Sweep(("learning_rate=[0.1, 0.2]",), num_devices=2)
    made = plan(settings, swept, may_restart=False)
    assert len(made.lanes(made.settings).devices) == 2
