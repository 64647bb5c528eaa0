"""The segment of some trials of a cohort, and how it is committed."""

from typing import Any, NamedTuple

import numpy as np

from gradjax.records import store as stored
from gradjax.sweeps import choose
from gradjax.trials import segment_arrays
from gradjax.trials.results import BlockRange, Results


class Segment(NamedTuple):
    """A segment of some trials of a cohort, to be committed."""

    rows: np.ndarray  # i64[...], the trials that were active in it
    blocks: BlockRange
    run_s: float
    round_hash: str
    copied: dict[str, Any] | None = None  # the line of the segment of another cohort
    # with which it ends, if it is a copy; it is in the environment of that line


def commit_segment(
    store: Any, name: str, ids: list[str], results: Results, segment: Segment
) -> None:
    """Commits what the results hold of a segment.

    Args:
      store: open to write.
      name: of the segment.
      ids: of all trials of the cohort.
      results: of all trials of the cohort.
      segment: the trials and blocks.
    """
    arrays, about = segment_file(ids, results, segment)
    if segment.copied is None:
        stored.commit(store, name, arrays, **about)
        return
    stored.commit_copy(store, name, arrays, segment.copied, **about, is_copy=True)


def segment_file(
    ids: list[str], results: Results, segment: Segment
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Returns the arrays of a segment, and the fields of its line in the journal."""
    plan, (rows, blocks, run_s, round_hash, _) = results.plan, segment
    arrays = segment_arrays.to_arrays(results, rows, blocks)
    about = {
        "interval": list(blocks),
        "steps": min(sum(blocks) * plan.block_steps, plan.num_steps),
        "num_steps": plan.num_steps,
        "run_s": run_s,
        "ranked_by": choose.ranking_curve(results),
        "round": round_hash,
    }
    return arrays | {"trial": np.asarray(ids)[rows]}, about
