"""The memory that a function works in, counted in its jaxpr before it is compiled."""

from typing import Any

from gradjax.trials import operations as reading
from gradjax.trials.operations import Operation, Operations, size_bytes
from gradjax.trials.values import IN_PLACE, read_operands, roots_of, stored_values


def peak_bytes(jaxpr: Any) -> int:
    """Returns the bytes of the values that are in memory at once, at most.

    The arguments are not counted. A value is in memory from the operation that makes it
    to the last one that takes it; what a loop carries from turn to turn is there once.
    A compiler may choose another order and need somewhat less or more.
    """
    of = reading.operations(jaxpr)
    places = _places(of)
    stored = {places[value] for value in stored_values(of)}
    last = {place: len(of.listed) for place in (places[x] for x in of.outputs)}
    for k, one in reversed(list(enumerate(of.listed))):
        for value in one.operands:
            last.setdefault(places[value], k)
    inputs = {places[value] for value in of.inputs}
    live: dict[int, int] = {}
    most = 0
    for k, one in enumerate(of.listed):
        for place in (places[value] for value in one.results):
            if place in stored and place not in inputs and place in last:
                live[place] = size_bytes(of.shapes[place])
        within = 0
        if one.name in reading.LOOPS:
            within = max(map(peak_bytes, reading.inner(one)))
        most = max(most, sum(live.values()) + within)
        live = {place: size for place, size in live.items() if last[place] > k}
    return most


def touched_bytes(jaxpr: Any) -> int:
    """Returns the bytes of the arguments that a function reads, and its `peak_bytes`.

    An argument of which only some rows are read, such as the data of a problem, does
    not count.
    """
    of = reading.operations(jaxpr)
    places = _places(of)
    read = {x for one in of.listed if one.name in reading.LOOPS for x in one.operands}
    read |= {value for one in of.listed for value in read_operands(one)}
    used = {places[value] for value in read} & {places[value] for value in of.inputs}
    return peak_bytes(jaxpr) + sum(size_bytes(of.shapes[place]) for place in used)


def needed_inputs(jaxpr: Any) -> list[bool]:
    """Returns for each argument whether a result of a function depends on it.

    Args:
      jaxpr: of `jax.make_jaxpr(...)`.
    """
    of = reading.operations(jaxpr)
    needed = {value for one in of.listed for value in one.operands} | {*of.outputs}
    return [value in needed for value in of.inputs[len(jaxpr.consts) :]]


def _places(of: Operations) -> dict[int, int]:
    """Returns value -> the value in whose memory it is."""
    places = dict(roots_of(of))
    for one in of.listed:
        for value, source in zip(one.results, _overwritten(of, one), strict=False):
            places[value] = source
    return {value: _end(places, value) for value in places}


def _end(places: dict[int, int], value: int) -> int:
    while places[value] != value:
        value = places[value]
    return value


def _overwritten(of: Operations, one: Operation) -> tuple[int, ...]:
    """Returns the operands in whose memory the first results are written."""
    if one.name in IN_PLACE:
        return one.operands[:1]
    if one.name not in ("scan", "while"):
        return ()
    if one.name == "while":
        return one.operands[len(one.operands) - len(one.results) :]
    # The operands of a scan are its constants, what it carries, and the inputs of all
    # turns, and its results what it carries and the outputs of all turns. These have
    # one axis more than in the body, by which they are told apart: the parameters of
    # the operation differ between versions of jax.
    (body,) = reading.inner(one)
    inside = getattr(body, "jaxpr", body)
    num_inputs = _num_longer(of, one.operands, inside.invars)
    num_carried = len(one.results) - _num_longer(of, one.results, inside.outvars)
    end = len(one.operands) - num_inputs
    return one.operands[end - num_carried : end]


def _num_longer(of: Operations, values: tuple[int, ...], inside: Any) -> int:
    """Returns how many values have another shape than in the body of a loop."""
    pairs = zip(values, inside, strict=True)
    return sum(of.shapes[value].shape != var.aval.shape for value, var in pairs)
