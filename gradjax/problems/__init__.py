"""The problems to minimise. A new problem is a file here and a line in PROBLEMS."""

import functools
from collections.abc import Callable
from typing import Any

from gradjax.problems import expression as _expression
from gradjax.problems import images as _image_problems
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
from gradjax.problems.linen import from_linen
from gradjax.problems.noisy import noisy_quadratic, sparse_gradients
from gradjax.problems.quadratic import quadratic
from gradjax.problems.recommendation import load as movielens
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
    "from_linen",
    "make",
    "model_for",
    "model_of",
    "predictor",
    "problem",
]


def _factory(
    what: str, load: Callable[..., Problem], dataset: str, model: str, **more: Any
) -> Callable[[], Problem]:
    """Makes a factory without arguments from `load`, a data set and a model."""

    def make() -> Problem:
        return load(dataset, model, **more)

    make.__doc__ = f"{what} of {dataset} with the network {model}."
    return make


_images = functools.partial(_factory, "Classify the images", _image_problems.load)
_codes = functools.partial(_factory, "Compress the images", _image_problems.load)
_texts = functools.partial(_factory, "Classify the texts", _text.load)
_characters = functools.partial(_factory, "Predict the next character", _language.load)
_sentences = functools.partial(_factory, "Translate the sentences", _translation.load)

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
    "shakespeare_gru": _characters("tiny_shakespeare", "gru(width=64)", window=64),
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
    """Makes the problem that an expression names: `make("quadratic(condition=1e3)")`.

    For arguments and errors see `gradjax.problems.expression.make`.
    """
    return _expression.make(expression, PROBLEMS)
