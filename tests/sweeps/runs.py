"""Small runs and sweeps that are trained by a command."""

from experiments.minimize import EXPERIMENT
from gradjax.commands.experiment import settings_of
from gradjax.commands.train import train
from gradjax.types import Options, Sweep

ADAM = {"learning_rate": 0.03}


def trained(folder, asked=None, **flags):
    own = {"problem": "ridge", "batch_size": 32} | ADAM | flags
    options = Options(workdir=str(folder), plot=False)
    return train(EXPERIMENT, settings_of(EXPERIMENT, **own), asked or Sweep(), options)
