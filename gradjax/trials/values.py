"""Which values of a compiled function are in memory, and which are parts of others.

A compiler computes elementwise operations together with the operation that takes their
result, so that only some results are written. A view is the same memory in another
shape.
"""

from gradjax.trials import operations as reading
from gradjax.trials.operations import Operation, Operations

_VIEWS = {"reshape", "squeeze", "expand_dims", "transpose", "copy", "copy_p"}
_VIEWS |= {"stop_gradient", "random_wrap", "random_unwrap"}
_SHAPING = {"broadcast_in_dim", "reduce_sum", "reduce_max", "reduce_min", "reduce_prod"}
WEIGHTS = {  # of one element, in additions
    **dict.fromkeys(("div", "sqrt", "rsqrt", "rem", "cbrt"), 2),
    **dict.fromkeys(("exp", "exp2", "expm1", "log", "log1p", "logistic"), 50),
    **dict.fromkeys(("tanh", "erf", "erfc", "sin", "cos", "tan"), 50),
    **dict.fromkeys(("pow", "atan2", "lgamma", "digamma", "erf_inv"), 150),
    **dict.fromkeys(("threefry2x32", "random_bits", "random_fold_in"), 200),
    **dict.fromkeys(("random_split", "random_seed"), 200),
    **dict.fromkeys(("broadcast_in_dim", "iota"), 0),
}
ELEMENTWISE = {
    *WEIGHTS,
    *("add", "sub", "mul", "neg", "max", "min", "abs", "sign", "floor", "ceil"),
    *("round", "and", "or", "not", "xor", "eq", "ne", "lt", "le", "gt", "ge"),
    *("select_n", "clamp", "convert_element_type", "integer_pow", "square"),
    *("is_finite", "nextafter", "add_any", "real", "imag", "population_count"),
    *("shift_left", "shift_right_logical", "shift_right_arithmetic"),
    *("bitcast_convert_type", "reduce_precision"),
}
PARTS = {"dynamic_slice", "slice", "gather"}  # read as much as they write
IN_PLACE = {"dynamic_update_slice", "scatter", "scatter-add", "scatter_add"}


def roots_of(of: Operations) -> dict[int, int]:
    """Returns value -> the value of which it is a view, or itself."""
    roots = dict(enumerate(range(len(of.shapes))))
    for one in of.listed:
        if is_view(one, of):
            roots[one.results[0]] = roots[one.operands[0]]
    return roots


def stored_values(of: Operations) -> set[int]:
    """Returns the values that are in memory.

    The result of an elementwise operation is not, unless another kind of operation
    takes it or the function returns it.
    """
    roots = roots_of(of)
    found = {*of.inputs, *(roots[value] for value in of.outputs)}
    for one in of.listed:
        if is_view(one, of):
            continue
        if one.name not in ELEMENTWISE:
            found |= set(one.results)
            if not is_sum(one):
                found |= {roots[value] for value in one.operands}
    return found


def is_view(one: Operation, of: Operations) -> bool:
    """Returns whether an operation only gives its operand another shape.

    Sums over axes of length 1, and broadcasts to such axes, do so too.
    """
    if one.name in _VIEWS:
        return True
    if one.name not in _SHAPING:
        return False
    return of.shapes[one.operands[0]].size == of.shapes[one.results[0]].size


def read_operands(one: Operation) -> tuple[int, ...]:
    """Returns the operands that an operation reads completely."""
    if one.name in PARTS | reading.LOOPS:
        return ()
    return one.operands[1:] if one.name in IN_PLACE else one.operands


def is_sum(one: Operation) -> bool:
    """Returns whether an operation gives one element for many of its operand."""
    is_other = one.name in {"reduce_window", "reduce_precision"}
    return one.name.startswith(("reduce_", "arg")) and not is_other
