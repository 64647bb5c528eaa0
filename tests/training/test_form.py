"""What an optimizer's update and the metrics return has to have a form."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradjax
from gradjax import problems
from gradjax.errors import Refusal


def rule(init, made):
    """A factory of an optimizer without numbers; `made` gives what update returns."""

    def update(grads, state, _params=None):
        return made(grads, state)

    def make():
        return optax.GradientTransformation(lambda _: init, update)

    return make


MISTAKES = [
    (
        rule((), lambda g, _: (g, {"a": jnp.ones(2)})),
        "state has the structure ({'a': *}) after a step; init gave it (()), which",
    ),
    (
        rule({"a": jnp.ones(())}, lambda g, _: (g, None)),
        "state has the structure (None) after a step; init gave it ({'a': *}), which",
    ),
    (
        rule((), lambda g, s: ({"z": g}, s)),
        "updates have the structure ({'z': *}) after a step; the parameters have (*)",
    ),
    (
        rule((), lambda _, s: (jnp.ones(7), s)),
        "updates have the shape [7] where the parameters have [10], which must be kept",
    ),
    (
        rule((), lambda _, s: (jnp.ones((3, 10)), s)),
        "updates have the shape [3, 10] where the parameters have [10]",
    ),
    (rule((), lambda g, _: g), "update returns 1 value; expected two, the"),
    (rule((), lambda g, s: (g, s, g)), "update returns 3 values; expected two, the"),
]


@pytest.mark.parametrize(("optimizer", "said"), MISTAKES)
def test_an_update_of_another_form_is_refused_with_what_must_be_kept(optimizer, said):
    with pytest.raises(Refusal) as refused:
        gradjax.program(
            problems.make("quadratic(condition=10)"), optimizer, num_steps=3
        )
    assert f"the optimizer's {said}" in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


def test_an_update_that_is_one_number_is_taken_as_before():
    def made(grads, state):
        return jax.tree.map(lambda g: -0.1 * g.mean(), grads), state

    bowl = problems.make("quadratic(condition=10)")
    gradjax.program(bowl, rule((), made), num_steps=3)


@pytest.mark.parametrize("value", [jnp.float32(1.0), (1.0, 2.0, 3.0)])
def test_a_metric_that_is_no_pair_is_refused_by_its_name(value):
    x = np.ones((8, 2), np.float32)
    made = gradjax.problem(
        lambda params, batch, _key: (((batch["x"] @ params) ** 2).mean(), {}),
        jnp.ones(2),
        {"x": x},
        metrics=lambda _params, _batch, _key: {"error": value},
    )
    line = r"the metric 'error' is no pair; expected \(sum, count\)"
    with pytest.raises(Refusal, match=line):
        gradjax.program(made, num_steps=3)


def test_a_metric_whose_sum_is_no_number_is_refused_by_its_name():
    made = gradjax.problem(
        lambda params, _batch, _key: ((params**2).sum(), {}),
        jnp.ones(3),
        metrics=lambda params, _batch, _key: {"error": (params, 1.0)},
    )
    line = r"the sum of the metric 'error' has the shape \[3\]; expected one number"
    with pytest.raises(Refusal, match=line):
        gradjax.program(made, num_steps=3)
