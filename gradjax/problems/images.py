"""Loads problems on images by name: classification and compression."""

from gradjax import data
from gradjax.errors import Refusal
from gradjax.problems import augmentation as augmentations
from gradjax.problems import autoencoder as autoencoders
from gradjax.problems import parametrized
from gradjax.problems.classification import about, classification, examples, model_for
from gradjax.types import Dataset, Problem

_EPOCHS = {"digits": 30}  # because a small data set needs more passes
_USUAL_EPOCHS = 5


def load(
    dataset: str | None = None,
    model: str = "mlp",
    augmentation: str = "none",
    precision: str = "float32",
    parametrization: str = parametrized.STANDARD,
    data_dir: str | None = None,
    cache_bytes: int | None = None,
) -> Problem:
    """Loads a data set of images and makes the problem for a network.

    Args:
      dataset: "digits", or the TFDS name of a prepared data set; None: see
        `default_dataset`.
      model: an expression: a classifier in `models.MODELS` or an autoencoder in
        `models.AUTOENCODERS`.
      augmentation: the augmentation of training images, a name in `AUGMENTATIONS`, or
        "usual" for the default of the data set.
      precision: "float32" or "bfloat16", in which the network computes; parameters and
        the loss are float32.
      parametrization: "standard" or "mup", as in `parametrized`; of classifiers.
      data_dir: TFDS's folder; None: that of `data.default_data_dir`.
      cache_bytes: as in `data.tfds.load`.

    Raises:
      Refusal: the data set is missing or damaged, the model or the augmentation is
        unknown, or an autoencoder is given an augmentation or a parametrization.
    """
    images = data.load(dataset or default_dataset(data_dir), data_dir, cache_bytes)
    is_usual = augmentation == "usual"
    name = augmentations.usual(images.name) if is_usual else augmentation
    augment = augmentations.augmentation(name)
    if autoencoders.is_autoencoder(model):
        if augment is not None and not is_usual:
            raise Refusal(f"augmentation={name}: {model} takes no augmentation")
        if parametrization != parametrized.STANDARD:
            raise Refusal(f"parametrization={parametrization}: {model} has none")
        return _autoencoder(images, model, precision)
    network = model_for(model, images, precision, parametrization)
    made = classification(images, network, augment=augment)
    described = about(images) | {"augmentation": name}
    return made._replace(about=described, examples=examples(images, network))


def default_dataset(data_dir: str | None = None) -> str:
    """Returns "mnist" if MNIST is prepared, else the bundled "digits"."""
    return "mnist" if data.is_prepared("mnist", data_dir) else "digits"


def default_epochs(dataset: str) -> int:
    """Returns the default number of epochs for a data set."""
    return _EPOCHS.get(dataset, _USUAL_EPOCHS)


def _autoencoder(images: Dataset, model: str, precision: str) -> Problem:
    network = autoencoders.autoencoder_of(model, images, precision)
    made = autoencoders.autoencoder(images, network)
    return made._replace(about=autoencoders.about(images))
