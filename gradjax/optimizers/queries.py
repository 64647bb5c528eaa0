"""Queries of a spec about the course of a run: when it ends, and what a step is."""

from typing import Any

from gradjax.optimizers.build import nodes
from gradjax.types import OptimizerSpec, TracedNumber


def tolerates(optimizer: OptimizerSpec) -> bool:
    """Returns whether a run goes on after a loss that is not finite.

    It then ends at such a loss only if the update is not finite either.
    """
    return any(node.entry.tolerates for node in nodes(optimizer))


def steps_per_update(optimizer: OptimizerSpec) -> dict[str, int]:
    """Returns the number of steps of one update, by the path of each number.

    It is the product of the `every` of all `multi_steps` around the number. A number
    that has several places, such as a common rate, has the least of theirs.
    """
    found: dict[str, int] = {}

    def visit(value: Any, every: int) -> None:
        if isinstance(value, TracedNumber):
            found[value.path] = min(every, found.get(value.path, every))
        elif isinstance(value, OptimizerSpec):
            own = dict(value.kwargs).get(value.entry.accumulates or "", 1)
            for one in (*value.args, *(argument for _, argument in value.kwargs)):
                visit(one, every * own)
        elif isinstance(value, tuple):
            for one in value:
                visit(one, every)

    visit(optimizer, 1)
    return found
