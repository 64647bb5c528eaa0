"""gradjax: the compiled blocks that `gradjax.run` calls, one after the other."""

import time

import jax
import numpy as np

import gradjax
from gradjax import training
from gradjax.problems.classification import classification, model_for
from gradjax.types import Dataset
from scripts.baselines import LEARNING_RATE, Rival, Round, Settings

# Steps of one compiled call: about 20 ms of the MLP, about a second of the CNN.
_BLOCK_STEPS = {"mlp": 100, "cnn": 25}
_NUM_BLOCKS = 10_000  # of the whole run: more than are timed


def make(settings: Settings, images: np.ndarray, labels: np.ndarray) -> Rival:
    """Compiles the initialisation and the block of training steps."""
    dataset = _dataset(images, labels)
    model = model_for(settings.model, dataset)
    problem = classification(dataset, model, with_accuracy=settings.with_accuracy)
    assert problem.data is not None
    arrays, size = problem.data.train.arrays, _BLOCK_STEPS[settings.model]
    start = time.perf_counter()
    program = gradjax.program(
        problem,
        "adam",
        num_steps=size * _NUM_BLOCKS,
        batch_size=settings.batch_size,
        eval_every=size,
    )
    hparams = training.checked_hparams(program, {"learning_rate": LEARNING_RATE})
    seed, taken = training.checked_seed(0), 0
    state = jax.block_until_ready(program.compiled("init")(hparams, seed))
    block = program.compiled("block", size)
    first_s = time.perf_counter() - start

    def train(num_steps: int) -> Round:
        nonlocal state, taken
        start, losses = time.perf_counter(), []
        for _ in range(num_steps // size):
            state, info = block(state, hparams, seed, np.uint32(taken), arrays)
            losses.append(jax.device_get(info).loss)
            taken += size
        jax.block_until_ready(state)
        return Round(time.perf_counter() - start, float(np.mean(losses)))

    return Rival(first_s, train)


def _dataset(images: np.ndarray, labels: np.ndarray) -> Dataset:
    """The same images as everyone's; nothing is evaluated, so one is held out."""
    train = {"image": images, "label": labels.astype(np.int32)}
    held_out = {name: values[:1] for name, values in train.items()}
    return Dataset(
        name="benchmark",
        train=train,
        validation=held_out,
        test=held_out,
        num_classes=10,
        max_value=255.0,
        fingerprint="",
        origin="scripts.benchmark",
    )
