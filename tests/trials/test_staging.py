"""A streamed run is the run in memory, read part by part."""

import multiprocessing
import os
import shutil
import signal
import threading
import time
from multiprocessing import resource_tracker

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradjax
from gradjax.data import arrays, streaming
from gradjax.data.order import order
from gradjax.errors import Refusal
from gradjax.trials import lanes, staging
from gradjax.trials.reader import Part, Parts
from gradjax.types import Source

RNG = np.random.default_rng(0)
DATA = {"x": RNG.normal(size=(50, 4)), "y": RNG.normal(size=50)}
HELD_OUT = jax.tree.map(lambda values: values[:20], DATA)


class Rows:
    """Reads examples and counts how often each is read."""

    def __init__(self, fails_at=None):
        self.counts, self.fails_at = np.zeros(50, int), fails_at

    def __call__(self, indices):
        np.add.at(self.counts, indices, 1)
        if self.fails_at is not None and self.fails_at in indices:
            raise OSError("the disk is gone")
        return {name: values[indices] for name, values in DATA.items()}


class EndsItsProcess(Rows):
    """Kills the process that reads, unless it is the first one."""

    def __init__(self):
        super().__init__()
        self.process = os.getpid()

    def __call__(self, indices):
        if os.getpid() != self.process:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(indices)


def problem(train=DATA):
    def loss(params, batch, _key):
        errors = batch["x"] @ params["w"] + params["b"] - batch["y"]
        return (errors**2).mean(), {}

    def init(key):
        return {"w": jax.random.normal(key, (4,)), "b": jnp.zeros(())}

    return gradjax.problem(loss, init, train, HELD_OUT)


def run(problem, num_steps=230, **more):
    program = gradjax.program(
        problem, "adam(1e-2)", num_steps=num_steps, batch_size=8, eval_every=50
    )
    return gradjax.run(program, seed=3, **more)


def same(a, b):
    for name, series in a.trace.items():
        np.testing.assert_array_equal(series.values, b.trace[name].values, name)
    assert all(jax.tree.leaves(jax.tree.map(np.array_equal, a.params, b.params)))


def test_a_run_in_parts_learns_what_it_learns_in_memory(monkeypatch):
    monkeypatch.setattr(streaming, "STAGED_BYTES", 3 * 8 * 5 * 4)  # three steps
    rows = Rows()
    train = gradjax.stream(rows, 50)
    found = run(problem(train))
    made = gradjax.program(problem(train), num_steps=90, batch_size=8)
    assert made.plan.block_steps == 3
    np.testing.assert_allclose(
        found.trace["loss"].values, run(problem()).trace["loss"].values, rtol=1e-5
    )
    assert set(found.evaluation) == {"validation"}
    rows.counts[0] -= 1  # for its form
    assert rows.counts.sum() == 230 * 8  # each example of a step is read once
    assert rows.counts.max() - rows.counts.min() <= 1


@pytest.mark.slow
@pytest.mark.optimized
@pytest.mark.parametrize("width", [1, 2, 4])
def test_a_sweep_has_the_bits_of_the_sweep_in_memory(width):
    def swept(problem):
        return gradjax.sweep(
            problem,
            "sgd",
            {"learning_rate": [1e-3, 1e-2, 1e3]},  # the last one diverges
            seeds=[0, 5, 6],
            num_steps=150,
            batch_size=8,
            eval_every=30,
            lane_width=width,
        )

    rows = Rows()
    same(swept(problem()), swept(problem(gradjax.stream(rows, 50))))
    assert rows.counts.sum() <= 3 * 150 * 8 + 1  # once for a seed, not for a trial


@pytest.mark.slow
@pytest.mark.optimized
@pytest.mark.parametrize("workers", [0, 1, 2])
def test_processes_that_read_change_no_bit(workers):
    same(run(problem()), run(gradjax.streamed(problem(), workers=workers)))


@pytest.mark.slow
@pytest.mark.optimized
def test_the_digits_have_the_bits_of_memory(made):
    whole = made("digits_mlp")
    same(run(whole, 300), run(gradjax.streamed(whole), 300))


@pytest.mark.slow
@pytest.mark.optimized
def test_diagnostics_see_the_same_examples():
    asked = "[sharpness(every=40, on=20), layer_norms(every=30), noise_scale(every=50)]"
    streamed = run(gradjax.streamed(problem()), diagnostics=asked)
    same(run(problem(), diagnostics=asked), streamed)


@pytest.mark.slow
@pytest.mark.optimized
def test_steps_by_hand_are_those_of_memory(monkeypatch):
    monkeypatch.setattr(streaming, "STAGED_BYTES", 7 * 8 * 5 * 4)  # seven steps
    streamed, read, counts = gradjax.streamed(problem()), streaming.read_steps, []

    def spied(source, size, seed, steps, room):
        counts.append((len(steps), room))
        return read(source, size, seed, steps, room)

    monkeypatch.setattr(streaming, "read_steps", spied)
    pairs = [
        list(gradjax.steps(gradjax.program(one, num_steps=50, batch_size=8), every=20))
        for one in (problem(), streamed)
    ]
    for (step, a), (_, b) in zip(*pairs, strict=True):
        assert all(jax.tree.leaves(jax.tree.map(np.array_equal, a, b))), step
    assert counts == [(7, 7), (7, 7), (6, 7)] * 2 + [(7, 7), (3, 7)]


def test_a_reader_that_fails_ends_the_run_in_one_line():
    streamed = problem(gradjax.stream(Rows(fails_at=17), 50))
    with pytest.raises(Refusal, match=r"read\(indices\) fails: OSError.*disk is gone"):
        run(streamed)


@pytest.mark.slow
def test_a_process_that_dies_ends_the_run_in_one_line():
    streamed = problem(gradjax.stream(EndsItsProcess(), 50, workers=1))
    with pytest.raises(Refusal, match=r"a process .* has ended \(exit code -9\)"):
        run(streamed)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1])
def test_a_take_of_64_bits_reads_64_bits(workers):
    with jax.enable_x64(True):
        whole = {"x": jnp.asarray(DATA["x"]), "y": jnp.asarray(DATA["y"])}
        own = Source(50, whole, lambda values, i: {k: values[k][i] for k in values})
        streamed = gradjax.streamed(problem(own), workers=workers)
        made = gradjax.program(streamed, num_steps=4, batch_size=8)
        stage = staging.Stage(made, 1, 1)
        found = stage([3], 0, 1).examples
    stage.close()
    indices = order(3, 0, np.arange(32, dtype=np.uint32), 50)
    np.testing.assert_array_equal(found["x"], DATA["x"][indices])


@pytest.mark.slow
def test_shared_memory_is_free_when_the_reading_ends(monkeypatch):
    from grain._src.python.ipc import shared_memory_array

    freed, as_it_is = [], shared_memory_array._del_shm

    def slow(memory, unlink):
        time.sleep(0.2)
        as_it_is(memory, unlink)
        freed.append(memory)

    monkeypatch.setattr(shared_memory_array, "_del_shm", slow)
    streamed = gradjax.streamed(problem(), workers=1)
    stage = staging.Stage(gradjax.program(streamed, num_steps=4, batch_size=8), 1, 1)
    stage([3], 0, 1)
    stage.close()
    assert len(freed) == 2  # x and y


@pytest.mark.slow
def test_the_processes_that_read_do_not_die_of_what_a_cluster_sends(monkeypatch):
    """A cluster may send the signal to all processes of a job."""
    tracker = resource_tracker.ResourceTracker()  # one that has not begun yet
    monkeypatch.setattr(resource_tracker, "ensure_running", tracker.ensure_running)
    streamed = gradjax.streamed(problem(), workers=2)
    program = gradjax.program(streamed, num_steps=40, batch_size=8, eval_every=4)
    stage = staging.Stage(program, 1, 1)
    stage([3], 0, 1)
    children = [one.pid for one in multiprocessing.active_children()]
    assert len(children) == 2 and tracker._pid
    for pid in (*children, tracker._pid):
        for number in (signal.SIGUSR1, signal.SIGTERM, signal.SIGHUP):
            os.kill(pid, number)
    time.sleep(0.1)
    assert [one.pid for one in multiprocessing.active_children()] == children
    assert os.waitpid(tracker._pid, os.WNOHANG) == (0, 0), "it is alive"
    for at in range(1, 10):
        stage([3], at, 1)
    stage.close()
    tracker._stop()


@pytest.mark.slow
def test_a_process_that_cannot_begin_ends_the_run_in_one_line(monkeypatch):
    # More bytes than a pipe holds, which the process does not read.
    own, values = Rows(), np.zeros(200_000)
    streamed = problem(gradjax.stream(lambda i: (values, own(i))[1], 50, workers=2))
    resource_tracker.ensure_running()  # which is a process, too
    ends_at_once = os.fsencode(shutil.which("false"))
    monkeypatch.setattr("multiprocessing.spawn.get_executable", lambda: ends_at_once)
    with pytest.raises(Refusal, match=r"a process .* has ended .*code 1.*__main__"):
        run(streamed)


def test_what_cannot_be_sent_to_a_process_is_refused():
    own, lock = Rows(), threading.Lock()
    streamed = problem(gradjax.stream(lambda i: (lock, own(i))[1], 50, workers=1))
    with pytest.raises(Refusal, match=r"cannot be sent to a process: TypeError.*lock"):
        run(streamed)


def test_the_parts_of_a_run_follow_each_other():
    parts = Parts((Part(3, 2, 1), Part(5, 2, 1)), 4, 12)
    found = [parts.part(number) for number in range(parts.total())]
    blocks = [(2, 1), (3, 4), (7, 4), (11, 1)]
    assert found == [Part(seed, *one) for one in blocks for seed in (3, 5)]


def test_what_needs_the_whole_split_is_refused():
    streamed = gradjax.streamed(problem())
    with pytest.raises(Refusal, match=r"on='train': the train split is streamed"):
        run(streamed, diagnostics="[sharpness(on='train')]")
    program = gradjax.program(streamed, "sgd(1e-2)", num_steps=10, batch_size=8)
    with pytest.raises(Refusal, match="the train split is streamed"):
        gradjax.hypergradient(program)
    without = problem()._replace(data=gradjax.Splits(arrays.source(DATA)))
    with pytest.raises(Refusal, match="no validation split"):
        gradjax.streamed(without)


def test_staged_examples_take_a_bounded_size(monkeypatch):
    streamed = gradjax.streamed(problem())
    program = gradjax.program(streamed, num_steps=10_000, batch_size=8, eval_every=100)
    own = 8 * 100 * (4 + 1) * 4  # bytes of a block
    for width, size in ((1, 3), (2, 3), (4, 1)):
        monkeypatch.setattr(streaming, "STAGED_BYTES", size * own * width)
        made = lanes.lanes(program._replace(executables={}), width)
        assert made.form.capacity <= size
