"""The trade between steps and examples, and the critical batch size.

To reach a loss, a training with batches of B examples needs S steps and E = B S
examples. With the least number of steps S_min, which enormous batches need, and the
least number of examples E_min, which batches of one need,

    (S / S_min - 1) (E / E_min - 1) = 1,  B_crit = E_min / S_min.

At B = B_crit both are twice their least value. The noise scale predicts B_crit.

Source: McCandlish et al., "An Empirical Model of Large-Batch Training", 2018.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gradjax.errors import Refusal


class Trade(NamedTuple):
    """The least numbers of steps and examples, and the critical batch size."""

    steps: float  # S_min
    examples: float  # E_min
    batch_size: float  # E_min / S_min, in examples


def costs(batch_size: jax.Array, critical: jax.Array) -> dict[str, jax.Array]:
    """Computes what a batch size costs relative to the least possible.

    Args:
      batch_size: B, f32[...], in examples.
      critical: the critical batch size, f32[...], in examples: a noise scale.

    Returns:
      f32[...] each: `steps`, S / S_min = 1 + B_crit / B; `examples`, E / E_min = 1 + B
      / B_crit; `rate`, 1 / (1 + B_crit / B), the best learning rate relative to that of
      an enormous batch.
    """
    ratio = jnp.asarray(critical) / batch_size
    return {
        "steps": 1.0 + ratio,
        "examples": 1.0 + 1.0 / ratio,
        "rate": 1.0 / (1.0 + ratio),
    }


def trade(steps: np.ndarray, examples: np.ndarray) -> Trade:
    """Fits the trade to trainings with several batch sizes that reach the same loss.

    The curve is S_min / S + E_min / E = 1, which is linear in (S_min, E_min), so they
    are the solution of least squares.

    Args:
      steps: S of each training, f64[batch sizes], on the host.
      examples: E of each training, f64[batch sizes].

    Raises:
        Refusal: fewer than two trainings, a number that is not above 0, or numbers that
            no such curve with positive S_min and E_min fits.
    """
    rows = np.stack([np.asarray(steps, float), np.asarray(examples, float)], axis=1)
    if len(rows) < 2 or not (np.isfinite(rows).all() and (rows > 0.0).all()):
        raise Refusal(
            f"steps={steps!r}, examples={examples!r}: expected at least two trainings"
            " with numbers above 0"
        )
    inverse = rows.min(axis=0) / rows  # columns of order 1
    found, _, rank, _ = np.linalg.lstsq(inverse, np.ones(len(rows)))
    least = found * rows.min(axis=0)
    if rank < 2 or not (least > 0.0).all():
        raise Refusal(
            "no critical batch size fits: the trainings have one batch size, or a"
            " larger batch needed more steps or fewer examples"
        )
    return Trade(float(least[0]), float(least[1]), float(least[1] / least[0]))
