"""Compares the traces of a revision and of the working tree bit for bit.

usage: python -m scripts.compare_traces REVISION [CASE ...]

This command runs the same experiments with the code of REVISION (any name that git
knows) and with the working tree, on this machine, and compares every point of every
curve. The cases are small runs and sweeps of every experiment, with one lane and with
several, with wrapped optimizers, with a trial that diverges and with successive
halving. They need no prepared data. A curve that the working tree alone has is named,
and is no difference. Points after the step at which a trial diverged are not compared.
Bits depend on the processor and on the versions of the packages, which are the same for
both sides. It takes about eight minutes on two cores. The exit code is 1 if a trace
differs.
"""

import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from gradjax import expressions
from gradjax.errors import Refusal
from gradjax.report import terminal

_ROOT = Path(__file__).resolve().parents[1]
_RENAMED = {"--lane_width=": "--width="}  # flag -> its name in older revisions
_DIGITS = "mnist --dataset=digits"
_BAG = "text --dataset=labels.tsv --steps=60 --batch_size=16 --eval_every=20"
_SWEEP = "minimize --problem=ridge --batch_size=32 --steps=120 --fresh_seeds=1"
_RATES = "--sweep='learning_rate=log(1e-3, 100, 6)'"
CASES = {
    "mlp": f"{_DIGITS} --epochs=3",
    "cnn": f"{_DIGITS} --model=cnn --steps=60 --eval_every=25 --schedule=cosine",
    "seeds": f"{_DIGITS} --steps=90 --eval_every=30 --seeds=3 --optimizer=sgd",
    "diverges": f"{_DIGITS} --steps=200 --eval_every=50 --optimizer=sgd"
    " --learning_rate=1e30",
    "resnet": "vision --dataset=digits --model='resnet(width=8, depth=1)' --steps=12"
    " --augmentation=crop --batch_size=32",
    "vae": "vision --dataset=digits --model='vae(widths=(32,), latent=4)' --steps=80",
    "bag": f"{_BAG} --model='bag(dropout=0)'",
    "dropout": _BAG,
    "gru": "text --dataset=labels.tsv --model='gru(width=16, dropout=0)' --steps=20"
    " --batch_size=16 --max_length=16",
    "lstm": "language --dataset=book.txt --model='lstm(width=32)' --steps=30"
    " --window=32",
    "transformer": "language --dataset=book.txt --steps=20 --window=32 --batch_size=8"
    " --model='transformer(width=32, depth=1, heads=2, dropout=0)'",
    "translation": "translation --dataset=pairs --source=en --target=de --steps=20"
    " --model='transformer(width=16, depth=1, heads=2, dropout=0)' --vocab_size=200"
    " --max_length=16 --batch_size=4",
    "ratings": "recommend --dataset=ratings.csv --epochs=4 --batch_size=32",
    "averaged": "minimize --problem=ridge --batch_size=16 --steps=150 --learning_rate=1"
    " --optimizer='average(sgd(momentum=0.9), decay=0.99)' --seeds=2",
    "sam": "minimize --problem=wine_mlp --batch_size=16 --steps=100"
    " --optimizer='sam(adam, rho=0.05)' --schedule='warmup_cosine(warmup=0.1)'",
    "schedule_free": "minimize --problem=ridge --steps=80 --batch_size=8"
    " --optimizer='multi_steps(schedule_free_adamw, every=2)'",
    "lbfgs": "minimize --problem=rosenbrock --optimizer=lbfgs --steps=60",
    "noisy": "minimize --problem=noisy_quadratic --optimizer=noisy_sgd --steps=100",
    "sweep_of_one_lane": f"{_SWEEP} {_RATES} --lane_width=1 --seeds=2",
    "sweep_of_four_lanes": f"{_SWEEP} {_RATES} --lane_width=4 --seeds=2",
    "sweep_of_optimizers": f"{_DIGITS} --steps=60 --eval_every=20 --lane_width=2"
    " --sweep='optimizer=[adam, sgd, lion]' --sweep='learning_rate=[0.001, 0.01]'"
    " --fresh_seeds=1",
    "halving": f"{_SWEEP} {_RATES} --halving=2 --optimizer=adam --seeds=2",
    "halton": f"{_SWEEP} {_RATES} --search=halton --trials=5 --optimizer=momo",
    "gradient": "gradient",
    "descent": "descent --steps=3000",
    "learning_rate": "learning_rate --steps=200 --num_rates=9",
    "batch_size": "batch_size --epochs=2",
    "schedule_gradient": "schedule_gradient --outer_steps=3 --steps=60 --seeds=4"
    " --fresh=4",
}
_LESSONS = ("gradient", "descent", "learning_rate", "batch_size", "schedule_gradient")
# This runs with the code of one side, so that each side opens its own records.
_OPEN = """
import sys
import numpy as np
import gradjax
trials, curves = gradjax.frames(sys.argv[1])
if "diverged_step" in trials:
    steps = dict(zip(trials["trial"], trials["diverged_step"].fillna(0)))
    ends = curves["trial"].map(steps).fillna(0).to_numpy()
    curves = curves[(ends == 0) | (curves["step"].to_numpy() <= ends)]
place = {trial: k for k, trial in enumerate(trials.get("trial", range(100)))}
rows = np.array([place[trial] for trial in curves["trial"]], np.int64)
names = curves["name"].to_numpy().astype(str)
steps = curves["step"].to_numpy().astype(np.float64)
order = np.lexsort((steps, names, rows))
values = curves["value"].to_numpy().astype(np.float64)
np.savez(sys.argv[2], rows=rows[order], names=names[order], steps=steps[order],
         values=values[order])
"""


def write_data(folder: Path) -> None:
    """Writes small texts, pairs and ratings, which are the same every time."""
    rng = np.random.default_rng(0)
    words = np.array(["red", "green", "blue", "big", "small", "cat", "dog", "bird"])
    said = [" ".join(rng.choice(words, rng.integers(3, 9))) for _ in range(300)]
    lines = [f"{'long' if len(one) > 25 else 'short'}\t{one}\n" for one in said]
    (folder / "labels.tsv").write_text("".join(lines))
    (folder / "book.txt").write_text("\n".join(said))
    for language, ending in (("en", "."), ("de", "!")):
        pairs = [f"{one}{ending} \n" for one in said[:200]]
        (folder / f"pairs.{language}").write_text("".join(pairs))
    rows = ["user,item,rating,time\n"]
    for time in range(600):
        user, item = rng.integers(0, 30), rng.integers(0, 40)
        rows.append(f"u{user},i{item},{rng.integers(1, 6)},{time}\n")
    (folder / "ratings.csv").write_text("".join(rows))


def curves_of(tree: Path, case: str, folder: Path) -> dict[str, np.ndarray]:
    """Runs a case with the code of `tree`; returns its curves as sorted columns.

    Raises:
        Refusal: the command fails; the message is the last line that it printed.
    """
    name, *flags = shlex.split(CASES[case])
    places = [
        *(tree / "gradjax").glob("flags/*.py"),
        *(tree / "gradjax/commands").glob("*flags.py"),
    ]
    texts = [path.read_text() for path in places if path.is_file()]
    for new, old in _RENAMED.items():
        if not any(f'"{new.strip("-=")}"' in text for text in texts):
            flags = [flag.replace(new, old) for flag in flags]
    every = [] if name in _LESSONS else ["--trace_every=1"]
    if every and any('"num_threads"' in text for text in texts):
        every.append(f"--num_threads={os.cpu_count()}")  # as older revisions use
    kept, columns = folder / case, folder / f"{case}.npz"
    command = ["-m", f"experiments.{name}", *flags, *every, "--noplot"]
    _python(tree, folder, [*command, f"--workdir={kept}"])
    _python(tree, folder, ["-c", _OPEN, str(kept), str(columns)])
    with np.load(columns) as found:
        return dict(found)


def difference(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> str | None:
    """Describes the first point in which two sets of curves differ, or None.

    A curve that the working tree alone has is left out, see `new_curves`.

    Args:
      one: the columns of the revision.
      other: those of the working tree.
    """
    keys = ("rows", "names", "steps")
    shared = np.unique(one["names"])
    one, other = (
        {
            key: values[np.isin(columns["names"], shared)]
            for key, values in columns.items()
        }
        for columns in (one, other)
    )
    points = [
        set(zip(*(columns[key].tolist() for key in keys), strict=True))
        for columns in (one, other)
    ]
    missing = points[0] ^ points[1]
    if missing:
        row, name, step = min(missing)
        side = "the revision" if (row, name, step) in points[0] else "the working tree"
        return (
            f"{len(missing)} points are on one side alone, first {name} of trial {row}"
            f" at {step:g} in {side}"
        )
    is_same = one["values"].view(np.int64) == other["values"].view(np.int64)
    if is_same.all():
        return None
    first = int(np.flatnonzero(~is_same)[0])
    row, name, step = (one[key][first] for key in keys)
    return (
        f"{(~is_same).sum()} of {len(is_same)} points differ, first {name} of trial"
        f" {row} at {step:g}: {one['values'][first]!r} and {other['values'][first]!r}"
    )


def new_curves(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> list[str]:
    """Returns the names of the curves that the working tree alone has."""
    return np.setdiff1d(other["names"], one["names"]).tolist()


def _python(tree: Path, folder: Path, words: list[str]) -> None:
    environment = os.environ | {
        "PYTHONPATH": str(tree),
        "XDG_CACHE_HOME": str(folder / "cache"),
    }
    done = subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise Refusal(f"{' '.join(words)[:100]}: {said[-1] if said else 'failed'}")


def compare(revision: str, cases: list[str], scratch: Path) -> int:
    """Compares the cases and prints a line each; returns how many differ."""
    before, num_differing = scratch / "before", 0
    git = ["git", "-C", str(_ROOT)]
    added = subprocess.run(
        [*git, "worktree", "add", "--detach", "-q", str(before), revision],
        capture_output=True,
        text=True,
    )
    if added.returncode:
        raise Refusal(f"git: {added.stderr.strip().splitlines()[-1]}")
    try:
        for side in ("old", "new"):
            (scratch / side).mkdir()
            write_data(scratch / side)
        for case in cases:
            old = curves_of(before, case, scratch / "old")
            new = curves_of(_ROOT, case, scratch / "new")
            found = difference(old, new)
            num_differing += found is not None
            said = found or f"{len(old['values']):,} points, equal"
            added = ", ".join(new_curves(old, new))
            terminal.say(f"{case}: {said}{f' (new: {added})' if added else ''}")
    finally:
        remove = [*git, "worktree", "remove", "--force", str(before)]
        subprocess.run(remove, check=False)
    return num_differing


def main(arguments: list[str]) -> int:
    """Runs the command; returns its exit code: 2 after one line on stderr."""
    if not arguments or arguments[0] == "--help":
        terminal.say((__doc__ or "").strip())
        return 0
    revision, *cases = arguments
    try:
        for case in cases:
            expressions.lookup(case, CASES, "case")
        with tempfile.TemporaryDirectory() as scratch:
            count = compare(revision, cases or list(CASES), Path(scratch))
    except Refusal as refusal:
        print(f"compare_traces: {' '.join(str(refusal).split())}", file=sys.stderr)
        return 2
    terminal.say(f"{count} of {len(cases or CASES)} differ")
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
