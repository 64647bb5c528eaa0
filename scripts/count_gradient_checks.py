"""Counts what `gradjax.check_gradient` says of the bundled problems.

    python -m scripts.count_gradient_checks --problems=digits_mlp --checks=200

Each check is at other initial parameters and on another batch. The gradients of the
bundled problems are right, so the column "wrong" must be 0. In the checks of the column
"planted" the gradient of one leaf, another one in each check, is multiplied by 1.01
(1.00003 in float64); the column says how many of these are found.
"""

import argparse
import functools
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gradjax import problems
from gradjax.data import streaming
from gradjax.derivatives.check import GradientCheck, Programs, check_with, programs
from gradjax.errors import Refusal
from gradjax.report import terminal
from gradjax.types import Problem
from scripts import parsing


class Counts(NamedTuple):
    """The numbers of leaves in all checks of a problem, by verdict."""

    right: int
    undecided: int
    wrong: int
    planted: int  # planted mistakes
    found: int  # those that are called wrong


def count(
    problem: Problem,
    num_checks: int,
    num_planted: int,
    num_directions: int = 16,
    batch_size: int = 64,
) -> Counts:
    """Checks the gradient of a problem at many points.

    Args:
      problem: a problem whose gradient is right.
      num_checks: the number of checks without a mistake.
      num_planted: the number of checks with a planted mistake.
      num_directions: as `check_gradient` takes it.
      batch_size: the examples of a batch, or all if there are fewer.
    """
    sizes = (num_directions, batch_size)
    check = functools.partial(_check, problem, _programs(problem), sizes)
    leaves = [leaf for seed in range(num_checks) for leaf in check(seed).leaves]
    found = [_finds_mistake(check, seed) for seed in range(num_planted)]
    return Counts(
        sum(leaf.is_right for leaf in leaves),
        sum(not leaf.is_decided for leaf in leaves),
        sum(leaf.is_decided and not leaf.is_right for leaf in leaves),
        len(found),
        sum(found),
    )


def _programs(problem: Problem) -> Programs:
    """Returns the programs of all checks: the gradient of leaf k is scaled by f[k]."""

    def loss(params: Any, batch: Any, key: Any, factors: jax.Array) -> Any:
        leaves, tree = jax.tree.flatten(params)
        scaled = map(_with_scaled_gradient, leaves, factors)
        return problem.loss(jax.tree.unflatten(tree, scaled), batch, key)

    return programs(loss)


def _check(
    problem: Problem,
    programs: Programs,
    sizes: tuple[int, int],
    seed: int,
    is_planted: bool = False,
) -> GradientCheck:
    """Checks the gradient at the parameters and on the batch of a seed."""
    num_directions, batch_size = sizes
    params, key = problem.init(jax.random.key(seed)), jax.random.key(seed)
    num_leaves = len(jax.tree.leaves(params))
    factors = np.ones(num_leaves)
    if is_planted:
        is_float64 = jnp.asarray(0.0).dtype == jnp.float64
        factors[seed % num_leaves] = 1.00003 if is_float64 else 1.01
    rest = (_batch(problem, batch_size, seed), key, jnp.asarray(factors))
    return check_with(programs, params, rest, num_directions, seed=seed)


def _finds_mistake(check: Callable[..., GradientCheck], seed: int) -> bool:
    leaves = check(seed, is_planted=True).leaves
    leaf = leaves[seed % len(leaves)]
    return leaf.is_decided and not leaf.is_right


@jax.custom_vjp
def _with_scaled_gradient(x: jax.Array, factor: jax.Array) -> jax.Array:
    """Returns x; its gradient is multiplied by the factor."""
    del factor
    return x


_with_scaled_gradient.defvjp(
    lambda x, factor: (x, factor),
    lambda factor, grad: (grad * factor, jnp.zeros_like(factor)),
)


def _batch(problem: Problem, batch_size: int, seed: int) -> Any:
    if problem.data is None:
        return None
    source = problem.data.train
    rng = np.random.default_rng(seed)
    size = min(batch_size, source.num_examples)
    chosen = rng.choice(source.num_examples, size, replace=False)
    return jax.tree.map(jnp.asarray, streaming.examples(source, chosen))


def main(arguments: list[str]) -> int:
    """Prints a line for each problem; returns 2 after one line on stderr."""
    asked = _parser().parse_args(arguments)
    jax.config.update("jax_enable_x64", asked.x64)
    try:
        made = {name: problems.make(name) for name in asked.problems.split(",")}
    except Refusal as error:
        print(f"count_gradient_checks: --problems: {error}", file=sys.stderr)
        return 2
    heads = f"{'right':>7} {'not decided':>12} {'wrong':>6}  planted"
    terminal.say(f"{'problem':24} {heads}")
    for name, problem in made.items():
        found = count(
            problem,
            asked.checks,
            asked.planted,
            asked.num_directions,
            asked.batch_size,
        )
        mistakes = f"{found.found} of {found.planted} found"
        terminal.say(
            f"{name:24} {found.right:7} {found.undecided:12} {found.wrong:6}  "
            f"{mistakes}"
        )
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = parsing.parser("count_gradient_checks", __doc__)
    parser.add_argument("--problems", default="digits_mlp", help="a,b; digits_mlp")
    for name, low, usual, text in (
        ("checks", 1, 200, "of each problem"),
        ("planted", 0, 10, "checks with a planted mistake"),
        ("num_directions", 1, 16, "as check_gradient takes it"),
        ("batch_size", 1, 64, "examples of a batch"),
    ):
        kind = parsing.count(low, 100_000)
        parser.add_argument(
            f"--{name}", type=kind, default=usual, help=f"{text}; {usual}"
        )
    parser.add_argument("--x64", action="store_true", help="compute in float64")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
