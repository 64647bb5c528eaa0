"""Gradient accumulation and rematerialisation: the same step in less memory."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradjax
from gradjax import Refusal
from gradjax.models.resnet import resnet
from gradjax.models.transformer import decoder
from gradjax.training import compilation

BATCH = 12
X = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)


class Line(nn.Module):
    @nn.compact
    def __call__(self, inputs):
        return nn.Dense(1)(inputs)[:, 0]


def problem():
    def loss(outputs, batch):
        return jnp.square(outputs - batch["y"])

    data = {"x": X, "y": X @ np.float32([1.0, -2.0, 0.5])}
    return gradjax.from_linen(Line(), loss, data, data, metrics={"error": loss})


def program(optimizer="sgd(0.1)", **more):
    sizes: dict[str, Any] = {"num_steps": 6, "batch_size": BATCH}
    return gradjax.program(problem(), optimizer, **(sizes | more))


def stepped(made):
    """The state and the report after the first step, and the bytes of temporaries."""
    plan, key, i = made.plan, jax.random.key(0), np.uint32(0)
    train = plan.problem.data.train
    batch = train.take(train.arrays, np.arange(plan.batch_size, dtype=np.uint32))
    state = jax.jit(made.init)(made.hparams, np.uint32(0))
    step = jax.jit(made.step).lower(state, batch, made.hparams, key, i)
    step = step.compile(compiler_options=compilation.options_of(plan))
    after, info = step(state, batch, made.hparams, key, i)
    return after, info, step.memory_analysis().temp_size_in_bytes


def close(a, b):
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("count", [2, 12])
def test_the_mean_over_the_parts_is_the_gradient_of_the_batch(count):
    (whole, info, _), (parts, other, _) = map(
        stepped, (program(), program(accumulate=count))
    )
    close(whole.params, parts.params)
    close(info, other)
    assert set(other.aux) == set(info.aux)


def test_each_part_has_its_own_key_and_the_state_of_the_part_before():
    def loss(params, batch, key, state):
        value = params * 0.0 + jax.random.uniform(key) + batch["x"].mean()
        return value, {}, state + 1

    data = {"x": np.zeros((4, 1), np.float32)}
    made = gradjax.problem(
        loss,
        lambda _: jnp.float32(1.0),
        data,
        state=lambda _: jnp.int32(0),
        metrics=lambda p, *_: {"loss": (p, jnp.float32(1.0))},
    )
    made = gradjax.program(made, "sgd(0.1)", num_steps=1, batch_size=4, accumulate=4)
    after, info, _ = stepped(made)
    key = jax.random.key(0)
    drawn = [jax.random.uniform(jax.random.fold_in(key, k)) for k in range(4)]
    assert after.model_state == 4
    np.testing.assert_allclose(info.loss, np.mean(drawn), rtol=1e-6)


@pytest.mark.parametrize(
    ("optimizer", "count", "line"),
    [
        ("sgd", 5, "does not divide a batch of 12 examples into equal parts"),
        ("sgd", 0, "accumulate=0: must be a positive whole number"),
        ("lbfgs", 2, "evaluates the loss of the complete batch again"),
        (
            "dpsgd(l2_norm_clip=1.0, noise_multiplier=1.0)",
            2,
            "takes the gradient of each example",
        ),
    ],
)
def test_what_accumulation_cannot_do_is_refused(optimizer, count, line):
    with pytest.raises(Refusal, match=line):
        program(optimizer, accumulate=count)
    with pytest.raises(Refusal, match="no data, so there is no batch"):
        surface = gradjax.problems.make("booth")
        gradjax.program(surface, num_steps=1, accumulate=2)


def test_a_network_without_layers_is_not_rematerialised():
    with pytest.raises(Refusal, match="no layers that can be rematerialised"):
        program(remat=True)


def network(name):
    """A small problem of a Transformer, or of a residual network with a state."""
    rng = np.random.default_rng(0)
    if name == "transformer":
        model, width = decoder(8, width=16, depth=3, heads=2), 64
        data = {"x": rng.integers(0, 8, size=(16, width)).astype(np.int32)}
    else:
        model = resnet((8, 8, 1), 4, width=4, norm="batch")
        data = {"x": rng.normal(size=(16, 8, 8, 1)).astype(np.float32)}

    def loss(params, batch, key, *state):
        outputs = model.apply(params, batch["x"], key, *state)
        outputs, *state = outputs if state else (outputs,)
        value = jnp.square(jax.nn.log_softmax(outputs)).mean()
        return (value, {}, *state)

    more = {} if model.init_state is None else {"state": model.init_state}

    def metrics(params, batch, key, *state):
        value = loss(params, batch, key, *state)[0]
        return {"loss": (value, jnp.ones_like(value))}

    return gradjax.problem(loss, model.init, data, metrics=metrics, **more)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "part"), [("transformer", 0.5), ("resnet", 1.0)])
def test_rematerialised_layers_give_the_same_step(name, part):
    made = network(name)
    sizes = {"num_steps": 2, "batch_size": 16}
    programs = [gradjax.program(made, "sgd(0.1)", **sizes, remat=x) for x in (0, 1)]
    (plain, info, most), (again, other, least) = map(stepped, programs)
    paths = [jax.tree.structure(one) for one in (plain, again)]
    assert paths[0] == paths[1]
    close(plain, again)
    close(info, other)
    assert least < part * most
