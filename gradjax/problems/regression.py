"""Linear models of real data, with the optimum computed by an independent solver.

The optimum of the training split is computed in float64 when the problem is made, by
numpy's least squares, the normal equations or scipy's trust region. This takes
milliseconds and avoids a stored constant that could become wrong.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradjax.data import arrays, tables
from gradjax.problems import arguments
from gradjax.types import Batch, Key, MetricSums, Minimum, Params, Problem, Splits

Errors = Callable[[jax.Array, jax.Array], jax.Array]  # (outputs, y) -> f32[batch]


def least_squares() -> Problem:
    """Linear regression: 1/2 mean (x'w + b - y)^2, on the diabetes table.

    The optimum is that of numpy's least squares (a singular value decomposition). The
    initial point is 0. Both x and y are standardised, so the initial loss is 1/2. The
    columns of x are nearly dependent, and the condition number is in the hundreds.

    Source of the data: `gradjax.data.tables.diabetes`.
    """
    table = tables.diabetes()
    columns, y = _design(table)
    minimum = _squares_minimum(columns, y, 0.0, np.linalg.lstsq(columns, y)[0])
    return _linear_model(table, _half_square, _SQUARED_ERROR, 0.0, minimum)


def ridge(l2: float = 0.1) -> Problem:
    """Ridge regression: 1/2 mean (x'w + b - y)^2 + l2 / 2 |w|^2, on the diabetes table.

    The offset b is not penalised. The optimum solves the normal equations
    (X'X / n + l2 I) w = X'y / n. The initial point is 0.

    Args:
      l2: the weight of the penalty, from 0 to 1e6.

    Raises:
        Refusal: l2 is out of range.

    Source: Hoerl and Kennard 1970. Source of the data: `gradjax.data.tables.diabetes`.
    """
    penalty = arguments.number("l2", l2, 0.0, 1e6)
    table = tables.diabetes()
    columns, y = _design(table)
    normal = _hessian(columns, np.ones(len(y)), penalty)
    solution = np.linalg.solve(normal, columns.T @ y / len(y))
    minimum = _squares_minimum(columns, y, penalty, solution)
    return _linear_model(table, _half_square, _SQUARED_ERROR, penalty, minimum)


def logistic_regression(l2: float = 1e-2) -> Problem:
    """Two classes: mean log(1 + exp(z)) - y z + l2 / 2 |w|^2, z = x'w + b.

    The data are the breast cancer table, with y in {0, 1}. The classes are nearly
    separable, so without a penalty the minimum would be far away or would not exist.
    The optimum is that of `scipy.optimize.minimize(method="trust-exact")`. The initial
    point is 0.

    Args:
      l2: the weight of the penalty, from 1e-6 to 1e6; b is not penalised.

    Raises:
        Refusal: l2 is out of range.

    Source of the data: `gradjax.data.tables.breast_cancer`.
    """
    penalty = arguments.number("l2", l2, 1e-6, 1e6)
    table = tables.breast_cancer()
    minimum = _logistic_minimum(*_design(table), penalty)
    return _linear_model(table, _log_loss, _ACCURACY, penalty, minimum)


def _linear_model(
    table: dict[str, Any],
    errors: Errors,
    measure: tuple[str, Errors],
    l2: float,
    minimum: Minimum,
) -> Problem:
    """Makes the problem: mean errors(x'w + b, y) + l2 / 2 |w|^2, w f[d] and b f[]."""

    def outputs_and_losses(params: Params, batch: Batch) -> tuple[jax.Array, jax.Array]:
        outputs = batch["x"] @ params["w"] + params["b"]
        penalty = 0.5 * l2 * (params["w"] ** 2).sum()
        return outputs, errors(outputs, batch["y"]) + penalty

    def loss(params: Params, batch: Batch, _key: Key) -> tuple[jax.Array, dict]:
        return outputs_and_losses(params, batch)[1].mean(), {}

    def metrics(params: Params, batch: Batch, _key: Key) -> MetricSums:
        outputs, losses = outputs_and_losses(params, batch)
        count = jnp.float32(len(losses))
        measured = measure[1](outputs, batch["y"]).sum()
        return {"loss": (losses.sum(), count), measure[0]: (measured, count)}

    def init(_key: Key) -> Params:
        dim = table["train"]["x"].shape[1]
        return {"w": jnp.zeros(dim, float), "b": jnp.zeros((), float)}

    names = ("train", "validation", "test")
    data = Splits(*(arrays.source(table[name]) for name in names))
    return Problem(init, loss, metrics, data, minimum=minimum)


def _squares_minimum(
    columns: np.ndarray, y: np.ndarray, l2: float, solution: np.ndarray
) -> Minimum:
    squares = np.mean((columns @ solution - y) ** 2) + l2 * np.sum(solution[:-1] ** 2)
    return _minimum(solution, 0.5 * squares, _hessian(columns, np.ones(len(y)), l2))


def _logistic_minimum(columns: np.ndarray, y: np.ndarray, l2: float) -> Minimum:
    from scipy.optimize import minimize

    penalties = l2 * _is_penalised(columns)

    def value(solution: np.ndarray) -> float:
        outputs = columns @ solution
        losses = np.logaddexp(0.0, outputs) - y * outputs
        return losses.mean() + 0.5 * penalties @ solution**2

    def gradient(solution: np.ndarray) -> np.ndarray:
        residuals = _sigmoid(columns @ solution) - y
        return columns.T @ residuals / len(y) + penalties * solution

    def hessian(solution: np.ndarray) -> np.ndarray:
        slopes = _sigmoid(columns @ solution)
        return _hessian(columns, slopes * (1.0 - slopes), l2)

    start = np.zeros(columns.shape[1])
    near = minimize(value, start, method="trust-exact", jac=gradient, hess=hessian).x
    # One more Newton step, because scipy stops when the gradient is below 1e-4.
    solution = near - np.linalg.solve(hessian(near), gradient(near))
    return _minimum(solution, value(solution), hessian(solution))


def _minimum(solution: np.ndarray, value: Any, hessian: np.ndarray) -> Minimum:
    smallest, *_, largest = np.linalg.eigvalsh(hessian)
    params = {"w": solution[:-1], "b": solution[-1]}
    return Minimum((params,), float(value), (float(smallest), float(largest)))


def _design(table: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Returns x of train with a column of ones, f64[n, d + 1], and y, f64[n]."""
    x, y = table["train"]["x"], table["train"]["y"]
    return np.column_stack([x, np.ones(len(y))]), y


def _hessian(columns: np.ndarray, curvatures: np.ndarray, l2: float) -> np.ndarray:
    """Computes X' diag(curvatures) X / n + l2 I, without l2 for the offset."""
    weighted = columns * curvatures[:, None] / len(columns)
    return columns.T @ weighted + l2 * np.diag(_is_penalised(columns))


def _is_penalised(columns: np.ndarray) -> np.ndarray:
    """Returns 1 for each weight and 0 for the offset: f64[d + 1]."""
    return (np.arange(columns.shape[1]) < columns.shape[1] - 1).astype(np.float64)


def _sigmoid(outputs: np.ndarray) -> np.ndarray:
    return np.exp(-np.logaddexp(0.0, -outputs))


def _half_square(outputs: jax.Array, y: jax.Array) -> jax.Array:
    return 0.5 * (outputs - y) ** 2


def _squared_error(outputs: jax.Array, y: jax.Array) -> jax.Array:
    return (outputs - y) ** 2


def _log_loss(outputs: jax.Array, y: jax.Array) -> jax.Array:
    return jax.nn.softplus(outputs) - y * outputs


def _is_right(outputs: jax.Array, y: jax.Array) -> jax.Array:
    return ((outputs > 0.0) == (y > 0.5)).astype(jnp.float32)


_SQUARED_ERROR = ("squared_error", _squared_error)
_ACCURACY = ("accuracy", _is_right)
