"""Crops and flips: all of them happen, by the key alone, and none in evaluation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradjax
from gradjax import Refusal, data, problems
from gradjax.problems.augmentation import (
    AUGMENTATIONS,
    MARGIN,
    augmentation,
    random_crop,
    random_flip,
    usual,
)

KEY = jax.random.key(0)


def numbered(batch, height, width, channels=3):
    """Images without two equal pixels, and without zeros."""
    size = height * width * channels
    image = 1 + np.arange(size).reshape(height, width, channels)
    return jnp.asarray(np.broadcast_to(image, (batch, height, width, channels)))


def shifted(image, down, across):
    """Rolled by a loop: what leaves the image is lost, zeros come in."""
    moved = np.zeros_like(image)
    height, width, _ = image.shape
    for row in range(height):
        for column in range(width):
            if 0 <= row + down < height and 0 <= column + across < width:
                moved[row, column] = image[row + down, column + across]
    return moved


@pytest.mark.slow
def test_every_shift_happens_equally_often():
    images = np.asarray(random_crop(numbered(8_100, 6, 5), KEY))
    counts = {}
    for image in images:
        counts[image.tobytes()] = counts.get(image.tobytes(), 0) + 1
    shifts = range(-MARGIN, MARGIN + 1)
    one = np.asarray(numbered(1, 6, 5)[0])
    expected = {shifted(one, y, x).tobytes() for y in shifts for x in shifts}
    assert counts.keys() == expected and len(expected) == 81
    # 100 each, with a deviation near 10: 60 to 140 is four of them.
    assert min(counts.values()) > 60 and max(counts.values()) < 140


def test_half_of_the_images_are_mirrored():
    images = numbered(1_000, 4, 5)
    flipped = np.asarray(random_flip(images, KEY))
    is_same = (flipped == images).all(axis=(1, 2, 3))
    is_mirrored = (flipped == images[:, :, ::-1]).all(axis=(1, 2, 3))
    assert (is_same ^ is_mirrored).all()
    assert 430 < is_mirrored.sum() < 570


@pytest.mark.parametrize("name", sorted(set(AUGMENTATIONS) - {"none"}))
@pytest.mark.slow
def test_each_lane_has_its_own_draws(name):
    augment = jax.jit(augmentation(name))
    images = numbered(16, 6, 6).astype(jnp.uint8)
    keys = jax.random.split(KEY, 3)
    lanes = jax.jit(jax.vmap(augment, in_axes=(None, 0)))(images, keys)
    assert lanes.dtype == jnp.uint8
    for lane, key in zip(lanes, keys, strict=True):
        np.testing.assert_array_equal(lane, augment(images, key))
    assert (lanes[0] != lanes[1]).any()
    both = jax.vmap(augment)(jnp.stack([images] * 3), keys)
    np.testing.assert_array_equal(both, lanes)


@pytest.mark.slow
def test_evaluation_sees_images_as_they_are():
    dataset = data.load("digits")
    model = problems.model_for("logistic", dataset)
    augmented = problems.classification(
        dataset, model, augment=augmentation("crop_and_flip")
    )
    plain = problems.classification(dataset, model)
    params = {
        "Dense_0": {
            "kernel": jax.random.normal(KEY, (64, 10)),
            "bias": jnp.zeros(10),
        }
    }
    batch = jax.tree.map(lambda leaf: leaf[:32], plain.data.train.arrays)
    measured = [
        jax.jit(problem.metrics)(params, batch, KEY) for problem in (augmented, plain)
    ]
    jax.tree.map(np.testing.assert_array_equal, *measured)
    loss = jax.jit(augmented.loss)
    losses = [float(loss(params, batch, jax.random.key(seed))[0]) for seed in (0, 0, 1)]
    assert losses[0] == losses[1] != losses[2]
    assert losses[0] != jax.jit(plain.loss)(params, batch, KEY)[0]


@pytest.mark.slow
def test_lanes_train_as_alone():
    dataset = data.load("digits")
    problem = problems.classification(
        dataset,
        problems.model_for("mlp(widths=(8,))", dataset),
        augment=augmentation("crop"),
    )
    program = gradjax.program(problem, "sgd(0.1)", num_steps=4, batch_size=16)
    one, again, other = (gradjax.run(program, seed=seed) for seed in (0, 0, 1))
    jax.tree.map(np.testing.assert_array_equal, one.params, again.params)
    assert (one.trace["loss"].values != other.trace["loss"].values).any()


def test_digits_are_left_alone_unless_asked():
    assert usual("digits") == usual("mnist") == usual("fashion_mnist") == "none"
    assert usual("cifar10") == "crop_and_flip" and usual("svhn_cropped") == "crop"
    assert augmentation("none") is None


def test_an_unknown_name_is_refused():
    with pytest.raises(
        Refusal, match="unknown augmentation 'corp'; did you mean 'crop'"
    ):
        augmentation("corp")
