"""The data of the benchmark: all rivals train on the same arrays."""

from typing import NamedTuple

import numpy as np

from gradjax import data
from gradjax.data import texts
from gradjax.data.vocabulary import SPECIAL
from gradjax.errors import Refusal
from scripts.baselines import NUM_TOKENS, TIME

_NUM_IMAGES = 55_000  # random ones, if MNIST is not prepared
_NUM_TEXTS = 20_000
_NUM_CHARACTERS, _NUM_LETTERS = 1_000_000, 65  # if tiny_shakespeare is not prepared


class Inputs(NamedTuple):
    """Pairs of inputs and targets."""

    # u8[n, 28, 28, 1], or the characters of a text u8[n], or texts i32[n, TIME]
    inputs: np.ndarray
    targets: np.ndarray  # i32[n] in [0, 10), or the next characters u8[n]
    about: str  # a line of the report
    chance: float  # the loss of a network that does not use its inputs
    is_random: bool  # whether the data are random, so that nothing can be learned


def images() -> Inputs:
    """Loads the training images of MNIST, or draws random ones without MNIST.

    Raises:
      Refusal: MNIST is prepared and damaged.
    """
    chance = float(np.log(10))
    if data.is_prepared("mnist"):
        train = data.load("mnist").train
        count = len(train["label"])
        about = f"MNIST; {count:,} training images of 28x28 pixels"
        return Inputs(train["image"], train["label"], about, chance, False)
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, 256, (_NUM_IMAGES, 28, 28, 1), np.uint8)
    labels = rng.integers(0, 10, _NUM_IMAGES, np.int32)
    about = f"{_NUM_IMAGES:,} RANDOM images, since MNIST is not prepared here"
    return Inputs(drawn, labels, about, chance, True)


def characters() -> Inputs:
    """Loads the train split of tiny_shakespeare, or draws random characters.

    Raises:
      Refusal: it is prepared and damaged.
    """
    if data.is_prepared("tiny_shakespeare"):
        said = str(texts.load_plain("tiny_shakespeare").train)
        codes = np.frombuffer(said.encode("ascii", "replace"), np.uint8)
        about, is_random = f"tiny_shakespeare; {len(codes):,} characters", False
    else:
        rng = np.random.default_rng(0)
        codes = rng.integers(32, 32 + _NUM_LETTERS, _NUM_CHARACTERS, np.uint8)
        why = "since tiny_shakespeare is not prepared here"
        about, is_random = f"{len(codes):,} RANDOM characters, {why}", True
    shares = np.bincount(codes) / len(codes)
    shares = shares[shares > 0]
    chance = float(-(shares * np.log(shares)).sum())
    return Inputs(codes[:-1], codes[1:], about, chance, is_random)


def texts_of_mixed_length() -> Inputs:
    """Draws texts of 1 to TIME tokens, padded with 0, of ten classes.

    A token belongs to one class, and half of the tokens of a text to the text's class.
    """
    rng = np.random.default_rng(0)
    first, shape = len(SPECIAL), (_NUM_TEXTS, TIME)
    labels = rng.integers(0, 10, _NUM_TEXTS, np.int32)
    drawn = rng.integers(0, (NUM_TOKENS - first) // 10, shape, np.int32) * 10
    classes = rng.integers(0, 10, shape, np.int32)
    classes = np.where(rng.random(shape) < 0.5, labels[:, None], classes)
    lengths = rng.integers(1, TIME + 1, _NUM_TEXTS)
    is_token = np.arange(TIME) < lengths[:, None]
    codes = np.where(is_token, first + drawn + classes, 0)
    about = f"{_NUM_TEXTS:,} drawn texts of 1 to {TIME} of {NUM_TOKENS:,} tokens"
    return Inputs(codes, labels, about, float(np.log(10)), False)


INPUTS = {"images": images, "characters": characters, "texts": texts_of_mixed_length}


def check_loss(who: str, loss: float, of: Inputs) -> None:
    """Refuses the times of a network that does not learn, because they mean nothing.

    Raises:
      Refusal: the loss is not clearly below chance, or, if nothing can be learned, it
        is far above chance.
    """
    bound = of.chance * (1.5 if of.is_random else 0.95)
    if not loss < bound:
        raise Refusal(
            f"{who}: training loss {loss:.3f} after the rounds; expected under"
            f" {bound:.3f}, so its time means nothing"
        )
