"""The matrix peak of the machine: the fastest product of two f32[1024, 1024]."""

import importlib.util
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from scripts.baselines.sweeps import cores

SIZE = 1024
_REPEATS = 40  # about a second; the fastest one counts


def make() -> Callable[[], float]:
    """Makes a product by each installed library, on the cores of the process."""
    rng = np.random.default_rng(0)
    left, right = rng.normal(size=(2, SIZE, SIZE)).astype(np.float32)
    x, y = jax.device_put(left), jax.device_put(right)
    jitted = jax.jit(lambda x, y: x @ y)
    products: list[Callable[[], Any]] = [
        lambda: left @ right,
        lambda: jax.block_until_ready(jitted(x, y)),
    ]
    if importlib.util.find_spec("torch"):
        import torch  # pyright: ignore[reportMissingImports]

        torch.set_num_threads(len(cores()))
        u, v = torch.from_numpy(left), torch.from_numpy(right)
        products.append(lambda: u @ v)
    return lambda: 2 * SIZE**3 / min(map(_fastest_s, products)) / 1e9  # GFLOP/s


def _fastest_s(product: Callable[[], Any]) -> float:
    def timed() -> float:
        start = time.perf_counter()
        product()
        return time.perf_counter() - start

    product()
    return min(timed() for _ in range(_REPEATS))
