"""Continues texts with a stored language model."""

from collections.abc import Callable, Sequence
from typing import Any

from gradjax.errors import Refusal
from gradjax.problems import arguments, language
from gradjax.types import Model, Params

_MOST_CHARACTERS = 1_000_000


def predictor(model: Model, letters: str, window: int) -> Callable[..., list[str]]:
    """Makes a function that continues texts, character by character.

    It is `(params, texts, num_characters=400, seed=0, temperature=0.8)` and returns one
    continuation for each text, without the text. The model sees the last `window`
    characters, as in training, where no text is longer. A character that the train
    split does not have is replaced by the token START. Text number k is continued with
    the seed `seed + k`. A temperature below 1 favours probable characters.

    Args:
      model: the language model.
      letters: the alphabet with which it was trained.
      window: length of a window, in characters.

    Returns:
      The function; it raises Refusal if the texts are not a list of texts, or a number
      is out of range.
    """

    def predict(
        params: Params,
        texts: Sequence[str],
        num_characters: int = 400,
        seed: int = 0,
        temperature: float = 0.8,
    ) -> list[str]:
        said = _listed(texts)
        arguments.whole("num_characters", num_characters, 1, _MOST_CHARACTERS)
        arguments.whole("seed", seed, 0, 2**32 - 1 - len(said))
        heat = arguments.number("temperature", temperature, 1e-3, 1e3)
        draw = language.sampler(model, letters, window, num_characters, heat)
        return [draw(params, text, seed + k) for k, text in enumerate(said)]

    return predict


def _listed(texts: Any) -> list[str]:
    if not isinstance(texts, str | bytes) and hasattr(texts, "__iter__"):
        said = list(texts)
        if said and all(isinstance(text, str) for text in said):
            return said
    raise Refusal('predict takes a list of texts to continue, as in predict(["To be"])')
