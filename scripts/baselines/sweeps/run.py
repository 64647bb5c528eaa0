"""Runs the cases of the sweep benchmark and joins their tables."""

import functools
from collections.abc import Callable

from gradjax.report import terminal
from gradjax.types import Dataset
from scripts.baselines.sweeps import cores, table
from scripts.baselines.sweeps.cases import ONE_CORE, SIZES, Sizes, contest
from scripts.baselines.sweeps.contest import check_losses, measure, rounds
from scripts.baselines.sweeps.datasets import load
from scripts.baselines.sweeps.processes import start
from scripts.baselines.sweeps.widths import Size, Table

_ONE, _ALL = "matrix peak, one core", "matrix peak, all cores"
Data = Callable[[str], tuple[Dataset, bool]]  # name -> (data set, is random)


def report(cases: list[str], sizes: Sizes, flags: str) -> str:
    """Measures the cases and prints each part as soon as it is measured.

    Raises:
      Refusal: damaged data, a network that does not learn, or too few cores.
    """
    data: Data = functools.cache(load)
    has_rivals = bool({"mlp", "digits", "cnn"} & set(cases))
    parts = [table.header(flags, sizes.rounds, data("mnist")[1], has_rivals)]
    terminal.say(parts[0])
    for case in cases:
        if case == "peak" and "mlp" in cases:
            continue  # the peak is measured in the rounds of the MLP
        if case == "widths":
            parts.append(_widths(sizes, data))
        elif case == "peak":
            found = rounds("peak", _peaks(), sizes.rounds)
            parts.append(table.peak_section(found[_ONE], found[_ALL]))
        else:
            parts.append(_contest(case, sizes, data, "peak" in cases))
        terminal.say(parts[-1])
    return "\n".join(parts)


def _contest(case: str, sizes: Sizes, data: Data, with_peak: bool) -> str:
    asked = contest(case, sizes)
    dataset, is_random = data(asked.task.dataset)
    runs: dict[str, Callable[[], object]] = {
        one.label: functools.partial(measure, asked, one, dataset)
        for one in asked.contestants
    }
    with_peak = with_peak and case == "mlp"
    found = rounds(asked.title, runs | (_peaks() if with_peak else {}), sizes.rounds)
    outcomes = {one.label: found[one.label] for one in asked.contestants}
    check_losses(outcomes, is_random)
    ours = outcomes[asked.contestants[0].label]
    lines = [table.contest_table(asked, outcomes)]
    if ONE_CORE in outcomes:
        lines.append(table.speedup_line(ours, outcomes[ONE_CORE]))
    if with_peak:
        lines.append(table.peak_section(found[_ONE], found[_ALL]))
        lines.append(table.fraction_line(asked, ours, found[_ALL]))
    return "\n".join(lines)


def _peaks() -> dict[str, Callable[[], float]]:
    def peak(core: int | None) -> float:
        with start("peak", (), core) as worker:
            worker.begin()
            return worker.answer()

    return {
        _ONE: functools.partial(peak, cores()[0]),
        _ALL: functools.partial(peak, None),
    }


def _widths(sizes: Sizes, data: Data) -> str:
    """Times each network in its own process, one at a time, as a GPU holds only one."""
    found = {}
    for name, networks in SIZES.items():
        for size in networks:
            found[size] = _width_rounds(size, data(name)[0], sizes)
    return table.widths_section(found)


def _width_rounds(size: Size, dataset: Dataset, sizes: Sizes) -> list[Table]:
    arguments = (size, dataset, sizes.trials)
    with start("widths", arguments, is_on_cpu=False) as worker:

        def measure() -> Table:
            worker.begin()
            return worker.answer()

        title = f"widths of {size.title}"
        return rounds(title, {"all widths": measure}, sizes.rounds)["all widths"]
