"""A dozen sentences to translate, and a model that has learned them by heart."""

import numpy as np
import pytest

import gradjax
from gradjax.data import token_pairs
from gradjax.data.pair_files import Pairs
from gradjax.data.pairs import Translations
from gradjax.problems import translation as problems

WORDS = ("red", "blue", "old", "new", "big", "cat", "dog", "hat")


def backwards(count, start=0):
    """Sentences of one word to five, and the same from the end."""
    rng = np.random.default_rng(start)
    said = [list(rng.choice(WORDS, 1 + k % 5)) for k in range(count)]
    return Pairs([" ".join(s) for s in said], [" ".join(s[::-1]) for s in said])


@pytest.fixture(scope="session")
def toy():
    """A dozen pairs, which are also what is tested: to be learned by heart."""
    train = backwards(12)
    given = Translations("toy", "en", "ne", train, backwards(5, 1), train, "f", "here")
    return given, token_pairs.tokenize(given, 60, 24)


@pytest.fixture(scope="session")
def learned(toy):
    """A model that knows its dozen pairs, and the run that taught it."""
    num_tokens = toy[1].tokenizer.num_tokens
    small = "transformer(width=32, depth=1, heads=2, dropout=0.0)"
    model = problems.translation_model(small, num_tokens)
    problem = problems.translation(*toy, model)
    size = problem.data.train.num_examples
    taught = problem._replace(data=gradjax.types.Splits(problem.data.train))
    program = gradjax.program(taught, "adam(1e-2)", num_steps=300, batch_size=size)
    return gradjax.run(program), problem, model
