"""Converts a flax module to pure functions of a dictionary of parameters."""

import inspect
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from gradjax.errors import Refusal
from gradjax.types import Key, Model, ModelState, Params

# Arguments of `__call__` that tell training from evaluation -> their value in training.
_IS_TRAINING = {
    "train": True,
    "training": True,
    "is_training": True,
    "deterministic": False,
    "use_running_average": False,
}


def from_module(module: nn.Module, input_shape: tuple[int, ...]) -> Model:
    """Converts a module without a state to a Model of its "params" collection.

    Args:
      module: the module; the key of `apply` is its "dropout" stream.
      input_shape: shape of one example, f32.
    """
    return _without_state(module, (jnp.zeros((1, *input_shape)),))


def from_module_with_state(module: nn.Module, input_shape: tuple[int, ...]) -> Model:
    """Converts a module that keeps more than parameters, such as "batch_stats".

    The state of the Model is the dictionary of all other collections of the module.
    Numbers in it are at least as wide as the widest parameter, so that a step of a
    float64 network does not change their type.

    Args:
      module: the module. An argument `train`, `training`, `is_training`,
        `deterministic` or `use_running_average` of its `__call__` says whether it is
        trained; there must be one.
      input_shape: shape of one example, f32.

    Raises:
      Refusal: there is no such argument.
    """
    return _with_state(module, (jnp.zeros((1, *input_shape)),))


def from_examples(module: nn.Module, *examples: jax.Array) -> Model:
    """Converts any module; whether it keeps a state is found by tracing its init.

    Args:
      module: the module.
      examples: example inputs. If there are several, `apply` takes them as one tuple.

    Raises:
      Refusal: see `from_module_with_state`; or the module has no parameters.
    """
    flags = _of(_flags(module), None)
    made = jax.eval_shape(
        lambda key: module.init(key, *examples, **flags), jax.random.key(0)
    )
    if "params" not in made:
        raise Refusal(f"{type(module).__name__} has no parameters")
    convert = _without_state if set(made) == {"params"} else _with_state
    return convert(module, examples)


def _without_state(module: nn.Module, examples: tuple[jax.Array, ...]) -> Model:
    flags = _flags(module)

    def init(key: Key) -> Params:
        return module.init(key, *examples, **_of(flags, None))["params"]

    def apply(params: Params, inputs: Any, key: Key | None = None) -> Any:
        rngs = None if key is None else {"dropout": key}
        given = inputs if len(examples) > 1 else (inputs,)
        return module.apply({"params": params}, *given, rngs=rngs, **_of(flags, key))

    return Model(init, apply)


def _with_state(module: nn.Module, examples: tuple[jax.Array, ...]) -> Model:
    flags = _flags(module)
    if not flags:
        expected = ", ".join(_IS_TRAINING)
        raise Refusal(
            f"{type(module).__name__} keeps a state, so an argument of its __call__"
            f" must tell training from evaluation; expected one of {expected}"
        )

    def variables(key: Key) -> dict[str, Any]:
        return dict(module.init(key, *examples, **_of(flags, None)))

    def init(key: Key) -> Params:
        return variables(key)["params"]

    def init_state(key: Key) -> ModelState:
        made = variables(key)
        width = jnp.result_type(*jax.tree.leaves(made.pop("params")))

        def widen(leaf: jax.Array) -> jax.Array:
            is_float = jnp.issubdtype(leaf.dtype, jnp.floating)
            wide = width if is_float else leaf.dtype
            return leaf.astype(jnp.promote_types(leaf.dtype, wide))

        return jax.tree.map(widen, made)

    def apply(
        params: Params, inputs: Any, key: Key | None, state: ModelState
    ) -> tuple[Any, ModelState]:
        variables = {"params": params, **state}
        given = inputs if len(examples) > 1 else (inputs,)
        if key is None:
            return module.apply(variables, *given, **_of(flags, None)), state
        outputs, new = module.apply(
            variables,
            *given,
            rngs={"dropout": key},
            mutable=list(state),
            **_of(flags, key),
        )
        return outputs, {**state, **new}

    return Model(init, apply, init_state)


def _flags(module: nn.Module) -> dict[str, Any]:
    """Returns the arguments of `__call__` that say whether a module is trained."""
    known = inspect.signature(type(module).__call__).parameters
    return {name: value for name, value in _IS_TRAINING.items() if name in known}


def _of(flags: dict[str, Any], key: Key | None) -> dict[str, Any]:
    """Returns the flags of training if there is a key, else those of evaluation."""
    return {name: value == (key is not None) for name, value in flags.items()}
