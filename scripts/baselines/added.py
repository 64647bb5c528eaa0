"""The tables of the time that diagnostics add to a run, measured and predicted."""

import importlib
import multiprocessing
from concurrent.futures import ProcessPoolExecutor

from scripts.baselines import Settings
from scripts.baselines.inputs import Inputs
from scripts.baselines.table import LABELS, Timing, format_interval, ratio, step_us

_HEAD = """\
| | µs a step | added, % | timed, % | timed / added | counted, % | counted / added |
|---|---:|---:|---:|---:|---:|---:|"""


def tables(
    case: tuple[str, Settings, int, int], timings: list[Timing], of: Inputs
) -> list[str]:
    """Returns the tables of a network: diagnostics, and products of curvature matrices.

    Args:
      case: the title, the network, the steps of a round and the number of rounds.
      timings: of the rivals; the first one is without diagnostics.
      of: the data.
    """
    from scripts.baselines import products  # it starts jax, which takes a second

    title, settings, num_steps, num_rounds = case
    predicted = {
        one.rival: _predicted(one.rival, settings, of, timings[0].num_threads)
        for one in timings[1:]
    }
    found = products.measure(settings, of, num_rounds)
    return [
        added_table(title, num_steps, timings, predicted),
        products.table(title, found),
    ]


def added_table(
    title: str,
    num_steps: int,
    timings: list[Timing],
    predicted: dict[str, tuple[float, float]],
) -> str:
    """Returns the table of the time that diagnostics add, as Markdown.

    Args:
      title: of the network.
      num_steps: the steps of a round.
      timings: of the rivals; the first one is without diagnostics.
      predicted: rival -> the added time, divided by that of the steps: counted, and
        timed before.
    """
    plain, *measured = timings
    rows = [f"| {LABELS[plain.rival]} | {_us(plain, num_steps)} | | | | | |"]
    for one in measured:
        middle, low, high = (100 * (x - 1) for x in ratio(one, plain))
        counted, timed = (
            f"{100 * share:.1f} | "
            + (f"{100 * share / middle:.2f}" if middle > 0 else "")
            for share in predicted[one.rival]
        )
        rows.append(
            f"| {LABELS[one.rival]} | {_us(one, num_steps)} |"
            f" {middle:.1f} [{low:.1f}, {high:.1f}] | {timed} | {counted} |"
        )
    caption = f"{num_steps} steps a round."
    return "\n".join([f"## {title}", "", caption, "", _HEAD, *rows])


def _predicted(
    rival: str, settings: Settings, of: Inputs, num_threads: int
) -> tuple[float, float]:
    """Calls `predicted` of a rival in a process of its own."""
    context = multiprocessing.get_context("spawn")
    function = importlib.import_module(f"scripts.baselines.{rival}").predicted
    with ProcessPoolExecutor(1, context) as pool:
        arguments = settings, of.inputs, of.targets, num_threads
        return pool.submit(function, *arguments).result()


def _us(timing: Timing, num_steps: int) -> str:
    return format_interval(step_us(timing, num_steps), 0)
