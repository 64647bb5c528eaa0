"""Parametric functions. The only folder that imports flax."""

from collections.abc import Callable

from gradjax.models.bag import bag
from gradjax.models.cnn import cnn
from gradjax.models.factorisation import factorisation
from gradjax.models.mlp import mlp
from gradjax.models.recommender import Recommender
from gradjax.models.recurrent import bidirectional_gru, gru, lstm
from gradjax.models.transformer import decoder, encoder
from gradjax.models.two_tower import two_tower
from gradjax.types import Model

MODELS: dict[str, Callable[..., Model]] = {"cnn": cnn, "mlp": mlp}

# (num_tokens, num_classes, ...) -> Model of (tokens, lengths): what a text is about
TEXT_MODELS: dict[str, Callable[..., Model]] = {
    "bag": bag,
    "gru": bidirectional_gru,
    "transformer": encoder,
}

# (num_tokens, ...) -> Model of tokens: what comes next
LANGUAGE_MODELS: dict[str, Callable[..., Model]] = {
    "gru": gru,
    "lstm": lstm,
    "transformer": decoder,
}

# (catalogue, ...) -> Recommender: who likes what
RECOMMENDERS: dict[str, Callable[..., Recommender]] = {
    "factorisation": factorisation,
    "two_tower": two_tower,
}
