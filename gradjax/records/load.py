"""Opens a finished run or sweep: its plan, curves, parameters and `predict`."""

import json
import warnings
from pathlib import Path
from typing import Any

from gradjax.errors import Refusal
from gradjax.files import read_npz
from gradjax.records import opening, params, predicting, reading
from gradjax.records.folder import as_folder
from gradjax.training.leaf_names import nest
from gradjax.types import Run, Series


def load(workdir: str | Path, trial: int | str | None = None, model: Any = None) -> Run:
    """Opens one trial of a finished run or sweep, or a finished lesson.

    Args:
      workdir: the folder.
      trial: its id, or its row in `gradjax.frames(workdir).trials`; None: the first
        seed of a run, or of the best setting of a sweep.
      model: the network of a run whose `--model` is an import path, as the path names
        it: a linen module or its class, a function that makes one, or a Model. Without
        it nothing is imported, and `predict` refuses in a line that asks for it.

    Returns:
      A Run; its `summary` is that of the complete folder.
      `predict(images [batch, ...])` gives class probabilities f32[batch, classes];
      images are in the range of the data set (0 to 255 for MNIST), and one image is a
      batch of one, `image[None]`. For a classifier of texts it is
      `predict(["a text", ...])`, and `config["data"]["class_names"]` names the classes;
      for a translator it gives translations. For a language model it continues texts:
      `predict(["To be", ...], num_characters=400, seed=0, temperature=0.8)`, or with
      `top_k=40` from the most probable tokens alone. For a model of ratings it is
      `predict([("user", "item"), ...])`, f32[pairs], and `recommend("user", count=10)`
      lists titles with predicted ratings. Both are None for any other problem, and if
      the parameters of the trial were not stored. A lesson has neither parameters nor
      `predict`.

    Raises:
        Refusal: there is no finished run, an older format, a damaged file, or no such
            trial.
    """
    folder = as_folder(workdir)
    kind, summary = opening.kind_of(folder), summary_of(folder)
    if kind == "lesson":
        return _lesson(folder, summary)
    store = opening.open_to_read(folder, say=warnings.warn)
    chosen = chosen_trial(folder, store, trial)
    trace = reading.trace_of(store, chosen)
    leaves = params.leaves_of(store, chosen)
    if leaves is None:
        return Run(store.plan, summary, trace, None, None)
    found, state = (nest(part) if part else None for part in leaves)
    own = reading.own_of(store, chosen)
    network = (found, state)
    predict, recommend = predicting.functions(folder, store.plan, own, network, model)
    return Run(store.plan, summary, trace, found, predict, state, recommend)


def chosen_trial(folder: Path, store: Any, trial: int | str | None) -> str:
    """Returns the id of the trial that was asked for, as `load` takes it.

    Raises:
        Refusal: there is no such trial; or None is asked and there is no summary.
    """
    ids = list(reading.trial_records(store))
    if trial is None:
        chosen = _first_of(folder)
        if chosen not in ids:
            raise Refusal(
                f"{folder}: its journal does not list the trial {chosen} of its"
                " summary; the same command computes again what is missing"
            )
        return chosen
    if isinstance(trial, str) and trial in ids:
        return trial
    if isinstance(trial, int) and 0 <= trial < len(ids):
        return ids[trial]
    raise Refusal(
        f"{folder}: trial={trial!r}, but it has {len(ids)} trials: 0 to {len(ids) - 1}"
    )


def _first_of(folder: Path) -> str:
    """Returns the id of the trial that the summary describes first."""
    summary = summary_of(folder)
    try:
        return summary["trials"][0]["trial"]
    except (KeyError, IndexError, TypeError) as error:
        raise Refusal(f"{folder / 'summary.json'}: it names no trial") from error


def _lesson(folder: Path, summary: dict[str, Any]) -> Run:
    curves = read_npz(folder / "trace.npz")
    trace = {
        name: Series(curves[f"{name}.step"], values)
        for name, values in curves.items()
        if not name.endswith(".step")
    }
    return Run(opening.read_plan(folder), summary, trace, None, None)


def summary_of(folder: Path) -> dict[str, Any]:
    """Reads the summary of a finished record.

    Raises:
        Refusal: there is no summary, or it is damaged.
    """
    path = folder / "summary.json"
    try:
        value = json.loads(path.read_text())
    except OSError as error:
        reason = error.strerror or str(error)
        raise Refusal(f"no finished run in {folder}: {path.name}: {reason}") from error
    except ValueError as error:
        raise Refusal(f"{path}: damaged ({error})") from error
    if not isinstance(value, dict):
        raise Refusal(f"{path}: damaged (not an object)")
    return value
