"""Initial parameters from a record or a file, as `--init_from` names them."""

import warnings
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from gradjax.errors import Refusal
from gradjax.records import archive, opening, reading, weights
from gradjax.records.load import chosen_trial
from gradjax.records.params import Leaves, leaves_of, plain
from gradjax.training.leaf_names import nest
from gradjax.training.start import named, started_at
from gradjax.types import ModelState, Params, Program


class Initial(NamedTuple):
    """Parameters at which every trial starts."""

    source: str  # as it was given; it decides nothing
    words: str  # the source, with the trial that was chosen
    digest: str  # of names and values of all leaves, which decide the results
    params: Params
    model_state: ModelState


def read(source: str) -> Initial:
    """Reads the parameters of a trial, or those of a file.

    Args:
      source: FOLDER of a run or a sweep, for its first seed or its best trial;
        FOLDER:trial, where the trial is an id or a row; or a file that ends in .npz or
        .safetensors.

    Raises:
        Refusal: there is no such folder, trial or file, or it has no parameters.
    """
    try:
        words, params, state = _leaves(source)
    except Refusal as refusal:
        raise Refusal(f"--init_from={source}: {refusal}") from refusal
    tree = nest(state) if state else None
    return Initial(source, words, _digest(params, state), nest(params), tree)


def of_trees(params: Params, model_state: ModelState) -> Initial:
    """Returns initial parameters that are given as pytrees."""
    leaves = [jax.tree.map(np.asarray, named(tree)) for tree in (params, model_state)]
    return Initial("", "params", _digest(*leaves), params, model_state)


def started(program: Program, initial: Initial | None) -> Program:
    """Returns a program whose trials start at these parameters; None: at their own.

    Raises:
        Refusal: leaves differ in their name or shape; the line lists them.
    """
    if initial is None:
        return program
    try:
        return started_at(program, initial.params, initial.model_state)
    except Refusal as refusal:
        if not initial.source:
            raise
        raise Refusal(f"--init_from={initial.source}: {refusal}") from refusal


def of_record(folder: Path, trial: str | None) -> tuple[str, Leaves, Leaves]:
    """Reads (id of the trial, its parameters, the state of its network) by name.

    Args:
      folder: of a run or a sweep.
      trial: an id, or a row of `gradjax.frames(folder).trials` in digits; None: the
        first seed of a run, or of the best setting of a sweep.

    Raises:
        Refusal: there is no such trial, or its parameters are not stored.
    """
    if opening.kind_of(folder) != "trials":
        raise Refusal(f"{folder} is a lesson, which has no parameters")
    store = opening.open_to_read(folder, say=warnings.warn)
    asked: int | str | None = trial
    if trial and trial.isdecimal() and trial not in reading.trial_records(store):
        asked = int(trial)
    chosen = chosen_trial(folder, store, asked)
    leaves = leaves_of(store, chosen)
    if leaves is None:
        raise Refusal(
            f"{folder} does not hold the parameters of the trial {chosen};"
            " --keep_params=all stores those of every trial"
        )
    return chosen, *leaves


def split(source: str) -> tuple[Path, str | None]:
    """Splits FOLDER[:trial] into the folder and the trial, or None."""
    path = Path(source).expanduser()
    before, colon, trial = source.rpartition(":")
    if not colon or not before or path.exists():
        return path, None
    return Path(before).expanduser(), trial


def _leaves(source: str) -> tuple[str, Leaves, Leaves]:
    path, trial = split(source)
    if trial is None and weights.is_file_of_weights(path) and not path.is_dir():
        return source, *weights.read(path)
    chosen, params, state = of_record(path, trial)
    return f"{path} (trial {chosen})", params, state


def _digest(params: Leaves, state: Leaves) -> str:
    parts = {"params": params, "model_state": state}
    return archive.digest(
        {
            f"{part}/{name}": plain(values)
            for part, leaves in parts.items()
            for name, values in leaves.items()
        }
    )[:16]
