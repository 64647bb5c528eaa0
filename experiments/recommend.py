r"""Recommend films from ratings, and keep learning as new ratings come.

Claim:    on MovieLens latest-small, split at random, biased matrix factorisation
          predicts test ratings with an RMSE of at most 0.855, at least 0.01 below tuned
          biases alone; split by time, where nine in ten test ratings are of users that
          training never sees, a model that learns on is at most at 0.81, and at least
          0.15 below the same model frozen at the split.
Cost:     about a second of training on two CPU cores; the online replay ten.
Command:  python -m experiments.recommend
          python -m experiments.recommend --user=42 --split_index=3
          python -m experiments.recommend --model='two_tower(widths=(64,))' --epochs=2
          python -m experiments.recommend --online
          python -m experiments.recommend --dataset=ratings.csv --split=time

The data set is prepared by `python -m scripts.prepare_data
movielens/latest-small-ratings`, or a CSV file with columns user, item, rating and time.
A split by time holds the earliest eight tenths for training, a tenth for validation and
the latest tenth for test. --online trains on the first part, then meets every later
rating in the order of time: each is predicted before it is learned from (progressive
validation, Dawid 1984). The frozen model is the trained one, left alone.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import gradjax
from gradjax import optimizers, types
from gradjax.analysis import online
from gradjax.commands import flags, lesson, train
from gradjax.commands.flags import Flag
from gradjax.data import ratings
from gradjax.errors import Refusal
from gradjax.models import RECOMMENDERS
from gradjax.optimizers import bounds
from gradjax.plots.online import Errors
from gradjax.plots.online import online as draw_online
from gradjax.problems import arguments, recommendation
from gradjax.problems.recommendation import Task
from gradjax.report import terminal
from gradjax.training.numbers import checked_hparams
from gradjax.types import LessonResult, Options, Problem, Result, TrainState

_ADAM_RATE = 1e-2  # found on validation: embeddings bear a larger rate than networks


class Settings(NamedTuple):
    """What decides a run."""

    experiment: str
    dataset: str = "movielens/latest-small-ratings"  # a TFDS name or a CSV file
    split: str | None = None  # None: random, and by time with --online
    split_index: int = 0
    model: str = "factorisation"  # an expression
    optimizer: str = "adam"  # an expression
    learning_rate: float | None = None
    schedule: str = "cosine"  # an expression
    batch_size: int = 512
    epochs: int | None = None  # None: 5
    steps: int | None = None
    eval_every: int | None = None  # steps; None: an epoch
    user: str | None = None  # None: the first
    list_length: int | None = None  # None: 10, or as many as there are
    online: bool = False
    online_optimizer: str = "sgd"  # an expression
    online_learning_rate: float = 0.05
    online_chunk: int = 1  # ratings predicted before they are learned from
    seed: int = 0  # the first one
    seeds: int = 1  # how many
    trace_every: int = 0  # steps a point of the kept curves; 0: at most 1,000 points


class Replayed(NamedTuple):
    """What learning on led to."""

    online: np.ndarray  # f64[events]: squared errors, each made before its answer
    frozen: np.ndarray  # f64[events]
    run_s: float


def state(
    settings: types.Settings, options: Options
) -> tuple[Problem, types.Settings, dict[str, Any]]:
    """The problem of these settings."""
    task = _task(settings, options)
    return _problem(settings, task), usual(settings), recommendation.about(task)


def _problem(settings: types.Settings, task: Task) -> Problem:
    own = dict(settings.own)
    return recommendation.recommendation(task, own["user"], own["list_length"])


def main(settings: Settings, options: Options) -> None:
    """States the problem, trains; with --online, learns on."""
    run = flags.as_run(settings)
    train.check(run)
    task = _task(run, options)
    problem, run = _problem(run, task), usual(run)
    new = ratings.is_new(task.ratings.user, task.parts.train, task.parts.test)
    terminal.say(
        f"{new.mean():.1%} of the test ratings are of users that training never sees"
    )
    if not settings.online:
        train.train(problem, run, options, recommendation.about(task))
        return
    learns = _online_program(settings, problem)
    lesson.run(
        settings,
        options,
        lambda: _find(settings, run, problem, task, *learns),
        {"data": recommendation.about(task)},
    )


def _task(settings: types.Settings, options: Options) -> Task:
    own = dict(settings.own)
    split = own["split"] or ("time" if own["online"] else "random")
    loaded = ratings.load(settings.dataset or "", options.data_dir)
    model = settings.model or ""
    return recommendation.task(loaded, model, split, own["split_index"])


def usual(settings: types.Settings) -> types.Settings:
    """Plain adam has a rate that was found for it; others have their own defaults."""
    return flags.with_usual(settings, "adam", _ADAM_RATE)


def _online_program(
    settings: Settings, problem: Problem
) -> tuple[types.Program, types.Hparams]:
    """The program whose step learns on, and its numbers.

    Raises:
        Refusal: a flag that does not go with --online, or cannot be.
    """
    if settings.split not in (None, "time"):
        raise Refusal(f"--split={settings.split}: --online needs --split=time")
    if settings.seeds != 1:
        raise Refusal(f"--seeds={settings.seeds}: --online runs one seed")
    size = arguments.whole("--online_chunk", settings.online_chunk, 1, 4096)
    program = gradjax.program(
        problem, settings.online_optimizer, num_steps=1, batch_size=size
    )
    if optimizers.RATE not in program.hparams:
        return program, checked_hparams(program, {})
    rate = settings.online_learning_rate
    bounds.check("learning_rate", rate, "--online_learning_rate")
    return program, checked_hparams(program, {optimizers.RATE: rate})


def _find(
    settings: Settings,
    run: types.Settings,
    problem: Problem,
    task: Task,
    learns: types.Program,
    numbers: types.Hparams,
) -> LessonResult:
    """Trains, replays what came later, compares with the model left alone."""
    program, run = train.stated_program(problem, run)
    has_rate = optimizers.RATE in program.hparams and run.learning_rate is not None
    given = {optimizers.RATE: run.learning_rate} if has_rate else {}
    with terminal.progress("train", program.plan.num_steps, None) as on_block:
        result = gradjax.run(program, given, settings.seed, on_block)
    if result.status == "diverged":
        raise Refusal(f"training diverged at step {result.diverged_step}: lower rates")
    seen = _replayed(settings, task, result, learns, numbers)
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
    trace = online.trace(seen.online, seen.frozen)
    title = f"{task.ratings.name}, {run.model}: learning on, and frozen at the split"
    drawn = [Errors("learning on", seen.online), Errors("frozen", seen.frozen)]
    return LessonResult(
        _sentence(figures, len(task.parts.test)),
        figures,
        [(name.replace("_", " "), f"{value:.4g}") for name, value in figures.items()],
        trace,
        {
            "picture.png": lambda: draw_online(
                title, drawn, num_validation, "the test split begins"
            )
        },
    )


def _replayed(
    settings: Settings,
    task: Task,
    result: Result,
    learns: types.Program,
    numbers: types.Hparams,
) -> Replayed:
    """The later ratings in the order of time, met by the trained model."""
    rows = np.concatenate([task.parts.validation, task.parts.test])
    events = recommendation.batch_of(task.ratings, rows)
    seed = jnp.uint32(settings.seed)
    trained = result.state._replace(params=result.params)
    if settings.online_optimizer != settings.optimizer:
        fresh = learns.init(numbers, seed).opt_state
        trained = trained._replace(opt_state=fresh)

    def replay(state: TrainState) -> Any:
        chunk = settings.online_chunk
        return online.replay(
            learns, task.predict, chunk, 1, state, numbers, seed, events
        )

    compiled = jax.jit(replay).lower(trained).compile()
    (_, guesses), run_s = online.timed(compiled, trained)
    answers = task.ratings.rating[rows].astype(np.float64)
    left_alone = recommendation.predictions(task, result.params, rows)
    return Replayed(
        (np.asarray(guesses, np.float64) - answers) ** 2,
        (left_alone - answers) ** 2,
        run_s,
    )


def _sentence(figures: dict[str, float], num_test: int) -> str:
    ours, frozen = figures["test_online_rmse"], figures["test_frozen_rmse"]
    return (
        f"Over the latest {num_test:,} ratings, {figures['share_of_new_users']:.0%} of"
        " them by users that training never saw, the model that learns on has a"
        f" progressive RMSE of {ours:.3f}, the frozen one {frozen:.3f}:"
        f" {abs(frozen - ours):.3f} {'lower' if ours < frozen else 'higher'}"
    )


COMMAND = flags.Command(
    "recommend",
    Settings,
    {
        "What is trained, on what": [
            Flag(
                "model",
                "string",
                f"{' or '.join(sorted(RECOMMENDERS))}, or a call such as"
                " 'factorisation(rank=16, l2=0.2)'",
            ),
            Flag(
                "dataset",
                "string",
                "the TFDS name of prepared ratings, or a CSV file with the columns"
                " user, item, rating, time and, where there is one, title",
            ),
            Flag(
                "split",
                "string",
                f"{' or '.join(ratings.SPLITS)}. Unset: random; time with --online",
            ),
            Flag("split_index", "integer", "which of the random splits, from 0"),
            flags.DATA_DIR,
        ],
        "What is recommended": [
            Flag("user", "string", "to whom, by name. Unset: the first user"),
            Flag(
                "list_length",
                "integer",
                "items listed, and the k of recall@k. Unset: 10, or all",
            ),
        ],
        "Learning on": [
            Flag("online", "boolean", "meet later ratings one by one"),
            Flag(
                "online_optimizer",
                "string",
                "what learns from them; adam's momentum would move every row at each",
            ),
            Flag("online_learning_rate", "float", "constant"),
            Flag("online_chunk", "integer", "ratings predicted, then learned from"),
        ],
        **flags.training(
            "ratings", "5", f"{_ADAM_RATE:g} with adam, else the optimizer's own"
        ),
    },
    state,
)

if __name__ == "__main__":
    flags.run(main, COMMAND)
