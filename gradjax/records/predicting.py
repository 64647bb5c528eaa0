"""What a stored network can be asked: class probabilities, translations, ratings.

Everything is made from the record alone, when it is first asked for.
"""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax.numpy as jnp

from gradjax.data import plain_tokens
from gradjax.data.tokens import from_state
from gradjax.errors import Refusal
from gradjax.problems import (
    continuation,
    language,
    model_of,
    own_table,
    predictor,
    rating_task,
    text,
    translation,
)
from gradjax.problems import inputs as checked
from gradjax.types import ModelState, Params

Function = Callable[..., Any]
# Flags of the experiments that change the inputs of a network. The record describes
# the data of its base settings alone.
_OF_DATA = (
    *("dataset", "tokenizer", "vocab_size", "max_length", "source", "target"),
    *("label", "task"),
)


def functions(
    folder: Path,
    config: dict[str, Any],
    own: dict[str, Any],
    trained: tuple[Params, ModelState],
    model: Any = None,
) -> tuple[Function | None, Function | None]:
    """Makes `predict` and `recommend` of a trial; None where the problem has neither.

    Args:
      folder: of the record.
      config: its plan.
      own: the flags of the experiment for this trial.
      trained: the parameters of the trial, and the state of its network or None.
      model: the network that the import path of the trial names; nothing is imported.
    """
    params, state = trained
    data, name = config["data"] or {}, own.get("model")
    if name is None:
        return None, None
    base = config["settings"]["own"]
    if varied := [flag for flag in _OF_DATA if own.get(flag) != base.get(flag)]:
        return _unable(varied[0], own[varied[0]]), None
    if ":" in name and model is None:
        return _without_model(name), None
    make = _maker(folder, data, own, state, model)
    if make is None:
        return None, None
    made = functools.cache(make)

    def predict(inputs: Any, **options: Any) -> Any:
        return made()[0](params, inputs, **options)

    def recommend(user: Any, count: int = 10) -> list[tuple[str, float]]:
        return made()[1](params, user, count)

    return predict, recommend if "num_items" in data else None


def _unable(flag: str, value: Any) -> Function:
    def predict(_inputs: Any, **_options: Any) -> Any:
        raise Refusal(
            f"predict: this trial has {flag}={value!r}, and the record describes the"
            " data of the other trials; train it alone to predict with it"
        )

    return predict


def _without_model(name: str) -> Function:
    path = name.partition("(")[0].replace(":", ".")
    how = f"give it by gradjax.load(folder, model={path})"

    def predict(_inputs: Any, **_options: Any) -> Any:
        raise Refusal(
            f"predict needs the network {name}, and a record imports nothing that it"
            f" names: {how}"
        )

    return predict


def _maker(
    folder: Path,
    data: dict[str, Any],
    own: dict[str, Any],
    state: ModelState,
    model: Any,
) -> Callable[[], tuple[Function, ...]] | None:
    """Returns a function that makes the functions (params, inputs) -> outputs."""
    if "input_shape" in data and "num_classes" in data:
        return functools.partial(_of_images, own["model"], data, state, model)
    if "num_tokens" in data and ("num_classes" in data or "target" in data):
        return functools.partial(_of_texts, folder, own["model"], data, model)
    if "alphabet" in data:
        return functools.partial(_of_language, data, own, model, None)
    if "tokenizer_sha256" in data:
        return functools.partial(_of_language, data, own, model, folder)
    if "columns" in data:
        return functools.partial(_of_rows, data, own["model"], model)
    if "num_items" in data:
        return functools.partial(_of_ratings, folder, own["model"], model)
    return None


def _of_images(
    name: str, data: dict[str, Any], state: ModelState, model: Any
) -> tuple[Function]:
    shape = tuple(data["input_shape"])
    network = model_of(name, shape, data["num_classes"], model)
    predict = predictor(network, data["max_value"])

    def checked_predict(params: Params, images: Any) -> Any:
        batch = checked.examples("images", images, shape)
        if not len(batch):  # a network cannot flatten images of an empty batch
            return jnp.zeros((0, data["num_classes"]), jnp.float32)
        return predict(params, batch, state)

    return (checked_predict,)


def _of_texts(
    folder: Path, name: str, data: dict[str, Any], given: Any
) -> tuple[Function]:
    path, num_tokens = folder / language.TOKENIZER, data["num_tokens"]
    tokenizer = _restored(path, from_state)
    if "target" in data:
        model = translation.translation_model(name, num_tokens, given)
        return (translation.predictor(model, tokenizer),)
    model = text.text_model(name, num_tokens, data["num_classes"], given)
    return (text.predictor(model, tokenizer, data["max_length"]),)


def _of_language(
    data: dict[str, Any], own: dict[str, Any], given: Any, folder: Path | None
) -> tuple[Function]:
    """Makes `predict` of a language model; without a folder its tokens are characters.

    Raises:
      Refusal: the tokenizer in the folder is missing, damaged, or of another trial.
    """
    if folder is None:
        encoding = plain_tokens.of_characters(data["alphabet"])
    else:
        path = folder / language.TOKENIZER
        encoding = _restored(path, plain_tokens.of_byte_pairs)
        if plain_tokens.digest(encoding) != data["tokenizer_sha256"]:
            raise Refusal(f"{path}: it is not the tokenizer of this trial")
    window = own.get("window") or data["window"]
    in_it = own.get("parametrization", "standard")  # whose multipliers it has
    model = language.language_model(
        own["model"], encoding.num_tokens, given, parametrization=in_it
    )
    return (continuation.predictor(model, encoding, window),)


def _restored(path: Path, restore: Callable[[str], Any]) -> Any:
    """Reads a tokenizer beside the record."""
    try:
        return restore(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise Refusal(f"{path}: {error.strerror}; predict needs it") from error
    except ValueError as error:
        raise Refusal(f"{path}: {error}") from error


def _of_rows(data: dict[str, Any], name: str, given: Any) -> tuple[Function]:
    num_inputs = sum(len(one["values"]) or 1 for one in data["columns"])
    num_outputs = len(data["class_names"]) or 1
    model = own_table.table_model(name, num_inputs, num_outputs, given)
    return (own_table.predictor(model, data),)


def _of_ratings(folder: Path, name: str, given: Any) -> tuple[Function, Function]:
    path = folder / rating_task.CATALOGUE
    try:
        content = path.read_text(encoding="utf-8")
        what = rating_task.from_catalogue(content, name, given)
    except OSError as error:
        raise Refusal(f"{path}: {error.strerror}; predict needs it") from error
    except ValueError as error:
        raise Refusal(f"{path}: {error}") from error
    return rating_task.predictor(what), rating_task.recommender(what)
