"""Problems on the images of a data set, by name: classify them, or compress them."""

from gradjax import data
from gradjax.errors import Refusal
from gradjax.problems import augmentation as augmentations
from gradjax.problems import autoencoder as autoencoders
from gradjax.problems.classification import about, classification, examples, model_for
from gradjax.types import Dataset, Problem

_EPOCHS = {"digits": 30}  # a data set this small needs more passes
_USUAL_EPOCHS = 5


def load(
    dataset: str | None = None,
    model: str = "mlp",
    augmentation: str = "none",
    data_dir: str | None = None,
) -> Problem:
    """The problem of a data set of images and a network.

    Args:
      dataset: "digits", or the TFDS name of a prepared data set; None: see
        `default_dataset`.
      model: an expression: a classifier in `models.MODELS` or an autoencoder in
        `models.AUTOENCODERS`.
      augmentation: how training changes its images: a name in `AUGMENTATIONS`, or
        "usual" for what is usual for the data set.
      data_dir: of TFDS; None: as `data.default_data_dir` says.

    Raises:
      Refusal: a data set that is missing or damaged, an unknown model or augmentation,
        or an augmentation for an autoencoder.
    """
    images = data.load(dataset or default_dataset(data_dir), data_dir)
    is_usual = augmentation == "usual"
    name = augmentations.usual(images.name) if is_usual else augmentation
    augment = augmentations.augmentation(name)
    if autoencoders.is_autoencoder(model):
        if augment is not None and not is_usual:
            raise Refusal(f"augmentation={name}: {model} has none")
        return _autoencoder(images, model)
    network = model_for(model, images)
    made = classification(images, network, augment=augment)
    described = about(images) | {"augmentation": name}
    return made._replace(about=described, examples=examples(images, network))


def default_dataset(data_dir: str | None = None) -> str:
    """MNIST where it is prepared, else the bundled digits."""
    return "mnist" if data.is_prepared("mnist", data_dir) else "digits"


def default_epochs(dataset: str) -> int:
    """Passes over a data set where no number is asked for."""
    return _EPOCHS.get(dataset, _USUAL_EPOCHS)


def _autoencoder(images: Dataset, model: str) -> Problem:
    network = autoencoders.autoencoder_of(model, images)
    made = autoencoders.autoencoder(images, network)
    return made._replace(about=autoencoders.about(images))
