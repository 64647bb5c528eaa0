"""The blocks that a longer run begins with, by schedule."""

import optax
import pytest

import gradjax
from gradjax import Refusal
from gradjax.training import trunk

MULTI = "multi_steps(sgd, every=3)"


def made(schedule, num_steps, optimizer="sgd", eval_every=10, max_gradients=None):
    problem = gradjax.problems.make("quadratic")
    return gradjax.program(
        problem,
        optimizer,
        schedule,
        num_steps=num_steps,
        eval_every=eval_every,
        max_gradients=max_gradients,
    )


@pytest.mark.parametrize(
    ("schedule", "more", "blocks"),
    [
        ("constant", {}, 10),
        ("warmup_constant(warmup=7)", {}, 10),
        ("constant", {"eval_every": 30}, 3),  # block 4 ends with an evaluation too many
        ("wsd(warmup=0, decay=0.3)", {}, 7),
        ("wsd(warmup=0, decay=0.25)", {}, 7),
        ("wsd(warmup=0, decay=0.3)", {"optimizer": MULTI}, 6),
        ("cosine", {}, 0),
        ("constant", {"optimizer": "adamw(weight_decay=cosine(peak=0.1))"}, 0),
        ("constant", {"optimizer": optax.sgd(0.1)}, 10),  # it has no rate
        (lambda progress: 1.0 - progress, {}, 0),
        ("constant", {"max_gradients": 50}, 0),  # it ends with its gradients
    ],
)
def test_the_trunk_ends_where_a_longer_run_may_differ(schedule, more, blocks):
    program = made(schedule, 100, **more)
    assert trunk.trunk_blocks(program.plan, program.hparams) == blocks


def line_of(schedule, short, long):
    pair = made(schedule, short), made(schedule, long)
    try:
        trunk.check(*(one.plan for one in pair), tuple(one.hparams for one in pair))
    except Refusal as refusal:
        return str(refusal)
    return ""


@pytest.mark.slow
def test_the_rates_of_the_trunk_are_compared_bit_by_bit():
    for same in (("wsd(warmup=7)", 20, 40), ("wsd(warmup=0)", 20, 50)):
        assert line_of(*same) == ""
    assert "step 2 of a run of 50 steps has another learning_rate" in line_of(
        "wsd(warmup=7)", 20, 50
    )
    assert "same for 2, 4, 8, ... times as many" in line_of("wsd(warmup=0.5)", 20, 40)
    assert "the schedule linear depends on the number" in line_of("linear", 20, 40)
