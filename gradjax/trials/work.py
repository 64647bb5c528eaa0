"""The work of a function: operations, multiplications and bytes, from its jaxpr.

Nothing is compiled and nothing is timed, so the same function has the same work in
every process. The body of a loop counts as often as the loop runs.
"""

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.extend import core

from gradjax.trials import operations as reading
from gradjax.trials.operations import Operation, Operations, size_bytes
from gradjax.trials.values import (
    ELEMENTWISE,
    IN_PLACE,
    PARTS,
    WEIGHTS,
    is_sum,
    is_view,
    read_operands,
    roots_of,
    stored_values,
)
from gradjax.trials.working_set import touched_bytes

_SUM_WEIGHT = 3  # of one element of a sum, in additions
_BOUNDS = ("", "at most", "at least")
_NEAR_BYTES = 1_000_000  # a smaller value stays in the cache of a core
_SHARED_BYTES = 25_000_000  # of the cache that the cores share
_MISSING = 1.5  # the part (_SHARED_BYTES / touched bytes) ** _MISSING is found there
_BYTES_A_PRODUCT = 0.1  # moved in the time of one multiplication of a product
_READ_A_PRODUCT = 0.3  # of its larger matrix, read in the time of one multiplication
# Seconds of one unit of each field of `Work`, in their order. Those of the CPU are
# fitted to the time of layer_norms, sharpness and noise_scale, in steps, for the MLP,
# the CNN, the LSTM, the Transformer and the bag of the benchmark, on a machine of 2
# cores, with a small weight of another one whose measured times differ by up to half
# (for the bag, by a factor of 2). A counted share depends on their ratios alone;
# by the seconds `timed_overhead` decides whether a run is long enough. Those of an
# accelerator are from the data sheets of recent GPUs.
_SECONDS = {
    "cpu": (7.8e-7, 3.6e-11, 1.5e-12, 7e-13, 1.4e-11, 6.4e-12, 6.4e-12, 6.4e-11, 3e-11),
    "accelerator": (5e-6, 1e-13, 2e-13, 2e-13, 2e-13, 5e-14, 5e-14, 5e-13, 0.0),
}


class Work(NamedTuple):
    """What a function computes.

    Attributes:
      kernels: operations that are computed one after another, each with the elementwise
        operations that it takes in.
      elements: additions of elementwise operations and of sums, without those that a
        kernel computes while it moves a large value.
      near_bytes: read and written of values that stay in the cache of a core.
      far_bytes: likewise of larger values, without those that a kernel moves while it
        computes a product or a convolution.
      memory_bytes: the part of far_bytes that comes from memory, because the values of
        a function have no room in the cache that the cores share.
      products: multiplications and additions of matrix products.
      convolutions: likewise of convolutions.
      grouped: likewise of convolutions of several groups.
      matrix_bytes: read of the larger matrices of matrix products, without those that
        are read while the product is computed: most of a matrix that is multiplied by
        one vector, nothing of one that is multiplied by many.
      bound: "" if all loops have a fixed length; "at most" if one may end earlier, and
        counts as often as it says; "at least" if one does not say it, and counts once.
    """

    kernels: float = 0.0
    elements: float = 0.0
    near_bytes: float = 0.0
    far_bytes: float = 0.0
    memory_bytes: float = 0.0
    products: float = 0.0
    convolutions: float = 0.0
    grouped: float = 0.0
    matrix_bytes: float = 0.0
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
    kernel, reads, within = {}, set(), Work()
    found: dict[int, Work] = {}  # of a kernel, by the value that it makes
    for one in reversed(of.listed):
        if is_view(one, of):
            continue
        own = roots[one.results[0]]
        is_fused = one.name in ELEMENTWISE and own not in stored
        at = kernel.get(own, own) if is_fused else own
        for value in one.operands:
            kernel.setdefault(roots[value], at)
        reads |= {(at, x) for x in map(roots.get, read_operands(one)) if x in stored}
        if one.name in reading.LOOPS:
            within = plus(within, _of_loop(one))
        else:
            counted = _of_operation(one, of, is_fused)
            found[at] = plus(found.get(at, Work()), counted)
    for at, value in reads:
        found[at] = plus(found[at], _moved(of.shapes[value]))
    sums = {roots[one.results[0]] for one in of.listed if is_sum(one)}
    total = Work()
    for at, one in found.items():
        total = plus(total, _overlapped(one, at in sums))
    held = min(1.0, _SHARED_BYTES / max(touched_bytes(jaxpr), 1))
    missed = (1 - held**_MISSING) * total.far_bytes
    return plus(within, total._replace(memory_bytes=missed))


def seconds(one: Work) -> float:
    """Returns about the seconds that the work takes on the current kind of device."""
    rates = _SECONDS["cpu" if jax.default_backend() == "cpu" else "accelerator"]
    return sum(rate * count for rate, count in zip(rates, one[:-1], strict=True))


def copying(shapes: Iterable[Any]) -> Work:
    """Returns the work of copying values."""
    found = Work()
    for shape in shapes:
        moved = _moved(shape)
        found = plus(found, plus(Work(1), times(2, moved)))
    return found


def plus(left: Work, right: Work) -> Work:
    """Returns the work of two functions that are both computed."""
    sums = [a + b for a, b in zip(left[:-1], right[:-1], strict=True)]
    return Work(*sums, bound=max(left.bound, right.bound, key=_BOUNDS.index))


def times(number: float, one: Work) -> Work:
    """Returns the work of a function that is computed so many times."""
    return Work(*(number * x for x in one[:-1]), bound=one.bound)


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


def _overlapped(one: Work, makes_sum: bool) -> Work:
    """Returns the work of a kernel without what it does at the same time.

    A sum waits for each of its additions, so that they come on top.
    """
    computed = one.products + one.convolutions + one.grouped
    far_bytes = max(0.0, one.far_bytes - _BYTES_A_PRODUCT * computed)
    hidden = 0.0 if makes_sum else one.far_bytes
    elements = max(0.0, one.elements - hidden)
    return one._replace(elements=elements, far_bytes=far_bytes)


def _of_operation(one: Operation, of: Operations, is_fused: bool) -> Work:
    """Counts an operation that is no loop, without what it reads."""
    shapes = [of.shapes[value] for value in one.results]
    size = max((shape.size for shape in shapes), default=0)
    if is_fused:
        return Work(elements=WEIGHTS.get(one.name, 1) * size)
    found = Work(1)
    moved = [_update(one, of)] if one.name in IN_PLACE else shapes
    for shape in moved * 2 if one.name in PARTS else moved:
        found = plus(found, _moved(shape))
    if one.name in ELEMENTWISE:
        return found._replace(elements=WEIGHTS.get(one.name, 1) * size)
    if is_sum(one):
        return found._replace(elements=_SUM_WEIGHT * of.shapes[one.operands[0]].size)
    if one.name == "dot_general":
        products = _num_products(one, of)
        larger = max(size_bytes(of.shapes[value]) for value in one.operands[:2])
        read = max(0.0, larger - _READ_A_PRODUCT * products)
        return found._replace(products=products, matrix_bytes=read)
    if one.name == "conv_general_dilated":
        name = "grouped" if _num_groups(one) > 1 else "convolutions"
        return found._replace(**{name: _num_products(one, of)})
    is_part = one.name in PARTS | IN_PLACE
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
