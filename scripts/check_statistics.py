"""Checks the statistics of comparisons against simulated studies with a known truth.

usage: python -m scripts.check_statistics [--studies=2000] [--real=25] [--out=FILE]
           [--write]

Each line of the table is a claim, the share of simulated studies in which it held, and
the bounds that the share must keep. The seeds are fixed, so the table is the same each
time. `--real=25` adds studies that train: one setting of each problem of the suite toy
is compared with itself on other seeds, 25 times. The table is printed and written to
runs/results/statistics.md; --write writes the committed page of docs/results. The exit
code is 1 if a share is out of bounds.
"""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gradjax.analysis.interquartile import interquartile_interval
from gradjax.analysis.speedup import speedup
from gradjax.analysis.statistics import Interval, median_interval, student_interval
from gradjax.analysis.tuned import tuning_p_value
from gradjax.analysis.tuning_curves import best_of_band
from gradjax.analysis.verdicts import BETTER, WORSE, verdicts
from gradjax.errors import Refusal
from gradjax.files import named_disk_errors, write_bytes
from gradjax.report import terminal
from scripts import null_studies, pages, parsing

Random = np.random.Generator
_NUM_EXAMPLES = 360  # of the test split of the digits
_FEW, _SOME = 500, 1_000  # studies of what takes long


class Check(NamedTuple):
    """A claim about simulated studies."""

    claim: str
    studies: int
    share: float
    bounds: tuple[float, float] | None  # None: stated without a bound

    @property
    def is_kept(self) -> bool:
        """Whether the share lies within its bounds."""
        return self.bounds is None or self.bounds[0] <= self.share <= self.bounds[1]


def _share(studies: int, holds: Callable[[Random], bool], seed: int) -> float:
    random = np.random.default_rng(seed)
    return float(np.mean([holds(random) for _ in range(studies)]))


def _covers(
    interval: Callable[[np.ndarray], Interval],
    draw: Callable[[Random], np.ndarray],
    truth: float,
) -> Callable[[Random], bool]:
    def holds(random: Random) -> bool:
        found = interval(draw(random))
        return bool(found.low <= truth <= found.high)

    return holds


def of_intervals(studies: int) -> Iterator[Check]:
    """Yields the coverage of intervals with 95 % for normal and for other values."""
    for count in (5, 10, 20):
        normal = _covers(student_interval, lambda r, n=count: r.normal(size=n), 0.0)
        yield Check(
            f"Student, normal, {count} seeds",
            studies,
            _share(studies, normal, count),
            (0.93, 0.97),
        )
        skewed = _covers(
            student_interval, lambda r, n=count: r.exponential(size=n), 1.0
        )
        yield Check(
            f"Student, exponential, {count} seeds",
            studies,
            _share(studies, skewed, count),
            None,
        )
        counted = _covers(
            student_interval,
            lambda r, n=count: r.binomial(_NUM_EXAMPLES, 0.97, n) / _NUM_EXAMPLES,
            0.97,
        )
        yield Check(
            f"Student, accuracy 0.97 on {_NUM_EXAMPLES} examples, {count} seeds",
            studies,
            _share(studies, counted, count),
            None,
        )
    for count in (6, 10, 20):
        median = _covers(
            median_interval, lambda r, n=count: r.exponential(size=n), np.log(2.0)
        )
        yield Check(
            f"median, exponential, {count} seeds",
            studies,
            _share(studies, median, count),
            (0.935, 1.0),
        )
    pooled = _covers(
        lambda values: interquartile_interval(list(values), num_samples=999),
        lambda r: r.normal(size=(8, 10)),
        0.0,
    )
    yield Check(
        "interquartile mean, 8 problems, 10 seeds", _FEW, _share(_FEW, pooled, 0), None
    )


def of_verdicts(studies: int) -> Iterator[Check]:
    """Yields how often a verdict is wrong, and how often it finds a true difference."""

    def is_told(random: Random, shift: float, words: tuple[str, ...]) -> bool:
        values = {"a": random.normal(shift, 1.0, 10), "b": np.zeros(10)}
        return verdicts(values, [("a", "b")], "max")[0].word in words

    def is_any_told(random: Random) -> bool:
        values = {name: random.normal(size=10) for name in "abcd"}
        pairs = [(name, "a") for name in "bcd"]
        return any(
            one.word in (BETTER, WORSE) for one in verdicts(values, pairs, "max")
        )

    alike = _share(studies, lambda r: is_told(r, 0.0, (BETTER, WORSE)), 1)
    yield Check("one setting twice: told apart", studies, alike, (0.0, 0.067))
    family = _share(studies, is_any_told, 2)
    yield Check("four equal settings: any told apart", studies, family, (0.0, 0.067))
    found = _share(studies, lambda r: is_told(r, 1.0, (BETTER,)), 3)
    yield Check(
        "a shift of one deviation, 10 seeds: found", studies, found, (0.770, 0.835)
    )
    tuned = _share(
        studies,
        lambda r: tuning_p_value(r.normal(size=20), r.normal(size=20), "min") <= 0.05,
        4,
    )
    yield Check("one optimizer tuned twice: told apart", studies, tuned, (0.0, 0.067))


def of_tunings(_studies: int) -> Iterator[Check]:
    """Yields how often one optimizer, tuned twice, is called better than itself."""
    settings, once, several = null_studies.simulated(_SOME)
    said = "one optimizer tuned twice: {} better"
    yield Check(said.format("its chosen setting is"), _SOME, settings, None)
    yield Check(said.format("the optimizer is"), _SOME, once, (0.0, 0.067))
    over = said.format("over 5 tunings the optimizer is")
    yield Check(over, _SOME, several, (0.0, 0.067))


def of_real_studies(num_studies: int) -> Iterator[Check]:
    """Yields how often a setting is called better than itself on other seeds."""
    found = list(null_studies.real(num_studies))
    for problem, count, better in found:
        said = f"{problem}, one setting twice: better"
        yield Check(f"real, {said}", count, better / count, None)
    total = sum(count for _, count, _ in found)
    share = sum(better for *_, better in found) / total
    yield Check("real, all of these: better", total, share, (0.0, 0.11))


def of_bands(studies: int) -> Iterator[Check]:
    """Yields how often the complete band of the best of k trials is right."""
    for count in (16, 32, 64):
        counts = np.arange(1, count + 1)
        truth = 0.5 ** (1 / counts)  # of uniform values

        def holds(random: Random, n: int = count, k=counts, t=truth) -> bool:  # noqa: ANN001
            band = best_of_band(random.uniform(size=n), k, "max")
            return bool(((band.low <= t) & (t <= band.high)).all())

        share = _share(studies, holds, count)
        yield Check(f"band of best of k, {count} trials", studies, share, (0.938, 1.0))


def of_speedups(_studies: int) -> Iterator[Check]:
    """Yields how often the interval of a speed-up holds a true ratio of 1.3."""
    horizons = np.array([100.0, 200.0, 400.0])

    def holds(random: Random) -> bool:
        common = random.normal(0, 0.05, 10)
        noise = random.normal(0, 0.05, (3, 10))
        ours = -np.log2(horizons / 100)[:, None] + common + noise
        end = -np.interp(np.log(200 / 1.3), np.log(horizons), np.log2(horizons / 100))
        theirs = end + common + random.normal(0, 0.05, 10)
        found = speedup(horizons, ours, 200.0, theirs, "min")
        return found.low <= 1.3 <= found.high

    share = _share(_FEW, holds, 5)
    yield Check("speed-up of 1.3, 3 horizons, 10 seeds", _FEW, share, (0.93, 1.0))


def page(checks: list[Check]) -> str:
    """Returns the table as Markdown."""
    lines = [
        "# Statistics against simulated studies",
        "",
        "`python -m scripts.check_statistics --real=25` makes this table. A share is",
        "that of the simulated studies in which the claim held: an interval of 95 %",
        "covered the truth, or a verdict said what the claim says. A real study trains",
        "the tuned setting of a problem on 10 seeds for each of two names.",
        "",
        "| claim | studies | share | wanted |",
        "|---|---|---|---|",
    ]
    for one in checks:
        wanted = "stated" if one.bounds is None else "{} to {}".format(*one.bounds)
        lines.append(f"| {one.claim} | {one.studies:,} | {one.share:.3f} | {wanted} |")
    return "\n".join(lines) + "\n"


def main(arguments: list[str]) -> int:
    """Runs all checks and writes the table.

    Returns:
      The exit code: 1 if a share is out of bounds, 2 after one line on stderr.
    """
    parser = parsing.parser("check_statistics", __doc__)
    parser.add_argument(
        "--studies",
        type=parsing.count(1, 10**7),
        default=2_000,
        help="of each check; 2000",
    )
    parser.add_argument(
        "--real",
        type=parsing.count(1, 10**5),
        default=0,
        help="studies that train, on each toy problem; 0",
    )
    parser.add_argument("--out", type=Path, help="the file of the table")
    parser.add_argument("--write", action="store_true", help=pages.HELP)
    asked = parser.parse_args(arguments)
    try:
        out = pages.place("statistics.md", asked.out, asked.write)
        parts = (of_intervals, of_verdicts, of_tunings, of_bands, of_speedups)
        checks = [check for part in parts for check in part(asked.studies)]
        checks += of_real_studies(asked.real) if asked.real else []
        with named_disk_errors(out.parent):
            out.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(out, page(checks).encode())
    except Refusal as error:
        print(f"check_statistics: {error}", file=sys.stderr)
        return 2
    terminal.say(page(checks))
    return 0 if all(one.is_kept for one in checks) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
