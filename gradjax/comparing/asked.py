"""What a comparison is asked for, and checks of its arguments."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from gradjax import expressions, problems
from gradjax.errors import Refusal
from gradjax.suites import SUITES, Workload, problem_of
from gradjax.sweeps import given
from gradjax.tuning.arguments import count, listed
from gradjax.types import Problem, Space, Sweep

SEARCHES = ("random", "halton", "sobol")  # whose points do not depend on results
STUDY_SEEDS = 2**20  # fresh seeds of a study, so that no two studies share one
MOST_STUDIES = 1_000
_LEAST_STUDIES = 3  # of a paired t test with some power
_HORIZONS = "a list of positive numbers, such as [1, 2, 4]"


class Task(NamedTuple):
    """A problem with its budget."""

    name: str  # its expression, or the name with which an object was given
    problem: Problem
    num_gradients: int  # of one trial
    batch_size: int | None
    expression: str | None  # None: an object, whose contents a record has to compare


class Asked(NamedTuple):
    """The arguments of a comparison, checked one by one."""

    tasks: tuple[Task, ...]
    optimizers: tuple[str, ...]  # expressions
    spaces: dict[str, Space]  # optimizer -> what is tuned; without dimensions: nothing
    objects: given.Objects  # optimizers and schedules without an import path
    schedule: str
    num_trials: int
    num_seeds: int
    baseline: str
    pairs: str  # "baseline" or "all": the family of the verdicts
    search: str
    seed: int
    horizons: tuple[float, ...]  # multiples of the budget
    retune: bool = True  # at each horizon; False: at one of them alone
    studies: int = 1  # independent tunings of each optimizer
    executed: Sweep = Sweep()  # names the executor of the trials of a cell
    diagnostics: str | None = None  # an expression; what is measured in every trial

    @property
    def tuned_at(self) -> float:
        """The horizon whose settings the others take without `retune`."""
        return 1 if 1 in self.horizons else self.horizons[0]


def tasks_of(
    asked: Any, num_gradients: int | None, batch_size: int | None
) -> tuple[Task, ...]:
    """Returns the problems of a comparison with their budgets.

    Args:
      asked: the name of a suite, or a list of names of problems and of entries of a
        suite, or a dictionary from names to them or to Problems.
      num_gradients: of problems that are no entry of a suite; of the others it replaces
        the number of the suite.
      batch_size: likewise.

    Raises:
        Refusal: an unknown name, or a problem without a budget.
    """
    if isinstance(asked, str):
        asked = expressions.lookup(asked, SUITES, "suite")
    pairs = asked.items() if isinstance(asked, Mapping) else [(None, x) for x in asked]
    found = [_task(name, one, num_gradients, batch_size) for name, one in pairs]
    names = [one.name for one in found]
    if not found:
        raise Refusal("problems is empty: give at least one, or a suite")
    if twice := next((one for one in names if names.count(one) > 1), None):
        raise Refusal(f"problems: {twice} is given twice")
    return tuple(found)


def optimizers_of(asked: Any, objects: given.Objects) -> tuple[str, ...]:
    """Returns the expressions of the optimizers.

    Raises:
        Refusal: fewer than two, one of them twice, or none at all.
    """
    texts = [given.optimizer(one, objects) for one in listed(asked)]
    if twice := next((one for one in texts if texts.count(one) > 1), None):
        raise Refusal(f"optimizers: {twice} is given twice")
    if len(texts) < 2:
        raise Refusal(f"optimizers: only {texts[0]}; a comparison needs two or more")
    return tuple(texts)


def baseline_of(asked: Any, optimizers: tuple[str, ...], objects: given.Objects) -> str:
    """Returns the optimizer that all others are compared with; None: the first one.

    Args:
      asked: one of the optimizers, as it was given.
      optimizers: their expressions.
      objects: the optimizers that have neither a name nor an import path.

    Raises:
        Refusal: it is none of the optimizers.
    """
    if asked is None:
        return optimizers[0]
    text = given.optimizer(asked, dict(objects))
    if text not in optimizers:
        raise Refusal(f"baseline={text}: expected one of {', '.join(optimizers)}")
    return text


def horizons_of(asked: Any) -> tuple[float, ...]:
    """Returns the multiples of the budget, in rising order.

    Raises:
        Refusal: they are no distinct positive numbers.
    """
    values = list(asked) if isinstance(asked, list | tuple) else [asked]
    is_number = [
        isinstance(one, int | float) and type(one) is not bool for one in values
    ]
    if not values or not all(is_number) or not all(0 < one <= 1e6 for one in values):
        raise Refusal(f"horizons={asked!r}: expected {_HORIZONS}")
    if len(set(values)) < len(values):
        raise Refusal(f"horizons={asked!r}: a number is given twice")
    return tuple(sorted(values))


def retune_of(asked: Any, horizons: tuple[float, ...]) -> bool:
    """Returns whether each horizon is tuned anew.

    Raises:
        Refusal: it is no bool, or there is no other horizon to take a setting from.
    """
    if not isinstance(asked, bool):
        raise Refusal(f"retune={asked!r}: expected True or False")
    if not asked and len(horizons) < 2:
        raise Refusal("retune=False: needs two horizons or more, as in [1, 2, 4]")
    return asked


def studies_of(asked: Any, seed: int, num_seeds: int) -> int:
    """Returns the number of independent tunings of each optimizer.

    Args:
      asked: the number.
      seed: of the first study; each further one has the next number.
      num_seeds: fresh seeds of a study.

    Raises:
        Refusal: it is neither 1 nor from 3 to 1,000, or the studies would share a seed.
    """
    found = count("--studies", asked)
    if found != 1 and not _LEAST_STUDIES <= found <= MOST_STUDIES:
        raise Refusal(
            f"--studies={found}: expected 1, or {_LEAST_STUDIES} to {MOST_STUDIES:,};"
            f" a paired t test over fewer than {_LEAST_STUDIES} has almost no power"
        )
    if found > 1 and (num_seeds > STUDY_SEEDS or seed + found > 2**31):
        raise Refusal(
            f"--studies={found}: with --seed={seed} and --seeds={num_seeds} two studies"
            f" would share a seed; --seed is at most {2**31 - found:,} and --seeds at"
            f" most {STUDY_SEEDS:,}"
        )
    return found


def search_of(asked: Any) -> str:
    """Returns the search, which must not learn from results.

    Raises:
        Refusal: another search.
    """
    if asked not in SEARCHES:
        raise Refusal(
            f"search={asked!r}: expected {', '.join(SEARCHES)}, which try the same"
            " points of the unit cube with every optimizer"
        )
    return asked


def _task(
    name: str | None, one: Any, num_gradients: int | None, batch_size: int | None
) -> Task:
    if isinstance(one, str):
        text = expressions.unparse(expressions.parse(one))
        known = {entry.problem: entry for suite in SUITES.values() for entry in suite}
        one = known.get(text, text)
    num_gradients = count("num_gradients", num_gradients, None)
    if isinstance(one, Workload):
        made, label = problem_of(one), name or one.problem
        budget, size = num_gradients or one.num_steps, batch_size or one.batch_size
        size = size if made.data else None
        return Task(label, made, budget, size, one.problem)
    if num_gradients is None:
        label = one if isinstance(one, str) else name
        raise Refusal(f"problem {label}: it has no budget: give num_gradients")
    budget = num_gradients
    if isinstance(one, str):
        made = problems.make(one)
        return Task(name or one, made, budget, batch_size if made.data else None, one)
    if not isinstance(one, Problem) or name is None:
        raise Refusal(
            f"problem {one!r:.60}: expected the name of a problem, or a dictionary"
            " {name: a Problem}"
        )
    return Task(name, one, budget, batch_size if one.data else None, None)
