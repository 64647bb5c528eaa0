"""A run of gradjax on images or on a text, in memory or streamed."""

import os
from collections.abc import Callable

import gradjax
from gradjax import data
from gradjax.data.tfds import CACHE_BYTES
from gradjax.problems import language
from gradjax.problems.classification import classification, model_for
from gradjax.trials import batches, devices, lanes
from gradjax.types import Problem, Splits
from scripts.baselines import LEARNING_RATE
from scripts.baselines.streams import IN_MEMORY, UNCACHED, Network, Place, Speed

_HELD_OUT = 10  # examples; nothing else than training is measured


def make(network: Network, way: str, place: Place, cache: str) -> Callable[[], Speed]:
    """Loads the data; every call trains one run, with another seed.

    Args:
      network: what is trained.
      way: one of WAYS.
      place: the data set.
      cache: the folder for decoded images, which is empty before a way without them.
    """
    os.environ["XDG_CACHE_HOME"] = cache
    problem = load(network, place, 0 if way == UNCACHED else CACHE_BYTES)
    if way != IN_MEMORY:
        problem = gradjax.streamed(problem)
    steps = network.uncached_steps if way == UNCACHED else network.num_steps
    train = runner(problem, network._replace(num_steps=steps))
    train()  # because the first run of a program is slower
    return train


def load(network: Network, place: Place, cache_bytes: int) -> Problem:
    """Returns the problem on a data set, of which only the train split is whole."""
    if network.is_text:
        made = language.load(place.name, network.model, tokenizer="bpe", vocab_size=512)
        assert made.data is not None
        few = made.data.validation
        few = few and few._replace(num_examples=min(_HELD_OUT, few.num_examples))
        return made._replace(data=Splits(made.data.train, few), report=None)
    found = data.load(place.name, place.data_dir, cache_bytes)
    held_out = {name: values[:_HELD_OUT] for name, values in found.validation.items()}
    found = found._replace(validation=held_out, test=held_out)
    model = model_for(network.model, found)
    return classification(found, model, with_accuracy=False)


def runner(problem: Problem, network: Network) -> Callable[[], Speed]:
    """Compiles a program; returns a function that trains one run of it."""
    program = gradjax.program(
        problem,
        "adam",
        num_steps=network.num_steps,
        batch_size=network.batch_size,
        eval_every=max(1, network.num_steps // 10),
    )
    devices.use(devices.threads_for(program))  # as a command does
    made, seed = lanes.lanes(program, num_devices=1), 0
    made.ready()

    def measure() -> Speed:
        nonlocal seed
        seed += 1
        hparams = {"learning_rate": LEARNING_RATE}
        found = batches.run(made, [hparams], [seed], 0)
        num_examples = network.num_steps * network.batch_size
        loss = float(found.trace["loss"].values[0, -1])
        return Speed(num_examples / found.run_s, loss)

    return measure
