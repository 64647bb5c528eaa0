"""Opens a finished run: configuration, curves, parameters, and a `predict` to use."""

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from gradjax.data.tokens import from_state
from gradjax.errors import Refusal
from gradjax.files import read_npz
from gradjax.problems import model_of, predictor, text, translation
from gradjax.types import Params, Run, Series


def load(workdir: str | Path, trial: int = 0) -> Run:
    """Opens the folder of a finished run, or of a study.

    Args:
      workdir: the folder.
      trial: whose parameters, where the run had several seeds.

    Returns:
      A Run. `predict(images [batch, ...])` gives class probabilities
      f32[batch, classes]; images are in the data set's own range (0 to 255 for MNIST).
      Of a classifier of texts it is `predict(["a text", ...])`, and
      `config["data"]["class_names"]` says the classes; of a translator it gives
      translations. It is None where the problem is another one, and so are the
      parameters of a study.

    Raises:
        Refusal: no finished run there, a damaged file, or no such trial.
    """
    folder = Path(workdir)
    config, summary = (_read_json(folder, n) for n in ("config.json", "summary.json"))
    is_study = "sentence" in summary
    try:
        arrays = {} if is_study else read_npz(folder / "params.npz")
        curves = read_npz(folder / "trace.npz")
    except FileNotFoundError as error:
        raise Refusal(f"{folder} is not whole: {error.filename} is missing") from error
    trace = {
        name: Series(curves[f"{name}.step"], values)
        for name, values in curves.items()
        if not name.endswith(".step")
    }
    if is_study:
        return Run(config, summary, trace, None, None)
    num_trials = len(next(iter(arrays.values())))
    if not 0 <= trial < num_trials:
        raise Refusal(f"{folder}: trial={trial}, but it has {num_trials}")
    params = _nested({name: values[trial] for name, values in arrays.items()})
    return Run(config, summary, trace, params, _predict(folder, config, params))


def _predict(
    folder: Path, config: dict[str, Any], params: Params
) -> Callable[[Any], Any] | None:
    """The trained model, where the record says which inputs it was trained on."""
    data, name = config["data"] or {}, config["settings"]["model"]
    if name is None:
        return None
    if "input_shape" in data and "num_classes" in data:
        model = model_of(name, tuple(data["input_shape"]), data["num_classes"])
        predict = predictor(model, data["max_value"])
        return lambda inputs: predict(params, inputs)
    if "num_tokens" in data and ("num_classes" in data or "target" in data):
        make = functools.cache(lambda: _of_texts(folder, name, data))
        return lambda inputs: make()(params, inputs)
    return None


def _of_texts(folder: Path, name: str, data: dict[str, Any]) -> Callable[..., Any]:
    """The same of texts; made when it is used, for it needs `tokenizers`."""
    path, num_tokens = folder / "tokenizer.json", data["num_tokens"]
    try:
        tokenizer = from_state(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise Refusal(f"{path}: {error.strerror}; predict needs it") from error
    except ValueError as error:
        raise Refusal(f"{path}: {error}") from error
    if "target" in data:
        model = translation.translation_model(name, num_tokens)
        return translation.predictor(model, tokenizer)
    model = text.text_model(name, num_tokens, data["num_classes"])
    return text.predictor(model, tokenizer, data["max_length"])


def _read_json(folder: Path, name: str) -> dict[str, Any]:
    path = folder / name
    try:
        value = json.loads(path.read_text())
    except OSError as error:
        reason = error.strerror or str(error)
        raise Refusal(f"no finished run in {folder}: {name}: {reason}") from error
    except ValueError as error:
        raise Refusal(f"{path}: damaged ({error})") from error
    if not isinstance(value, dict):
        raise Refusal(f"{path}: damaged (not an object)")
    return value


def _nested(leaves: dict[str, np.ndarray]) -> Params:
    tree: dict[str, Any] = {}
    for name, value in leaves.items():
        *parents, last = name.split("/")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[last] = value
    return tree
