"""Character-level language models: cross-entropy of the next character.

A split is divided into windows, and the state of the model is reset at the start of
each. The first character of a window is predicted from the character before it (from
START at the start of the split), so every character of a split is predicted and counted
exactly once.
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradjax.data import texts
from gradjax.data.strings import PlainText
from gradjax.errors import Refusal
from gradjax.problems import described
from gradjax.problems import state as states
from gradjax.problems.parametrized import STANDARD, parametrized
from gradjax.types import (
    Batch,
    Key,
    MetricSums,
    Model,
    Params,
    Problem,
    Report,
    Source,
    Splits,
    Target,
)

START = 0  # also the token of characters that do not occur in the train split
_TARGETS = {"tiny_shakespeare": 2.2}  # bits per character that count as solved
USUAL_WINDOW = 128  # characters
_SAMPLE_CHARACTERS = 400
_SAMPLE_SEED = 0


def alphabet(text: PlainText) -> str:
    """Returns the sorted characters of the train split; character i is token i + 1."""
    return "".join(sorted(set(text.train)))


def load(
    dataset: str = "tiny_shakespeare",
    model: str = "lstm",
    window: int | None = None,
    precision: str = "float32",
    parametrization: str = STANDARD,
    data_dir: str | None = None,
) -> Problem:
    """Loads a text and makes the problem for a language model.

    Args:
      dataset: a TFDS name, or a text file.
      model: an expression, see `language_model`.
      window: length of a window, in characters; None: 128, or the length of a shorter
        train split.
      precision: "float32" or "bfloat16", in which the network computes; parameters and
        the loss are float32.
      parametrization: "standard" or "mup", as in `parametrized`.
      data_dir: TFDS's folder; None: that of `data.default_data_dir`.

    Raises:
      Refusal: the text is missing or damaged, or an argument is out of range.
    """
    text = texts.load_plain(dataset, data_dir)
    network = language_model(
        model,
        len(alphabet(text)) + 1,
        precision=precision,
        parametrization=parametrization,
    )
    size = min(USUAL_WINDOW, len(text.train)) if window is None else window
    made = language(text, network, size)
    described = about_language(text, size)
    if window is None and size < USUAL_WINDOW:
        reason = "because the train split is as short"
        described["chosen"] = [f"window {size} characters, {reason}"]
    return made._replace(about=described)


def language(text: PlainText, model: Model, window: int = 128) -> Problem:
    """Makes the problem of predicting the next character of a text.

    The loss is the mean over the characters of a batch of -log p(character | the
    characters before it in the window), in nats; bits per character are the loss
    divided by ln 2. A batch has "tokens" i32[batch, 2 * window + 1], which are a window
    and the next one, and "num_left" i32[batch], the number of characters from the start
    of the window to the end of the split.

    In training the start of each window is shifted at random by less than one window,
    so that every pass over the text has other windows.

    Args:
      text: the text to model.
      model: apply(params, i32[batch, window], key) -> f32[batch, window, tokens].
      window: length of a window, in characters.

    Raises:
      Refusal: the window is longer than the train split.
    """
    letters = alphabet(text)
    if not 1 <= window <= len(text.train):
        expected = f"expected from 1 to the {len(text.train)} characters of training"
        raise Refusal(f"window={window}: {expected}")

    def logits_of(params: Params, batch: Batch, key: Key | None = None) -> jax.Array:
        return model.apply(params, batch["tokens"][:, :window], key)

    def nats_of(
        params: Params, batch: Batch, start: jax.Array, key: Key | None
    ) -> tuple[jax.Array, jax.Array]:
        """Returns the sum of the loss over characters, and their number."""
        places = start[:, None] + jnp.arange(window, dtype=jnp.int32)[None]
        inputs = jnp.take_along_axis(batch["tokens"], places, axis=1)
        targets = jnp.take_along_axis(batch["tokens"], places + 1, axis=1)
        is_real = places < batch["num_left"][:, None]
        nats = _nats(model.apply(params, inputs, key), targets)
        return jnp.where(is_real, nats, 0.0).sum(), is_real.sum().astype(jnp.float32)

    def loss(
        params: Params, batch: Batch, key: Key
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        start_key, model_key = jax.random.split(key)
        most = jnp.clip(batch["num_left"] - window, 0, window - 1)
        start = jax.random.randint(start_key, most.shape, 0, most + 1)
        nats, count = nats_of(params, batch, start, model_key)
        mean = nats / count
        return mean, {"bits_per_character": mean / math.log(2)}

    def metrics(params: Params, batch: Batch, _key: Key) -> MetricSums:
        start = jnp.zeros_like(batch["num_left"])
        nats, count = nats_of(params, batch, start, None)
        bits = nats / math.log(2)
        return {"loss": (nats, count), "bits_per_character": (bits, count)}

    def report(params: Params, _data: Splits) -> Report:
        draw = sampler(model, letters, window, _SAMPLE_CHARACTERS)
        said = draw(params, "", _SAMPLE_SEED)
        return Report({}, {"a sample": said.splitlines()})

    return Problem(
        init=model.init,
        loss=loss,
        metrics=metrics,
        data=Splits(
            *(
                _windows(encode(characters, letters), window)
                for characters in (text.train, text.validation, text.test)
            )
        ),
        target=Target("bits_per_character", _TARGETS.get(text.name), "min"),
        report=report,
        apply=logits_of,
        rate_factors=model.rate_factors,
        describe=described.of_windows(letters, window),
    )


def encode(characters: str, letters: str) -> np.ndarray:
    """Converts characters to tokens i32[characters + 1]; the first is START."""
    numbers = {letter: number for number, letter in enumerate(letters, 1)}
    return np.asarray([START, *(numbers.get(c, START) for c in characters)], np.int32)


def language_model(
    expression: str,
    num_tokens: int,
    own: Any = None,
    precision: str = "float32",
    parametrization: str = STANDARD,
) -> Model:
    """Makes the model that an expression names, such as `lstm(width=256)`.

    Raises:
      Refusal: the name or an argument is unknown, or a value is out of range.
    """
    from gradjax import models

    form = (jnp.zeros((1, 2), jnp.int32),), (1, 2, num_tokens)
    how: dict[str, Any] = {"own": own, "form": form, "precision": precision}
    registry = models.LANGUAGE_MODELS
    made = parametrized(parametrization, expression, registry, num_tokens, **how)
    return states.without(made, expression)


def sampler(
    model: Model,
    letters: str,
    window: int,
    num_characters: int,
    temperature: float = 0.8,
) -> Callable[[Params, str, int], str]:
    """Makes a function that samples a text from the model, character by character.

    Each character is drawn from softmax(logits / temperature) given the last `window`
    tokens; the first token is START. The model is applied to the complete window for
    each character, so any causal model can be used.

    Args:
      model: as in `language`.
      letters: the alphabet.
      window: length of the context, in characters.
      num_characters: length of the sample, in characters.
      temperature: values below 1 favour probable characters.

    Returns:
      A function (params, the text before the sample, seed of the draws) -> sample.
    """

    def draw(
        params: Params, key: Key, tokens: jax.Array, k: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        last = jnp.minimum(k, window - 1)
        logits = model.apply(params, tokens[None])[0, last] / temperature
        logits = logits.at[START].set(-jnp.inf)
        drawn = jax.random.categorical(jax.random.fold_in(key, k), logits)
        drawn = drawn.astype(tokens.dtype)
        grown = tokens.at[jnp.minimum(k + 1, window - 1)].set(drawn)
        slid = jnp.roll(tokens, -1).at[window - 1].set(drawn)
        return jnp.where(k + 1 < window, grown, slid), drawn

    @jax.jit
    def drawn(params: Params, tokens: jax.Array, first: jax.Array, seed: jax.Array):
        steps = first + jnp.arange(num_characters)
        each = functools.partial(draw, params, jax.random.key(seed))
        return jax.lax.scan(each, tokens, steps)[1]

    def sample(params: Params, before: str, seed: int) -> str:
        said = encode(before, letters)[-window:]
        tokens = np.pad(said, (0, window - len(said)), constant_values=START)
        found = drawn(params, tokens, np.int32(len(said) - 1), np.uint32(seed))
        return "".join(letters[token - 1] for token in np.asarray(found))

    return sample


def about_language(text: PlainText, window: int) -> dict[str, Any]:
    """Describes the text for the record."""
    splits = ("train", "validation", "test")
    return {
        "name": text.name,
        "origin": text.origin,
        "fingerprint": text.fingerprint,
        "num_examples": {split: len(getattr(text, split)) for split in splits},
        "alphabet": alphabet(text),
        "window": window,
    }


def _windows(tokens: np.ndarray, window: int) -> Source:
    """Makes the source of consecutive windows, each with the next window."""
    num_characters = len(tokens) - 1

    def take(arrays: Any, indices: jax.Array) -> Batch:
        start = indices.astype(jnp.int32) * window
        places = start[:, None] + jnp.arange(2 * window + 1, dtype=jnp.int32)[None]
        return {
            "tokens": arrays["tokens"][jnp.minimum(places, num_characters)],
            "num_left": num_characters - start,
        }

    num_windows = -(-num_characters // window)
    return Source(num_windows, {"tokens": jnp.asarray(tokens)}, take)


def _nats(logits: jax.Array, targets: jax.Array) -> jax.Array:
    """Computes -log p of each target i32[batch, window]: f32[batch, window].

    Args:
      logits: f32[batch, window, tokens].
      targets: i32[batch, window].
    """
    chosen = jnp.take_along_axis(logits, targets[:, :, None], axis=-1)[:, :, 0]
    return jax.nn.logsumexp(logits, axis=-1) - chosen
