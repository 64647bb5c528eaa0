"""The data of the sweeps: as `gradjax.data` loads them, or random data instead."""

import jax.numpy as jnp
import numpy as np

from gradjax import data
from gradjax.problems.classification import classification, model_of
from gradjax.types import (
    Batch,
    Dataset,
    Key,
    MetricSums,
    Model,
    Params,
    Problem,
    Target,
)
from scripts.baselines.sweeps import Task

_SIZES = {"train": 55_000, "validation": 5_000, "test": 10_000}  # as MNIST's


def load(name: str) -> tuple[Dataset, bool]:
    """Returns the data set on the host, and whether it is random.

    Raises:
      Refusal: MNIST is prepared and damaged.
    """
    if data.is_prepared(name):
        return data.load(name), False
    rng = np.random.default_rng(0)

    def split(count: int) -> dict[str, np.ndarray]:
        images = rng.integers(0, 256, (count, 28, 28, 1), np.uint8)
        return {"image": images, "label": rng.integers(0, 10, count, np.int32)}

    splits = {part: split(count) for part, count in _SIZES.items()}
    dataset = Dataset(
        name=name,
        **splits,
        num_classes=10,
        max_value=255.0,
        fingerprint="",
        origin="random",
    )
    return dataset, True


def problem_of(task: Task, dataset: Dataset) -> Problem:
    """Returns the problem of a task: its network on its data."""
    shape = tuple(dataset.train["image"].shape[1:])
    problem = classification(
        dataset, _network(task, shape), task.settings.with_accuracy
    )
    return problem if task.is_evaluated else without_evaluation(problem)


def without_evaluation(problem: Problem) -> Problem:
    """Returns the same problem with metrics that compute nothing."""

    def metrics(_params: Params, _batch: Batch, _key: Key) -> MetricSums:
        return {"loss": (jnp.float32(0), jnp.float32(1))}

    return problem._replace(metrics=metrics, target=Target())


def _network(task: Task, shape: tuple[int, ...]) -> Model:
    if task.settings.model == "mlp":
        from gradjax.models import mlp

        return mlp(shape, 10, (task.hidden,))
    return model_of(task.settings.model, shape, 10)
