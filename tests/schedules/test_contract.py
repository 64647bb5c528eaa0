"""What holds of every schedule: by its name, at its extremes, warmed up and joined."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradjax.schedules import SCHEDULES, shape_at

WRITTEN = {  # what has no defaults
    "join": "join(linear(0, 1), cosine, at=0.1)",
    "piecewise": "piecewise((0.5, 1.0, 0.25))",
    "warmup": "warmup(rex)",
}
ENDS = {  # at progress 0 and 1, with the default arguments
    "constant": (1.0, 1.0),
    "cosine": (1.0, 0.0),
    "cosine_restarts": (1.0, 0.0),
    "exponential": (1.0, 0.01),
    "inverse_sqrt": (0.0, 0.1**0.5),
    "join": (0.0, 0.0),
    "linear": (1.0, 0.0),
    "one_cycle": (0.04, 4e-6),
    "piecewise": (0.5, 0.25),
    "polynomial": (1.0, 0.0),
    "rex": (1.0, 0.0),
    "step": (1.0, 0.01),
    "warmup": (0.0, 0.0),
    "warmup_constant": (0.0, 1.0),
    "warmup_cosine": (0.0, 0.0),
    "warmup_linear": (0.0, 0.0),
    "wsd": (0.0, 0.0),
}
EXTREMES = [
    "linear(start=0, end=1)",
    "cosine(end=1.0)",
    "cosine_restarts(cycles=1)",
    "cosine_restarts(cycles=1000)",
    "cosine_restarts(cycles=50, growth=1e30)",
    "cosine_restarts(cycles=50, growth=1e-30)",
    "cosine_restarts(cycles=7, growth=1.5, end=1.0)",
    "exponential(end=1e-30)",
    "polynomial(power=50.0)",
    "polynomial(power=0.01, end=0.5)",
    "step(at=(), factor=0.5)",
    "step(at=(0.0, 1.0))",
    "inverse_sqrt(warmup=0)",
    "inverse_sqrt(warmup=1.0)",
    "one_cycle(warmup=0)",
    "one_cycle(warmup=1.0, start=1, end=1)",
    "piecewise((0.3,))",
    "piecewise((0.3,), at=(0.5,))",
    "piecewise((1, 1, 0, 0), at=(0, 0.5, 0.5, 1.0))",
    "piecewise((1, 0, 1), at=(0.5, 0.5, 0.5))",
    "piecewise((1, 0, 1), at=(1.0, 1.0, 1.0))",
    "warmup_constant(warmup=0)",
    "warmup_constant(warmup=1.0)",
    "warmup_cosine(warmup=0, end=0.1)",
    "warmup_cosine(warmup=1.0)",
    "warmup_linear(warmup=0)",
    "warmup(cosine, fraction=0)",
    "warmup(cosine, fraction=1.0)",
    "warmup(linear(0, 1))",
    "warmup(warmup(warmup(constant)))",
    "join(rex, at=())",
    "join(rex, cosine, at=0)",
    "join(rex, cosine, at=1.0)",
    "join(rex, cosine, linear, at=(0.5, 0.5))",
    "join(join(rex, cosine, at=0.5), join(step, rex, at=0.1), at=0.01)",
    "wsd(warmup=0, decay=1.0)",
    "wsd(warmup=0.5, decay=0.5)",
    "wsd(warmup=0, decay=0)",
]
NAMED = [WRITTEN.get(name, name) for name in SCHEDULES]
WARMED = [f"warmup({one}, fraction=0.1)" for one in NAMED]
EVERY = [*NAMED, *EXTREMES, *WARMED]


def test_every_schedule_has_its_ends_here():
    assert ENDS.keys() == SCHEDULES.keys()


@pytest.fixture(scope="module")
def values_of(curves):
    """(expression, num_steps) -> its shape at every step."""
    return curves({(one, n): (one, n) for one in EVERY for n in (1, 1_000)})


@pytest.mark.parametrize("num_steps", [1, 1_000])
@pytest.mark.parametrize("expression", EVERY)
def test_values_are_finite_and_in_the_unit_interval(expression, num_steps, values_of):
    values = values_of[expression, num_steps]
    assert values.shape == (num_steps,) and values.dtype == np.float32
    assert np.all((values >= 0) & (values <= 1))


@pytest.fixture(scope="module")
def of_the_named(curves):
    """(name, what) -> values: at 51 and 41 steps, and warmed up over the first 10."""
    asked = {}
    for name in SCHEDULES:
        text = WRITTEN.get(name, name)
        asked[name, "complete"] = (text, 50, True)
        asked[name, "shorter"] = (text, 40, True)
        asked[name, "warmed"] = (f"warmup({text}, fraction=10)", 50, True)
    return curves(asked)


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.slow
def test_ends(name, of_the_named):
    values = of_the_named[name, "complete"]
    np.testing.assert_allclose(values[[0, -1]], ENDS[name], atol=1e-6)


@pytest.mark.parametrize("name", SCHEDULES)
def test_warm_up_leads_to_the_beginning_and_keeps_the_end(name, of_the_named):
    warmed, alone = of_the_named[name, "warmed"], of_the_named[name, "shorter"]
    line = np.arange(10) / 10 * alone[0]
    np.testing.assert_allclose(warmed[:10], line, atol=1e-6)
    np.testing.assert_allclose(warmed[10:], alone, atol=2e-5)


def check_joins(pairs, curves):
    """20 steps of the first and 30 of the second."""
    asked = {}
    for one, other in pairs:
        asked["joined", one, other] = (f"join({one}, {other}, at=20)", 50, True)
        asked["first", one] = (one, 20)
        asked["second", other] = (other, 30, True)
    found = curves(asked)
    for one, other in pairs:
        apart = np.concatenate([found["first", one], found["second", other]])
        joined = found["joined", one, other]
        np.testing.assert_allclose(joined, apart, atol=2e-5, err_msg=f"{one} {other}")


@pytest.mark.slow
def test_a_join_is_one_after_the_other(curves):
    """Each schedule is once the first and once the second."""
    check_joins(list(zip(NAMED, [*NAMED[1:], NAMED[0]], strict=True)), curves)


@pytest.mark.slow
@pytest.mark.parametrize("name", SCHEDULES)
def test_a_join_with_any_is_one_after_the_other(name, curves):
    """With every other and itself: 289 pairs."""
    check_joins([(WRITTEN.get(name, name), other) for other in NAMED], curves)


@pytest.fixture(scope="module")
def gradients_of(numbers_of):
    """Some expressions -> {expression: path -> the gradient at 34 points}."""
    progress = jnp.linspace(0, 0.99, 34)

    @functools.cache
    def gradients(expressions):
        made = {expression: numbers_of(expression) for expression in expressions}

        def all_of_them(numbers):
            grads = {}
            for expression, (schedule, _) in made.items():
                value = functools.partial(shape_at, schedule)
                grad = jax.vmap(jax.grad(value), (None, 0))
                grads[expression] = grad(numbers[expression], progress)
            return grads

        return jax.jit(all_of_them)({text: one for text, (_, one) in made.items()})

    return gradients


GROUPS = [pytest.param(group, one) for group in (NAMED, EXTREMES) for one in group]
GROUPS += [pytest.param(WARMED, one, marks=pytest.mark.slow) for one in WARMED]


@pytest.mark.parametrize(("group", "expression"), GROUPS)
def test_gradients_are_finite(group, expression, numbers_of, gradients_of):
    found = gradients_of(tuple(group))[expression]
    assert found.keys() == numbers_of(expression)[1].keys()
    for path, grad in found.items():
        assert np.isfinite(grad).all(), path


@pytest.mark.parametrize("expression", [name for name in NAMED if name != "constant"])
def test_arguments_may_be_traced_and_mapped(expression, numbers_of):
    schedule, numbers = numbers_of(expression)
    lanes = {path: jnp.stack([0.5 * value, value]) for path, value in numbers.items()}
    value = functools.partial(shape_at, schedule, progress=jnp.float32(0.3))
    mapped = jax.jit(jax.vmap(value))(lanes)
    with jax.disable_jit():
        alone = [value({path: v[lane] for path, v in lanes.items()}) for lane in (0, 1)]
    np.testing.assert_allclose(mapped, alone, rtol=1e-6)


@pytest.mark.parametrize("expression", EVERY)
def test_the_spec_is_static(expression, numbers_of):
    one, numbers = numbers_of(expression)
    other, _ = numbers_of(expression, 200)
    assert hash(one) == hash(other) and one == other
    parts = [path.split(".") for path in numbers]
    assert all(path[0] == "schedule" for path in parts)
    assert len(set(map(tuple, parts))) == len(parts)


def test_a_gradient_is_the_slope(numbers_of):
    schedule, numbers = numbers_of("cosine(end=0.2)")
    grad = jax.grad(lambda numbers: shape_at(schedule, numbers, jnp.float32(0.25)))
    expected = 1 - 0.5 * (1 + np.cos(np.pi * 0.25))
    np.testing.assert_allclose(grad(numbers)["schedule.end"], expected, rtol=1e-6)
