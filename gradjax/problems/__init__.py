"""WHAT is minimised. A new problem is a file here and a line in PROBLEMS."""

import functools
from collections.abc import Callable
from typing import Any

from gradjax import data
from gradjax.problems import autoencoder as _autoencoder
from gradjax.problems import expression as _expression
from gradjax.problems import language as _language
from gradjax.problems import surfaces
from gradjax.problems import text as _text
from gradjax.problems import translation as _translation
from gradjax.problems.check import check
from gradjax.problems.classification import (
    about,
    classification,
    model_for,
    model_of,
    predictor,
)
from gradjax.problems.custom import problem
from gradjax.problems.noisy import noisy_quadratic, sparse_gradients
from gradjax.problems.quadratic import quadratic
from gradjax.problems.recommendation import movielens
from gradjax.problems.regression import least_squares, logistic_regression, ridge
from gradjax.problems.surfaces import SURFACES
from gradjax.problems.tabular import wine, wine_mlp
from gradjax.types import Call, Problem

__all__ = [
    "PROBLEMS",
    "SURFACES",
    "about",
    "check",
    "classification",
    "make",
    "model_for",
    "model_of",
    "predictor",
    "problem",
]


def _images(dataset_name: str, model: str) -> Callable[[], Problem]:
    def make() -> Problem:
        dataset = data.load(dataset_name)
        return classification(dataset, model_for(model, dataset))

    make.__doc__ = f"Classify the images of {dataset_name} with the network {model}."
    return make


def _codes(dataset_name: str, model: str) -> Callable[[], Problem]:
    def make() -> Problem:
        dataset = data.load(dataset_name)
        made = _autoencoder.autoencoder_of(model, dataset)
        return _autoencoder.autoencoder(dataset, made)

    make.__doc__ = f"Compress the images of {dataset_name} with the network {model}."
    return make


def _loaded(
    what: str, load: Callable[..., tuple[Problem, Any]], *args: Any, **more: Any
) -> Callable[[], Problem]:
    def make() -> Problem:
        return load(*args, **more)[0]

    make.__doc__ = f"{what} of {args[0]} with the network {args[1]}."
    return make


_texts = functools.partial(_loaded, "Classify the texts", _text.load)
_characters = functools.partial(_loaded, "Say the next character", _language.load)
_sentences = functools.partial(_loaded, "Translate the sentences", _translation.load)

PROBLEMS: dict[str, Callable[..., Problem]] = {
    **{name: surfaces.factory(surface) for name, surface in SURFACES.items()},
    "clinc_bag": _texts("clinc_oos", "bag"),
    "clinc_gru": _texts("clinc_oos", "gru"),
    "clinc_transformer": _texts("clinc_oos", "transformer"),
    "digits_cnn": _images("digits", "cnn"),
    "digits_logistic": _images("digits", "logistic"),
    "digits_mlp": _images("digits", "mlp"),
    "digits_vae": _codes("digits", "vae(widths=(64,), latent=8)"),
    "least_squares": least_squares,
    "logistic_regression": logistic_regression,
    "mnist_cnn": _images("mnist", "cnn"),
    "mnist_logistic": _images("mnist", "logistic"),
    "mnist_mlp": _images("mnist", "mlp"),
    "mnist_vae": _codes("mnist", "vae"),
    "movielens": movielens,
    "noisy_quadratic": noisy_quadratic,
    "quadratic": quadratic,
    "ridge": ridge,
    "shakespeare_gru": _characters("tiny_shakespeare", "gru(width=64)", 64),
    "shakespeare_lstm": _characters("tiny_shakespeare", "lstm"),
    "shakespeare_transformer": _characters("tiny_shakespeare", "transformer"),
    "sparse_gradients": sparse_gradients,
    "tatoeba_transformer": _sentences(
        "tatoeba/tatoeba_de", "transformer(width=64, depth=1)", vocab_size=1_000
    ),
    "wine": wine,
    "wine_mlp": wine_mlp,
}


def make(expression: str | Call) -> Problem:
    """The problem that an expression names: `make("quadratic(condition=1e3)")`.

    Args and Raises: see `gradjax.problems.expression.make`.
    """
    return _expression.make(expression, PROBLEMS)
