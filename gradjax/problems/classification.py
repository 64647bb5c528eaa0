"""Classification of images: mean softmax cross-entropy, and accuracy."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from gradjax.data import arrays
from gradjax.problems import state as states
from gradjax.problems.augmentation import Augment
from gradjax.problems.parametrized import parametrized
from gradjax.types import (
    Batch,
    Dataset,
    Examples,
    Key,
    MetricSums,
    Model,
    ModelState,
    Params,
    Problem,
    Target,
)

# Target accuracy by data set, reached by the default network with a tuned optimizer.
_TARGETS = {"digits": 0.96, "mnist": 0.974}


def classification(
    dataset: Dataset,
    model: Model,
    with_accuracy: bool = True,
    augment: Augment | None = None,
) -> Problem:
    """Makes the problem of classifying images.

    The loss is the mean over the batch of -log softmax(logits)[label]. Images are
    divided by the data set's largest value, so that inputs lie in [0, 1].

    Args:
      dataset: images u8[examples, height, width, channels] and labels i32[examples].
      model: apply(params, f32[batch, height, width, channels]) -> f32[batch, classes];
        it may keep a state.
      with_accuracy: whether the accuracy of each training batch is traced.
      augment: (images, key) -> images, applied to the training images only.

    Raises:
      Refusal: a label is outside [0, num_classes), or a split is empty.
    """
    scale = 1.0 / dataset.max_value

    def outputs_of(
        params: Params, batch: Batch, key: Key | None = None, state: ModelState = None
    ) -> tuple[jax.Array, ModelState]:
        inputs = batch["image"].astype(jnp.float32) * scale
        return states.outputs(model, params, inputs, key, state)

    def loss(
        params: Params, batch: Batch, key: Key, state: ModelState = None
    ) -> tuple[jax.Array, dict[str, jax.Array], ModelState]:
        if augment is not None:
            augment_key, key = jax.random.split(key)
            batch = batch | {"image": augment(batch["image"], augment_key)}
        logits, state = outputs_of(params, batch, key, state)
        aux = {"accuracy": _hits(logits, batch).mean()} if with_accuracy else {}
        return _cross_entropy(logits, batch).mean(), aux, state

    def metrics(
        params: Params, batch: Batch, _key: Key, state: ModelState = None
    ) -> MetricSums:
        logits, _ = outputs_of(params, batch, None, state)
        count = jnp.float32(logits.shape[0])
        return {
            "loss": (_cross_entropy(logits, batch).sum(), count),
            "accuracy": (_hits(logits, batch).sum(), count),
        }

    target = Target("accuracy", _TARGETS.get(dataset.name), "max")
    data = arrays.splits(dataset)
    made = Problem(model.init, loss, metrics, data, target, apply=outputs_of)
    return states.fitted(made, model)


def model_for(
    expression: str,
    dataset: Dataset,
    precision: str = "float32",
    parametrization: str = "standard",
) -> Model:
    """Makes the model of an expression for the images and classes of a data set.

    Raises:
        Refusal: see `model_of`.
    """
    shape = tuple(dataset.train["image"].shape[1:])
    given = (expression, shape, dataset.num_classes)
    return model_of(*given, precision=precision, parametrization=parametrization)


def model_of(
    expression: str,
    input_shape: tuple[int, ...],
    num_classes: int,
    own: Any = None,
    precision: str = "float32",
    parametrization: str = "standard",
) -> Model:
    """Makes the model of an expression; used where only a record is available.

    Args:
      expression: a name, a call such as `mlp(widths=(128, 64))`, or an import path.
      input_shape: (height, width, channels) of one image.
      num_classes: number of logits.
      own: the network that an import path names; None: it is imported.
      precision: "float32" or "bfloat16", in which the network computes.
      parametrization: as in `parametrized`.

    Raises:
        Refusal: the name or an argument is unknown, or a value is out of range.
    """
    from gradjax import models

    form = (jnp.zeros((1, *input_shape)),), (1, num_classes)
    given = (input_shape, num_classes)
    how: dict[str, Any] = {"own": own, "form": form, "precision": precision}
    return parametrized(parametrization, expression, models.MODELS, *given, **how)


def about(dataset: Dataset) -> dict[str, Any]:
    """Describes the data for the record, which can then be read without the data."""
    return {
        "name": dataset.name,
        "origin": dataset.origin,
        "fingerprint": dataset.fingerprint,
        "num_examples": {
            "train": len(dataset.train["label"]),
            "validation": len(dataset.validation["label"]),
            "test": len(dataset.test["label"]),
        },
        "input_shape": list(dataset.train["image"].shape[1:]),
        "num_classes": dataset.num_classes,
        "max_value": dataset.max_value,
    }


def predictor(model: Model, max_value: float) -> Callable[..., jax.Array]:
    """Makes a function (params, images, state) -> probabilities f32[batch, classes].

    The state of the network is None by default.

    Args:
      model: the classifier.
      max_value: divides the images [batch, height, width, channels].
    """

    @jax.jit
    def predict(params: Params, images: Any, state: ModelState = None) -> jax.Array:
        inputs = jnp.asarray(images).astype(jnp.float32) / max_value
        return jax.nn.softmax(states.outputs(model, params, inputs, None, state)[0])

    return predict


def examples(
    dataset: Dataset, model: Model, count: int = 10
) -> Callable[..., Examples]:
    """Makes a function (params, state) -> Examples of the first `count` test images."""
    predict = predictor(model, dataset.max_value)

    def shown(params: Params, state: ModelState = None) -> Examples:
        images, labels = dataset.test["image"][:count], dataset.test["label"][:count]
        return Examples(
            images / dataset.max_value, labels, predict(params, images, state)
        )

    return shown


def _cross_entropy(logits: jax.Array, batch: Batch) -> jax.Array:
    return optax.softmax_cross_entropy_with_integer_labels(logits, batch["label"])


def _hits(logits: jax.Array, batch: Batch) -> jax.Array:
    return (logits.argmax(axis=-1) == batch["label"]).astype(jnp.float32)
