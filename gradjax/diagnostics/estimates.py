"""Means of random probes with Student's interval."""

from typing import NamedTuple

import jax
import jax.numpy as jnp


class Estimate(NamedTuple):
    """A mean over random probes.

    Attributes:
      value: f[], the mean, which has no bias.
      half_width: f[], of Student's 95 % interval over the probes; NaN with one probe.
    """

    value: jax.Array
    half_width: jax.Array


def student(values: jax.Array) -> Estimate:
    """Computes the mean over the probes and t(m - 1) * std / sqrt(m).

    The interval covers the expectation in 95 % of all cases if the values are normally
    distributed.

    Args:
      values: f[probes].

    Source:
      Student, "The Probable Error of a Mean", Biometrika 6, 1908.
    """
    mean = jnp.mean(values)
    squares = jnp.sum((values - mean) ** 2)
    return Estimate(mean, half_width(squares, values.size))


def half_width(squares: jax.Array, num_probes: int) -> jax.Array:
    """Returns the half width of Student's 95 % interval; NaN with one probe.

    Args:
      squares: f[...], the sums of the squared distances of the values from their mean.
      num_probes: the number of values.
    """
    if num_probes == 1:
        return jnp.full_like(squares, jnp.nan)
    from scipy import special

    quantile = float(special.stdtrit(num_probes - 1, 0.975))
    return quantile * jnp.sqrt(squares / ((num_probes - 1) * num_probes))
