"""Language models: cross-entropy of the next token, a character or a part of a word.

A split is divided into windows, and the state of the model is reset at the start of
each. The first token of a window is predicted from the token before it (from START at
the start of the split), so every token of a split is predicted and counted exactly
once.
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradjax.data import pieces, plain_tokens, texts, windows
from gradjax.data.byte_pairs import START
from gradjax.data.plain_tokens import BPE, CHARACTERS, SPLITS, TokenizedText
from gradjax.data.strings import PlainText
from gradjax.errors import Refusal
from gradjax.problems import described
from gradjax.problems import sampling as samplings
from gradjax.problems import state as states
from gradjax.problems.parametrized import STANDARD, parametrized
from gradjax.problems.sampling import USUAL_TEMPERATURE, Sampling
from gradjax.types import (
    Batch,
    Key,
    MetricSums,
    Model,
    Params,
    Problem,
    Report,
    Splits,
    Target,
)

TOKENIZER = "tokenizer.json"  # beside the record, of tokens that are not characters
_TARGETS = {"tiny_shakespeare": 2.2}  # bits per character that count as solved
USUAL_WINDOW = 128  # tokens
_SAMPLE_CHARACTERS = 400
_SAMPLE_SEED = 0


class _Sums(NamedTuple):
    """Sums over the tokens of a batch without padding, f32[] each."""

    nats: jax.Array
    count: jax.Array  # tokens
    num_characters: jax.Array
    num_bytes: jax.Array


def load(
    dataset: str = "tiny_shakespeare",
    model: str = "lstm",
    window: int | None = None,
    *,
    tokenizer: str = CHARACTERS,
    vocab_size: int | None = None,
    temperature: float = USUAL_TEMPERATURE,
    top_k: int | None = None,
    precision: str = "float32",
    parametrization: str = STANDARD,
    data_dir: str | None = None,
) -> Problem:
    """Loads a text and makes the problem for a language model.

    Args:
      dataset: a TFDS name, or a text file.
      model: an expression, see `language_model`.
      window: length of a window, in tokens; None: 128, or the length of a shorter train
        split.
      tokenizer: "characters" or "bpe", see `plain_tokens.tokenize`.
      vocab_size: the largest number of tokens of "bpe"; None: 4,096.
      temperature: of the sample in the report, see `sampling.sampler`.
      top_k: of the sample, the most probable tokens to draw from; None: all of them.
      precision: "float32" or "bfloat16", in which the network computes; parameters and
        the loss are float32.
      parametrization: "standard" or "mup", as in `parametrized`.
      data_dir: TFDS's folder; None: that of `data.default_data_dir`.

    Raises:
      Refusal: the text is missing or damaged, or an argument is out of range.
    """
    text = texts.load_plain(dataset, data_dir)
    tokenized = plain_tokens.tokenize(text, tokenizer, vocab_size)
    num_tokens = tokenized.encoding.num_tokens
    how = samplings.checked(temperature, top_k, num_tokens)
    network = language_model(
        model, num_tokens, precision=precision, parametrization=parametrization
    )
    num_train = tokenized.train.num_tokens
    size = min(USUAL_WINDOW, num_train) if window is None else window
    made = language(text, network, size, tokenized, how)
    about = about_language(text, size, tokenized)
    if window is None and size < USUAL_WINDOW:
        reason = "because the train split is as short"
        about["chosen"] = [f"window {size} {_units(tokenized)}, {reason}"]
    return made._replace(about=about)


def language(
    text: PlainText,
    model: Model,
    window: int = 128,
    tokenized: TokenizedText | None = None,
    sampling: Sampling = Sampling(),  # noqa: B008  it is immutable
) -> Problem:
    """Makes the problem of predicting the next token of a text.

    The loss is the mean over the tokens of a batch of -log p(token | the tokens before
    it in the window), in nats. Bits per character and bits per byte are the sum over
    tokens divided by ln 2 and by the number of characters and of bytes in UTF-8 of
    these tokens. Over a split they are exact, so they can be compared between models of
    different tokens. A batch has "tokens" i32[batch, 2 * window + 1], which are a
    window and the next one, "num_left" i32[batch], the number of tokens from the start
    of the window to the end of the split, and "unknown_bytes" f32[batch], the mean
    number of bytes of a character of the split that the train split does not have.

    In training the start of each window is shifted at random by less than one window,
    so that every pass over the text has other windows.

    Args:
      text: the text to model.
      model: apply(params, i32[batch, window], key) -> f32[batch, window, tokens].
      window: length of a window, in tokens.
      tokenized: the tokens of the text; None: its characters.
      sampling: how the sample of the report is drawn.

    Raises:
      Refusal: the window is longer than the train split.
    """
    tokenized = plain_tokens.tokenize(text) if tokenized is None else tokenized
    encoding, num_train = tokenized.encoding, tokenized.train.num_tokens
    if not 1 <= window <= num_train:
        expected = f"expected from 1 to the {num_train} {_units(tokenized)} of training"
        raise Refusal(f"window={window}: {expected}")

    def logits_of(params: Params, batch: Batch, key: Key | None = None) -> jax.Array:
        return model.apply(params, batch["tokens"][:, :window], key)

    def sums_of(
        params: Params, batch: Batch, start: jax.Array, key: Key | None
    ) -> _Sums:
        places = start[:, None] + jnp.arange(window, dtype=jnp.int32)[None]
        inputs = jnp.take_along_axis(batch["tokens"], places, axis=1)
        targets = jnp.take_along_axis(batch["tokens"], places + 1, axis=1)
        is_real = places < batch["num_left"][:, None]
        nats = _nats(model.apply(params, inputs, key), targets)
        sizes = jnp.asarray(encoding.num_bytes)[targets]
        unknown = batch["unknown_bytes"][:, None]
        each = (
            nats,
            jnp.ones_like(sizes),
            jnp.asarray(encoding.num_characters)[targets],
            jnp.where(targets == START, unknown, sizes),
        )
        return _Sums(*(jnp.where(is_real, one, 0.0).sum() for one in each))

    def loss(
        params: Params, batch: Batch, key: Key
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        start_key, model_key = jax.random.split(key)
        most = jnp.clip(batch["num_left"] - window, 0, window - 1)
        start = jax.random.randint(start_key, most.shape, 0, most + 1)
        found = sums_of(params, batch, start, model_key)
        mean = found.nats / found.count
        per_character = mean * (found.count / found.num_characters)
        return mean, {"bits_per_character": per_character / math.log(2)}

    def metrics(params: Params, batch: Batch, _key: Key) -> MetricSums:
        start = jnp.zeros_like(batch["num_left"])
        found = sums_of(params, batch, start, None)
        bits = found.nats / math.log(2)
        return {
            "loss": (found.nats, found.count),
            "bits_per_character": (bits, found.num_characters),
            "bits_per_byte": (bits, found.num_bytes),
        }

    def report(params: Params, _data: Splits) -> Report:
        how = model, encoding, window, _SAMPLE_CHARACTERS, sampling
        said = samplings.sampler(*how)(params, "", _SAMPLE_SEED)
        files = {TOKENIZER: encoding.state.encode()} if encoding.kind == BPE else {}
        return Report({}, {"a sample": said.splitlines()}, files)

    return Problem(
        init=model.init,
        loss=loss,
        metrics=metrics,
        data=Splits(
            *(windows.source(getattr(tokenized, split), window) for split in SPLITS)
        ),
        target=Target("bits_per_character", _TARGETS.get(text.name), "min"),
        report=report,
        apply=logits_of,
        rate_factors=model.rate_factors,
        describe=described.of_windows(encoding.decode, window),
    )


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


def about_language(
    text: PlainText, window: int, tokenized: TokenizedText
) -> dict[str, Any]:
    """Describes the text and its tokens for the record."""
    encoding = tokenized.encoding
    parts = {split: getattr(tokenized, split) for split in SPLITS}
    about = {
        "name": text.name,
        "origin": text.origin,
        "fingerprint": text.fingerprint,
        "num_examples": {
            split: pieces.num_characters(getattr(text, split)) for split in SPLITS
        },
        "num_bytes": {split: part.num_bytes for split, part in parts.items()},
        "window": window,
    }
    if encoding.kind == CHARACTERS:
        return about | {"alphabet": encoding.state}
    train = tokenized.train
    each = train.num_bytes / train.num_tokens
    said = f"{train.num_tokens:,} training tokens of {encoding.num_tokens:,} different"
    return about | {
        "num_split_tokens": {name: part.num_tokens for name, part in parts.items()},
        "num_tokens": encoding.num_tokens,
        "tokenizer_sha256": plain_tokens.digest(encoding),
        "understood": f"{text.name}: {said}, {each:.2f} bytes each",
    }


def _units(tokenized: TokenizedText) -> str:
    """Returns the word for the tokens: characters or tokens."""
    return CHARACTERS if tokenized.encoding.kind == CHARACTERS else "tokens"


def _nats(logits: jax.Array, targets: jax.Array) -> jax.Array:
    """Computes -log p of each target i32[batch, window]: f32[batch, window].

    Args:
      logits: f32[batch, window, tokens].
      targets: i32[batch, window].
    """
    chosen = jnp.take_along_axis(logits, targets[:, :, None], axis=-1)[:, :, 0]
    return jax.nn.logsumexp(logits, axis=-1) - chosen
