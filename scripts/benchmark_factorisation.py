"""Times a step of matrix factorisation against PyTorch, and by the number of rows.

Command:  python -m scripts.benchmark_factorisation

Both use the same ratings, Adam and the same penalty, and run in turn. The gradient of a
table is dense, and Adam changes every row at every step, so the cost of a step grows
with the number of rows. The second table shows from which size on this is most of it.
"""

import time
from collections.abc import Callable

import numpy as np

import gradjax
from gradjax.data.ratings import Ratings
from gradjax.problems import recommendation
from gradjax.report import terminal
from gradjax.trials import lanes
from gradjax.types import Program

_USERS, _RANK, _NUM_RATINGS = 610, 32, 80_000
_ITEMS = (1_000, 9_724, 30_000, 100_000, 300_000, 1_000_000)
_BATCH_SIZES = (128, 512)
_ROUNDS = 5  # the median is shown
_TORCH_STEPS = 200


def main() -> None:
    """Prints two tables in Markdown."""
    _against_torch(9_724)
    terminal.say("\n| rows | parameters | adam, us a step | sgd, us a step |")
    terminal.say("|---|---|---|---|")
    for num_items in _ITEMS:
        drawn, num_steps = _draw(num_items), max(20, 2_000_000 // num_items)
        cells = []
        for optimizer in ("adam(1e-2)", "sgd(1e-2)"):
            run = _ours(drawn, optimizer, 128, min(500, num_steps))
            cells.append(np.median([run() for _ in range(_ROUNDS)]) * 1e6)
        rows = _USERS + num_items
        shown = " | ".join(f"{cell:,.0f}" for cell in cells)
        terminal.say(f"| {rows:,} | {rows * (_RANK + 1):,} | {shown} |")


def _against_torch(num_items: int) -> None:
    import torch  # pyright: ignore[reportMissingImports]

    from scripts.baselines.torch_factorisation import step_s

    drawn, threads = _draw(num_items), (1, torch.get_num_threads())
    user, item = (
        torch.from_numpy(column.astype(np.int64)) for column in (drawn.user, drawn.item)
    )
    rating, sizes = torch.from_numpy(drawn.rating), (_USERS, num_items, _RANK)
    terminal.say(
        "| batch | gradjax, us a step | PyTorch eager, 1 thread |"
        f" {threads[1]} threads | share of the faster |"
    )
    terminal.say("|---|---|---|---|---|")
    for size in _BATCH_SIZES:
        run, rounds = _ours(drawn, "adam(1e-2)", size, 500), []
        for _ in range(_ROUNDS):
            theirs = [
                step_s((user, item, rating), sizes, size, _TORCH_STEPS, count)
                for count in threads
            ]
            rounds.append((run(), *theirs))
        cells = np.median(np.array(rounds), axis=0) * 1e6
        shown = " | ".join(f"{cell:,.0f}" for cell in cells)
        terminal.say(f"| {size} | {shown} | {cells[0] / min(cells[1:]):.2f} |")


def _draw(num_items: int) -> Ratings:
    """Draws random ratings: only their number and their rows matter here."""
    rng = np.random.default_rng(0)
    return Ratings(
        "drawn",
        rng.integers(0, _USERS, _NUM_RATINGS).astype(np.int32),
        rng.integers(0, num_items, _NUM_RATINGS).astype(np.int32),
        rng.integers(1, 6, _NUM_RATINGS).astype(np.float32),
        np.arange(_NUM_RATINGS, dtype=np.float64),
        np.arange(_USERS).astype(str),
        np.arange(num_items).astype(str),
        np.arange(num_items).astype(str),
        np.zeros((num_items, 0), bool),
        "",
        "drawn",
    )


def _ours(
    drawn: Ratings, optimizer: str, batch_size: int, num_steps: int
) -> Callable[[], float]:
    """Returns a function that runs a segment and returns the seconds per step."""
    task = recommendation.task(drawn, f"factorisation(rank={_RANK})")
    problem = recommendation.recommendation(task)
    program: Program = gradjax.program(
        problem, optimizer, num_steps=num_steps, batch_size=batch_size
    )
    made = lanes.lanes(program, num_devices=1)
    own, (call,) = lanes.stack(program, [{}], [0]), made.ready().calls
    count = min(made.form.capacity, max(1, num_steps // program.plan.block_steps))
    state, _ = call(None, own, 0, 0, False)

    def run() -> float:
        start = time.perf_counter()
        call(state, own, 0, count, False)
        length = min(count * program.plan.block_steps, num_steps)
        return (time.perf_counter() - start) / length

    run()  # the first run touches its memory and is slower
    return run


if __name__ == "__main__":
    main()
