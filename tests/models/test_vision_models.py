"""The networks of images against numpy, loops and the libraries."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradjax import Refusal, problems
from gradjax.models import MODELS
from gradjax.models.convolution import (
    Convolution,
    convolve_lax,
    convolve_patches,
)
from gradjax.models.resnet import shortcut
from gradjax.models.vae import vae
from gradjax.models.vit import patches_of

KEY = jax.random.key(0)


def normal(*shape, seed=0):
    rng = np.random.default_rng(seed)
    return jnp.asarray(rng.normal(size=shape), jnp.float32)


def drawn(model):
    """Parameters of the model's shapes; compiling its own init takes seconds."""
    leaves, treedef = jax.tree.flatten(jax.eval_shape(model.init, KEY))
    made = [0.3 * normal(*leaf.shape, seed=i) for i, leaf in enumerate(leaves)]
    return jax.tree.unflatten(treedef, made)


def close(ours, theirs):
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


PUBLISHED = [
    # Schneider et al. 2019 (DeepOBS).
    ("cnn_2c2d", (28, 28, 1), 10, 3_274_634),
    ("cnn_3c3d", (32, 32, 3), 10, 895_210),
    # Springenberg et al. 2015, on CIFAR-100.
    ("all_cnn", (32, 32, 3), 100, 1_387_108),
    # He et al. 2016: 0.27 million of ResNet-20, and the norms' scales and offsets.
    ("resnet(depth=3)", (32, 32, 3), 10, 269_722),
    # Patches and places; 3 blocks of 2 norms, attention, a relu layer; norm, logits.
    (
        "vit",
        (28, 28, 1),
        10,
        (16 * 64 + 64)
        + 49 * 64
        + 3 * (4 * 64 + 4 * (64 * 64 + 64) + (64 * 256 + 256) + (256 * 64 + 64))
        + 2 * 64
        + 650,
    ),
]


@pytest.mark.parametrize(("expression", "shape", "classes", "count"), PUBLISHED)
def test_the_published_networks_have_their_sizes(expression, shape, classes, count):
    model = problems.model_of(expression, shape, classes)
    params = jax.eval_shape(model.init, KEY)
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == count


@pytest.mark.parametrize(
    ("shape", "size", "stride"),
    [
        ((2, 8, 8, 3), 3, 2),
        ((1, 7, 9, 2), 3, 2),
        ((2, 5, 6, 4), 1, 1),
        ((1, 9, 9, 1), 5, 3),
    ],
)
def test_strided_patches_are_the_convolution(shape, size, stride):
    x, kernel = normal(*shape), normal(size, size, shape[-1], 4, seed=1)
    described = jax.eval_shape(lambda *args: convolve_lax(*args, stride), x, kernel)
    weights = normal(*described.shape, seed=2)

    def convolved(convolve):
        def loss(x, kernel):
            outputs = convolve(x, kernel, stride)
            return (weights * outputs).sum(), outputs

        return jax.jit(jax.grad(loss, (0, 1), has_aux=True))(x, kernel)

    jax.tree.map(close, convolved(convolve_patches), convolved(convolve_lax))


@pytest.mark.parametrize(("side", "stride"), [(8, 1), (8, 2), (7, 2)])
def test_a_padded_convolution_has_a_size_of_its_stride_alone(side, stride):
    module = Convolution(4, is_padded=True, stride=stride)
    x = normal(1, side, side, 2)
    outputs, _ = jax.eval_shape(module.init_with_output, KEY, x)
    assert outputs.shape == (1, -(-side // stride), -(-side // stride), 4)


def numpy_group_norm(x, params, groups):
    """Mean 0 and deviation 1 over a group of channels and all places of an image."""
    batch, height, width, channels = x.shape
    grouped = x.reshape(batch, height, width, groups, channels // groups)
    mean = grouped.mean(axis=(1, 2, 4), keepdims=True)
    variance = grouped.var(axis=(1, 2, 4), keepdims=True)
    normed = ((grouped - mean) / np.sqrt(variance + 1e-6)).reshape(x.shape)
    return normed * params["scale"] + params["bias"]


def numpy_convolution(x, kernel, stride):
    """The sum over a 3x3 window of the padded image, place by place."""
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    rows = []
    for row in range(0, x.shape[1], stride):
        windows = [
            padded[:, row : row + 3, column : column + 3]
            for column in range(0, x.shape[2], stride)
        ]
        rows.append([np.tensordot(w, kernel, axes=3) for w in windows])
    return np.asarray(rows).transpose(2, 0, 1, 3)


def numpy_batch_norm(x, params, _groups):
    """Mean 0 and deviation 1 over the batch and all places."""
    normed = (x - x.mean(axis=(0, 1, 2))) / np.sqrt(x.var(axis=(0, 1, 2)) + 1e-5)
    return normed * params["scale"] + params["bias"]


NORMS = {
    "group": ("GroupNorm", numpy_group_norm, 2),
    "layer": ("GroupNorm", numpy_group_norm, 1),
    "batch": ("BatchNorm", numpy_batch_norm, None),
}


def numpy_resnet(params, x, norm):
    name, normed, groups = NORMS[norm]

    def layer(tree, number, x, stride=1):
        x = numpy_convolution(x, tree[f"Convolution_{number}"]["kernel"], stride)
        return normed(x, tree[f"{name}_{number}"], groups)

    x = np.maximum(layer(params, 0, x), 0)
    for number, stride in enumerate((1, 2, 2)):
        tree = params[f"_Block_{number}"]
        inner = np.maximum(layer(tree, 0, x, stride), 0)
        inner = layer(tree, 1, inner)
        kept = x[:, ::stride, ::stride]
        inner[..., : kept.shape[-1]] += kept
        x = np.maximum(inner, 0)
    dense = params["Dense_0"]
    return x.mean(axis=(1, 2)) @ dense["kernel"] + dense["bias"]


@pytest.mark.parametrize(
    "norm",
    [pytest.param(one, marks=[pytest.mark.slow] * (one != "group")) for one in NORMS],
)
def test_the_residual_network_is_numpys(norm):
    model = MODELS["resnet"]((7, 8, 2), 3, width=4, groups=2, norm=norm)
    params, x = drawn(model), normal(3, 7, 8, 2)
    in_numpy = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), params)
    expected = numpy_resnet(in_numpy, np.asarray(x, np.float64), norm)
    if norm == "batch":
        state = model.init_state(KEY)
        outputs, new = jax.jit(model.apply)(params, x, KEY, state)
        close(outputs, expected)
        before, after = (of["batch_stats"]["BatchNorm_0"] for of in (state, new))
        kernel = in_numpy["Convolution_0"]["kernel"]
        mean = numpy_convolution(np.asarray(x), kernel, 1).mean(axis=(0, 1, 2))
        close(after["mean"], 0.9 * before["mean"] + 0.1 * mean)
    else:
        close(jax.jit(model.apply)(params, x), expected)


def test_batch_norm_keeps_a_state_with_the_parameters_of_group_norm():
    def shapes(tree):
        return sorted(leaf.shape for leaf in jax.tree.leaves(tree))

    made = [problems.model_of(f"resnet(norm={norm})", (8, 8, 1), 10) for norm in NORMS]
    params = [shapes(jax.eval_shape(model.init, KEY)) for model in made]
    assert params[0] == params[1] == params[2]
    assert [model.init_state is None for model in made] == [True, True, False]
    state = jax.eval_shape(made[2].init_state, KEY)
    assert shapes(state) == sorted([(16,)] * 6 + [(32,)] * 4 + [(64,)] * 4)


def test_a_shortcut_has_zeros_in_new_channels():
    x = normal(2, 5, 4, 3)
    kept = shortcut(x, 5, 2)
    assert kept.shape == (2, 3, 2, 5)
    np.testing.assert_array_equal(kept[..., :3], x[:, ::2, ::2])
    assert not kept[..., 3:].any()


def test_patches_are_those_of_a_loop():
    images = np.arange(2 * 6 * 4 * 3).reshape(2, 6, 4, 3)
    expected = [
        [
            image[row : row + 2, column : column + 2].ravel()
            for row in range(0, 6, 2)
            for column in range(0, 4, 2)
        ]
        for image in images
    ]
    np.testing.assert_array_equal(patches_of(jnp.asarray(images), 2), expected)


@pytest.mark.slow
def test_the_vit_sees_where_a_patch_is():
    model = MODELS["vit"]((4, 4, 1), 3, patch=2, width=8, depth=1, heads=2)
    params, x = drawn(model), normal(1, 4, 4, 1)
    moved = jnp.roll(x, 2, axis=1)
    apply = jax.jit(model.apply)
    assert np.abs(apply(params, x) - apply(params, moved)).max() > 1e-4


@pytest.mark.slow
def test_all_cnn_drops_in_training_alone():
    model = MODELS["all_cnn"]((8, 8, 1), 3, width=4)
    params, x = drawn(model), normal(2, 8, 8, 1)
    apply = jax.jit(model.apply)
    one, same, other = (apply(params, x, jax.random.key(k)) for k in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()
    without = jax.make_jaxpr(model.apply)(params, x)
    assert "random" not in str(without) and "threefry" not in str(without)


@pytest.mark.slow
def test_a_vae_is_two_networks_of_one_tree():
    made = vae((4, 4, 1), widths=(8, 6), latent=3)
    params = jax.jit(made.init)(KEY)
    sizes = [(16, 8), (8, 6), (6, 6), (3, 6), (6, 8), (8, 16)]
    count = sum(leaf.size for leaf in jax.tree.leaves(params))
    assert count == sum(fan_in * units + units for fan_in, units in sizes)
    x = normal(5, 4, 4, 1)
    mean, log_variance = jax.jit(made.encode)(params, x)
    assert mean.shape == log_variance.shape == (5, 3)
    assert jax.jit(made.decode)(params, mean).shape == (5, 16)


@pytest.mark.parametrize(
    ("expression", "count"),
    [
        ("mlp(widths=(128, 64))", 784 * 128 + 128 + 128 * 64 + 64 + 650),
        ("mlp(widths=(7,))", 784 * 7 + 7 + 80),
        ("mlp(widths=[])", 7_850),
        ("cnn(channels=(8, 8))", 80 + 584 + 2_010),
        ("resnet(width=4, groups=2)", None),
    ],
)
def test_an_expression_is_the_factorys_call(expression, count):
    model = problems.model_of(expression, (28, 28, 1), 10)
    params = jax.eval_shape(model.init, KEY)
    assert count in (None, sum(leaf.size for leaf in jax.tree.leaves(params)))


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("mpl", "did you mean 'mlp'?"),
        ("mlp(width=8)", "unknown argument of mlp: 'width'; did you mean 'widths'?"),
        (
            "mlp(widths=128)",
            "mlp: widths=128: expected at most 32 numbers, as in (128,)",
        ),
        ("mlp(widths=(0,))", "mlp: widths=0: expected a whole number from 1 to 8192"),
        ("mlp(widths=(1.5,))", "mlp: widths=1.5: expected a whole number"),
        ("mlp(widths=(True,))", "mlp: widths=True: expected a whole number"),
        (f"mlp(widths={(8,) * 33})", "expected at most 32 numbers"),
        ("mlp((8,))", "arguments go by name; mlp has widths"),
        ("logistic(8)", "arguments go by name; logistic has none"),
        ("cnn(channels=(8, 8, 8, 8))", "4 layers; an image of 28x28 has room for 3"),
        ("resnet(width=12)", "width=12: expected a multiple of groups=8"),
        ("resnet(norm=bath)", "norm='bath': expected 'batch' or 'group' or 'layer'"),
        ("resnet(norm=8)", "norm=8: expected 'batch' or 'group' or 'layer'"),
        ("vit(patch=5)", "an image of 28x28 splits into patches of 1, 2, 4, 7, 14, 28"),
        ("vit(width=12)", "width=12: expected a multiple of 2 * heads=8"),
        ("all_cnn(dropout=1.0)", "dropout=1.0: expected a number from 0 to 0.95"),
        ("mlp(widths=(wide,))", "expected a whole number"),
        ("", "cannot read"),
    ],
)
def test_a_bad_expression_is_refused_in_one_line(expression, expected):
    with pytest.raises(Refusal) as refused:
        problems.model_of(expression, (28, 28, 1), 10)
    assert expected in str(refused.value) and "\n" not in str(refused.value)
