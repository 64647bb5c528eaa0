"""Classification of a table of measurements: wine."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from gradjax.data import arrays, tables
from gradjax.problems import arguments
from gradjax.types import (
    Batch,
    Key,
    MetricSums,
    Minimum,
    Model,
    Params,
    Problem,
    Splits,
    Target,
)

_MOST_UNITS = 2**13


def wine(l2: float = 1e-2) -> Problem:
    """Three classes: mean -log softmax(x'W + b)[y] + l2 / 2 (|W|^2 + |b|^2).

    The data are the wine table. The classes are separable, so without a penalty there
    would be no minimum. The penalty includes b, because the probabilities do not change
    if the same number is added to all outputs; without the penalty on b the minimiser
    would not be unique. The optimum is that of
    `scipy.optimize.minimize(method="trust-exact")`. The initial point is 0.

    Args:
      l2: the weight of the penalty, from 1e-6 to 1e6.

    Raises:
        Refusal: l2 is out of range.

    Source of the data: `gradjax.data.tables.wine`.
    """
    penalty = arguments.number("l2", l2, 1e-6, 1e6)
    table = tables.wine()
    num_features = table["train"]["x"].shape[1]

    def init(_key: Key) -> Params:
        shape = (num_features, tables.WINE_CLASSES)
        return {"w": jnp.zeros(shape, float), "b": jnp.zeros(shape[1:], float)}

    def apply(params: Params, x: jax.Array, _key: Key | None = None) -> jax.Array:
        return x @ params["w"] + params["b"][None]

    problem = _classes(table, Model(init, apply), penalty)
    minimum = _minimum(table["train"]["x"], table["train"]["y"], penalty)
    return problem._replace(minimum=minimum)


def wine_mlp(width: int = 16) -> Problem:
    """Three classes, with a network of one hidden layer: 13-width relu-3.

    The data are the wine table, and the loss is the mean of -log softmax(outputs)[y].

    Args:
      width: number of hidden units, from 1 to 8192.

    Raises:
        Refusal: width is out of range.

    Source of the data: `gradjax.data.tables.wine`.
    """
    units = arguments.whole("width", width, 1, _MOST_UNITS)
    from gradjax.models.mlp import mlp

    table = tables.wine()
    shape = table["train"]["x"].shape[1:]
    return _classes(table, mlp(shape, tables.WINE_CLASSES, (units,)), 0.0)


def _classes(table: dict[str, Any], model: Model, l2: float) -> Problem:
    """Makes the problem: mean -log softmax(model(x))[y] + l2 / 2 |params|^2."""

    def outputs_of(params: Params, batch: Batch, key: Key | None = None) -> jax.Array:
        return model.apply(params, batch["x"], key)

    def outputs_and_losses(params: Params, batch: Batch) -> tuple[jax.Array, jax.Array]:
        outputs = outputs_of(params, batch)
        losses = optax.softmax_cross_entropy_with_integer_labels(outputs, batch["y"])
        squares = sum((leaf**2).sum() for leaf in jax.tree.leaves(params))
        return outputs, losses + 0.5 * l2 * squares

    def loss(params: Params, batch: Batch, _key: Key) -> tuple[jax.Array, dict]:
        return outputs_and_losses(params, batch)[1].mean(), {}

    def metrics(params: Params, batch: Batch, _key: Key) -> MetricSums:
        outputs, losses = outputs_and_losses(params, batch)
        count = jnp.float32(len(losses))
        hits = (outputs.argmax(axis=-1) == batch["y"]).astype(jnp.float32)
        return {"loss": (losses.sum(), count), "accuracy": (hits.sum(), count)}

    names = ("train", "validation", "test")
    data = Splits(*(arrays.source(table[name]) for name in names))
    target = Target("accuracy", None, "max")
    made = Problem(model.init, loss, metrics, data, target, apply=outputs_of)
    return made._replace(rate_factors=model.rate_factors)


def _minimum(x: np.ndarray, y: np.ndarray, l2: float) -> Minimum:
    """Computes the minimum of the penalised loss in float64: x f64[n, d], y i32[n]."""
    from scipy.optimize import minimize

    columns = np.column_stack([x, np.ones(len(x))])
    is_class = np.eye(tables.WINE_CLASSES)[y]
    shape = (columns.shape[1], tables.WINE_CLASSES)

    def value(flat: np.ndarray) -> float:
        outputs = columns @ flat.reshape(shape)
        losses = np.logaddexp.reduce(outputs, axis=1) - (outputs * is_class).sum(axis=1)
        return float(losses.mean() + 0.5 * l2 * flat @ flat)

    def gradient(flat: np.ndarray) -> np.ndarray:
        residuals = _softmax(columns @ flat.reshape(shape)) - is_class
        return (columns.T @ residuals / len(x)).ravel() + l2 * flat

    def hessian(flat: np.ndarray) -> np.ndarray:
        chances = _softmax(columns @ flat.reshape(shape))
        blocks = -chances[:, :, None] * chances[:, None]
        blocks += chances[:, :, None] * np.eye(shape[1])[None]
        summed = np.einsum("ni,njk,nl->ijlk", columns, blocks, columns, optimize=True)
        return summed.reshape(flat.size, flat.size) / len(x) + l2 * np.eye(flat.size)

    start = np.zeros(shape[0] * shape[1])
    near = minimize(value, start, method="trust-exact", jac=gradient, hess=hessian).x
    # One more Newton step, because scipy stops when the gradient is below 1e-4.
    solution = near - np.linalg.solve(hessian(near), gradient(near))
    smallest, *_, largest = np.linalg.eigvalsh(hessian(solution))
    both = solution.reshape(shape)
    params = {"w": both[:-1], "b": both[-1]}
    return Minimum((params,), value(solution), (float(smallest), float(largest)))


def _softmax(outputs: np.ndarray) -> np.ndarray:
    return np.exp(outputs - np.logaddexp.reduce(outputs, axis=1, keepdims=True))
