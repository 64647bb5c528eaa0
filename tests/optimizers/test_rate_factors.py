import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradjax
from gradjax import optimizers
from gradjax.errors import Refusal
from gradjax.optimizers.rate_factors import FAMILIES
from gradjax.types import Problem, RateFactors

PARAMS = {"w": jnp.asarray([[1.0, -2.0], [3.0, 4.0]]), "b": jnp.asarray([0.5, -1.0])}
ADAM, SGD = {"w": 0.25, "b": 1.0}, {"w": 1.0, "b": 8.0}


def problem(factors):
    return Problem(
        lambda _key: PARAMS,
        lambda params, _batch, _key: (optax.tree.norm(params, squared=True), {}),
        rate_factors=factors,
    )


def updates(expression, factors=None, grads=PARAMS, params=PARAMS, num_steps=3):
    """The updates of some steps with the same gradients and parameters."""
    spec, numbers = optimizers.split(expression)
    spec = optimizers.with_rate_factors(spec, problem(factors))
    rule = optimizers.build(spec, numbers, jax.random.key(0))
    state, found = rule.init(params), []
    for step in range(num_steps):
        given = {"step": jnp.uint32(step), "value": jnp.float32(1.0)}
        update, state = rule.update(grads, state, params, **given)
        found.append(update)
    return found


@pytest.mark.parametrize(
    ("expression", "factors"),
    [
        ("adam", ADAM),
        ("sgd(momentum=0.9)", SGD),
        ("lion(weight_decay=0)", ADAM),
        ("chain(clip_by_global_norm(1e9), adam)", ADAM),
        ("chain(scale_by_adam, scale_by_learning_rate)", ADAM),
        ("chain(trace(decay=0.9), scale_by_learning_rate)", SGD),
        ("average(adam)", ADAM),
        ("partition(matrices=adam, others=adam)", ADAM),
        ("chain(clip(1e9), partition(matrices=sgd, others=sgd))", SGD),
    ],
)
def test_updates_are_multiplied_by_the_factors_of_the_family(expression, factors):
    plain = updates(expression)
    scaled = updates(expression, RateFactors(ADAM, SGD))
    for before, after in zip(plain, scaled, strict=True):
        for name, factor in factors.items():
            np.testing.assert_allclose(after[name], factor * before[name], rtol=1e-6)


def test_two_families_in_a_partition_have_each_its_own():
    expression = "partition(matrices=adam, others=sgd)"
    before, after = (updates(expression, f)[0] for f in (None, RateFactors(ADAM, SGD)))
    np.testing.assert_allclose(after["w"], 0.25 * before["w"], rtol=1e-6)
    np.testing.assert_allclose(after["b"], 8.0 * before["b"], rtol=1e-6)


def test_frozen_leaves_stay_frozen():
    expression = "partition(matrices=adam, others=set_to_zero)"
    found = updates(expression, RateFactors(ADAM, SGD))[0]
    np.testing.assert_array_equal(found["b"], jnp.zeros(2))


@pytest.mark.parametrize("expression", ["adamw(weight_decay=0.1)", "lion"])
def test_decay_is_the_same_at_every_width(expression):
    """Without a gradient only the decay is left: no factor multiplies it."""
    grads = jax.tree.map(jnp.zeros_like, PARAMS)
    before = updates(expression, grads=grads)[-1]
    after = updates(expression, RateFactors(ADAM, SGD), grads=grads)[-1]
    assert float(jnp.abs(before["w"]).min()) > 0.0
    np.testing.assert_allclose(after["w"], before["w"], rtol=1e-6)


def test_lookahead_compares_scaled_updates_with_parameters():
    expression = "lookahead(sgd(0.1), sync_period=1, slow_step_size=0.5)"
    found = updates(expression, RateFactors(ADAM, SGD))[0]
    np.testing.assert_allclose(found["b"], -0.5 * 0.8 * PARAMS["b"], rtol=1e-5)
    np.testing.assert_allclose(found["w"], -0.5 * 0.1 * PARAMS["w"], rtol=1e-5)


def test_without_factors_the_spec_is_the_same_object():
    spec, _ = optimizers.split("chain(clip(1.0), lookahead(adamw))")
    assert optimizers.with_rate_factors(spec, problem(None)) is spec


def test_rates_and_schedules_reach_the_program():
    made = gradjax.program(
        problem(RateFactors(ADAM, SGD)),
        "adamw(b1=linear(peak=0.9))",
        "cosine",
        num_steps=4,
    )
    assert made.plan.optimizer.rates == ("learning_rate",)
    assert [path for path, _ in made.plan.optimizer.scheduled] == ["optimizer.b1"]
    rates = gradjax.run(made).trace["learning_rate"].values
    assert rates[0] > rates[-1] > 0.0


# Gradients are large, because some rules start their sums at a constant or add one.
GRADS = jax.tree.map(lambda x: 1e4 * (x + 0.3), PARAMS)


QUICK = ("adam", "sgd")


@pytest.mark.parametrize(
    "name",
    [pytest.param(x, marks=[pytest.mark.slow] * (x not in QUICK)) for x in FAMILIES],
)
def test_each_rule_is_of_its_family(name):
    """sgd: updates are linear; adam: they do not depend on the scale of gradients.

    In both, an entry of an update depends on its own gradients alone.
    """
    zero = jax.tree.map(jnp.zeros_like, PARAMS)  # no decay

    is_whole = name in optimizers.OPTIMIZERS
    expression = name if is_whole else f"chain({name}, scale_by_learning_rate)"

    def last(grads):
        return updates(expression, grads=grads, params=zero)[-1]

    found, doubled = last(GRADS), last(jax.tree.map(lambda g: 4.0 * g, GRADS))
    other = last({**GRADS, "w": GRADS["w"].at[0, 0].multiply(-7.0)})
    factor = 4.0 if FAMILIES[name] == "sgd" else 1.0
    for leaf in PARAMS:
        assert float(jnp.abs(found[leaf]).min()) > 0.0
        np.testing.assert_allclose(doubled[leaf], factor * found[leaf], rtol=1e-3)
    np.testing.assert_array_equal(other["b"], found["b"])
    np.testing.assert_array_equal(other["w"].ravel()[1:], found["w"].ravel()[1:])


def own(learning_rate=0.1):
    return optax.chain(optax.scale_by_adam(), optax.scale(-learning_rate))


@pytest.mark.parametrize(
    ("expression", "line"),
    [
        ("muon", "muon is neither of the family of adam"),
        ("lookahead(lamb)", "lamb is neither"),
        ("chain(scale_by_muon, scale_by_learning_rate)", "scale_by_muon is neither"),
        ("chain(scale_by_adam, sgd)", "rules of the families adam and sgd"),
        (f"{__name__}:own", "of your own rule, mup"),
    ],
)
def test_rules_without_a_family_are_refused(expression, line):
    with pytest.raises(Refusal, match=line):
        updates(expression, RateFactors(ADAM, SGD))


def test_a_family_can_be_said_for_a_rule_of_ones_own():
    before = updates(f"{__name__}:own")[0]
    after = updates(f"{__name__}:own", RateFactors(ADAM, SGD, "adam"))[0]
    np.testing.assert_allclose(after["w"], 0.25 * before["w"], rtol=1e-6)


def test_bfloat16_updates_keep_their_type():
    params = jax.tree.map(lambda x: x.astype(jnp.bfloat16), PARAMS)
    found = updates("adamw", RateFactors(ADAM, SGD), params, params)[0]
    assert {leaf.dtype for leaf in jax.tree.leaves(found)} == {jnp.dtype("bfloat16")}
