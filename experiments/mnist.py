r"""Train a network to classify handwritten digits with any optimizer and schedule.

Claim:    the network of the Keras tutorial (784-128 relu-10, softmax cross-entropy,
          inputs divided by 255, Adam at 1e-3, batch 32, 5 epochs) has a test accuracy
          of at least 0.974 on MNIST; the small convolutional network, 0.989.
Cost:     seconds of training on two CPU cores (mlp); about a minute (cnn).
Command:  python -m experiments.mnist
          python -m experiments.mnist --optimizer='adamw(weight_decay=0.1)' \
              --learning_rate=3e-3 --schedule='warmup_cosine(warmup=0.05)'
          python -m experiments.mnist --model=cnn --batch_size=128 --seeds=5
"""

from gradjax.commands import images
from gradjax.commands.experiment import Experiment
from gradjax.commands.main import main
from gradjax.problems.images import default_epochs

EXPERIMENT = Experiment(
    "mnist",
    images.problem,
    {"Problem": images.FLAGS},
    batch_size=32,
    epochs=default_epochs,
    examples="images",
    resolve=images.resolve,
)

if __name__ == "__main__":
    main(EXPERIMENT)
