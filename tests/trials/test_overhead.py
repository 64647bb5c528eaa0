"""The time and the memory of diagnostics are counted before anything is compiled."""

import jax
import jax.numpy as jnp
import pytest

import gradjax
from gradjax import Refusal, problems
from gradjax.report import announce
from gradjax.trials import lane_width, lanes, memory, overhead
from gradjax.trials.operations import operations
from gradjax.trials.work import work
from gradjax.trials.working_set import needed_inputs, peak_bytes
from gradjax.types import Diagnostic

X = jnp.ones((8, 8))


def jaxpr(function, *args):
    return jax.make_jaxpr(function)(*args)


def program_of(diagnostics, num_steps=100):
    return gradjax.program(
        problems.make("digits_logistic"),
        "adam",
        num_steps=num_steps,
        batch_size=32,
        diagnostics=diagnostics,
    )


def test_equal_operations_are_computed_once_and_unused_ones_never():
    def twice(x):
        unused = jnp.cos(x)
        del unused
        return jax.jit(jnp.sin)(x) + jnp.sin(x)

    names = [one.name for one in operations(jaxpr(twice, X)).listed]
    assert names == ["sin", "add"]


def test_what_is_under_a_checkpoint_is_computed_again():
    def function(x):
        return jax.grad(lambda x: jax.checkpoint(jnp.sin)(x).sum())(x) + jnp.cos(x)

    names = [one.name for one in operations(jaxpr(function, X)).listed]
    assert names.count("cos") == 2


def test_a_loop_counts_as_often_as_it_runs():
    def powers(x):
        return jax.lax.fori_loop(0, 5, lambda _, y: y @ x, x)

    assert work(jaxpr(powers, X)).products == 5 * 2 * 8**3
    assert work(jaxpr(powers, X)).bound == ""


def test_a_search_counts_as_often_as_it_says_at_most():
    def search(is_open, x):
        start = jnp.int32(0), x
        step = lambda now: (now[0] + 1, now[1] @ x)  # noqa: E731
        return jax.lax.while_loop(is_open, step, start)[1]

    bounded = work(
        jaxpr(lambda x: search(lambda k: (k[0] < 7) & (k[1][0, 0] > 0), x), X)
    )
    assert bounded.bound == "at most" and bounded.products == 7 * 2 * 8**3
    free = work(jaxpr(lambda x: search(lambda now: now[1][0, 0] > 0, x), X))
    assert free.bound == "at least" and free.products == 2 * 8**3


def test_of_a_condition_the_cheapest_branch_counts():
    def function(x):
        return jax.lax.cond(x[0, 0] > 0, lambda x: x @ x @ x, lambda x: x @ x, x)

    assert work(jaxpr(function, X)).products == 2 * 8**3


def test_values_are_in_memory_as_long_as_they_are_used():
    def function(x):
        first = x @ x
        second = first @ x
        return (second @ x).sum()

    assert peak_bytes(jaxpr(function, X)) == 2 * X.nbytes


def test_what_a_loop_carries_is_in_memory_once():
    def function(x):
        basis = jnp.zeros((100, 64))
        row = lambda k, q: q.at[k].set((x @ x).ravel())  # noqa: E731
        return jax.lax.fori_loop(0, 100, row, basis).sum()

    assert 100 * 64 * 4 <= peak_bytes(jaxpr(function, X)) < 100 * 64 * 4 + 5 * X.nbytes


def test_an_argument_is_needed_if_a_result_depends_on_it():
    known = jnp.arange(8.0)

    def function(x, unused, y, passed_on):
        left = unused + 1.0
        del left
        return (x[0] * known).sum() + jax.jit(jnp.sin)(y), passed_on

    found = jaxpr(function, X, X, 1.0, X)
    assert found.consts, "they are no arguments"
    assert needed_inputs(found) == [True, False, True, True]


def test_without_diagnostics_nothing_is_added():
    assert overhead.overhead(program_of(None)) == ((), 0.0, False)


def test_a_measurement_takes_its_own_work_and_no_step():
    def total(grads):
        return sum(leaf.sum() for leaf in jax.tree.leaves(grads))

    found = gradjax.overhead(program_of([Diagnostic(total, every=1)]))
    assert 0.01 < found.share < 0.5
    (one,) = found.prices
    assert one.name == "total" and one.bound == "about"
    assert one.share == found.share and one.memory_bytes == 0


def test_the_price_follows_the_interval_and_the_products():
    def share(expression):
        return overhead.overhead(program_of(expression, 400)).share

    often, rarely = share("sharpness(every=10)"), share("sharpness(every=40)")
    assert often == pytest.approx(4 * rarely)
    assert 1.4 < share("sharpness(every=40, num_products=16)") / rarely < 2.2


@pytest.mark.parametrize("every", [10, 20])
def test_together_they_share_a_copy_of_the_state(every):
    program = program_of(f"[layer_norms(every=10), trace(every={every})]")
    found = overhead.overhead(program)
    alone = sum(one.share for one in found.prices)
    assert max(one.share for one in found.prices) < found.share < alone


def test_what_a_measurement_reads_of_the_state_before_is_copied():
    def of_gradient(grads):
        return jax.tree.leaves(grads)[0].sum()

    def of_parameters(params):
        return jax.tree.leaves(params)[0].sum()

    found = overhead.overhead(program_of([of_gradient, of_parameters]))
    free, copied = (one.working_bytes for one in found.prices)
    assert copied - free == 4 * 10, "the bias is the first leaf"


def test_a_vector_of_each_eigenvalue_is_kept_for_each_lane():
    program = program_of("[sharpness(k=2), angles]")
    sharpness, angles = overhead.overhead(program, width=4).prices
    num_params = 64 * 10 + 10
    assert sharpness.memory_bytes == 2 * 4 * num_params
    assert (
        overhead.memory_bytes(program) == sharpness.memory_bytes + angles.memory_bytes
    )


def test_a_cohort_counts_what_diagnostics_keep():
    kept = Diagnostic(
        lambda memory: (0.0, memory), lambda: jnp.zeros(2**26), name="large"
    )
    assert lane_width.cohort_size(program_of([kept]), 4) == 4, "256 MB each, 2 GiB"


@pytest.mark.parametrize("width", [1, 4])
def test_too_much_memory_is_refused_with_the_bytes_before_compiling(width, monkeypatch):
    monkeypatch.setattr(memory, "available_bytes", lambda _: 20_000)
    monkeypatch.setattr(lanes, "_ready", lambda *_: pytest.fail("it was compiled"))
    made = lanes.lanes(program_of("[sharpness]"), width)
    with pytest.raises(Refusal) as refused:
        made.ready()
    line = str(refused.value)
    assert line.startswith("diagnostic sharpness: ") and "20,000 are free" in line
    assert ("--lane_width" in line) == (width > 1)


def test_the_plan_says_what_diagnostics_cost(capsys):
    program = program_of("[layer_norms, critical_sharpness(every=50)]")
    announce.diagnostics(lanes.lanes(program, num_devices=1))
    line = capsys.readouterr().out
    assert line.count("\n") == 1
    assert line.startswith("diagnostics, counted, in % of the time of the steps: ")
    assert "layer_norms every 10 steps, about 1" in line
    assert "critical_sharpness every 50 steps, at most" in line
    assert "; together " in line
    announce.diagnostics(lanes.lanes(program_of(None), num_devices=1))
    assert not capsys.readouterr().out
