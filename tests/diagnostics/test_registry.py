"""Each bundled diagnostic runs in a program, in sweeps too, with its documentation."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradjax
from gradjax import Refusal, problems
from gradjax.diagnostics.registry import DIAGNOSTICS
from gradjax.problems import images
from scripts.list import list_lines


@pytest.fixture(scope="module")
def network():
    """Of 1,200 parameters, because some diagnostics take hundreds of gradients."""
    return images.load("digits", "mlp(widths=(16,))")


NAMES = sorted(DIAGNOSTICS)
# Those of a group share a program, because each program takes seconds to be compiled.
GROUPS = [(NAMES[k::6], 1 + k % 2) for k in range(6)]


@pytest.mark.slow
@pytest.mark.parametrize(("names", "width"), GROUPS, ids=lambda one: str(one)[:40])
def test_each_one_is_measured_in_runs_and_lanes(network, names, width):
    found = gradjax.sweep(
        network,
        "adam",
        {"learning_rate": [1e-3, 1e-2]},
        num_steps=11,
        batch_size=16,
        lane_width=width,
        diagnostics=f"[{', '.join(f'{name}(every=5)' for name in names)}]",
    )
    for name in names:
        curves = [
            one for key, one in found.trace.items() if key.partition(".")[0] == name
        ]
        assert curves, name
        for curve in curves:
            assert curve.steps.tolist() == [1, 6, 11]
            assert curve.values.shape == (2, 3)
        assert any(np.isfinite(one.values).all() for one in curves), name


def test_several_with_intervals_of_their_own_are_measured_together(network):
    made = "[layer_norms(every=5), distances(every=3), step_quality]"
    program = gradjax.program(
        network, "sgd", num_steps=50, batch_size=16, diagnostics=made
    )
    trace = gradjax.run(program).trace
    assert trace["layer_norms.params_norm/Dense_0/kernel"].steps.tolist() == [
        *range(1, 50, 5)
    ]
    ratio = trace["layer_norms.total_update_to_gradient"].values
    np.testing.assert_allclose(ratio, program.hparams["learning_rate"], rtol=1e-4)
    assert trace["step_quality.actual"].values[0] < 0


@pytest.mark.parametrize("name", NAMES)
def test_each_one_is_documented_and_listed(name):
    said = inspect.getdoc(DIAGNOSTICS[name].measure)
    assert said is not None and "Returns:" in said
    lines = list_lines(["diagnostics", name])
    assert lines[0].startswith(f"{name}(every=")


def test_single_examples_are_refused_where_there_are_none():
    x = np.ones((8, 2), np.float32)
    made = gradjax.problem(
        lambda params, _batch, _key, state: (jnp.sum(params**2), {}, state),
        jnp.ones(2),
        {"x": x},
        metrics=lambda _params, _batch, _key, _state: {"loss": (1.0, 1.0)},
        state=jnp.zeros(()),
    )
    with pytest.raises(Refusal, match="its state depends on the complete batch"):
        gradjax.program(made, num_steps=60, diagnostics="noise_scale")
    bowl = problems.make("quadratic")
    with pytest.raises(Refusal, match="this problem has no data"):
        gradjax.program(bowl, num_steps=60, diagnostics="noise_scale")


def test_a_network_that_is_no_linen_module_has_no_activations():
    with pytest.raises(Refusal, match="activations"):
        gradjax.program(problems.make("ridge"), num_steps=60, diagnostics="activations")


@pytest.mark.slow
def test_the_whole_split_gives_the_gradient_of_the_split(network):
    program = gradjax.program(
        network,
        "sgd",
        num_steps=2,
        batch_size=16,
        diagnostics="layer_norms(every=2, on=train)",
    )
    found = gradjax.run(program).trace["layer_norms.total_grads_norm"].values[0]
    source = network.data.train
    params = network.init(jax.random.split(jax.random.key(0))[0])
    every = source.take(
        source.arrays, jnp.arange(source.num_examples, dtype=jnp.uint32)
    )
    grads = jax.grad(lambda p: network.loss(p, every, jax.random.key(0))[0])(params)
    squares = sum(jnp.vdot(g, g) for g in jax.tree.leaves(grads))
    np.testing.assert_allclose(found, jnp.sqrt(squares), rtol=1e-5)


def test_public_names_are_functions_and_not_their_modules():
    for name in gradjax.diagnostics.__all__:
        found = getattr(gradjax.diagnostics, name)
        assert not inspect.ismodule(found), name
        assert found is DIAGNOSTICS or inspect.getdoc(found)
