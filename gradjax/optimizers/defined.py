"""Checks that a composition of optimizers is defined, and defined for a problem.

A combination that would run without a meaning, or fail inside a trace, is refused
before it starts.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import optax

from gradjax import schedules
from gradjax.errors import Refusal
from gradjax.optimizers import bounds
from gradjax.optimizers.build import children, gradient, name_of, nodes
from gradjax.types import Entry, Hparams, OptimizerSpec, Problem

_RESCALE = ("mechanize", "partition")  # wrappers that change the updates of their rules
_OF_AXES = (optax.sm3, optax.scale_by_sm3)


class Restriction(NamedTuple):
    """A property of some rules, and the condition on problems that it implies."""

    is_of: Callable[[Entry], bool]
    is_met: Callable[[Problem], bool]
    why: str  # "{rule} ..., and this problem ..."


def _has_axes(problem: Problem) -> bool:
    params = jax.eval_shape(problem.init, jax.random.key(0))
    return all(leaf.ndim > 0 for leaf in jax.tree.leaves(params))


# Rules without a restriction are defined for every problem.
RESTRICTIONS: tuple[Restriction, ...] = (
    Restriction(
        lambda entry: entry.gradient == "per_example",
        lambda problem: problem.data is not None,
        "takes the gradient of each example, and this problem has no data",
    ),
    Restriction(
        lambda entry: entry.gradient == "per_example",
        lambda problem: problem.init_state is None,
        "takes the gradient of each example, and the network of this problem has a"
        " state (as BatchNorm has), which depends on all examples of a batch",
    ),
    Restriction(
        lambda entry: entry.make in _OF_AXES,
        _has_axes,
        "keeps a bound for each axis of a parameter, and this problem has one without"
        " axes",
    ),
)


def descends(node: OptimizerSpec, transforms: dict[str, Entry]) -> bool:
    """Returns whether the updates of an optimizer point against the gradient.

    A rule descends if it has a learning rate or is not one of `transforms`. A chain
    descends if at least one of its links does. Another wrapper descends if all rules
    inside it do, apart from `set_to_zero`.
    """
    held = [c for c in children(node) if c.entry.make is not optax.set_to_zero]
    inner = [descends(child, transforms) for child in held]
    if node.entry.inner:
        return any(inner) if "*" in node.entry.inner else bool(inner) and all(inner)
    return node.entry.rate is not None or node.entry not in transforms.values()


def check_held(name: str, node: OptimizerSpec, transforms: dict[str, Entry]) -> None:
    """Refuses rules that a wrapper cannot contain.

    Raises:
        Refusal: an optimizer inside `masked`, because the other leaves would ascend;
            a rule that evaluates the loss again inside a wrapper whose parameters or
            batch are not those of the step; a rule that averages the parameters where
            the wrapper or a later link changes its updates; a rule that replaces the
            gradient after the first link of a chain.
    """
    held = children(node)
    is_transform = node.entry in transforms.values()
    if is_transform and any(descends(child, transforms) for child in held):
        raise Refusal(
            f"{name}(...) holds a transform, not an optimizer, because the parameters"
            " outside the mask would ascend; use partition(matrices=...,"
            " others=set_to_zero)"
        )
    _check_chain(name, node, held)
    for child in (inner for outer in held for inner in nodes(outer)):
        if child.entry.eval_params is not None and name in _RESCALE:
            rule = name_of(child)
            raise Refusal(
                f"{name}(... {rule} ...): {rule} would average other parameters than"
                f" those of the run; put it outside, {rule}({name}(...))"
            )
        asked = sorted(set(child.entry.needs or ()) & set(node.entry.refuses))
        if asked:
            rule = name_of(child)
            raise Refusal(
                f"{name}({rule}) is not defined: {rule} evaluates the loss again"
                f" ({', '.join(asked)}), and {name} has no loss that matches its step"
            )


def _check_chain(name: str, node: OptimizerSpec, held: list[OptimizerSpec]) -> None:
    """Refuses a chain in which one link makes another one ineffective."""
    if "*" not in node.entry.inner:
        return
    for k, link in enumerate(held):
        for rule in nodes(link):
            if k > 0 and "value_and_grad_fn" in (rule.entry.needs or ()):
                raise Refusal(
                    f"{name}: {name_of(rule)} computes the gradient again, so the links"
                    f" before it would have no effect: {name_of(rule)}({name}(...))"
                )
            if k < len(held) - 1 and rule.entry.eval_params is not None:
                raise Refusal(
                    f"{name}: {name_of(rule)} averages the parameters after its update,"
                    " so it must be the last link, or outside:"
                    f" {name_of(rule)}({name}(...))"
                )


def check_composition(node: OptimizerSpec) -> None:
    """Refuses a rule for per-example gradients that would not receive them unchanged.

    Raises:
        Refusal: the rule is neither the first in its chain nor inside a wrapper that
            passes the gradients on, or there is more than one such rule.
    """
    private = [n for n in nodes(node) if n.entry.gradient == "per_example"]
    if private and (gradient(node) != "per_example" or len(private) > 1):
        name = name_of(private[0])
        raise Refusal(
            f"{name} takes the gradient of each example, so it must be alone or the"
            " first in its chain; it may be inside average and lookahead"
        )


def check_problem(optimizer: OptimizerSpec, problem: Problem) -> None:
    """Refuses an optimizer that is not defined for a problem.

    Raises:
        Refusal: the problem does not meet one of RESTRICTIONS that applies to a rule of
            the optimizer.
    """
    for node in nodes(optimizer):
        for restriction in RESTRICTIONS:
            if restriction.is_of(node.entry) and not restriction.is_met(problem):
                raise Refusal(f"{name_of(node)} {restriction.why}")


def check_numbers(optimizer: OptimizerSpec, numbers: Hparams) -> None:
    """Refuses numbers of an optimizer that `split` would refuse.

    Raises:
        Refusal: a number is outside the bounds of its name or of its schedule.
    """
    left = dict(numbers)
    for path, _ in optimizer.scheduled:
        peak = f"{path}.peak"
        bounds.check(path, left.pop(peak), peak)
        own = [name for name in left if name.startswith(f"{path}.")]
        shape = {f"schedule{name.removeprefix(path)}": left.pop(name) for name in own}
        try:
            schedules.check(shape)
        except Refusal as error:
            raise Refusal(f"{path}: {error}") from None
    for path, value in left.items():
        bounds.check(path, value, path)
