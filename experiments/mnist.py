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

from gradjax import data, flags, launch, problems
from gradjax.plots.curves import Examples
from gradjax.types import Options, Params, Settings


def main(settings: Settings, options: Options) -> None:
    """Loads the images, states the problem, trains."""
    launch.check(settings)
    name = launch.choose_dataset(settings, options)
    dataset = data.load(name, options.data_dir)
    model = problems.model_for(settings.model or "", dataset)
    problem = problems.classification(dataset, model)
    predict = problems.predictor(model, dataset.max_value)

    def examples(params: Params) -> Examples:
        images, labels = dataset.test["image"][:10], dataset.test["label"][:10]
        return Examples(images / dataset.max_value, labels, predict(params, images))

    settings = settings._replace(dataset=name)
    launch.train(problem, settings, options, problems.about(dataset), examples)


COMMAND = flags.Command("mnist", Settings, flags.IMAGES)

if __name__ == "__main__":
    flags.run(main, COMMAND)
