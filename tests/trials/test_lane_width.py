"""How many trials are mapped together is a rule of what a step touches."""

import json

import jax
import jax.numpy as jnp
import pytest

import gradjax
from gradjax import Refusal, problems
from gradjax.trials import cost, lane_width, lanes, memory, overhead


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


@pytest.fixture
def free(monkeypatch):
    """Sets the free bytes of the device."""
    return lambda count: monkeypatch.setattr(memory, "available_bytes", lambda _: count)


def test_where_a_call_does_not_fit_its_width_is_halved(free):
    small, large = (program_of(parabola(size)) for size in (100, 20_000))
    usual = lane_width.rule_for([small, large], 640, 1)
    assert usual == lane_width.default_widths()
    assert [lane_width.default_width(one, usual) for one in (small, large)] == [64, 16]
    free(2 * overhead.call_bytes(large, 4))
    rule = lane_width.rule_for([small, large], 640, 1)
    assert [lane_width.default_width(one, rule) for one in (small, large)] == [64, 4]
    assert lane_width.default_width(program_of(parabola(30_000)), rule) == 4
    sizes = [size for size, _ in rule[:-1]]
    assert sizes == sorted(sizes) and rule[-1] == (None, 1)
    free(1)
    assert lane_width.default_width(large, lane_width.rule_for([large], 640, 1)) == 1
    free(None)
    assert lane_width.rule_for([large], 640, 1) == usual, "it is not known"


def test_what_a_diagnostic_keeps_counts_for_each_lane():
    def of(width, **more):
        problem = problems.make("digits_mlp")
        return overhead.call_bytes(program_of(problem, batch_size=8, **more), width)

    kept = {"diagnostics": "[distances]"}
    one, two = (of(width, **kept) - of(width) for width in (1, 2))
    assert two > one > 0


@pytest.mark.slow
def test_the_estimate_is_near_what_the_compiler_says():
    program = program_of(problems.make("digits_cnn"), batch_size=64)
    for width in (1, 8):
        needed = lanes.lanes(program, width, 1).ready().bytes
        assert 0.5 < overhead.call_bytes(program, width) / needed < 3


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """Writes the file of measured rules."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "gradjax").mkdir()
    return lane_width.kept_path().write_text


def test_a_rule_that_was_measured_on_this_device_is_used(kept):
    usual = lane_width.default_widths()
    kept(json.dumps({"another": [[None, 3]]}))
    assert lane_width.default_widths() == usual
    kept(json.dumps({lane_width.device_name(): [[1_000, 8], [None, 4]]}))
    assert lane_width.default_widths() == ((1_000, 8), (None, 4))
    assert lane_width.default_width(program_of(parabola(100_000))) == 4


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        '{"cpu": 3}',
        '{"cpu": []}',
        '{"cpu": [[1, 2]]}',
        '{"cpu": [[null, 0]]}',
        '{"cpu": [[null, 2.5]]}',
        '{"cpu": [[5, 2], [5, 1], [null, 1]]}',
        '{"cpu": [["a", 2], [null, 1]]}',
        '{"cpu": [[1, 2, 3], [null, 1]]}',
    ],
)
def test_a_damaged_file_of_rules_is_refused(kept, text):
    kept(text)
    with pytest.raises(Refusal, match=r"lane_widths.json is damaged: remove it, or"):
        lane_width.default_widths()
