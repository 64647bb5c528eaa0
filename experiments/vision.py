r"""Train a network to classify images or to compress them.

Claim:    on MNIST, multinomial logistic regression has a test accuracy of 0.92; the
          network of two convolutions and two dense layers of the suites has 0.99.
Cost:     on two CPU cores, seconds (logistic), or four minutes for three epochs
          (cnn_2c2d).
Command:  python -m experiments.vision --model=logistic --learning_rate=5e-3
          python -m experiments.vision --model=cnn_2c2d --epochs=3
          python -m experiments.vision --dataset=cifar10 --model='resnet(depth=3)' \
              --optimizer='adamw(weight_decay=0.05)' --epochs=30
          python -m experiments.vision --model='vae(latent=8)'
"""

from gradjax.commands import images
from gradjax.commands.experiment import Experiment
from gradjax.commands.main import main
from gradjax.problems.images import default_epochs

EXPERIMENT = Experiment(
    "vision",
    images.problem,
    {"Problem": images.FLAGS},
    {
        "model": "cnn",
        "augmentation": "usual",
        "schedule": "warmup_cosine(warmup=0.05)",
    },
    batch_size=128,
    epochs=default_epochs,
    examples="images",
    resolve=images.resolve,
)

if __name__ == "__main__":
    main(EXPERIMENT)
