"""Diagnostics are timed before a run, in the programs of the run."""

import time

import jax
import jax.numpy as jnp
import pytest

import gradjax
from gradjax import Refusal, problems
from gradjax.report import announce
from gradjax.training import blocks
from gradjax.trials import lanes
from gradjax.trials import timed_overhead as timing
from gradjax.types import Diagnostic

N = 400


def products(count, every=20):
    """A diagnostic that multiplies matrices one after another."""

    def measure(params):
        start = jnp.full((N, N), 1e-3) + jax.tree.leaves(params)[0].sum()
        found = jax.lax.fori_loop(0, count, lambda _, x: x @ start, start)
        return found.sum()

    return Diagnostic(measure, every=every, name=f"products{count}")


def program_of(*diagnostics, num_steps=2_000):
    return gradjax.program(
        problems.make("digits_logistic"),
        num_steps=num_steps,
        batch_size=32,
        eval_every=num_steps,
        diagnostics=list(diagnostics),
    )


def test_without_diagnostics_nothing_is_compiled(monkeypatch):
    monkeypatch.setattr(timing.lanes, "lanes", lambda *_: pytest.fail("compiled"))
    assert gradjax.timed_overhead(program_of()) == gradjax.overhead(program_of())


@pytest.mark.slow
def test_ten_times_the_work_takes_about_ten_times_as_long():
    found = gradjax.timed_overhead(program_of(products(20), products(200)))
    few, many = found.prices
    assert (few.name, many.name) == ("products20", "products200")
    assert 4 < many.share / few.share < 25
    # They have one interval, so they are timed together as well.
    assert many.share < found.share < 2 * many.share


def seconds_of(program):
    """Returns the seconds of all steps of a run but the first ones."""
    made = lanes.lanes(program, num_devices=1)
    own = lanes.stack(program, [program.hparams], [0])
    (call,) = made.ready().calls
    state, _ = call(None, own, 0, 1, False)
    started = time.perf_counter()
    for number in range(1, blocks.num_blocks(program.plan)):
        state, _ = call(state, own, number, 1, False)
    return time.perf_counter() - started


@pytest.mark.slow
def test_it_is_the_time_that_is_added_to_a_run():
    plain, program = program_of(), program_of(products(40))
    predicted = gradjax.timed_overhead(program).share
    added = seconds_of(program) / seconds_of(plain) - 1
    assert predicted > 1 and 0.4 < predicted / added < 2.5


@pytest.mark.slow
def test_all_but_the_shares_is_counted():
    program = program_of(products(20))
    (timed,), (counted,) = (
        of(program).prices for of in (gradjax.timed_overhead, gradjax.overhead)
    )
    assert timed == counted._replace(share=timed.share)


@pytest.mark.slow
def test_lanes_are_timed_together_and_the_line_says_it(capsys):
    announce.diagnostics(program_of(products(20)), 4, is_timed=True)
    line = capsys.readouterr().out
    assert line.startswith("diagnostics, timed, in % of the time of the steps: ")
    assert "products20 every 20 steps, about " in line


@pytest.mark.slow
@pytest.mark.parametrize("num_steps", [1, 2, 10])
def test_a_run_that_is_shorter_than_what_is_timed(num_steps):
    program = program_of(products(40, num_steps), num_steps=num_steps)
    long = gradjax.timed_overhead(program_of(products(40))).share
    short = gradjax.timed_overhead(program).share
    assert 0.4 < short * num_steps / (20 * long) < 2.5


def test_streams_and_meshes_are_refused_in_one_line():
    with pytest.raises(Refusal, match="not timed with streamed data; .* counted"):
        timing.check_timed(True, False)
    with pytest.raises(Refusal, match="not timed with a mesh"):
        timing.check_timed(False, True)
    timing.check_timed(False, False)
