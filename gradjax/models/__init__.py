"""Neural networks and other parametric models. Only this folder imports flax."""

from collections.abc import Callable

from gradjax.models.all_cnn import all_cnn
from gradjax.models.bag import bag
from gradjax.models.cnn import cnn
from gradjax.models.factorisation import factorisation
from gradjax.models.logistic import logistic
from gradjax.models.mlp import mlp
from gradjax.models.recommender import Recommender
from gradjax.models.recurrent import bidirectional_gru, gru, lstm
from gradjax.models.resnet import resnet
from gradjax.models.suite_cnns import cnn_2c2d, cnn_3c3d
from gradjax.models.transformer import decoder, decoder_of_base, encoder
from gradjax.models.translator import Translator, encoder_decoder
from gradjax.models.two_tower import two_tower
from gradjax.models.vae import Autoencoder, vae
from gradjax.models.vit import vit
from gradjax.types import Model

# Classifiers of images: (input_shape, num_classes, ...) -> Model
MODELS: dict[str, Callable[..., Model]] = {
    "all_cnn": all_cnn,
    "cnn": cnn,
    "cnn_2c2d": cnn_2c2d,
    "cnn_3c3d": cnn_3c3d,
    "logistic": logistic,
    "mlp": mlp,
    "resnet": resnet,
    "vit": vit,
}

# Autoencoders of images: (input_shape, ...) -> Autoencoder
AUTOENCODERS: dict[str, Callable[..., Autoencoder]] = {"vae": vae}

# Classifiers of texts: (num_tokens, num_classes, ...) -> Model of (tokens, lengths);
# they also read several texts in one row: lengths i32[batch, parts]
TEXT_MODELS: dict[str, Callable[..., Model]] = {
    "bag": bag,
    "gru": bidirectional_gru,
    "transformer": encoder,
}

# Language models: (num_tokens, ...) -> Model of tokens
LANGUAGE_MODELS: dict[str, Callable[..., Model]] = {
    "gru": gru,
    "lstm": lstm,
    "transformer": decoder,
}

# Models of ratings: (catalogue, ...) -> Recommender
RECOMMENDERS: dict[str, Callable[..., Recommender]] = {
    "factorisation": factorisation,
    "two_tower": two_tower,
}

# Models of translations: (num_tokens, ...) -> Translator
TRANSLATORS: dict[str, Callable[..., Translator]] = {"transformer": encoder_decoder}

# Networks with a maximal update parametrization: factory -> (base width) -> a factory
# with the same arguments and with the multipliers of this parametrization
OF_BASE: dict[Callable[..., Model], Callable[[int], Callable[..., Model]]] = {
    decoder: decoder_of_base,
    mlp: lambda _: mlp,
}
