"""The search for the factor on a learning rate at which an eigenvalue reaches -1."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

_MOST = 1024.0  # factors on the rate from 1 / _MOST to _MOST are searched
_MOST_FACTORS = 50  # a bound, which a tolerance below rounding would reach

Found = Any  # with `real`, f[], and `vector`, the start of the next one


class Search(NamedTuple):
    """The bracket of the factor so far."""

    low: jax.Array  # f[], the largest factor inside the edge, or 0
    high: jax.Array  # f[], the least factor outside, or infinity
    low_gap: jax.Array  # f[], the real part + 1 at `low`
    high_gap: jax.Array
    now: Found  # at the factor 1
    last: Found  # at the last factor
    count: jax.Array  # i32[]


def bracket(
    at: Callable[[jax.Array, jax.Array, jax.Array], Found],
    blank: Found,
    tolerance: float,
) -> Search:
    """Brackets the factor at which the real part is -1, from the factor 1 on.

    All factors are computed in one loop, so the step is in the program only once.

    Args:
      at: (factor, start, index of the random direction) -> Found.
      blank: a Found with the first start; its other values are not used.
      tolerance: the largest high / low - 1 at the end.
    """
    kind = blank.real.dtype

    def is_open(seen: Search) -> jax.Array:
        is_wide = seen.high > (1 + tolerance) * seen.low
        is_near = (seen.low < _MOST) & (seen.high > 1 / _MOST)
        is_usable = jnp.isfinite(seen.now.real) & (seen.count < _MOST_FACTORS)
        is_open = is_usable & jnp.where(_is_bracket(seen), is_wide, is_near)
        return (seen.count == 0) | is_open

    def narrow(seen: Search) -> Search:
        factor = jnp.where(seen.count == 0, 1, _next_factor(seen, tolerance))
        factor = factor.astype(kind)
        return _added(seen, factor, at(factor, seen.last.vector, seen.count))

    low, high = jnp.zeros((), kind), jnp.full((), jnp.inf, kind)
    count = jnp.zeros((), jnp.int32)
    nothing = Search(low, high, low, low, blank, blank, count)
    return jax.lax.while_loop(is_open, narrow, nothing)


def _added(seen: Search, factor: jax.Array, found: Found) -> Search:
    """Returns the search with one more eigenvalue; one of NaN is past the edge."""
    gap = found.real + 1
    is_inside = gap > 0
    is_first = seen.count == 0
    return Search(
        jnp.where(is_inside, factor, seen.low),
        jnp.where(is_inside, seen.high, factor),
        jnp.where(is_inside, gap, seen.low_gap),
        jnp.where(is_inside, seen.high_gap, gap),
        jax.tree.map(lambda new, old: jnp.where(is_first, new, old), found, seen.now),
        found,
        seen.count + 1,
    )


def _is_bracket(seen: Search) -> jax.Array:
    return (seen.low > 0) & jnp.isfinite(seen.high)


def _next_factor(seen: Search, tolerance: float) -> jax.Array:
    """Returns the next factor: a guess that brackets the edge, or one inside.

    1 - eigenvalue is in proportion to the factor for gradient descent, so the first
    guess lies (1 + tolerance)^(1/4) beyond the edge, and the first interpolation
    equally far before it. These two are then a bracket.
    """
    margin = (1 + tolerance) ** 0.5
    has_low = seen.low > 0
    known = jnp.where(has_low, seen.low, seen.high)
    gap = jnp.where(has_low, seen.low_gap, seen.high_gap)
    least = jnp.where(seen.count > 1, 2, margin)
    beyond = known * jnp.where(gap < 2, 2 / (2 - gap), jnp.inf)
    up = jnp.clip(beyond * margin**0.5, known * least, known * 16)
    down = jnp.clip(beyond / margin**0.5, known / 16, known / least)
    outer = jnp.where(has_low, up, down)
    return jnp.where(_is_bracket(seen), _inner(seen, margin), outer)


def _inner(seen: Search, margin: float) -> jax.Array:
    """Returns a factor inside the bracket: interpolated and bisected by turns."""
    low, high = seen.low, seen.high
    middle = jnp.sqrt(low) * jnp.sqrt(high)
    share = seen.low_gap / (seen.low_gap - seen.high_gap)
    crossing = low + (high - low) * share
    # Towards the end that is further away, so that it is likely to come near, too.
    crossing *= jnp.where(crossing > middle, margin**-0.5, margin**0.5)
    crossing = jnp.clip(crossing, low * margin, high / margin)
    is_usable = jnp.isfinite(crossing) & (seen.count % 2 == 0)
    return jnp.where(is_usable, crossing, middle)
