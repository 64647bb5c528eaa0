"""Networks of the user, which an expression names by an import path."""

from typing import Any, NamedTuple

import flax.linen as nn
import jax

from gradjax.errors import Refusal
from gradjax.models.module import from_examples
from gradjax.own_code import named_errors
from gradjax.types import Call, Key, Model

_OUTPUTS = ("num_outputs", "num_classes")  # fields of a module that the data determine


class Form(NamedTuple):
    """The inputs that a network gets from its problem, and the outputs it must give."""

    inputs: tuple[Any, ...]  # arrays [1, ...]; several are one tuple for `apply`
    outputs: tuple[int, ...]  # the shape of the outputs at these inputs


def of_module(module: Any, *examples: Any) -> Model:
    """Converts a linen module, with a state or without, by example inputs.

    Raises:
        Refusal: it is no linen module, or see `module.from_examples`.
    """
    if not isinstance(module, nn.Module):
        raise Refusal(
            f"{module!r:.60}: expected a flax.linen module, such as nn.Dense(10)"
        )
    return from_examples(module, *examples)


def make(found: Any, call: Call, given: tuple[Any, ...], form: Form | None) -> Any:
    """Makes the network of the user that a call names.

    Args:
      found: what the import path names: a linen module or its class, a Model, or a
        function (*given, **arguments) that makes one of these, as the bundled networks
        are made. A class gets the number of outputs if it has a field `num_outputs` or
        `num_classes`.
      call: the expression; its arguments go to the class or to the function.
      given: what the data determine; its last element is the number of outputs.
      form: the inputs and the outputs; None: of a network that is no Model, such as a
        translator, which only a function can make.

    Raises:
        Refusal: it is none of these, it fails, or its outputs have another shape.
    """
    made: Any = found
    if not isinstance(found, nn.Module | tuple):
        made = _called(found, call, given)
    elif call.args or call.kwargs:
        raise Refusal(f"model {call.name}: it is made already, so it has no arguments")
    if isinstance(made, nn.Module) and form is not None:
        with named_errors(f"model {call.name} fails"):
            made = from_examples(made, *form.inputs)
    is_model = isinstance(made, Model) if form else hasattr(made, "_fields")
    if not is_model:
        expected = "a linen module or a gradjax.Model" if form else "a NamedTuple"
        raise Refusal(
            f"model {call.name} gives a {type(made).__name__}: expected {expected}"
        )
    if form is not None:
        _check_outputs(made, call.name, form)
    return made


def _called(found: Any, call: Call, given: tuple[Any, ...]) -> Any:
    if not callable(found):
        raise Refusal(f"model {call.name} is a {type(found).__name__}: not a network")
    args, kwargs = call.args, dict(call.kwargs)
    if isinstance(found, type) and issubclass(found, nn.Module):
        fields = found.__dataclass_fields__
        counts = {name: given[-1] for name in _OUTPUTS if name in fields}
        kwargs = {**counts, **kwargs}
    else:
        args = (*given, *args)
    with named_errors(f"model {call.name} fails"):
        return found(*args, **kwargs)


def _check_outputs(model: Any, name: str, form: Form) -> None:
    def outputs(key: Key) -> Any:
        first, *others = form.inputs
        inputs = (first, *others) if others else first
        params = model.init(key)
        if model.init_state is None:
            return model.apply(params, inputs, None)
        return model.apply(params, inputs, None, model.init_state(key))[0]

    with named_errors(f"model {name} fails"):
        found = jax.eval_shape(outputs, jax.random.key(0))
    shape = getattr(found, "shape", type(found).__name__)
    if shape != form.outputs:
        raise Refusal(
            f"model {name} gives outputs {shape} for a batch of one example: expected"
            f" {form.outputs}"
        )
