"""Regression or classification of a table of the user."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from gradjax.data import arrays, own_tables
from gradjax.data.own_tables import Feature, Table
from gradjax.errors import Refusal
from gradjax.problems import inputs
from gradjax.problems import state as states
from gradjax.problems.network import network
from gradjax.types import (
    Batch,
    Key,
    MetricSums,
    Model,
    Params,
    Problem,
    Splits,
    Target,
)

_ROWS = "predict takes a list of rows, each a dictionary or a list"


def load(
    dataset: str = "table.csv",
    model: str = "mlp",
    label: str | None = None,
    task: str | None = None,
) -> Problem:
    """Reads a table and makes the problem for a network.

    The loss of a classification is the mean of -log softmax(outputs)[label], and its
    metric accuracy. The loss of a regression is the mean of (output - y)^2 / 2, where y
    is standardised; its metric `squared_error` has the units of y squared.

    Args:
      dataset: the path of the table, see `data.own_tables.read`.
      model: an expression: `mlp(widths=(64,))`, or `logistic`, a linear model.
      label: the column of the labels; None: see `data.own_tables.read`.
      task: "classification" or "regression"; None: see `data.own_tables.read`.

    Raises:
      Refusal: the table is wrong, or a name or a value of the model is.
    """
    table = own_tables.read(dataset, label, task)
    num_inputs = table.parts["train"]["x"].shape[1]
    made = table_model(model, num_inputs, len(table.class_names) or 1)
    return _problem(table, made)._replace(about=about(table))


def table_model(
    expression: str, num_inputs: int, num_outputs: int, own: Any = None
) -> Model:
    """Makes the model that an expression names.

    Args:
      expression: a name, a call such as `mlp(widths=(64,))`, or an import path.
      num_inputs: number of inputs of the network.
      num_outputs: number of classes, or 1 for a regression.
      own: the network that an import path names; None: it is imported.

    Raises:
      Refusal: the name or an argument is unknown, or a value is out of range.
    """
    from gradjax import models

    known = {name: models.MODELS[name] for name in ("logistic", "mlp")}
    form = (jnp.zeros((1, num_inputs)),), (1, num_outputs)
    given = ((num_inputs,), num_outputs)
    made = network(expression, known, *given, own=own, form=form)
    return states.without(made, expression)


def about(table: Table) -> dict[str, Any]:
    """Describes the table for the record, with all that `predictor` needs."""
    return {
        "name": table.name,
        "origin": table.origin,
        "fingerprint": table.fingerprint,
        "num_examples": {split: len(part["y"]) for split, part in table.parts.items()},
        "columns": [feature._asdict() for feature in table.features],
        "class_names": list(table.class_names),
        "label": table.target._asdict(),
        "understood": table.understood,
    }


def predictor(model: Model, about: dict[str, Any]) -> Callable[..., np.ndarray]:
    """Makes a function (params, rows) -> probabilities, or values of a regression.

    A row is a dictionary with a value for each column, or a list of the values in the
    order of the table, without the label. Values are as in the table: the function
    standardises them and looks up categories as it was done for training.

    Args:
      model: the network.
      about: of the record, see `about`.

    Returns:
      A function that returns f32[rows, classes], or f32[rows] for a regression.
    """
    features = [
        Feature(one["name"], one["mean"], one["scale"], tuple(one["values"]))
        for one in about["columns"]
    ]
    apply = jax.jit(model.apply)

    def predict(params: Params, rows: Any) -> np.ndarray:
        values = _values(features, rows)
        blocks = [
            own_tables.encode(*pair) for pair in zip(features, values, strict=True)
        ]
        outputs = apply(params, np.concatenate(blocks, axis=1).astype(np.float32))
        if about["class_names"]:
            return np.asarray(jax.nn.softmax(outputs))
        label = about["label"]
        return np.asarray(outputs[:, 0]) * np.float32(label["scale"]) + np.float32(
            label["mean"]
        )

    return predict


def _values(features: list[Feature], rows: Any) -> list[list[Any]]:
    """Returns the values of each column."""
    names = [feature.name for feature in features]
    if not isinstance(rows, list | tuple | np.ndarray) or not len(rows):
        raise Refusal(_ROWS)
    if all(isinstance(row, dict) for row in rows):
        for row in rows:
            if missing := [name for name in names if name not in row]:
                raise Refusal(
                    f"predict: a row has no {missing[0]!r}; {_expected(names)}"
                )
        return [[row[name] for row in rows] for name in names]
    if isinstance(rows, np.ndarray):
        rows = inputs.examples("rows", rows, (len(names),)).tolist()
    for row in rows:
        if isinstance(row, dict):
            raise Refusal(f"{_ROWS}; found both")
        if not isinstance(row, list | tuple):
            found = f"found {type(row).__name__} in place of a row"
            raise Refusal(f"{_ROWS}; {found}; for one row give [row]")
        size = len(row)
        if size != len(names):
            raise Refusal(f"predict: a row of {size} values; {_expected(names)}")
    return [list(column) for column in zip(*rows, strict=True)]


def _expected(names: list[str]) -> str:
    listed = ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")
    return f"expected {len(names)}: {listed}"


def _problem(table: Table, model: Model) -> Problem:
    is_regression = not table.class_names
    variance = table.target.scale**2

    def measured(params: Params, batch: Batch) -> tuple[jax.Array, jax.Array]:
        """Returns the loss and the metric of each example."""
        outputs, y = model.apply(params, batch["x"]), batch["y"]
        if is_regression:
            squared = (outputs[:, 0] - y) ** 2
            return 0.5 * squared, variance * squared
        losses = optax.softmax_cross_entropy_with_integer_labels(outputs, y)
        return losses, (outputs.argmax(axis=-1) == y).astype(losses.dtype)

    name = "squared_error" if is_regression else "accuracy"

    def loss(params: Params, batch: Batch, _key: Key) -> tuple[jax.Array, dict]:
        losses, metric = measured(params, batch)
        return losses.mean(), {name: metric.mean()}

    def metrics(params: Params, batch: Batch, _key: Key) -> MetricSums:
        losses, metric = measured(params, batch)
        count = jnp.float32(len(losses))
        return {"loss": (losses.sum(), count), name: (metric.sum(), count)}

    parts = (
        {"x": part["x"].astype(np.float32), "y": part["y"].astype(kind)}
        for part in table.parts.values()
        for kind in [np.float32 if is_regression else np.int32]
    )
    data = Splits(*map(arrays.source, parts))
    target = Target(name, None, "min" if is_regression else "max")
    made = Problem(model.init, loss, metrics, data, target)
    return made._replace(rate_factors=model.rate_factors)
