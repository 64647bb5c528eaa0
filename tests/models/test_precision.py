"""Networks that compute in bfloat16: products, parameters, and the descent."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gradjax import models
from gradjax.errors import Refusal
from gradjax.models.precision import PRECISIONS
from gradjax.models.recommender import Catalogue
from gradjax.problems import images
from gradjax.problems.network import network

RNG = np.random.default_rng(0)
IMAGES = RNG.uniform(size=(4, 12, 12, 1)).astype(np.float32)
TOKENS, LENGTHS = RNG.integers(1, 9, (4, 6)).astype(np.int32), np.int32([6, 5, 4, 6])
IDS = np.arange(4, dtype=np.int32)
SEEN = np.ones(4, bool)
ROWS = tuple(TOKENS if k % 2 == 0 else np.ones((4, 6), np.int32) for k in range(4))
FAMILIES = {
    "MODELS": (((12, 12, 1), 3), ("apply", IMAGES)),
    "AUTOENCODERS": (((12, 12, 1),), ("encode", IMAGES)),
    "TEXT_MODELS": ((9, 3), ("apply", (TOKENS, LENGTHS))),
    "LANGUAGE_MODELS": ((9,), ("apply", TOKENS)),
    "RECOMMENDERS": (
        (Catalogue(SEEN, SEEN, np.ones((4, 2), bool)),),
        ("user", IDS),
    ),
    "TRANSLATORS": ((9,), ("apply", ROWS)),
}
EXPRESSIONS = {
    "all_cnn": "all_cnn(width=4)",
    "cnn": "cnn(channels=(4,))",
    "lstm": "lstm(width=8)",
    "resnet": "resnet(width=8, depth=1)",
    "transformer": "transformer(width=16, depth=1, heads=2)",
    "vae": "vae(widths=(8,), latent=2)",
    "vit": "vit(width=16, depth=1, heads=2)",
}
NAMES = [(family, name) for family in FAMILIES for name in getattr(models, family)]
# Their products are of single vectors, or they only look vectors up.
WITHOUT_PRODUCTS = ("factorisation",)


def parts_of(family, name, precision="bfloat16"):
    """Returns (init, a function of the parameters that gives the outputs)."""
    given, (field, inputs) = FAMILIES[family]
    registry = getattr(models, family)
    text = EXPRESSIONS.get(name, name)
    try:
        model = network(text, registry, *given, precision=precision)
    except Refusal as refusal:  # a network that needs larger images
        assert "image" in str(refusal)
        model = network(text, registry, (32, 32, 1), 3, precision=precision)
        inputs = RNG.uniform(size=(2, 32, 32, 1)).astype(np.float32)

    def outputs(params):
        function = getattr(model, field)
        if getattr(model, "init_state", None) is None:
            return function(params, inputs)
        state = model.init_state(jax.random.key(0))
        return function(params, inputs, jax.random.key(1), state)[0]

    return model.init, outputs


def loss_of(outputs):
    def loss(params):
        return sum(jnp.square(x - 0.5).mean() for x in jax.tree.leaves(outputs(params)))

    return loss


def products(jaxpr):
    """Yields the types of the operands of all products in a jaxpr."""
    for equation in jaxpr.eqns:
        if equation.primitive.name in ("dot_general", "conv_general_dilated"):
            yield equation.invars[0].aval.dtype.name
        for value in equation.params.values():
            for one in value if isinstance(value, tuple | list) else (value,):
                if hasattr(one, "eqns") or hasattr(one, "jaxpr"):
                    yield from products(getattr(one, "jaxpr", one))


@pytest.mark.parametrize(("family", "name"), NAMES)
def test_it_computes_in_bfloat16_and_its_parameters_are_float32(family, name):
    init, outputs = parts_of(family, name)
    params = jax.eval_shape(init, jax.random.key(0))
    assert {x.dtype.name for x in jax.tree.leaves(params)} == {"float32"}
    traced = jax.make_jaxpr(jax.value_and_grad(loss_of(outputs)))(params)
    assert {x.dtype.name for x in traced.out_avals} == {"float32"}  # loss, gradients
    found = set(products(traced.jaxpr))
    assert found == (set() if name in WITHOUT_PRODUCTS else {"bfloat16"})
    if name in WITHOUT_PRODUCTS:
        assert "bf16" in str(traced)


def descent(family, name, precision):
    init, outputs = parts_of(family, name, precision)
    params, loss = jax.jit(init)(jax.random.key(0)), loss_of(outputs)
    rule = optax.adam(3e-4)
    state, losses = rule.init(params), []

    @jax.jit
    def step(params, state):
        value, grads = jax.value_and_grad(loss)(params)
        updates, state = rule.update(grads, state, params)
        return value, optax.apply_updates(params, updates), state

    for _ in range(8):
        value, params, state = step(params, state)
        losses.append(float(value))
    assert {x.dtype.name for x in jax.tree.leaves(params)} == {"float32"}
    return losses


@pytest.mark.parametrize(("family", "name"), NAMES)
@pytest.mark.slow
def test_it_trains_in_bfloat16_nearly_as_in_float32(family, name):
    low, high = (descent(family, name, one) for one in reversed(PRECISIONS))
    assert low[-1] < low[0]
    np.testing.assert_allclose(low, high, rtol=0.1, atol=0.03 * high[0])


@pytest.mark.slow
def test_float32_is_the_model_itself():
    made = network("mlp", models.MODELS, (2, 2, 1), 3)
    written = network("mlp", models.MODELS, (2, 2, 1), 3, precision="float32")
    jaxprs = [
        str(
            jax.make_jaxpr(functools.partial(one.apply))(
                one.init(jax.random.key(0)), np.ones((1, 2, 2, 1), np.float32)
            )
        )
        for one in (made, written)
    ]
    assert jaxprs[0] == jaxprs[1] and "bf16" not in jaxprs[0]


def test_an_unknown_precision_is_refused():
    with pytest.raises(Refusal, match="precision='half'.*'float32' or 'bfloat16'"):
        images.load("digits", precision="half")
