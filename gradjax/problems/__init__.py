"""WHAT is minimised. A new problem is a file here and a line in PROBLEMS."""

from collections.abc import Callable

from gradjax import data
from gradjax.problems.classification import (
    about,
    classification,
    model_for,
    model_of,
    predictor,
)
from gradjax.problems.custom import problem
from gradjax.types import Problem

__all__ = [
    "PROBLEMS",
    "about",
    "classification",
    "model_for",
    "model_of",
    "predictor",
    "problem",
]


def _image_problem(dataset_name: str, model_name: str) -> Problem:
    dataset = data.load(dataset_name)
    return classification(dataset, model_for(model_name, dataset))


PROBLEMS: dict[str, Callable[[], Problem]] = {
    "digits_mlp": lambda: _image_problem("digits", "mlp"),
    "mnist_cnn": lambda: _image_problem("mnist", "cnn"),
    "mnist_mlp": lambda: _image_problem("mnist", "mlp"),
}
