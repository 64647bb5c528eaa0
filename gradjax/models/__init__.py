"""Parametric functions. The only folder that imports flax."""

from collections.abc import Callable

from gradjax.models.cnn import cnn
from gradjax.models.mlp import mlp
from gradjax.types import Model

MODELS: dict[str, Callable[..., Model]] = {"cnn": cnn, "mlp": mlp}
