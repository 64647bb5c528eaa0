"""A diagnostic never changes a run: the same bits with and without it."""

import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradjax
from gradjax.data import pieces
from gradjax.data.strings import PlainText
from gradjax.problems import images
from gradjax.problems import language as languages
from gradjax.trials import batches, lanes
from gradjax.types import Diagnostic

pytestmark = pytest.mark.optimized

WIDTHS = (1, 2, 16)
OPTIMIZERS = ("sgd", "adam", "soap")
NETWORKS = ("mlp", "cnn", "gru", "transformer")
# The complete matrix takes ten minutes, so by default a third of it is tested, in which
# each two of network, optimizer and width meet. COMPLETE=1 tests all of it.
MATRIX = [
    (name, optimizer, width)
    for i, name in enumerate(NETWORKS)
    for j, optimizer in enumerate(OPTIMIZERS)
    for k, width in enumerate(WIDTHS)
    if (i + j + k) % 3 == 0 or os.environ.get("COMPLETE")
]
TEXT = "the quick brown fox jumps over the lazy dog. " * 20


def lengths(params, grads, updates):
    def length(tree):
        return jnp.sqrt(sum(jnp.vdot(leaf, leaf) for leaf in jax.tree.leaves(tree)))

    return {
        "params": length(params),
        "grads": length(grads),
        "updates": length(updates),
    }


def curvature(loss, params, batch, grads, memory):
    """A product with the Hessian, whose direction is kept."""

    def gradient(params):
        return jax.grad(loss)(params, batch)

    product = jax.jvp(gradient, (params,), (memory,))[1]
    found = sum(map(jnp.vdot, *map(jax.tree.leaves, (memory, product))))
    return found, jax.tree.map(jnp.add, memory, grads)


DIAGNOSTICS = [
    Diagnostic(lengths, every=10),
    Diagnostic(curvature, init=lambda params: params, every=25),
    Diagnostic(lambda loss, params, batch: loss(params, batch), on=20, name="fixed"),
]


def network(name):
    if name in ("mlp", "cnn"):
        model = {"mlp": "mlp(widths=(16,))", "cnn": "cnn(channels=(4, 8))"}[name]
        return images.load("digits", model)
    text = PlainText("fox", TEXT, TEXT[:100], TEXT[:100], "", "test")
    expression = {
        "gru": "gru(width=16)",
        "transformer": "transformer(width=16, depth=1, heads=2)",
    }[name]
    num_tokens = len(pieces.alphabet(text.train)) + 1
    model = languages.language_model(expression, num_tokens)
    return languages.language(text, model, 16)


def curves(problem, optimizer, width, diagnostics, num_steps):
    """The trace of each step, and the states at the end."""
    program = gradjax.program(
        problem,
        optimizer,
        num_steps=num_steps,
        batch_size=8,
        eval_every=40,
        diagnostics=diagnostics,
    )
    rates = [{"learning_rate": 10 ** (-2 - k / 8)} for k in range(width)]
    found = batches.run(lanes.lanes(program, width), rates, list(range(width)), 1)
    return found.trace, (found.params, found.state, found.evaluation)


def check(name, optimizer, width, num_steps=200):
    problem = network(name)
    # Compiling its evaluation takes seconds, and the validation split shows the same.
    problem = problem._replace(data=problem.data._replace(test=None))
    (plain, end), (measured, same_end) = (
        curves(problem, optimizer, width, made, num_steps)
        for made in (None, DIAGNOSTICS)
    )
    assert {"lengths.grads", "curvature", "fixed"} <= measured.keys() - plain.keys()
    for curve, (steps, values) in plain.items():
        np.testing.assert_array_equal(measured[curve].steps, steps)
        np.testing.assert_array_equal(measured[curve].values, values, err_msg=curve)
    jax.tree.map(np.testing.assert_array_equal, same_end, end)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "optimizer", "width"), MATRIX)
def test_the_bits_of_a_run_stay_the_same(name, optimizer, width):
    check(name, optimizer, width)
