"""Names the key that a function of the user misses, and keys that are no texts."""

from collections.abc import Callable, Mapping
from typing import Any

from gradjax.errors import Refusal
from gradjax.own_code import own_line


class _Missing(Exception):
    """Reports the lookup that failed."""


class _Named(dict):
    """A dictionary that knows its name, for the message about a missing key."""

    def __init__(self, name: str, values: dict[Any, Any]) -> None:
        super().__init__({key: _named(name, key, one) for key, one in values.items()})
        self.name = name

    def __missing__(self, key: Any) -> Any:
        there = ", ".join(sorted(map(repr, self))) or "no key"
        owner = "a batch" if self.name == "batch" else self.name
        raise _Missing(f"asks for {self.name}[{key!r}]; {owner} has {there}")


def call(what: str, function: Callable[..., Any], params: Any, batch: Any, *more: Any):
    """Calls `function(params, batch, *more)`, which may miss a key.

    Args:
      what: the function, such as "the loss"; the message begins with it.
      function: a loss or metrics of the user, which is being traced.
      params: a pytree; a missing key of a dictionary in it is named.
      batch: the same.
      more: further arguments.

    Returns:
      The result of the function.

    Raises:
        Refusal: a key is missing; the line has those that there are.
            Other exceptions of the function are passed on.
    """
    try:
        return function(params, batch, *more)
    except KeyError as error:
        # It is called once more, with dictionaries that know their names. They are no
        # pytrees for jax, so they are not used in the first place.
        named = _as_named("params", params), _as_named("batch", batch)
        try:
            function(*named, *more)
        except _Missing as missing:
            raise Refusal(f"{what} {missing}{own_line(error)}") from error
        except Exception:  # then the error above is the one to show
            pass
        raise


def check_texts(what: str, values: Any) -> None:
    """Refuses a dictionary in which a key is no text, because curves have names.

    Args:
      what: the dictionary, such as "the loss's aux"; the message begins with it.
      values: the dictionary. What is none is not looked at.
    """
    for key in values if isinstance(values, Mapping) else ():
        if not isinstance(key, str):
            raise Refusal(f"{what}[{key!r}]: a name must be a text")


def _as_named(name: str, value: Any) -> Any:
    return _Named(name, value) if type(value) is dict else value


def _named(name: str, key: Any, value: Any) -> Any:
    return _as_named(f"{name}[{key!r}]", value)
