"""Types inside optimizers: traced numbers that promote no array, as Python's floats.

An optax rule that is built by hand holds Python floats. JAX calls their type weak: the
product of a weak float32 and a bfloat16 array is bfloat16. A traced hyperparameter has
a strong type, and its product with a bfloat16 array is float32, so the state of the
rule would change its type in the first step.

JAX gives a weak type to an argument only where a function is traced. So the function is
traced with weak arguments, in which all promotions are decided, and the resulting
equations are then applied to the traced numbers. Where all types are float32 these are
the same equations as without weak types.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.extend.core import jaxpr_as_fun

from gradjax.types import Hparams


def apply_weakly(function: Callable[[Hparams], Any], numbers: Hparams) -> Any:
    """Returns function(numbers) as if the numbers were Python floats.

    Args:
      function: a function of the numbers that returns a pytree of arrays. It may use
        traced arrays of the surrounding program.
      numbers: path -> f[...]. If none of them is traced, as outside `jax.jit`, the
        function receives Python floats.
    """
    if not any(isinstance(x, Tracer) for x in numbers.values()):
        return function({path: _as_python(x) for path, x in numbers.items()})
    arrays = {path: jnp.asarray(x, float) for path, x in numbers.items()}
    weak = {
        path: jax.ShapeDtypeStruct(x.shape, x.dtype, weak_type=True)
        for path, x in arrays.items()
    }
    equations, shapes = jax.make_jaxpr(function, return_shape=True)(weak)
    leaves = jaxpr_as_fun(equations)(*jax.tree.leaves(arrays))
    made = jax.tree.unflatten(jax.tree.structure(shapes), leaves)
    return jax.tree.map(_as_array, made, shapes)


def _as_array(value: Any, shape: jax.ShapeDtypeStruct) -> jax.Array:
    """Returns a constant among the results, which may be a Python number, as array."""
    return value if isinstance(value, jax.Array) else jnp.asarray(value, shape.dtype)


def at_least_float32(leaf: Any) -> Any:
    """Returns the type for sums and factors of a leaf: its own, or float32 if wider."""
    return jnp.promote_types(leaf.dtype, jnp.float32)


def _as_python(number: Any) -> Any:
    return number if np.ndim(number) else float(number)
