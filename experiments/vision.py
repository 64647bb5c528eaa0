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
        "batch_size": 128,
    },
    epochs=default_epochs,
    examples="images",
    resolve=images.resolve,
)

if __name__ == "__main__":
    main(EXPERIMENT)
