"""Search methods. A new one is a file in this folder and a line in SEARCHES."""

import inspect
from collections.abc import Callable

from gradjax import expressions
from gradjax.errors import Refusal
from gradjax.search.each import in_turn
from gradjax.search.grid import grid
from gradjax.search.halton import halton
from gradjax.search.sobol import sobol
from gradjax.search.tpe import tpe
from gradjax.search.uniform import uniform
from gradjax.types import Search

__all__ = ["SEARCHES", "in_turn", "make"]

SEARCHES: dict[str, Callable[..., Search]] = {
    "grid": grid,
    "halton": halton,
    "random": uniform,
    "sobol": sobol,
    "tpe": tpe,
}


def make(expression: str) -> Search:
    """Makes the search that an expression names: `make("tpe(startup=20)")`.

    An import path `package.module:name` is loaded and called.

    Raises:
        Refusal: an expression that cannot be parsed, an unknown name, an argument that
            the search does not accept, or a path that does not give a Search.
    """
    call = expressions.parse(expression)
    if ":" in call.name:
        factory = expressions.load(call.name)
    else:
        factory = expressions.lookup(call.name, SEARCHES, "search")
    try:
        bound = inspect.signature(factory).bind(*call.args, **dict(call.kwargs))
    except (TypeError, ValueError) as error:
        raise Refusal(f"{expression}: {error}") from None
    search = factory(*bound.args, **bound.kwargs)
    if not isinstance(search, Search):
        raise Refusal(f"{expression}: gave {type(search).__name__}, not a Search")
    return search
