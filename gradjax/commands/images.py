"""The flags and the choice of the data set that experiments on images share."""

from typing import Any

from gradjax import data, models
from gradjax.commands import flags
from gradjax.data import tfds
from gradjax.models import precision
from gradjax.problems import augmentation, images, parametrized
from gradjax.report import terminal
from gradjax.types import Problem, Settings

_MODELS = ", ".join([*models.MODELS, *models.AUTOENCODERS])
FLAGS = flags.of(
    images.load,
    model=f"the network: {_MODELS}, or a call such as 'mlp(widths=(128, 64))' or"
    " 'resnet(depth=3)', or an import path to your own: 'my_package.my_module:Net'",
    dataset="digits (bundled with scikit-learn), or the TFDS name of a prepared image"
    " data set: mnist, fashion_mnist, ... Unset: mnist where it is prepared, else"
    " digits",
    augmentation="the random change of the training images:"
    f" {', '.join(augmentation.AUGMENTATIONS)}, or usual: crop_and_flip for cifar10,"
    " crop for svhn_cropped, else none",
    precision=precision.HELP,
    parametrization=parametrized.HELP,
    data_dir=flags.DATA_DIR.help,
    cache_bytes="the largest size of decoded training images that is stored in the"
    f" cache (Unset: {tfds.CACHE_BYTES >> 30} GiB); larger data is decoded again while"
    " it is streamed",
)


def problem(settings: Settings) -> Problem:
    """Loads the problem of training a network on a data set of images."""
    return images.load(**dict(settings.own))


def resolve(settings: Settings) -> Settings:
    """Returns the settings with a data set: MNIST if it is prepared, else digits."""
    own: dict[str, Any] = dict(settings.own)
    if own["dataset"] is None:
        own["dataset"] = images.default_dataset(own["data_dir"])
        if own["dataset"] == "digits":
            folder = own["data_dir"] or data.default_data_dir()
            terminal.say(
                f"MNIST is not prepared in {folder} (make data does it): this run uses"
                " the bundled digits, 1,797 real images of 8x8"
            )
    return settings._replace(own=tuple(own.items()))
