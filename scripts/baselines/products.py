"""Times products of curvature matrices, relative to a gradient on the same examples."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from gradjax.analysis.statistics import Interval, median_interval
from gradjax.diagnostics import gauss_newton_product, hessian_product, top_eigenvalues
from gradjax.types import Batch, Params
from scripts.baselines import WINDOW, Settings
from scripts.baselines.gradjax_run import problem_of
from scripts.baselines.inputs import Inputs

NUM_STEPS = 20  # of Lanczos
_NUM_IMAGES, _NUM_WINDOWS = 1_024, 32  # of 128 characters, so 4,096 predictions


class Products(NamedTuple):
    """The times of products on the examples of one network.

    Attributes:
      num_examples: images, or characters that are predicted.
      gradient_s: of one gradient, the median over the rounds.
      ratios: label -> time in gradients, with its interval over the rounds; that of
        Lanczos is divided by the number of its steps.
    """

    num_examples: int
    gradient_s: float
    ratios: dict[str, Interval]


def measure(settings: Settings, of: Inputs, num_rounds: int) -> Products:
    """Times a gradient and the products in turn, each once in a round."""
    functions, args, num_examples = _functions(settings, of)
    calls = {label: jax.jit(one) for label, one in functions.items()}
    seconds = {label: [] for label in calls}
    for number in range(num_rounds + 1):
        for label, call in calls.items():
            start = time.perf_counter()
            jax.block_until_ready(call(*args))
            if number:  # the first round compiles
                seconds[label].append(time.perf_counter() - start)
    gradient = np.asarray(seconds.pop("gradient"))
    ratios = {
        label: median_interval(np.asarray(own) / gradient / _num_products(label))
        for label, own in seconds.items()
    }
    return Products(num_examples, float(np.median(gradient)), ratios)


def table(title: str, found: Products) -> str:
    """Returns the table of one network as Markdown."""
    lines = [
        f"## {title}: products on {found.num_examples:,} examples",
        "",
        f"One gradient takes {found.gradient_s * 1e3:.1f} ms.",
        "",
        "| | time / gradient |",
        "|---|---:|",
    ]
    for label, (middle, low, high) in found.ratios.items():
        lines.append(f"| {label} | {middle:.2f} [{low:.2f}, {high:.2f}] |")
    return "\n".join(lines)


def _num_products(label: str) -> int:
    return NUM_STEPS if label.startswith("Lanczos") else 1


def _functions(
    settings: Settings, of: Inputs
) -> tuple[dict[str, Callable[..., Any]], tuple[Any, ...], int]:
    """Returns the functions by their labels, their arguments, and the examples."""
    problem = problem_of(settings, of.inputs, of.targets)
    apply, data = problem.apply, problem.data
    assert apply is not None and data is not None, "networks of the benchmark have both"
    is_text = settings.model in ("lstm", "transformer")
    count = _NUM_WINDOWS if is_text else _NUM_IMAGES
    batch = data.train.take(data.train.arrays, jnp.arange(count, dtype=jnp.uint32))
    params = problem.init(jax.random.key(0))
    keys = jax.random.split(jax.random.key(1), len(jax.tree.leaves(params)))
    shapes = jax.tree.structure(params).unflatten(keys)
    tangent = jax.tree.map(lambda x, k: jax.random.normal(k, x.shape), params, shapes)

    def output_loss(logits: jax.Array, batch: Batch) -> jax.Array:
        labels = batch["tokens"][:, 1 : WINDOW + 1] if is_text else batch["label"]
        nats = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
        return nats.mean()

    def loss(params: Params, batch: Batch) -> jax.Array:
        return output_loss(apply(params, batch), batch)

    functions: dict[str, Callable[..., Any]] = {
        "gradient": lambda params, batch, _: jax.grad(loss)(params, batch),
        "Hessian product": lambda *args: hessian_product(loss, *args),
        "Gauss-Newton product": lambda *args: gauss_newton_product(
            apply, output_loss, *args
        ),
        f"Lanczos, a step of {NUM_STEPS}": lambda params, batch, _: top_eigenvalues(
            loss, params, batch, key=jax.random.key(2), num_products=NUM_STEPS
        ),
    }
    return functions, (params, batch, tangent), count * (WINDOW if is_text else 1)
