"""A model's arguments, checked where an expression names them."""

import inspect
import re

import pytest

from gradjax import models
from gradjax.errors import Refusal
from gradjax.problems.network import network

# What is given beside the expression comes first, and has no default.
REGISTRIES = {
    name: getattr(models, name)
    for name in dir(models)
    if re.fullmatch(r"[A-Z_]+", name) and isinstance(getattr(models, name), dict)
}
ARGUMENTS = [
    (registry, model, parameter.name)
    for registry, factories in REGISTRIES.items()
    for model, factory in factories.items()
    for parameter in inspect.signature(factory).parameters.values()
    if parameter.default is not parameter.empty
]


def test_the_registries_are_found():
    assert {"MODELS", "TEXT_MODELS", "LANGUAGE_MODELS"} <= REGISTRIES.keys()
    assert {"TRANSLATORS", "RECOMMENDERS", "AUTOENCODERS"} <= REGISTRIES.keys()


@pytest.mark.parametrize(("registry", "model", "name"), ARGUMENTS)
def test_every_argument_of_every_model_has_its_bounds(registry, model, name):
    """Each is refused in one line outside of them, and what is no value is, too."""
    factory, factories = REGISTRIES[registry][model], dict(REGISTRIES[registry])
    parameters = inspect.signature(factory).parameters.values()
    given = [None for one in parameters if one.default is one.empty]
    wrong = ["nan", "'a'", "1e30", "-1", "(1e30,)"]
    for value in [f"{name}={one}" for one in wrong]:
        with pytest.raises(Refusal) as caught:
            network(f"{model}({value})", factories, *given)
        message = str(caught.value)
        assert message.startswith(f"{model}: {name}=") and "\n" not in message
