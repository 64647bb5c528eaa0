import functools
import zlib

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradjax.models import MODELS
from gradjax.models.convolution import convolve_lax, convolve_patches

KEY = jax.random.key(0)


def num_parameters(params):
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def shapes(params):
    return sorted(leaf.shape for leaf in jax.tree.leaves(params))


def normal(name, *shape):
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    return jnp.asarray(rng.normal(size=shape), jnp.float32)


@functools.cache
def made(name, shape, **arguments):
    """A model and parameters of its shapes; compiling its own init takes seconds."""
    model = MODELS[name](shape, 10, **arguments)
    described = jax.eval_shape(model.init, KEY)
    return model, jax.tree.map(lambda x: 0.1 * normal(str(x), *x.shape), described)


COUNTS = [
    ("mlp", {}, (28, 28, 1), 101_770),
    ("mlp", {"widths": ()}, (28, 28, 1), 7_850),
    ("mlp", {"widths": (16, 16)}, (8,), 8 * 16 + 16 + 16 * 16 + 16 + 16 * 10 + 10),
    ("cnn", {}, (28, 28, 1), 34_826),
    ("cnn", {}, (8, 8, 1), 9 * 32 + 32 + 9 * 32 * 64 + 64 + 2 * 2 * 64 * 10 + 10),
    ("cnn", {"channels": (8, 8)}, (28, 28, 1), 9 * 8 + 8 + 9 * 64 + 8 + 200 * 10 + 10),
    ("logistic", {}, (28, 28, 1), 7_850),
    ("all_cnn", {"width": 4}, (8, 8, 1), 40 + 2 * 148 + 296 + 3 * 584 + 72 + 90),
    ("resnet", {"width": 8}, (8, 8, 1), 72 + 18 * 64 + 54 * 64 + 54 * 256 + 240 + 330),
    (
        "vit",
        {"width": 8, "heads": 2, "depth": 1},
        (8, 8, 1),
        (16 * 8 + 8) + 4 * 8 + 4 * 8 + 4 * 72 + (8 * 32 + 32) + (32 * 8 + 8) + 16 + 90,
    ),
    # Images as small as digits: padded, and not refused.
    ("cnn_2c2d", {"width": 32}, (8, 8, 1), 832 + 51_264 + 256 * 32 + 32 + 330),
    ("cnn_3c3d", {"widths": ()}, (8, 8, 1), 1_664 + 55_392 + 110_720 + 1_290),
]


@pytest.mark.parametrize(("name", "arguments", "shape", "count"), COUNTS)
def test_a_model_is_two_functions(name, arguments, shape, count):
    model, params = made(name, shape, **arguments)
    apply = jax.jit(model.apply)
    assert num_parameters(params) == count
    x = normal("x", 4, *shape)
    outputs = apply(params, x)
    assert outputs.shape == (4, 10) and np.isfinite(outputs).all()
    beside_others = apply(params, normal("others", 4, *shape).at[2].set(x[2]))
    np.testing.assert_allclose(outputs[2], beside_others[2], rtol=1e-4, atol=1e-5)
    assert (outputs[0] != beside_others[0]).any()


def test_every_model_is_counted_here():
    assert {name for name, *_ in COUNTS} == set(MODELS)


@pytest.mark.parametrize(
    "name",
    [
        "cnn",
        "mlp",
        *(pytest.param(n, marks=pytest.mark.slow) for n in ("cnn_2c2d", "cnn_3c3d")),
    ],
)
def test_the_start_is_glorot_uniform_with_biases_at_zero(name):
    model = MODELS[name]((28, 28, 1), 10)
    init = jax.jit(model.init)
    one, same, other = (init(jax.random.key(seed)) for seed in (1, 1, 2))
    jax.tree.map(np.testing.assert_array_equal, one, same)
    for leaf, changed in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        assert leaf.dtype == jnp.float32
        if leaf.ndim == 1:
            assert not leaf.any()
            continue
        window = np.prod(leaf.shape[:-2])
        limit = np.sqrt(6 / (window * (leaf.shape[-2] + leaf.shape[-1])))
        assert 0.9 * limit < np.abs(leaf).max() <= limit
        assert (leaf != changed).any()


@pytest.mark.parametrize("name", sorted(MODELS))
@pytest.mark.slow
def test_bits_do_not_depend_on_the_key_of_apply(name):
    """The program is the same with a key, but for the model with dropout."""
    model, x = MODELS[name]((8, 8, 1), 10), normal("x", 2, 8, 8, 1)
    params = jax.eval_shape(model.init, KEY)
    without, given = (
        str(
            jax.make_jaxpr(lambda params, x, key=key: model.apply(params, x, key))(
                params, x
            )
        )
        for key in (None, KEY)
    )
    assert (without == given) is (name != "all_cnn")


CONVOLUTIONS = [(2, 8, 8, 1, 4, 3), (3, 7, 5, 2, 3, 3), (1, 6, 6, 3, 2, 1)]


@pytest.mark.parametrize("sizes", CONVOLUTIONS)
def test_patches_are_the_convolution(sizes):
    batch, height, width, channels, features, size = sizes
    x = normal("x", batch, height, width, channels)
    kernel = normal("kernel", size, size, channels, features)
    shape = (batch, height - size + 1, width - size + 1, features)
    weights = normal("weights", *shape)

    def convolved(convolve):
        def loss(x, kernel):
            outputs = convolve(x, kernel)
            return (weights * outputs).sum(), outputs

        return jax.jit(jax.grad(loss, (0, 1), has_aux=True))(x, kernel)

    ours, theirs = convolved(convolve_patches), convolved(convolve_lax)
    assert ours[1].shape == shape
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4),
        ours,
        theirs,
    )


def test_a_convolution_by_hand():
    x = jnp.arange(9.0).reshape(1, 3, 3, 1)
    kernel = jnp.asarray([[1.0, 0.0], [0.0, 10.0]]).reshape(2, 2, 1, 1)
    expected = [[0 + 40, 1 + 50], [3 + 70, 4 + 80]]
    for convolve in (convolve_patches, convolve_lax):
        assert convolve(x, kernel)[0, :, :, 0].tolist() == expected


def usual_cnn(params, x, num_layers, is_padded):
    """Convolution, bias, relu, pool: the order of the textbooks."""
    for layer in range(num_layers):
        kernel = params[f"Convolution_{layer}"]["kernel"]
        if is_padded:
            x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
        bias = params[f"bias_{layer}"][None, None, None]
        x = nn.max_pool(jax.nn.relu(convolve_lax(x, kernel) + bias), (2, 2), (2, 2))
    dense = params["Dense_0"]
    return x.reshape(len(x), -1) @ dense["kernel"] + dense["bias"][None]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shape", "is_padded"), [((28, 28, 1), False), ((8, 8, 1), True)]
)
def test_pooled_before_the_bias_is_the_usual_network(shape, is_padded):
    model, params = made("cnn", shape, channels=(8, 8))
    x, weights = normal("x", 2, *shape), normal("weights", 2, 10)
    ours, theirs = (
        jax.jit(jax.value_and_grad(lambda params, f=f: (weights * f(params)).sum()))(
            params
        )
        for f in (
            lambda params: model.apply(params, x),
            lambda params: usual_cnn(params, x, 2, is_padded),
        )
    )
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4),
        ours,
        theirs,
    )


@pytest.mark.slow
def test_either_form_of_the_convolution_has_one_tree_of_parameters(monkeypatch):
    """A record written on the CPU opens on a GPU: only the arithmetic differs."""
    model, params = made("cnn", (8, 8, 1))
    x = normal("x", 2, 8, 8, 1)
    on_cpu = jax.jit(model.apply)(params, x)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert shapes(jax.eval_shape(model.init, KEY)) == shapes(params)
    on_gpu = jax.jit(lambda params, x: model.apply(params, x))(params, x)
    np.testing.assert_allclose(on_gpu, on_cpu, rtol=1e-4, atol=1e-5)
