"""What a schedule counts, and what of it the trace shows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradjax
from gradjax import optimizers
from gradjax.training import step as steps


def regression():
    """A small least-squares problem of 64 examples."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(64, 3)).astype(np.float32)
    data = {"x": x, "y": x @ np.float32([1.0, -2.0, 0.5])}

    def loss(params, batch, _key):
        return jnp.mean((batch["x"] @ params - batch["y"]) ** 2), {}

    return gradjax.problem(loss, jnp.zeros(3), data)


def run(optimizer, schedule, num_steps, batch_size):
    program = gradjax.program(
        regression(), optimizer, schedule, num_steps=num_steps, batch_size=batch_size
    )
    return gradjax.run(program, {"learning_rate": 0.1})


DECAYED = "adamw(weight_decay=cosine(peak=0.5))"
PAIRS = {
    "linear": ("sgd(momentum=0.9)", "linear"),
    "warmup": ("adam", "warmup_cosine(warmup=0.2)"),
    "its own": (DECAYED, "wsd"),
}


@pytest.mark.parametrize("name", ["linear", "warmup", "its own"])
@pytest.mark.slow
def test_multi_steps_under_a_schedule_is_a_larger_batch(name):
    """Four batches of 8 over 100 steps, and one of 32 over 25."""
    optimizer, schedule = PAIRS[name]
    parts = run(f"multi_steps({optimizer}, every=4)", schedule, 100, 8)
    large = run(optimizer, schedule, 25, 32)
    np.testing.assert_allclose(parts.params, large.params, rtol=1e-5, atol=1e-6)
    rates = parts.trace["learning_rate"].values
    np.testing.assert_array_equal(rates[3::4], large.trace["learning_rate"].values)
    np.testing.assert_array_equal(rates[::4], rates[3::4])


def test_steps_after_the_last_update_keep_its_rate():
    program = gradjax.program(
        regression(), "multi_steps(sgd, every=4)", "linear", num_steps=10, batch_size=8
    )

    @jax.vmap
    def rate(i):
        return steps.at(program.plan, program.hparams, i)["learning_rate"]

    expected = 0.1 * np.float32([1.0] * 4 + [0.5] * 6)
    np.testing.assert_allclose(rate(jnp.arange(10, dtype=jnp.uint32)), expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sgd", {"learning_rate": 1}),
        ("multi_steps(multi_steps(sgd, every=2), every=3)", {"learning_rate": 6}),
        (
            "chain(clip(1.0), multi_steps(sgd(0.5), every=3))",
            {
                "optimizer.clip.max_delta": 1,
                "optimizer.multi_steps.sgd.learning_rate": 3,
            },
        ),
        ("partition(multi_steps(sgd, every=3), others=adam)", {"learning_rate": 1}),
    ],
)
def test_the_steps_of_an_update(text, expected):
    spec, _ = optimizers.split(text)
    found = optimizers.steps_per_update(spec)
    assert {key: found[key] for key in expected} == expected


@pytest.mark.slow
def test_every_scheduled_number_is_a_curve():
    decayed = "adamw(0.25, weight_decay=linear(peak=0.2))"
    text = f"partition(matrices=sgd(0.5), others={decayed})"
    start = {"w": jnp.ones((2, 2)), "b": jnp.ones(2)}
    problem = gradjax.problem(
        lambda p, *_: ((p["w"] ** 2).sum() + (p["b"] ** 2).sum(), {}), start
    )
    program = gradjax.program(problem, text, "linear", num_steps=4)
    trace = gradjax.run(program).trace
    peaks = {
        "learning_rate": 0.5,
        "optimizer.adamw.learning_rate": 0.25,
        "optimizer.adamw.weight_decay": 0.2,
    }
    assert trace.keys() == peaks.keys() | {"loss"}
    for name, peak in peaks.items():
        expected = peak * np.float32([1.0, 0.75, 0.5, 0.25])
        np.testing.assert_allclose(trace[name].values, expected, rtol=1e-6)
