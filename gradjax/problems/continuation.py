"""Continues texts with a stored language model."""

from collections.abc import Callable, Sequence
from typing import Any

from gradjax.data.plain_tokens import Encoding
from gradjax.errors import Refusal
from gradjax.problems import arguments, sampling
from gradjax.types import Model, Params

_MOST_CHARACTERS = 1_000_000


def predictor(
    model: Model, encoding: Encoding, window: int
) -> Callable[..., list[str]]:
    """Makes a function that continues texts, token by token.

    It is `(params, texts, num_characters=400, seed=0, temperature=0.8, top_k=None)` and
    returns one continuation for each text, without the text. The model sees the last
    `window` tokens, as in training, where no text is longer. Where tokens are
    characters, one that the train split does not have is replaced by the token START.
    Text number k is continued with the seed `seed + k`. A temperature below 1 favours
    probable tokens, and with top_k only the k most probable ones are drawn.

    Args:
      model: the language model.
      encoding: the tokens with which it was trained.
      window: length of a window, in tokens.

    Returns:
      The function; it raises Refusal if the texts are not a list of texts, or a number
      is out of range.
    """

    def predict(
        params: Params,
        texts: Sequence[str],
        num_characters: int = 400,
        seed: int = 0,
        temperature: float = sampling.USUAL_TEMPERATURE,
        top_k: int | None = None,
    ) -> list[str]:
        said = _listed(texts)
        arguments.whole("num_characters", num_characters, 1, _MOST_CHARACTERS)
        arguments.whole("seed", seed, 0, 2**32 - 1 - len(said))
        how = sampling.checked(temperature, top_k, encoding.num_tokens)
        draw = sampling.sampler(model, encoding, window, num_characters, how)
        return [draw(params, text, seed + k) for k, text in enumerate(said)]

    return predict


def _listed(texts: Any) -> list[str]:
    if not isinstance(texts, str | bytes) and hasattr(texts, "__iter__"):
        said = list(texts)
        if said and all(isinstance(text, str) for text in said):
            return said
    raise Refusal('predict takes a list of texts to continue, as in predict(["To be"])')
