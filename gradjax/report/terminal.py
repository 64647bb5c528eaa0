"""A run on the terminal: a bar where there is one, plain lines where there is none."""

import contextlib
import os
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from typing import Any

_WIDTH = 88  # columns

OnBlock = Callable[[int, dict[str, float]], None]


def say(line: str) -> None:
    """Prints one plain line; a reader that went away (`| head -1`) is no error."""
    try:
        print(line, flush=True)
    except OSError:  # a closed pipe, a full disk: the run matters more than its output
        silence()


def silence() -> None:
    """Sends what is still to be printed nowhere, so that the run goes on to its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    if sys.stdout is None:
        sys.stdout = os.fdopen(nowhere, "w")
    else:  # what its buffer still holds must have somewhere to go at exit
        os.dup2(nowhere, 1)


@contextlib.contextmanager
def progress(
    label: str, num_steps: int, epoch_steps: int | None = None
) -> Iterator[OnBlock]:
    """Shows a run's loss, accuracy, steps/s and time left.

    Args:
      label: what runs: "seed 0".
      num_steps: of the whole run.
      epoch_steps: of one pass over the training split; None: there is none.

    Yields:
      The `on_block` that `gradjax.run` takes.
    """
    if sys.stdout.isatty():
        with _bar(label, num_steps, epoch_steps) as on_block:
            yield on_block
    else:
        yield _lines(label, num_steps, epoch_steps)


def number(value: float) -> str:
    """Four decimals, or as a power of ten where they would say nothing."""
    return (
        f"{value:.4f}" if value == 0.0 or 1e-3 <= abs(value) < 1e6 else f"{value:.3e}"
    )


def table(title: str, rows: list[tuple[str, str]]) -> None:
    """Prints name and value, aligned; the same on a terminal and in a file."""
    width = max(len(name) for name, _ in rows)
    say(title)
    for name, value in rows:
        first, *more = textwrap.wrap(value, max(_WIDTH - width - 4, 30)) or [""]
        say(f"  {name:<{width}}  {first}")
        for line in more:
            say(f"  {'':<{width}}  {line}")


def _lines(label: str, num_steps: int, epoch_steps: int | None) -> OnBlock:
    """A line an evaluation."""
    started = [time.monotonic()]

    def on_block(taken: int, means: dict[str, float]) -> None:
        if taken == 0:  # compiled: from here on it is training
            started[0] = time.monotonic()
        if not means:
            return
        passed = max(time.monotonic() - started[0], 1e-9)
        rate, left = taken / passed, passed / taken * (num_steps - taken)
        epoch = f"epoch {taken / epoch_steps:.4g}  " if epoch_steps else ""
        say(
            f"{label}  {epoch}step {taken}/{num_steps}"
            f"  {_spoken(means)}  {rate:,.0f} steps/s  {left:.0f} s left"
        )

    return on_block


@contextlib.contextmanager
def _bar(label: str, num_steps: int, epoch_steps: int | None) -> Iterator[OnBlock]:
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=10),
        TextColumn("{task.fields[place]}"),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(compact=True),
        TextColumn("{task.fields[means]}"),
    )
    with Progress(*columns, refresh_per_second=8) as bar:
        blank: dict[str, Any] = {"place": "compiling", "rate": "", "means": ""}
        task = bar.add_task(label, total=num_steps, **blank)
        started = [time.monotonic()]

        def on_block(taken: int, means: dict[str, float]) -> None:
            if taken == 0:  # compiled: from here on it is training
                started[0] = time.monotonic()
                bar.reset(task)
            rate = taken / max(time.monotonic() - started[0], 1e-9)
            shown: dict[str, Any] = {"means": _brief(means)} if means else {}
            epoch = taken / (epoch_steps or num_steps)
            bar.update(
                task,
                completed=taken,
                place=f"epoch {epoch:.1f}" if epoch_steps else f"step {taken:,}",
                rate=f"{rate:,.0f} steps/s",
                **shown,
            )

        yield on_block


def _brief(means: dict[str, float]) -> str:
    """As `_spoken`, to fit beside a bar in 80 columns."""
    held_out = means.get("validation_accuracy", means.get("validation_loss"))
    shown = {"loss": means["loss"], "acc": means.get("accuracy"), "val": held_out}
    return " ".join(f"{name} {v:.3f}" for name, v in shown.items() if v is not None)


def _spoken(means: dict[str, float]) -> str:
    """The means in a few words: "loss 0.269  accuracy 0.922  validation ..."."""
    hidden = ("learning_rate", "num_gradients")
    shown = {k: v for k, v in means.items() if k not in hidden}
    training = [f"{k} {number(v)}" for k, v in shown.items() if "validation_" not in k]
    held_out = {
        k.removeprefix("validation_"): v for k, v in shown.items() if "validation_" in k
    }
    measured = [f"{k} {number(held_out[k])}" for k in sorted(held_out, reverse=True)]
    parts = [*training, "validation " + "  ".join(measured)] if measured else training
    return "  ".join(parts)
