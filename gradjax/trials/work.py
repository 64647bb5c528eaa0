"""The work of a function: operations, multiplications and bytes, from its jaxpr.

Nothing is compiled and nothing is timed, so the same function has the same work in
every process. The body of a loop counts as often as the loop runs.
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.extend import core

from gradjax.trials import operations as reading
from gradjax.trials.operations import Operation, Operations, size_bytes

_VIEWS = {"reshape", "squeeze", "expand_dims", "transpose", "copy", "copy_p"}
_VIEWS |= {"stop_gradient", "random_wrap", "random_unwrap"}
_WEIGHTS = {  # of one element, in additions
    **dict.fromkeys(("div", "sqrt", "rsqrt", "rem", "cbrt"), 2),
    **dict.fromkeys(("exp", "exp2", "expm1", "log", "log1p", "logistic"), 50),
    **dict.fromkeys(("tanh", "erf", "erfc", "sin", "cos", "tan"), 50),
    **dict.fromkeys(("pow", "atan2", "lgamma", "digamma", "erf_inv"), 150),
    **dict.fromkeys(("threefry2x32", "random_bits", "random_fold_in"), 200),
    **dict.fromkeys(("random_split", "random_seed"), 200),
    **dict.fromkeys(("broadcast_in_dim", "iota"), 0),
}
_SUM_WEIGHT = 4  # of one element of a sum, likewise
_ELEMENTWISE = {
    *_WEIGHTS,
    *("add", "sub", "mul", "neg", "max", "min", "abs", "sign", "floor", "ceil"),
    *("round", "and", "or", "not", "xor", "eq", "ne", "lt", "le", "gt", "ge"),
    *("select_n", "clamp", "convert_element_type", "integer_pow", "square"),
    *("is_finite", "nextafter", "add_any", "real", "imag", "population_count"),
    *("shift_left", "shift_right_logical", "shift_right_arithmetic"),
    *("bitcast_convert_type", "reduce_precision"),
}
_BOUNDS = ("", "at most", "at least")
_PARTS = {"dynamic_slice", "slice", "gather"}  # read as much as they write
IN_PLACE = {"dynamic_update_slice", "scatter", "scatter-add", "scatter_add"}


_NEAR_BYTES = 1_000_000  # a smaller value stays in the cache of a core
# Seconds of one unit of each kind of work. Those of the CPU are fitted on one core of
# two to the time of the step and of layer_norms, sharpness, noise_scale and trace, for
# the tutorial MLP, the CNN and the Transformer of the benchmark: the time of a
# measurement, in steps, is met within 17 %, and within 10 % for 11 of 12. Those of an
# accelerator are from the data sheets of recent GPUs.
_SECONDS = {
    "cpu": (1.9e-6, 4.2e-11, 4.6e-12, 4.2e-11, 1.6e-11, 1.6e-11, 1.6e-10),
    "accelerator": (5e-6, 1e-13, 2e-13, 4e-13, 5e-14, 5e-14, 5e-13),
}


class Work(NamedTuple):
    """What a function computes.

    Attributes:
      kernels: operations that are computed one after another, each with the elementwise
        operations that it takes in.
      elements: additions of elementwise operations and of sums.
      near_bytes: read and written of values that stay in a cache.
      far_bytes: likewise of larger values.
      products: multiplications and additions of matrix products.
      convolutions: likewise of convolutions.
      grouped: likewise of convolutions of several groups.
      bound: "" if all loops have a fixed length; "at most" if one may end earlier, and
        counts as often as it says; "at least" if one does not say it, and counts once.
    """

    kernels: float = 0.0
    elements: float = 0.0
    near_bytes: float = 0.0
    far_bytes: float = 0.0
    products: float = 0.0
    convolutions: float = 0.0
    grouped: float = 0.0
    bound: str = ""


def work(jaxpr: Any) -> Work:
    """Counts the work of a jaxpr.

    Of a condition on a value the cheapest branch counts, because the others are for
    rare cases; where the lanes of a sweep differ, `jax.vmap` computes all of them, and
    its jaxpr has no branch.
    """
    of = reading.operations(jaxpr)
    roots = roots_of(of)
    stored = stored_values(of)
    total, kernel, reads = Work(), {}, set()
    for one in reversed(of.listed):
        if one.name in _VIEWS:
            continue
        own = roots[one.results[0]]
        is_fused = one.name in _ELEMENTWISE and own not in stored
        at = kernel.get(own, own) if is_fused else own
        for value in one.operands:
            kernel.setdefault(roots[value], at)
        reads |= {(at, x) for x in map(roots.get, _read(one)) if x in stored}
        total = plus(total, _of_operation(one, of, is_fused))
    for _, value in reads:
        total = plus(total, _moved(of.shapes[value]))
    return total


def seconds(one: Work) -> float:
    """Returns about the seconds that the work takes on the current kind of device."""
    rates = _SECONDS["cpu" if jax.default_backend() == "cpu" else "accelerator"]
    return sum(rate * count for rate, count in zip(rates, one[:-1], strict=True))


def plus(left: Work, right: Work) -> Work:
    """Returns the work of two functions that are both computed."""
    sums = [a + b for a, b in zip(left[:-1], right[:-1], strict=True)]
    return Work(*sums, bound=max(left.bound, right.bound, key=_BOUNDS.index))


def times(number: float, one: Work) -> Work:
    """Returns the work of a function that is computed so many times."""
    return Work(*(number * x for x in one[:-1]), bound=one.bound)


def stored_values(of: Operations) -> set[int]:
    """Returns the values that are in memory; elementwise ones are not, if they can."""
    roots = roots_of(of)
    found = {*of.inputs, *(roots[value] for value in of.outputs)}
    for one in of.listed:
        if one.name in _VIEWS:
            continue
        if one.name not in _ELEMENTWISE:
            found |= set(one.results)
            if not _is_sum(one):
                found |= {roots[value] for value in one.operands}
    return found


def num_turns(one: Operation) -> int | None:
    """Returns how often a loop runs at most; None if it does not say so."""
    if one.name == "scan":
        return one.params["length"]
    bounds = []
    for equation in one.params["cond_jaxpr"].jaxpr.eqns:
        if equation.primitive.name in ("lt", "le", "gt", "ge"):
            literals = [x.val for x in equation.invars if isinstance(x, core.Literal)]
            bounds += [int(x) for x in literals if jnp.issubdtype(x.dtype, jnp.integer)]
    return max(bounds, default=None)


def roots_of(of: Operations) -> dict[int, int]:
    """Returns value -> the value of which it is a view, or itself."""
    roots = dict(enumerate(range(len(of.shapes))))
    for one in of.listed:
        if one.name in _VIEWS:
            roots[one.results[0]] = roots[one.operands[0]]
    return roots


def _read(one: Operation) -> tuple[int, ...]:
    """Returns the operands that an operation reads completely."""
    if one.name in _PARTS | reading.LOOPS:
        return ()
    return one.operands[1:] if one.name in IN_PLACE else one.operands


def _is_sum(one: Operation) -> bool:
    return one.name.startswith(("reduce_", "arg")) and one.name != "reduce_window"


def _of_operation(one: Operation, of: Operations, is_fused: bool) -> Work:
    """Counts an operation without what it reads."""
    if one.name in reading.LOOPS:
        return _of_loop(one)
    shapes = [of.shapes[value] for value in one.results]
    size = max((shape.size for shape in shapes), default=0)
    if is_fused:
        return Work(elements=_WEIGHTS.get(one.name, 1) * size)
    found = Work(1)
    moved = [_update(one, of)] if one.name in IN_PLACE else shapes
    for shape in moved * 2 if one.name in _PARTS else moved:
        found = plus(found, _moved(shape))
    if one.name in _ELEMENTWISE:
        return found._replace(elements=_WEIGHTS.get(one.name, 1) * size)
    if _is_sum(one):
        return found._replace(elements=_SUM_WEIGHT * of.shapes[one.operands[0]].size)
    if one.name == "dot_general":
        return found._replace(products=_num_products(one, of))
    if one.name == "conv_general_dilated":
        name = "grouped" if _num_groups(one) > 1 else "convolutions"
        return found._replace(**{name: _num_products(one, of)})
    is_part = one.name in _PARTS | IN_PLACE
    return found if is_part else found._replace(elements=4 * size)


def _update(one: Operation, of: Operations) -> Any:
    """Returns the shape of what is written into a value in its place."""
    return of.shapes[one.operands[2 if "scatter" in one.name else 1]]


def _moved(shape: Any) -> Work:
    """Returns the work of reading or writing a value."""
    size = size_bytes(shape)
    is_near = size <= _NEAR_BYTES
    return Work(near_bytes=size * is_near, far_bytes=size * (not is_near))


def _num_groups(one: Operation) -> int:
    return one.params["feature_group_count"] * one.params["batch_group_count"]


def _num_products(one: Operation, of: Operations) -> int:
    """Returns the multiplications and additions of a product or a convolution."""
    size = of.shapes[one.results[0]].size
    if one.name == "dot_general":
        (contracted, _), _ = one.params["dimension_numbers"]
        shape = of.shapes[one.operands[0]].shape
        return 2 * math.prod(shape[axis] for axis in contracted) * size
    kernel = of.shapes[one.operands[1]].shape
    outputs = kernel[one.params["dimension_numbers"].rhs_spec[0]]
    return 2 * math.prod(kernel) // outputs * size


def _of_loop(one: Operation) -> Work:
    """Counts a loop or a condition."""
    parts = [work(jaxpr) for jaxpr in reading.inner(one)]
    if one.name == "cond":
        return plus(Work(1), min(parts, key=seconds))
    turns = num_turns(one)
    total = Work(1, bound=_BOUNDS[0 if one.name == "scan" else 1 if turns else 2])
    for part in parts:
        total = plus(total, times(turns or 1, part))
    return total
