"""Lanes: the same bits wherever a trial runs, and one executable for all of it."""

import json
import logging
import os
import subprocess
import sys
import threading
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradjax
from gradjax import Problem, Refusal, Splits
from gradjax.data import arrays
from gradjax.training import blocks
from gradjax.trials import batches, cores, lanes

pytestmark = pytest.mark.optimized

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = 23  # no batch size divides it
NUM_STEPS, EVERY = 103, 20  # the last block and the last interval are shorter
RATES = (0.01, 1e6, 0.3, 0.1, 1e20, 0.03, 0.2)  # two of them diverge under sgd


def source_of(num_examples, seed):
    rng = np.random.default_rng(seed)
    return arrays.source({"x": rng.normal(size=(num_examples, 3)).astype(np.float32)})


@pytest.fixture(scope="module")
def problem():
    """A small network without any symmetry, noise from the key, all three splits."""

    def errors(params, batch):
        hidden = jnp.tanh(batch["x"] @ params["w"])
        return jnp.square(hidden @ params["v"] - batch["x"].sum(axis=1))

    def loss(params, batch, key):
        noise = 0.01 * jax.random.normal(key, params["v"].shape)
        noisy = params | {"v": params["v"] + noise}
        return errors(noisy, batch).mean(), {"size": jnp.abs(params["v"]).max()}

    def metrics(params, batch, _key):
        seen = errors(params, batch)
        return {"loss": (seen.sum(), jnp.float32(len(seen)))}

    def init(key):
        one, other = jax.random.split(key)
        return {
            "w": jax.random.normal(one, (3, 5)),
            "v": jax.random.normal(other, (5,)),
        }

    splits = Splits(source_of(EXAMPLES, 0), source_of(7, 1), source_of(11, 2))
    return Problem(init, loss, metrics, splits)


def program_of(problem, optimizer="sgd(momentum=0.9)", **more):
    return gradjax.program(
        problem,
        optimizer,
        "constant" if optimizer == "lbfgs" else "cosine",  # it has no rate
        num_steps=NUM_STEPS,
        batch_size=5,
        eval_every=EVERY,
        **more,
    )


def run(made, rates=RATES, seeds=None):
    hparams = [{"learning_rate": rate} for rate in rates]
    return batches.run(made, hparams, list(seeds or range(len(rates))))


def assert_same(one, other, rows=slice(None), columns=slice(None)):
    """All that is told of some trials is the same, bit for bit."""

    def same(x, y):
        np.testing.assert_array_equal(x[rows], y[columns])

    for field in ("params", "evaluation", "diverged_step", "num_gradients"):
        jax.tree.map(same, getattr(one, field), getattr(other, field))
    for name in one.trace:
        same(one.trace[name].values, other.trace[name].values)
        np.testing.assert_array_equal(one.trace[name].steps, other.trace[name].steps)


@pytest.mark.parametrize(
    "optimizer",
    [
        "average(sgd, decay=0.9)",
        "sgd(momentum=0.9)",
        "adam",
        "schedule_free_sgd",
        "sam(sgd, rho=0.05)",
        "noisy_sgd",
        "lbfgs",
    ],
)
@pytest.mark.slow
def test_a_width_of_one_has_the_bits_of_a_single_run(optimizer, problem):
    program = program_of(problem, optimizer)
    rates = (0.01, 0.1) if "learning_rate" in program.hparams else (None,) * 2
    hparams = [{} if rate is None else {"learning_rate": rate} for rate in rates]
    many = batches.run(lanes.lanes(program), hparams, [3, 4])
    for row, seed in enumerate((3, 4)):
        single = gradjax.run(program, hparams[row], seed)
        assert single.status == "finished"
        jax.tree.map(
            lambda x, y, k=row: np.testing.assert_array_equal(x[k], y),
            many.params,
            single.params,
        )
        assert many.num_gradients[row] == single.num_gradients
        for name, series in single.trace.items():
            assert many.trace[name].steps.tolist() == series.steps.tolist()
            np.testing.assert_array_equal(many.trace[name].values[row], series.values)
        assert many.evaluation.keys() == {"validation", "test"}
        for split, means in many.evaluation.items():
            for name, values in means.items():
                assert values[row] == np.float32(single.evaluation[split][name])


@pytest.fixture(scope="module")
def four(problem):
    """Lanes of width 4, and what they say of RATES in two batches."""
    made = lanes.lanes(program_of(problem), width=4)
    return made, run(made)


@pytest.mark.slow
def test_a_trial_has_its_bits_in_any_slot_and_beside_any_neighbour(four):
    made, whole = four
    order = [5, 1, 6, 0, 2, 4, 3]
    shuffled = run(made, [RATES[k] for k in order], order)
    assert_same(shuffled, whole, columns=order)
    alone = run(made, RATES[2:3], [2])
    assert_same(alone, whole, columns=[2])


@pytest.mark.slow
def test_divergence_is_a_result_with_its_step(four, problem):
    _, whole = four
    assert (whole.diverged_step > 0).tolist() == [False, True, *[False] * 2, True] + [
        False
    ] * 2
    for row in (1, 4):
        step = whole.diverged_step[row]
        loss = whole.trace["loss"].values[row]
        assert np.isfinite(loss[: step - 1]).all() and not np.isfinite(loss[step - 1])
        assert np.isnan(loss[step:]).all()
        validation = whole.trace["validation_loss"]
        assert np.isnan(validation.values[row, validation.steps >= step]).all()
        assert np.isnan(whole.evaluation["test"]["loss"][row])
        single = gradjax.run(program_of(problem), {"learning_rate": RATES[row]}, row)
        assert single.diverged_step == step
        assert whole.num_gradients[row] == step


@pytest.mark.parametrize("capacity", [1, 3, 1000])
@pytest.mark.slow
def test_segments_of_any_length_give_the_same_bits(capacity, four, problem):
    made, whole = four
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(lanes, "_capacity", lambda _: capacity)
        other = lanes.lanes(program_of(problem), width=4)
    assert other.form.capacity != made.form.capacity
    assert_same(run(other), whole)


@pytest.mark.slow
def test_when_all_diverge_it_ends_early(problem):
    seen = []
    made = lanes.lanes(program_of(problem), width=2)
    hparams = [{"learning_rate": rate} for rate in (1e6, 1e8, 1e10)]
    found = batches.run(
        made, hparams, [0, 0, 0], on_segment=lambda *said: seen.append(said)
    )
    assert (found.diverged_step > 0).all()
    active, (first, count) = seen[-1]
    assert len(active.rows) == 0
    assert first + count < blocks.num_blocks(made.program.plan)


@pytest.fixture
def compile_log(caplog):
    """What JAX says of compilations, those of other threads included."""
    jax.config.update("jax_log_compiles", True)
    caplog.set_level(logging.WARNING)
    yield lambda: [r.message for r in caplog.records if "XLA compil" in r.message]
    jax.config.update("jax_log_compiles", False)


def test_one_executable_for_all_of_it(problem, compile_log):
    """Evaluation, the short last block and a batch that is not full included.

    The initial parameters are a program of their own: with the rest it would compile
    for seconds longer.
    """
    program = program_of(problem)
    before = len(compile_log())
    made = lanes.lanes(program, width=2)
    run(made)
    run(made, RATES[:3])
    new = compile_log()[before:]
    assert len(new) == 2, new


ON_CORES = """
import json, sys
import jax
import numpy as np
import gradjax
rates = json.loads(sys.argv[3])
found = gradjax.sweep(
    gradjax.problems.make("digits_mlp"), "adam", {"learning_rate": rates},
    seeds=(0, 1), num_steps=30, batch_size=16, eval_every=10,
    lane_width=int(sys.argv[2]), num_devices=int(sys.argv[1]),
)
leaves = [np.float64(x).reshape(len(x), -1) for x in jax.tree.leaves(found.params)]
digest = np.stack([x.sum(axis=1) for x in leaves], axis=1).tolist()
print(json.dumps([digest, found.trace["loss"].values.tolist(),
                  found.trace["validation_loss"].values.tolist(),
                  found.diverged_step.tolist()]))
"""


def on_cores(num_devices, width, rates):
    """What a process of its own says of a sweep with two seeds.

    Processes of the same program compile it once, as commands do.
    """
    cache = {
        "JAX_COMPILATION_CACHE_DIR": jax.config.jax_compilation_cache_dir,
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.1",
    }
    done = subprocess.run(
        [sys.executable, "-c", ON_CORES, num_devices, width, json.dumps(rates)],
        env=os.environ | {"PYTHONPATH": str(ROOT)} | cache,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
@pytest.mark.skipif(cores.num_cores() < 2, reason="it needs two cores")
@pytest.mark.parametrize("width", ["1", "2"])
def test_the_same_bits_on_one_core_and_on_two_in_one_process_and_in_two(width):
    rates = [1e-3, 1e30, 0.01]
    one = on_cores("1", width, rates)
    assert len(one[1]) == 6
    assert on_cores("2", width, rates) == one
    parts = [on_cores("1", width, part) for part in (rates[:1], rates[1:])]
    assert [first + second for first, second in zip(*parts, strict=True)] == one


@pytest.mark.skipif(cores.num_cores() < 2, reason="it needs two cores")
@pytest.mark.parametrize(
    ("width", "more"), [(1, {}), (2, {"keep": "best", "patience": 2})]
)
@pytest.mark.slow
def test_two_threads_on_one_device_compile_once_and_have_the_bits_of_one(
    width, more, problem, compile_log
):
    program, before = program_of(problem, **more), len(compile_log())
    made = lanes.lanes(program, width, num_devices=2)
    ready, threads, together = made.ready(), set(), threading.Barrier(2)
    assert made.devices == (jax.devices()[0],) * 2

    def meeting(call):
        """The call, which waits at its first use until the other is used, too."""
        is_first = iter([True])

        def met(*args):
            threads.add(threading.get_ident())
            if next(is_first, False):
                together.wait(timeout=60)
            return call(*args)

        return met

    calls = tuple(meeting(call) for call in ready.calls)
    found = run(made._replace(ready=lambda: ready._replace(calls=calls, in_flight=2)))
    assert len(threads - {threading.get_ident()}) >= 2
    new = compile_log()[before:]
    assert len(new) == 2, new  # the initial parameters, and a segment
    alone = run(lanes.lanes(program_of(problem, **more), width, num_devices=1))
    assert_same(found, alone)
    np.testing.assert_array_equal(found.kept_step, alone.kept_step)


@pytest.mark.parametrize(
    ("kwargs", "line"),
    [
        ({"width": 0}, "lane_width=0"),
        ({"width": 2.0}, "lane_width=2.0"),
        ({"num_devices": 999}, "num_devices=999"),
    ],
)
def test_refuses_what_no_device_has(kwargs, line, problem):
    with pytest.raises(Refusal, match=line):
        lanes.lanes(program_of(problem), **kwargs)
