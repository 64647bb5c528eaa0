"""Computes steps of a finished run again, with any diagnostic, to the same bits.

usage: python -m scripts.replay FOLDER --steps=FIRST:LAST [--trial=ID_OR_ROW]
           [--diagnostics='[sharpness, layer_norms]'] [--examples=N] [--out=replay.csv]
           [--data_dir=FOLDER] [--stream] [--stream_workers=N]

The order of the examples and all randomness depend on the seed and the step alone, so
the trial is trained again up to the window, and each step of the window is measured.
`--steps=300:340` are the steps as the curves of the record count them, from 1. The
losses are compared with those of the record: they are the same, bit for bit, unless the
versions, the device or the sources have changed since then. `--examples=3` lists the
examples with the largest losses in the three steps where the loss rose most, with their
places in the train split and their texts, and draws them if they are images. `python -m
scripts.list diagnostics` lists what can be measured. A record that was made with
`--data_dir` is computed again with the same one. With `--stream` the training examples
are read from the disk, and decoded images are in the cache, as with the command's
default of `--cache_bytes`; the bits are the same.
"""

import csv
import io
import sys
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from gradjax.commands import allocation
from gradjax.commands.replay import replay, with_data_dir
from gradjax.data import streaming
from gradjax.errors import Refusal
from gradjax.files import named_disk_errors, write_bytes
from gradjax.own_code import named_errors
from gradjax.plots.examples import draw_images
from gradjax.report import terminal
from gradjax.sweeps import replay as replays
from gradjax.sweeps.replay import Recorded, Replay, Steps
from gradjax.training import loop
from gradjax.types import Program, Settings, Sweep
from scripts import parsing
from scripts.sweep import experiment_of

_SHOWN = 8  # examples of a step, those with the largest losses
_WIDTH = 240  # characters of the text of an example
_ROWS = 30  # of the printed table; the file has all of them
_LOSSES = "loss_of_example"  # the name of the diagnostic of --examples


def main(arguments: list[str]) -> int:
    """Runs the command; returns its exit code: 2 after one line on stderr."""
    parser = parsing.parser("replay", __doc__)
    parser.add_argument("folder")
    parser.add_argument("--steps", required=True)
    parser.add_argument("--trial")
    parser.add_argument("--diagnostics", default="[]")
    parser.add_argument("--examples", type=parsing.count(1, 100))
    parser.add_argument("--out")
    parser.add_argument("--data_dir")
    parser.add_argument("--stream", action="store_true")
    parser.add_argument("--stream_workers", type=parsing.count(0, 256), default=0)
    given = parser.parse_args(arguments)
    try:
        return _run(given)
    except Refusal as error:
        print(f"replay: {' '.join(str(error).split())}", file=sys.stderr)
        return 2


def _run(given: Any) -> int:
    if given.stream:
        allocation.use_one_arena()
    found = recorded(given.folder, trial_of(given.trial), given.data_dir)
    replays.use_threads(found)
    what = experiment_of(found.trial.settings.experiment)
    asked = given.diagnostics.strip() or "[]"
    if given.examples:
        inside = asked.removeprefix("[").removesuffix("]").strip()
        own = f"per_example_loss(every=1, name={_LOSSES})"
        asked = f"[{', '.join(filter(None, [inside, own]))}]"
    how = Sweep(stream=given.stream, stream_workers=given.stream_workers)
    made = replay(what, found, _window(given.steps), asked, terminal.say, how)
    _show(made)
    if given.examples:
        _show_examples(made, found.trial.seed, given.examples)
    if given.out:
        path = Path(given.out)
        with named_disk_errors(path):
            write_bytes(path, _csv(made))
        terminal.say(f"{path} has every value")
    is_same = made.num_equal == made.num_compared
    return 0 if is_same or made.changes else 1


def recorded(
    folder: Any, trial: int | str | None, data_dir: str | None = None
) -> Recorded:
    """Reads a trial of a record that the command of an experiment made.

    Raises:
        Refusal: see `sweeps.replay.recorded`; or `gradjax.tune` made the record.
    """

    def complete(settings: Settings) -> Settings:
        if settings.experiment == "tune":
            raise Refusal(
                f"{folder}: gradjax.tune made it, from a problem that a record does not"
                " hold: gradjax.replay(problem, folder, steps) takes it"
            )
        return with_data_dir(experiment_of(settings.experiment), settings, data_dir)

    return replays.recorded(folder, trial, complete)


def trial_of(text: str | None) -> int | str | None:
    """Returns a row as a number, and an id as text."""
    is_row = text is not None and text.isdecimal() and len(text) < 10
    return int(text) if is_row and text else text


def _window(text: str) -> Steps:
    parts = text.split(":")
    if not all(one.strip().isdecimal() for one in parts) or len(parts) not in (1, 2):
        raise Refusal(f"--steps={text}: expected FIRST:LAST, such as 300:340")
    numbers = [int(one) for one in parts]
    return numbers[0], numbers[-1]


def _show(made: Replay) -> None:
    """Prints how the losses compare, and the first and last values of each curve."""
    for change in made.changes:
        terminal.say(f"differs from the record: {change}")
    many, same = made.num_compared, made.num_equal
    word = "to a relative 1e-3" if made.changes else "in every bit"
    terminal.say(
        f"{same:,} of {many:,} points of the recorded loss are equal {word}"
        if many
        else "the record has no point of the loss up to here"
    )
    rows = [
        (name, _summary(series.values))
        for name, series in made.trace.items()
        if not name.startswith(f"{_LOSSES}.")
    ]
    first, *_, last = made.trace["loss"].steps.tolist() * 2
    terminal.table(f"steps {first} to {last}", rows[:_ROWS])
    if len(rows) > _ROWS:
        terminal.say(f"and {len(rows) - _ROWS} more curves; --out writes all of them")


def _summary(values: np.ndarray) -> str:
    """Returns the first and the last value of a curve, and its range."""
    seen = np.asarray(values)[~np.isnan(values)]
    if not len(seen):
        return "no value"
    ends = f"{terminal.number(seen[0])} to {terminal.number(seen[-1])}"
    if len(seen) < 3:
        return ends
    low, high = map(terminal.number, (seen.min(), seen.max()))
    return f"{ends}, between {low} and {high}"


def _show_examples(made: Replay, seed: int, count: int) -> None:
    """Prints the examples with the largest losses where the loss rose most."""
    loss = made.trace["loss"]
    rises = np.diff(loss.values, prepend=np.nan)
    known = np.argsort(-np.nan_to_num(rises, nan=-np.inf))[:count].tolist()
    names = [name for name in made.trace if name.startswith(f"{_LOSSES}.")]
    names.sort(key=lambda name: int(name.rpartition(".")[2]))
    own = made.trace[names[0]].steps.tolist()
    for k in sorted(known):
        step = int(loss.steps[k])
        if not np.isfinite(rises[k]) or step not in own:
            continue
        column = own.index(step)
        losses = np.array([made.trace[name].values[column] for name in names])
        largest = np.argsort(-losses)[:_SHOWN]
        examples = indices(made.program, seed, step)[largest]
        batch = _batch(made.program, examples)
        said = _lines(made.program, batch) or [""] * len(examples)
        rows = [
            (f"example {example}", f"{terminal.number(float(losses[place]))}  {line}")
            for example, place, line in zip(examples, largest, said, strict=True)
        ]
        terminal.table(f"step {step}: the loss rose by {rises[k]:.4g}", rows)
        titles = [
            f"{a}: {b:.3g}" for a, b in zip(examples, losses[largest], strict=True)
        ]
        _draw(batch, titles, Path(f"examples_{step}.png"))


def indices(program: Program, seed: int, step: int) -> np.ndarray:
    """Returns the places in the train split of the examples of a step, from 1."""
    before, own = np.uint32(step - 1), np.uint32(seed)
    found = loop.batch_indices(program.plan, jnp.asarray(own), jnp.asarray(before), 1)
    if found is None:
        raise Refusal("--examples: this problem has no examples")
    return np.asarray(found[0])


def _batch(program: Program, examples: np.ndarray) -> Any:
    """Returns examples of the train split as a batch."""
    assert program.plan.problem.data is not None  # `indices` refuses such a problem
    source = program.plan.problem.data.train
    return streaming.examples(source, examples)


def _lines(program: Program, batch: Any) -> list[str]:
    """Returns a line of text for each example; none where they have no texts."""
    describe = program.plan.problem.describe
    if describe is None:
        return []
    with named_errors("the problem's describe fails"):
        lines = [str(line).replace("\n", "\\n") for line in describe(batch)]
    return [one if len(one) <= _WIDTH else f"{one[: _WIDTH - 3]}..." for one in lines]


def _draw(batch: Any, titles: list[str], path: Path) -> None:
    """Draws examples that are images, with a title each."""
    leaves = batch.values() if isinstance(batch, dict) else ()
    images = [one for one in leaves if np.ndim(one) == 4 and one.shape[-1] in (1, 3)]
    if not images:
        return
    with named_disk_errors(path):
        write_bytes(path, draw_images(np.asarray(images[0]), titles))
    terminal.say(f"{path} shows them")


def _csv(made: Replay) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["name", "step", "value"])
    for name, (steps, values) in made.trace.items():
        writer.writerows(
            [name, int(step), repr(float(value))]
            for step, value in zip(steps, values, strict=True)
            if not np.isnan(value)
        )
    return text.getvalue().encode()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
