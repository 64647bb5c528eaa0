r"""Recommend films from ratings, and keep learning as new ratings come.

Claim:    on MovieLens latest-small, split at random, biased matrix factorisation
          predicts test ratings with an RMSE of at most 0.855, at least 0.01 below tuned
          biases alone; split by time, where nine in ten test ratings are of users that
          training never sees, a model that keeps learning has at most 0.81, at least
          0.15 less than the same model frozen at the split.
Cost:     about a second of training on two CPU cores; the online replay ten.
Command:  python -m experiments.recommend
          python -m experiments.recommend --user=42 --split_index=3
          python -m experiments.recommend --model='two_tower(widths=(64,))' --epochs=2
          python -m experiments.recommend --online
          python -m experiments.recommend --dataset=ratings.csv --split=time

The data set is prepared by `python -m scripts.prepare_data
movielens/latest-small-ratings`, or a CSV file with columns user, item, rating and time.
A split by time holds the earliest eight tenths for training, a tenth for validation and
the latest tenth for test. --online trains on the first part and then takes every later
rating in the order of time: each is predicted before it is learned from (progressive
validation, Dawid 1984). The frozen model is the trained one without further learning.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import gradjax
from gradjax import optimizers
from gradjax.analysis import online
from gradjax.commands import experiment, flags, lesson
from gradjax.commands.experiment import Experiment
from gradjax.commands.flags import Flag
from gradjax.commands.main import main
from gradjax.commands.train import train
from gradjax.data import ratings
from gradjax.errors import Refusal
from gradjax.models import RECOMMENDERS
from gradjax.optimizers import bounds
from gradjax.plots.online import Errors
from gradjax.plots.online import online as draw_online
from gradjax.problems import arguments, recommendation
from gradjax.problems.recommendation import Task
from gradjax.training.numbers import checked_hparams
from gradjax.types import (
    Hparams,
    LessonResult,
    Options,
    Problem,
    Program,
    Result,
    Settings,
    Sweep,
    TrainState,
)


class Replay(NamedTuple):
    """The later ratings, predicted by the model that keeps learning."""

    online: np.ndarray  # f64[events]: squared errors, each made before its answer
    frozen: np.ndarray  # f64[events]: those of the model left alone
    run_s: float


def problem(settings: Settings) -> Problem:
    """The problem of a data set of ratings and a model."""
    own = dict(settings.own)
    return recommendation.recommendation(_task(own), own["user"], own["list_length"])


def train_or_replay(
    what: Experiment,
    settings: Settings,
    asked: Sweep,
    options: Options,
    may_restart: bool = False,
) -> dict[str, Any]:
    """Trains; with --online, replays the later ratings."""
    own = dict(settings.own)
    if not own["online"]:
        return train(what, settings, asked, options, may_restart)
    _check_online(settings, asked)
    task, made = _task(own), problem(settings)
    learner = _learner(own, made)
    return lesson.run(
        settings,
        options,
        lambda: _find(settings, made, task, learner),
        made.about,
        words=["online", own["model"], settings.optimizer, f"seed{settings.seed}"],
    )


def _task(own: dict[str, Any]) -> Task:
    split = own["split"] or ("time" if own["online"] else "random")
    loaded = ratings.load(own["dataset"], own["data_dir"])
    return recommendation.task(loaded, own["model"], split, own["split_index"])


def _check_online(settings: Settings, asked: Sweep) -> None:
    """Refuses flags that do not go with --online."""
    experiment.check(settings)
    split = dict(settings.own)["split"]
    if split not in (None, "time"):
        raise Refusal(f"--split={split}: --online needs --split=time")
    if settings.seeds != 1:
        raise Refusal(f"--seeds={settings.seeds}: --online runs one seed")
    if asked.sweep or asked.space:
        raise Refusal("--sweep: --online is a lesson; a sweep is of one run")


def _learner(own: dict[str, Any], made: Problem) -> tuple[Program, Hparams]:
    """The program whose steps keep learning, and its numbers."""
    size = arguments.whole("--online_chunk", own["online_chunk"], 1, 4096)
    program = gradjax.program(
        made, own["online_optimizer"], num_steps=1, batch_size=size
    )
    if optimizers.RATE not in program.hparams:
        return program, checked_hparams(program, {})
    rate = own["online_learning_rate"]
    bounds.check("learning_rate", rate, "--online_learning_rate")
    return program, checked_hparams(program, {optimizers.RATE: rate})


def _find(
    settings: Settings, made: Problem, task: Task, learner: tuple[Program, Hparams]
) -> LessonResult:
    """Trains, replays the later ratings, compares with the model left alone."""
    settings = experiment.with_duration(EXPERIMENT, settings)
    program = experiment.program_of(EXPERIMENT, made, settings)
    result = gradjax.run(program, seed=settings.seed)
    if result.status == "diverged":
        raise Refusal(f"training diverged at step {result.diverged_step}: lower rates")
    seen = _replayed(settings, task, result, learner)
    num_validation = len(task.parts.validation)
    cuts = {
        "validation": slice(0, num_validation),
        "test": slice(num_validation, None),
        "later": slice(None),
    }
    figures = online.figures(seen.online, seen.frozen, cuts)
    figures |= {"replay_s": seen.run_s, "events_per_s": len(seen.online) / seen.run_s}
    new = ratings.is_new(task.ratings.user, task.parts.train, task.parts.test)
    figures["share_of_new_users"] = float(new.mean())
    model = dict(settings.own)["model"]
    title = f"{task.ratings.name}, {model}: learning on, and frozen at the split"
    drawn = [Errors("learning on", seen.online), Errors("frozen", seen.frozen)]
    return LessonResult(
        _sentence(figures, len(task.parts.test)),
        figures,
        [(name.replace("_", " "), f"{value:.4g}") for name, value in figures.items()],
        online.trace(seen.online, seen.frozen),
        {
            "picture.png": lambda: draw_online(
                title, drawn, num_validation, "the test split begins"
            )
        },
    )


def _replayed(
    settings: Settings, task: Task, result: Result, learner: tuple[Program, Hparams]
) -> Replay:
    """Replays the later ratings in the order of time."""
    own, (program, numbers) = dict(settings.own), learner
    rows = np.concatenate([task.parts.validation, task.parts.test])
    events = recommendation.batch_of(task.ratings, rows)
    seed = jnp.uint32(settings.seed)
    trained = result.state._replace(params=result.params)
    if own["online_optimizer"] != settings.optimizer:
        fresh = program.init(numbers, seed).opt_state
        trained = trained._replace(opt_state=fresh)

    def replay(state: TrainState) -> Any:
        chunk = own["online_chunk"]
        return online.replay(
            program, task.predict, chunk, 1, state, numbers, seed, events
        )

    compiled = jax.jit(replay).lower(trained).compile()
    (_, guesses), run_s = online.timed(compiled, trained)
    answers = task.ratings.rating[rows].astype(np.float64)
    left_alone = recommendation.predictions(task, result.params, rows)
    return Replay(
        (np.asarray(guesses, np.float64) - answers) ** 2,
        (left_alone - answers) ** 2,
        run_s,
    )


def _sentence(figures: dict[str, float], num_test: int) -> str:
    ours, frozen = figures["test_online_rmse"], figures["test_frozen_rmse"]
    return (
        f"Over the latest {num_test:,} ratings, {figures['share_of_new_users']:.0%} of"
        " them by users that training never saw, the model that keeps learning has a"
        f" progressive RMSE of {ours:.3f}, the frozen one {frozen:.3f}:"
        f" {abs(frozen - ours):.3f} {'lower' if ours < frozen else 'higher'}"
    )


PROBLEM = flags.of(
    recommendation.load,
    model=f"{' or '.join(sorted(RECOMMENDERS))}, or a call such as"
    " 'factorisation(rank=16, l2=0.2)'",
    dataset="the TFDS name of prepared ratings, or a CSV file with the columns user,"
    " item, rating, time and, optionally, title",
    split=f"{' or '.join(ratings.SPLITS)}. Unset: random; time with --online",
    split_index="which of the random splits, from 0",
    user="the name of a user, whose recommendations are printed. Unset: the first user",
    list_length="items in the list, and the k of recall@k. Unset: 10, or all",
    data_dir=flags.DATA_DIR.help,
)
ONLINE = [
    Flag("online", "boolean", "keep learning from later ratings, one by one", False),
    Flag(
        "online_optimizer",
        "string",
        "what learns from them; adam's momentum would move every row at each",
        "sgd",
    ),
    Flag("online_learning_rate", "float", "a constant", 0.05),
    Flag("online_chunk", "integer", "ratings predicted, then learned from", 1),
]
EXPERIMENT = Experiment(
    "recommend",
    problem,
    {"Problem": PROBLEM, "Online learning": ONLINE},
    {"split": None, "schedule": "cosine", "batch_size": 512},
    learning_rate=1e-2,  # found on validation: larger than for networks
    epochs=5,
    examples="ratings",
)

if __name__ == "__main__":
    main(EXPERIMENT, train_or_replay)
