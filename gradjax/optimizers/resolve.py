"""What only an optimizer itself can say, if it is the user's own or is finished.

The extras that its update takes are read from its signature. Its state says how it has
to be used: where it is evaluated, which gradients it takes, and whether it goes on
after a loss that is not finite.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from optax import contrib

from gradjax.errors import Refusal
from gradjax.optimizers import build, defined, extras
from gradjax.optimizers.averaging import schedule_free_params
from gradjax.own_code import named_errors
from gradjax.types import Entry, Hparams, OptimizerSpec, Params, Problem

STATIC_HINT = (
    ", or declare the argument static: annotate it as int, bool or str, or use"
    " @gradjax.optimizer(static=(...,))"
)
_Private = contrib.DifferentiallyPrivateAggregateState


def resolve(
    optimizer: OptimizerSpec,
    numbers: Hparams,
    problem: Problem,
    transforms: dict[str, Entry],
) -> OptimizerSpec:
    """Completes the entries of the user's own optimizers inside a spec.

    Each of them is made once with traced numbers, and its state is computed as shapes.

    Args:
      optimizer: the static spec, as `split` returns it.
      numbers: its numbers, as `split` returns them.
      problem: the problem to minimise.
      transforms: the registered transforms.

    Returns:
      The spec with complete entries.

    Raises:
        Refusal: an error of the function that makes an optimizer; an extra that a step
            does not have; an optimizer that needs more than a step can give it; a
            composition that is not defined.
    """
    if not any(node.entry.is_own for node in build.nodes(optimizer)):
        return optimizer
    peaks = {path: numbers[f"{path}.peak"] for path, _ in optimizer.scheduled}
    params = jax.eval_shape(problem.init, jax.random.key(0))
    found = _resolved(optimizer, {**numbers, **peaks}, params, transforms)
    defined.check_composition(found)
    return found


def states(kind: Any, opt_state: Any) -> list[Any]:
    """Returns the outermost states of a type in the state of an optimizer."""

    def is_found(node: Any) -> bool:
        return isinstance(node, kind)

    return list(filter(is_found, jax.tree.leaves(opt_state, is_leaf=is_found)))


def _resolved(
    node: OptimizerSpec,
    numbers: Hparams,
    params: Params,
    transforms: dict[str, Entry],
) -> OptimizerSpec:
    def inner(value: Any) -> Any:
        is_node = isinstance(value, OptimizerSpec)
        return _resolved(value, numbers, params, transforms) if is_node else value

    kwargs = tuple((name, inner(value)) for name, value in node.kwargs)
    node = node._replace(args=tuple(map(inner, node.args)), kwargs=kwargs)
    if node.entry.is_own:
        node = node._replace(entry=_completed(node, numbers, params))
    defined.check_held(build.name_of(node), node, transforms)
    return node


def _completed(node: OptimizerSpec, numbers: Hparams, params: Params) -> Entry:
    """Returns the entry of a user's optimizer with what it says of itself."""
    name, entry = build.name_of(node), node.entry
    needs: list[tuple[str, ...]] = []

    def init(numbers: Hparams, params: Params) -> Any:
        rule, _ = build.made(node, numbers)
        needs.append(extras.extras_of(rule, name))
        return rule.init(params)

    with named_errors(f"{name} fails", STATIC_HINT):
        state = jax.eval_shape(init, numbers, params)
    if entry.needs is None:
        entry = entry._replace(needs=needs[0])
    for kind, rule in _RULES.items():
        if states(kind, state):
            entry = rule(name, entry, state)
    return entry


def _private(name: str, entry: Entry, state: Any) -> Entry:
    """Gives the gradient of each example to a rule that clips each of them."""
    if entry.gradient == "per_example":
        return entry
    first = state
    while type(first) is tuple and first:
        first = first[0]
    if not isinstance(first, _Private) or len(states(_Private, state)) > 1:
        raise Refusal(
            f"{name} clips the gradient of each example, but not as its first step, so"
            " it would get other gradients: put differentially_private_aggregate first"
        )
    return entry._replace(gradient="per_example")


def _schedule_free(_name: str, entry: Entry, _state: Any) -> Entry:
    return _evaluated_at(schedule_free_params, entry)


def _sharpness_aware(name: str, entry: Entry, state: Any) -> Entry:
    """Evaluates at the parameters of SAM, not at those that it tries."""
    if states(contrib.SAMState, state)[0].cache is not None:
        return _evaluated_at(_before_the_ascent, entry)
    if entry.num_gradients == 1:
        raise Refusal(
            f"{name}: optax.contrib.sam(opaque_mode=True) computes more than one"
            " gradient in a step: use sam(...), or say how many with"
            " @gradjax.optimizer(num_gradients=2)"
        )
    return entry


def _lookahead(name: str, _entry: Entry, _state: Any) -> Entry:
    raise Refusal(
        f"{name}: optax.lookahead updates pairs of fast and slow parameters, which a"
        " loss does not take: use the wrapper lookahead(sgd, sync_period=6)"
    )


def _apply_if_finite(_name: str, entry: Entry, _state: Any) -> Entry:
    return entry._replace(tolerates=True)


def _multi_steps(_name: str, entry: Entry, state: Any) -> Entry:
    """Goes on after a loss that is not finite, if such a step is skipped."""
    found = states(optax.MultiStepsState, state)
    is_skipping = any(jax.tree.leaves(one.skip_state) for one in found)
    return entry._replace(tolerates=entry.tolerates or is_skipping)


def _evaluated_at(eval_params: Callable[[Any, Params], Params], entry: Entry) -> Entry:
    """Adds evaluation parameters to an entry that states none."""
    is_stated = entry.eval_params is not None
    return entry if is_stated else entry._replace(eval_params=eval_params)


def _before_the_ascent(opt_state: Any, params: Params) -> Params:
    """Returns the parameters of SAM, which its cache holds between two updates."""
    state = build.find_state(contrib.SAMState, opt_state)
    is_above = state.steps_since_sync > 0
    return jax.tree.map(lambda c, x: jnp.where(is_above, c, x), state.cache, params)


# A state -> what it says about the optimizer: (name, entry, state) -> entry.
_RULES: dict[Any, Callable[[str, Entry, Any], Entry]] = {
    _Private: _private,
    contrib.ScheduleFreeState: _schedule_free,
    contrib.SAMState: _sharpness_aware,
    optax.LookaheadState: _lookahead,
    optax.ApplyIfFiniteState: _apply_if_finite,
    optax.MultiStepsState: _multi_steps,
}
