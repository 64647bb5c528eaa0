"""The sentences of a report: the answer of a problem, and what its table shows."""

import math
from collections.abc import Sequence

from gradjax.analysis.comparison import Row, Table
from gradjax.analysis.digits import significant
from gradjax.analysis.horizons import HorizonSpeedup
from gradjax.analysis.verdicts import (
    BETTER,
    DIVERGES,
    EQUAL,
    FAILS,
    UNTESTED,
    WORSE,
    by,
    describe,
)
from gradjax.pages.cells import figure, words

_ORDER = (BETTER, EQUAL, WORSE, UNTESTED, DIVERGES, FAILS)


def answer(table: Table) -> str:
    """Returns what the fresh seeds of one problem say, in one sentence."""
    if table.pairs:
        return _told_apart(table)
    if table.baseline is None:
        return _best(table)
    told = [row for row in table.rows if row.verdict is not None]
    clauses = [clause for word in _ORDER for clause in _clauses(word, told)]
    if not clauses and len(table.rows) == 1:
        return _best(table)
    if not clauses:
        return f"Nothing is compared with {table.baseline}, because the seeds differ."
    other = [
        row.optimizer
        for row in table.rows
        if row.verdict is None and row.optimizer != table.baseline
    ]
    if other:
        clauses.append(f"{', '.join(other)} not compared, because the seeds differ")
    return (
        f"The chosen settings compared with that of {table.baseline}:"
        f" {'; '.join(clauses)}."
    )


def caption(table: Table) -> str:
    """Returns what the figures of the main table are."""
    better = "smaller" if table.metric.direction == "min" else "larger"
    said = [
        f"The {words(table.metric.name)} is that at the end of the run on fresh seeds;"
        f" {better} is better."
    ]
    if table.baseline is not None or table.pairs:
        said.append(_family(table))
    if any(one.tuned for one in (*table.rows, *table.pairs)):
        said += _over_studies(table) if table.num_studies > 1 else _over_trials(table)
    count = table.metric.num_examples
    if count and "accuracy" in table.metric.name:
        said.append(
            f"The test metric has steps of {significant(1 / count, 2)}, one of"
            f" {count:,} examples."
        )
    if table.target is not None:
        chosen = words(table.metric.chosen_by or table.metric.name)
        said.append(
            f"The target is a {chosen} of {figure(table.target.value)}:"
            f" {table.target.origin}. The time to it is measured at the stored"
            " evaluations."
        )
    if any(row.passes for row in table.rows):
        said.append(
            "The p of the target is that of a one-sided t test of the hypothesis that"
            " the mean end is no better than the target, as records of training speed"
            " report it."
        )
    return " ".join(said)


def _over_trials(table: Table) -> list[str]:
    """Returns what the verdicts on the optimizers are of, with one search of each."""
    chosen = words(table.metric.chosen_by or table.metric.name)
    return [
        f"Verdicts on the optimizers compare the best {chosen} of each search, and ask"
        " whether another search of the same size would have decided otherwise.",
        *_approximation(table),
    ]


def _over_studies(table: Table) -> list[str]:
    """Returns what the verdicts on the optimizers are of, with several tunings."""
    name, count = words(table.metric.name), table.num_studies
    return [
        f"Verdicts on the optimizers are over {count} independent tunings: paired t"
        f" tests of the mean {name} on the fresh seeds of each tuning, corrected by"
        " Holm's method. All other figures are of the first tuning."
    ]


def _told_apart(table: Table) -> str:
    """Returns which of all pairs can be told apart, in one sentence."""
    told = [one.verdict for one in table.pairs if one.verdict is not None]
    if not told:
        return "No pair of optimizers is compared, because the seeds differ."
    said = [
        f"{one.first} is {one.word} than {one.second}"
        f" {by(one.word, one.difference.interval)}"
        for one in told
        if one.word in (BETTER, WORSE) and one.difference is not None
    ]
    said += [
        f"{one.first} against {one.second}: {describe(one)}"
        for one in told
        if one.word in (DIVERGES, FAILS, UNTESTED)
    ]
    count = sum(one.word in (BETTER, WORSE) for one in told)
    if not said and len(table.pairs) == 1:
        (one,) = told
        return f"The chosen settings of {one.first} and {one.second} {EQUAL}."
    if len(table.pairs) == 1:
        return f"With the chosen settings, {said[0]}."
    clauses = f": {'; '.join(said)}" if said else ""
    return (
        f"The chosen settings of {count} of {len(table.pairs)} pairs of optimizers can"
        f" be told apart{clauses}."
    )


def _family(table: Table) -> str:
    """Returns what the verdicts on the settings are of."""
    compared = f"compare with {table.baseline} over common seeds"
    over = ""
    if table.pairs:
        of_all = f"all {len(table.pairs)} pairs of optimizers"
        over = f" over {of_all if len(table.pairs) > 1 else 'the one pair'}"
        compared = "compare every pair over common seeds"
    return (
        f"Verdicts on the settings {compared}, corrected by Holm's method{over}; their"
        " intervals speak of the two chosen settings."
    )


def speedup(one: HorizonSpeedup) -> str:
    """Returns how much shorter the runs of an optimizer can be, in one sentence."""
    if one.speedup is None:
        return (
            f"{one.problem}: {one.optimizer} has no speed-up over {one.baseline},"
            f" because {one.reason}."
        )
    estimate, low, high = one.speedup
    against = f"{one.baseline} at {one.horizon:,} {one.unit}"
    name, first, last = one.optimizer, one.horizons[0], one.horizons[-1]
    if not math.isnan(estimate):
        bounds = f"[{significant(low)}, {significant(high)}]"
        said = f"{name} is {significant(estimate)} {bounds} times as fast as {against}"
    elif math.isinf(high) and low > 0:
        said = f"{name} reaches the end of {against} at {first:,} {one.unit} already"
        said += f"; it is at least {significant(low)} times as fast"
    elif low == 0 and math.isfinite(high):
        said = f"{name} does not reach the end of {against} within {last:,} {one.unit}"
        said += f"; it is at most {significant(high)} times as fast"
    else:
        said = f"the speed-up of {name} over {against} cannot be bounded on both sides"
    if not one.is_retuned:
        said += ", with settings that were tuned at one length alone"
    return f"{one.problem}: {said}."


def _approximation(table: Table) -> list[str]:
    """Returns a sentence if a search did not draw its settings independently."""
    methods = {one.method for one in table.searches.values() if not one.is_uniform}
    if not methods:
        return []
    named = ", ".join(sorted(one or "unknown" for one in methods))
    return [f"They are approximate, because trials are not independent ({named})."]


def _best(table: Table) -> str:
    row = table.rows[0]
    value = "diverged" if row.median in _INFINITE else significant(row.median, 4)
    metric = words(table.metric.name)
    if len(table.rows) == 1:
        return f"The median {metric} of {row.optimizer} is {value}."
    return (
        f"{row.optimizer} has the best median {metric} of {len(table.rows)} optimizers,"
        f" {value}; without a baseline there is no verdict."
    )


_INFINITE = (float("inf"), float("-inf"))


def _clauses(word: str, told: Sequence[Row]) -> list[str]:
    """Returns the clauses on all optimizers with one word of verdict."""
    own = [row for row in told if row.verdict and row.verdict.word == word]
    if word == EQUAL and own:
        names = ", ".join(row.optimizer for row in own)
        return [f"{names} cannot be told apart from it"]
    return [_clause(row) for row in own]


def _clause(row: Row) -> str:
    verdict = row.verdict
    if verdict is None or verdict.difference is None or verdict.word == UNTESTED:
        return f"{row.optimizer}: {describe(verdict)}" if verdict else row.optimizer
    said = by(verdict.word, verdict.difference.interval)
    return f"{row.optimizer} is {verdict.word} {said}"
