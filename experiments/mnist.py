r"""Train a network to read handwritten digits, with any optimizer and any schedule.

Claim:    the Keras tutorial's network (784-128 relu-10, softmax cross-entropy, inputs
          divided by 255, Adam at 1e-3, batch 32, 5 epochs) reads MNIST's test set at
          0.974 or better; the small convolutional network at 0.989.
Cost:     seconds of training on two CPU cores (mlp); about a minute (cnn).
Command:  python -m experiments.mnist
          python -m experiments.mnist --optimizer='adamw(weight_decay=0.1)' \
              --learning_rate=3e-3 --schedule='warmup_cosine(warmup=0.05)'
          python -m experiments.mnist --model=cnn --batch_size=128 --seeds=5
"""

from typing import Any

from gradjax import data, problems
from gradjax.commands import flags, train
from gradjax.plots.curves import Examples
from gradjax.types import Dataset, Options, Params, Problem, Settings


def state(
    settings: Settings, options: Options
) -> tuple[Problem, Settings, dict[str, Any]]:
    """The problem of these settings, which then name its data set."""
    settings = settings._replace(dataset=train.choose_dataset(settings, options))
    dataset = _dataset(settings, options)
    model = problems.model_for(settings.model or "", dataset)
    problem = problems.classification(dataset, model)
    return problem, settings, problems.about(dataset)


def main(settings: Settings, options: Options) -> None:
    """States the problem, trains."""
    train.check(settings)
    problem, settings, about_data = state(settings, options)
    dataset = _dataset(settings, options)
    model = problems.model_for(settings.model or "", dataset)
    predict = problems.predictor(model, dataset.max_value)

    def examples(params: Params) -> Examples:
        images, labels = dataset.test["image"][:10], dataset.test["label"][:10]
        return Examples(images / dataset.max_value, labels, predict(params, images))

    train.train(problem, settings, options, about_data, examples)


def _dataset(settings: Settings, options: Options) -> Dataset:
    return data.load(settings.dataset or "", options.data_dir)


COMMAND = flags.Command("mnist", Settings, flags.IMAGES, state)

if __name__ == "__main__":
    flags.run(main, COMMAND)
