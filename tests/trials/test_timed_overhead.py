"""Diagnostics are timed before a run, with the compiled program of the run."""

import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradjax
from gradjax import Refusal, problems
from gradjax.report import announce
from gradjax.training import blocks
from gradjax.trials import lanes
from gradjax.trials import timed_overhead as timing
from gradjax.types import Diagnostic

N = 400


def products(count, every=20, **more):
    """A diagnostic that multiplies matrices one after another."""

    def measure(params):
        start = jnp.full((N, N), 1e-3) + jax.tree.leaves(params)[0].sum()
        found = jax.lax.fori_loop(0, count, lambda _, x: x @ start, start)
        return found.sum()

    return Diagnostic(measure, every=every, name=f"products{count}", **more)


def program_of(*diagnostics, num_steps=2_000, **more):
    return gradjax.program(
        problems.make("digits_logistic"),
        num_steps=num_steps,
        batch_size=32,
        eval_every=more.pop("eval_every", num_steps),
        diagnostics=list(diagnostics),
        **more,
    )


def timed_with(monkeypatch, program, once_s, step_s=1e-3, call_s=7e-3):
    """Times a program on a machine whose times are known."""

    def timer(_):
        def seconds(what):
            measured = np.dot(np.asarray(what.every) > 0, once_s) * what.num_due
            return call_s + what.num_steps * step_s + measured

        return seconds

    monkeypatch.setattr(timing, "_timer", timer)
    made = lanes.lanes(program, num_devices=1, with_train=True)
    return gradjax.timed_overhead(program), timing._segment_steps(made)


def test_known_times_give_the_share_of_each(monkeypatch):
    program = program_of(products(20), products(10, every=50))
    found, size = timed_with(monkeypatch, program, (4e-3, 30e-3))
    steps_s = 2_000 * (1e-3 + 7e-3 / size)  # a call begins each segment
    expected = [100 * 4e-3 / steps_s, 40 * 30e-3 / steps_s]
    assert [one.share for one in found.prices] == pytest.approx(expected)
    assert found.share == pytest.approx(sum(expected))
    assert found.is_timed and {one.bound for one in found.prices} == {"about"}


def test_diagnostics_of_the_same_steps_are_timed_together(monkeypatch):
    program = program_of(products(20), products(10))
    counted = gradjax.overhead(program)
    found, size = timed_with(monkeypatch, program, (4e-3, 30e-3))
    together = 100 * 34e-3 / (2_000 * (1e-3 + 7e-3 / size))
    assert found.share == pytest.approx(together)
    shares = [one.share for one in found.prices]
    assert sum(shares) == pytest.approx(together)
    ratio = counted.prices[0].share / counted.prices[1].share
    assert shares[0] / shares[1] == pytest.approx(ratio)


def test_what_is_lost_in_noise_is_counted(monkeypatch):
    program = program_of(products(20), products(10, every=50))
    counted = gradjax.overhead(program)
    found, _ = timed_with(monkeypatch, program, (-1e-4, 30e-3))
    assert found.prices[0].share == counted.prices[0].share
    assert found.prices[1].share != counted.prices[1].share
    assert found.share == pytest.approx(sum(one.share for one in found.prices))


def test_a_window_that_reaches_past_the_run_ends_with_it():
    program = program_of(products(1), products(2, window=(1_900, 10**9)))
    found = gradjax.timed_overhead(program)
    assert len(found.prices) == 2 and found.share >= 0


@pytest.mark.parametrize("window", [(5_000, 6_000), (100, 50)])
def test_a_diagnostic_that_is_never_due_adds_nothing(window):
    program = program_of(products(5), products(2, window=window))
    assert gradjax.timed_overhead(program).prices[1].share == 0
    alone = program_of(products(2, window=window))
    assert gradjax.timed_overhead(alone) == gradjax.overhead(alone)


def test_without_diagnostics_nothing_is_timed(monkeypatch):
    monkeypatch.setattr(timing, "_timer", lambda _: pytest.fail("timed"))
    assert gradjax.timed_overhead(program_of()) == gradjax.overhead(program_of())


@pytest.mark.parametrize("num_steps", [1, 2, 10])
def test_a_short_run_is_counted_and_a_call_times_it(num_steps):
    program = program_of(products(2, num_steps), num_steps=num_steps)
    made = lanes.lanes(program, num_devices=1, with_train=True)
    assert timing.before_run(made) == gradjax.overhead(program)
    found = gradjax.timed_overhead(program)
    assert found.is_timed and 0 < found.share < 1e4


def test_a_measurement_that_takes_much_of_the_run_is_counted(monkeypatch):
    monkeypatch.setattr(timing, "_LEAST_RUN_S", 0.0)
    monkeypatch.setattr(timing, "_timer", lambda _: pytest.fail("timed"))
    program = program_of(products(2_000, every=200))
    made = lanes.lanes(program, num_devices=1)
    assert timing.before_run(made) == gradjax.overhead(program)


def test_what_is_timed_measures_when_it_is_asked_and_evaluates_nothing():
    diagnostics = products(1), products(2, every=50, window=(1_110, 1_900))
    program = program_of(*diagnostics, eval_every=100)
    made = lanes.lanes(program, num_devices=1)
    own, call = lanes.stack(program, [{}], [0]), made.ready().calls[0]
    size = program.plan.block_steps
    for group, every, num_due in (([0], 3, 5), ([1], 7, 9)):
        what = timing._measured(made, group, every, num_due)
        stop, count = what.first * size + what.num_steps, -(-what.num_steps // size)
        _, found = call(None, own, what.first, count, False, (stop, what.every))
        measured = [np.isfinite(*of.values()).sum() for of in found.measured]
        assert (
            measured
            == [num_due * (k in group) for k in range(2)]
            == [what.num_due * (k in group) for k in range(2)]
        )
        assert np.isfinite(found.infos.loss).sum() == what.num_steps
        assert np.isnan(found.validation["loss"]).all()


def test_a_run_has_the_same_bits_after_it_was_timed():
    plain = gradjax.run(program_of(products(2), num_steps=200))
    program = program_of(products(2), num_steps=200)
    gradjax.timed_overhead(program)
    (compiled,) = [one for one in program.executables.values() if hasattr(one, "form")]
    timed = gradjax.run(program)
    assert (
        compiled.ready() is lanes.lanes(program, num_devices=1, with_train=True).ready()
    )
    np.testing.assert_array_equal(timed.trace["loss"], plain.trace["loss"])


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
def test_lanes_are_timed_together_and_the_line_says_it(capsys, monkeypatch):
    monkeypatch.setattr(timing, "_LEAST_RUN_S", 0.0)
    announce.diagnostics(lanes.lanes(program_of(products(20)), 4))
    line = capsys.readouterr().out
    assert line.startswith("diagnostics, timed, in % of the time of the steps: ")
    assert "products20 every 20 steps, about " in line


def streamed():
    return gradjax.program(
        gradjax.streamed(problems.make("digits_logistic")),
        num_steps=200,
        batch_size=32,
        diagnostics="[layer_norms]",
    )


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (streamed, "streamed data"),
        (lambda: program_of(products(1), mesh="data=1"), "a mesh"),
    ],
)
def test_streams_and_meshes_are_refused_in_one_line_and_counted(
    monkeypatch, make, what
):
    program = make()
    with pytest.raises(Refusal, match=f"not timed with {what}; .* counts their work"):
        gradjax.timed_overhead(program)
    monkeypatch.setattr(timing, "_LEAST_RUN_S", 0.0)
    made = lanes.lanes(program, num_devices=None if what == "a mesh" else 1)
    assert timing.before_run(made) == gradjax.overhead(program)
