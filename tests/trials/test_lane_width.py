"""How many trials are mapped together is a rule of what a step touches."""

import jax
import jax.numpy as jnp
import pytest

import gradjax
from gradjax import problems
from gradjax.trials import cost, lane_width


def program_of(problem, **kwargs):
    return gradjax.program(problem, "adam", num_steps=10, **kwargs)


def parabola(size):
    def loss(params, _batch, _key):
        return jnp.square(params).sum(), {}

    return gradjax.problem(loss, jnp.zeros(size))


def test_a_step_touches_the_state_and_what_the_loss_computes():
    program = program_of(parabola(1_000))
    state = 3 * 4_000 + 4 + 1  # parameters, two moments, a counter, whether it lives
    assert cost.state_bytes(program) == state
    assert cost.touched_bytes(program) == state + 4_000 + 4  # squares, their sum


def test_the_loss_of_more_examples_touches_more():
    problem = problems.make("digits_mlp")
    few, many = (
        cost.touched_bytes(program_of(problem, batch_size=size)) for size in (8, 64)
    )
    assert many > few > cost.state_bytes(program_of(problem, batch_size=8))


@pytest.mark.parametrize(
    ("size", "width"), [(100, 64), (20_000, 16), (100_000, 2), (1_000_000, 1)]
)
def test_small_trials_are_mapped_together_and_large_ones_are_not(size, width):
    assert jax.default_backend() != "cpu" or (
        lane_width.default_width(program_of(parabola(size))) == width
    )


def test_no_wider_than_keeps_every_device_at_work():
    rule = ((100, 64), (None, 2))
    assert lane_width.cap(rule, 256, 2) == rule
    assert lane_width.cap(rule, 33, 2) == ((100, 17), (None, 2))
    assert lane_width.cap(rule, 1, 2) == ((100, 1), (None, 1))


def test_a_cohort_is_whole_batches_and_no_more_than_memory_holds():
    small, large = (program_of(parabola(size)) for size in (100, 20_000_000))
    assert lane_width.cohort_size(small, 16) == 64
    assert lane_width.cohort_size(small, 64) == 256
    assert lane_width.cohort_size(large, 4) == 8, "240 MB a trial, 2 GiB"
