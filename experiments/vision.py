r"""Train a network on images: to say what they show, or to compress them.

Claim:    on MNIST multinomial logistic regression reads 0.92 of the test set, the
          benchmark suites' network of two convolutions and two dense layers 0.99.
Cost:     logistic: seconds on two CPU cores; cnn_2c2d: four minutes for three epochs.
Command:  python -m experiments.vision --model=logistic --learning_rate=5e-3
          python -m experiments.vision --model=cnn_2c2d --epochs=3
          python -m experiments.vision --dataset=cifar10 --model='resnet(depth=3)' \
              --optimizer='adamw(weight_decay=0.05)' --epochs=30
          python -m experiments.vision --model='vae(latent=8)'
"""

from typing import Any, NamedTuple

from gradjax import data, models, problems, types
from gradjax.commands import flags, train
from gradjax.commands.flags import Flag
from gradjax.errors import Refusal
from gradjax.plots.curves import Examples
from gradjax.problems import augmentation, autoencoder
from gradjax.types import Dataset, Options, Params, Problem


class Settings(NamedTuple):
    """What decides a run."""

    experiment: str
    dataset: str | None = None  # None: mnist where it is prepared, else digits
    model: str = "cnn"  # an expression
    augmentation: str | None = None  # None: what the data set usually has
    optimizer: str = "adam"  # an expression
    learning_rate: float | None = None  # None: the optimizer's own default
    schedule: str = "warmup_cosine(warmup=0.05)"  # an expression
    epochs: int | None = None  # None: 5, digits 30
    steps: int | None = None  # instead of epochs
    batch_size: int = 128  # images
    eval_every: int | None = None  # steps; None: an epoch
    seed: int = 0  # the first one
    seeds: int = 1  # how many
    trace_every: int = 0  # steps a point of the kept curves; 0: at most 1,000 points


def state(
    settings: types.Settings, options: Options
) -> tuple[Problem, types.Settings, dict[str, Any]]:
    """The problem of these settings, which then name data set and augmentation."""
    settings = settings._replace(dataset=train.choose_dataset(settings, options))
    dataset = _dataset(settings, options)
    expression = settings.model or ""
    settings = settings._replace(own=(("augmentation", _augmentation(settings)),))
    if autoencoder.is_autoencoder(expression):
        model = autoencoder.autoencoder_of(expression, dataset)
        return (
            autoencoder.autoencoder(dataset, model),
            settings,
            autoencoder.about(dataset),
        )
    augment = augmentation.augmentation(dict(settings.own)["augmentation"])
    model = problems.model_for(expression, dataset)
    problem = problems.classification(dataset, model, augment=augment)
    return problem, settings, problems.about(dataset)


def main(settings: Settings, options: Options) -> None:
    """States the problem, trains."""
    run = flags.as_run(settings)
    train.check(run)
    problem, run, about = state(run, options)
    shown = (
        None if autoencoder.is_autoencoder(settings.model) else _examples(run, options)
    )
    train.train(problem, run, options, about, shown)


def _examples(settings: types.Settings, options: Options) -> Any:
    """What the picture shows: test images, and what the network says of them."""
    dataset = _dataset(settings, options)
    model = problems.model_for(settings.model or "", dataset)
    predict = problems.predictor(model, dataset.max_value)

    def examples(params: Params) -> Examples:
        images, labels = dataset.test["image"][:10], dataset.test["label"][:10]
        return Examples(images / dataset.max_value, labels, predict(params, images))

    return examples


def _augmentation(settings: types.Settings) -> str:
    """The name of what was asked for, or of what is usual."""
    asked = dict(settings.own)["augmentation"]
    if autoencoder.is_autoencoder(settings.model or ""):
        if asked not in (None, "none"):
            raise Refusal(f"--augmentation={asked}: {settings.model} has none")
        return "none"
    return augmentation.usual(settings.dataset or "") if asked is None else asked


def _dataset(settings: types.Settings, options: Options) -> Dataset:
    return data.load(settings.dataset or "", options.data_dir)


_WHAT = "What is trained, on what"
_NAMES = ", ".join([*models.MODELS, *models.AUTOENCODERS])
COMMAND = flags.Command(
    "vision",
    Settings,
    {
        **flags.IMAGES,
        _WHAT: [
            Flag(
                "model",
                "string",
                f"the network: {_NAMES}, or a call such as 'mlp(widths=(128, 64))' or"
                " 'resnet(depth=3)'",
            ),
            *(flag for flag in flags.IMAGES[_WHAT] if flag.name != "model"),
            Flag(
                "augmentation",
                "string",
                "how training changes its images:"
                f" {', '.join(augmentation.AUGMENTATIONS)}. Unset: crop_and_flip for"
                " cifar10, crop for svhn_cropped, else none",
            ),
        ],
    },
    state,
)

if __name__ == "__main__":
    flags.run(main, COMMAND)
