"""The flags that experiments share, in groups, as --help shows them."""

from typing import NamedTuple

from gradjax import models, optimizers, schedules, search


class Flag(NamedTuple):
    """One flag: its name is a field of the command's settings or of Options."""

    name: str
    kind: str  # string, integer, float, boolean, or strings: it may be repeated
    help: str


OPTIMIZER = Flag(
    "optimizer",
    "string",
    "a name, or a call such as 'adamw(b2=0.95, weight_decay=0.1)' or"
    " 'chain(clip_by_global_norm(1.0), sgd(momentum=0.9))', or an import path to your"
    " own: 'my_package.my_module:my_optimizer(b1=0.95)'. Names:"
    f" {', '.join(sorted(optimizers.OPTIMIZERS))}. Around one or more of them:"
    f" {', '.join(sorted(optimizers.WRAPPERS))}. `python -m scripts.list optimizers`"
    " says what each takes, `python -m scripts.list transforms` what else a chain may"
    " hold",
)
LEARNING_RATE = Flag(
    "learning_rate",
    "float",
    "the peak, which the schedule multiplies. Unset: the optimizer's own",
)
SCHEDULE = Flag(
    "schedule",
    "string",
    "the shape of the learning rate over the run: a name, or a call such as"
    " 'warmup_cosine(warmup=0.05)', where a float is a fraction of the run and an int"
    " a number of steps, or numbers such as '[0, 1, 0.5]'. Names:"
    f" {', '.join(sorted(schedules.SCHEDULES))}. `python -m scripts.show_schedule`"
    " draws them",
)
SEED = Flag("seed", "integer", "of initial parameters and batch order")
SEEDS = Flag(
    "seeds",
    "integer",
    "how many runs, with seed, seed + 1, ...: their mean and Student's 95 % interval"
    " are reported",
)
TRACE_EVERY = Flag(
    "trace_every",
    "integer",
    "steps a point of the kept training curves; 0 keeps at most 1,000 points",
)
KEPT = [
    Flag(
        "workdir",
        "string",
        "the run's folder. Unset: runs/<experiment>/<readable-name>",
    ),
    Flag("overwrite", "boolean", "do it again over what is there"),
    Flag("plot", "boolean", "draw the picture"),
]
DATA_DIR = Flag(
    "data_dir",
    "string",
    "where TFDS keeps its data. Unset: $TFDS_DATA_DIR or ~/tensorflow_datasets",
)


def training(
    examples: str, epochs: str, rate: str = "the optimizer's own"
) -> dict[str, list[Flag]]:
    """The flags of every run over data, in groups.

    Args:
      examples: what a batch holds, as --help says it.
      epochs: how many there are where none are asked for.
      rate: the learning rate, where none is asked for.
    """
    return {
        "How": [
            OPTIMIZER,
            LEARNING_RATE._replace(
                help=f"the peak, which the schedule multiplies. Unset: {rate}"
            ),
            SCHEDULE,
            Flag("batch_size", "integer", f"{examples} a step"),
        ],
        "How long": [
            Flag(
                "epochs", "integer", f"passes over the training split. Unset: {epochs}"
            ),
            Flag("steps", "integer", "optimizer steps, instead of epochs"),
            Flag(
                "eval_every",
                "integer",
                "steps between two evaluations on the validation split. Unset: an"
                " epoch",
            ),
        ],
        "Chance": [SEED, SEEDS],
        "What is kept": [*KEPT, TRACE_EVERY],
    }


IMAGES: dict[str, list[Flag]] = {
    "What is trained, on what": [
        Flag(
            "model",
            "string",
            f"the network: {', '.join(models.MODELS)}, or a call such as"
            " 'mlp(widths=(128, 64))' or 'cnn(channels=(16, 32))'",
        ),
        Flag(
            "dataset",
            "string",
            "digits (bundled with scikit-learn), or the TFDS name of a prepared image"
            " data set: mnist, fashion_mnist, ... Unset: mnist where it is prepared,"
            " else digits",
        ),
        DATA_DIR,
    ],
    **training("examples", "5; digits: 30"),
}


SWEEP: dict[str, list[Flag]] = {
    "A sweep of it, as one program": [
        Flag(
            "sweep",
            "strings",
            "what varies; may be repeated: 'learning_rate=log(1e-4, 1)', with"
            " log(low, high[, n]), linear(...), int(...) or a list such as"
            " 'optimizer=[sgd, adam]'. Names: learning_rate, optimizer, schedule,"
            " batch_size, model, steps, epochs, and optimizer.<argument> or"
            " schedule.<argument>",
        ),
        Flag(
            "space",
            "string",
            "a JSON file instead: name -> min, max and scaling, or feasible_points",
        ),
        Flag(
            "search",
            "string",
            f"which points: {', '.join(sorted(search.SEARCHES))}; tpe learns from"
            " what was seen, and needs the extra [tpe]",
        ),
        Flag("trials", "integer", "how many points. Unset: all that a grid has"),
        Flag(
            "fresh_seeds",
            "integer",
            "seeds that chose nothing, on which the best of each optimizer is run",
        ),
        Flag(
            "halving",
            "integer",
            "keep the best one in so many at each rung. Unset: all go on to the end",
        ),
        Flag(
            "width",
            "integer",
            "trials mapped together on a device; the last bits depend on it. Unset: as"
            " measured to be fast",
        ),
        Flag("num_devices", "integer", "how many devices. Unset: all; of a CPU, cores"),
        Flag(
            "accept_changes",
            "boolean",
            "go on though versions, code or device are not those that the sweep began"
            " with; what is computed from here on is marked",
        ),
    ],
}
