"""Translate: smoothed cross-entropy to learn from, BLEU to be judged by."""

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gradjax.data import arrays, pairs, token_pairs, tokens
from gradjax.data.pairs import SPLITS, Translations
from gradjax.data.token_pairs import Rows, TokenizedPairs
from gradjax.data.tokens import END, PAD, UNKNOWN, Tokenizer
from gradjax.problems import bleu, decoding
from gradjax.problems.arguments import number
from gradjax.problems.network import network
from gradjax.types import (
    Batch,
    Key,
    MetricSums,
    Params,
    Problem,
    Report,
    Splits,
    Target,
)

if TYPE_CHECKING:  # flax: a third of what importing gradjax would cost
    from gradjax.models.translator import Translator

_MOST_SMOOTHING = 0.9
_NUM_SHOWN = 5
_BATCH = 64  # sentences that are said at once
_TIME = 16  # a source is padded to a multiple of it: a compilation each
_NUM_BEAMS = 4
_beam = functools.partial(decoding.beam, num_beams=_NUM_BEAMS)


class _Sums(NamedTuple):
    """Over the real target tokens of a batch, f32[] each."""

    smoothed: jax.Array
    cross_entropy: jax.Array
    hits: jax.Array
    count: jax.Array


def load(
    dataset: str = "ted_hrlr_translate/pt_to_en",
    model: str = "transformer",
    source: str | None = None,
    target: str | None = None,
    test: str | None = None,
    vocab_size: int = 4_000,
    max_length: int = 64,
    label_smoothing: float = 0.1,
    data_dir: str | None = None,
) -> Problem:
    """The problem of translations and a network.

    Args:
      dataset: a TFDS name, or aligned files, see `pairs.load`.
      model: an expression, see `translation_model`.
      source: the language that is read; None: as the data set says.
      target: the language that is said; None: the other one.
      test: which files of a folder to test on.
      vocab_size: tokens at most, of both languages together.
      max_length: places of a row, in each language.
      label_smoothing: as in `translation`.
      data_dir: of TFDS; None: as `data.default_data_dir` says.

    Raises:
      Refusal: pairs that are missing or damaged, or a value that cannot be.
    """
    found = pairs.load(dataset, source, target, test, data_dir)
    tokenized = token_pairs.tokenized(found, vocab_size, max_length)
    network = translation_model(model, tokenized.tokenizer.num_tokens)
    made = translation(found, tokenized, network, label_smoothing)
    return made._replace(about=about_translation(found, tokenized))


def translation(
    translations: Translations,
    tokenized: TokenizedPairs,
    model: "Translator",
    label_smoothing: float = 0.1,
) -> Problem:
    """Sentences to their translations.

    The loss is the mean over the real target tokens of a batch, END included, of
    -sum_v q(v) log p(v), q = (1 - s) onehot(token) + s / vocabulary (label smoothing:
    Szegedy et al., "Rethinking the Inception Architecture", 2016). The measures are
    that, the plain cross-entropy in nats and the share of tokens that are the
    likeliest, given those before them. A batch holds the fields of `Rows`.

    The report translates the whole test split, greedily and with 4 beams, and compares
    with what it should be: BLEU of the whole (Papineni et al. 2002) by sacrebleu.

    Args:
      translations: the sentences.
      tokenized: the same as numbers.
      model: from rows to logits, and token by token.
      label_smoothing: s.

    Raises:
      Refusal: a smoothing outside [0, 0.9], or there is no `sacrebleu`.
    """
    bleu.package()  # now, and not when the report needs it, behind all the training
    smoothing = number("label_smoothing", label_smoothing, 0.0, _MOST_SMOOTHING)

    def sums(params: Params, batch: Batch, key: Key | None) -> _Sums:
        rows = (
            batch["source"],
            batch["source_part"],
            batch["inputs"],
            batch["target_part"],
        )
        logits = model.apply(params, rows, key)
        return _sums(logits, batch["labels"], batch["target_part"] > 0, smoothing)

    def loss(
        params: Params, batch: Batch, key: Key
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        found = sums(params, batch, key)
        aux = {"cross_entropy": found.cross_entropy / found.count}
        return found.smoothed / found.count, aux

    def metrics(params: Params, batch: Batch, _key: Key) -> MetricSums:
        found = sums(params, batch, None)
        return {
            "loss": (found.smoothed, found.count),
            "cross_entropy": (found.cross_entropy, found.count),
            "accuracy": (found.hits, found.count),
        }

    def report(params: Params, _data: Splits) -> Report:
        return _report(translations, tokenized, model, params)

    return Problem(
        init=model.init,
        loss=loss,
        metrics=metrics,
        data=Splits(
            *(arrays.source(getattr(tokenized, split)._asdict()) for split in SPLITS)
        ),
        target=Target("cross_entropy", None, "min"),
        report=report,
    )


def translation_model(expression: str, num_tokens: int) -> "Translator":
    """The model that an expression names, such as `transformer(width=256)`.

    Raises:
      Refusal: an unknown name or argument, or a value out of its range.
    """
    from gradjax import models

    registry: Any = models.TRANSLATORS
    found: Any = network(expression, registry, num_tokens)
    return found


def about_translation(
    translations: Translations, tokenized: TokenizedPairs
) -> dict[str, Any]:
    """What a record must say of the pairs."""
    return {
        "name": translations.name,
        "origin": translations.origin,
        "fingerprint": translations.fingerprint,
        "source": translations.source,
        "target": translations.target,
        "num_examples": {
            split: len(getattr(translations, split).sources) for split in SPLITS
        },
        "num_rows": len(tokenized.train.source),
        "num_tokens": tokenized.tokenizer.num_tokens,
        "max_length": max(part.shape[1] for part in tokenized.train),
        "num_cut": tokenized.num_cut,
    }


def said(
    search: Callable[..., decoding.Found],
    model: "Translator",
    tokenizer: Tokenizer,
    params: Params,
    rows: Rows,
) -> tuple[list[str], np.ndarray]:
    """Translations of a split, and their scores f32[sentences], in its order.

    Sentences of about one length are translated together; padding changes nothing.

    Args:
      search: `decoding.greedy` or `decoding.beam`, its options filled in.
      model: trained.
      tokenizer: of its tokens.
      params: of the model.
      rows: one pair each, of which the source is read.
    """
    lengths = (rows.source_part > 0).sum(axis=1).astype(np.int32)
    found = jax.jit(functools.partial(search, model))
    texts, scores = [""] * len(lengths), np.zeros(len(lengths), np.float32)
    places = np.argsort(lengths, kind="stable")
    size = min(_BATCH, len(places))
    for first in range(0, len(places), size):
        there = places[first : first + size]
        time = -(-int(lengths[there[-1]]) // _TIME) * _TIME
        source = np.full((size, time), PAD, np.int32)
        source[: len(there), : rows.source.shape[1]] = rows.source[there][:, :time]
        real = np.ones(size, np.int32)  # what fills up the last batch is one token long
        real[: len(there)] = lengths[there]
        made = jax.tree.map(np.asarray, found(params, source, real))
        for row, place in enumerate(there):
            texts[place] = _text(tokenizer, made.tokens[row])
            scores[place] = made.scores[row]
    return texts, scores


def predictor(
    model: "Translator", tokenizer: Tokenizer
) -> Callable[[Params, Sequence[str]], list[str]]:
    """(params, sentences) -> their translations, with 4 beams.

    What it returns raises Refusal where it is given no list of texts.
    """

    def predict(params: Params, sentences: Sequence[str]) -> list[str]:
        sources = [one or [UNKNOWN] for one in tokens.encoded(tokenizer, sentences)]
        alone = [[place] for place in range(len(sources))]
        rows = token_pairs.rows_of(sources, [[END]] * len(sources), alone)
        return said(_beam, model, tokenizer, params, rows)[0]

    return predict


def _report(
    translations: Translations,
    tokenized: TokenizedPairs,
    model: "Translator",
    params: Params,
) -> Report:
    given = model, tokenized.tokenizer, params, tokenized.test
    (plain, _), (best, _) = said(decoding.greedy, *given), said(_beam, *given)
    sources, targets = translations.test
    greedy_bleu, _ = bleu.score(plain, targets)
    beam_bleu, signature = bleu.score(best, targets)
    shown = zip(sources, best, targets, strict=True)
    lines = [
        line
        for source, found, expected in list(shown)[:_NUM_SHOWN]
        for line in (source, f"  -> {found}", f"  (it is: {expected})")
    ]
    how = f"{_NUM_BEAMS} beams, length penalty {decoding.ALPHA:g}"
    return Report(
        {"bleu": beam_bleu, "greedy_bleu": greedy_bleu},
        {"translations of the test split": lines, "bleu": [f"{signature}, {how}"]},
        {"tokenizer.json": tokenized.tokenizer.state.encode()},
    )


def _sums(
    logits: jax.Array, labels: jax.Array, is_real: jax.Array, smoothing: float
) -> _Sums:
    """Of logits f32[batch, time, tokens] and labels i32[batch, time]."""
    total = jax.nn.logsumexp(logits, axis=-1)
    chosen = jnp.take_along_axis(logits, labels[:, :, None], axis=-1)[:, :, 0]
    plain = total - chosen
    smoothed = (1 - smoothing) * plain + smoothing * (total - logits.mean(axis=-1))
    hits = logits.argmax(axis=-1) == labels
    return _Sums(
        jnp.where(is_real, smoothed, 0.0).sum(),
        jnp.where(is_real, plain, 0.0).sum(),
        (is_real & hits).sum().astype(jnp.float32),
        is_real.sum().astype(jnp.float32),
    )


def _text(tokenizer: Tokenizer, tokens: np.ndarray) -> str:
    ends = np.flatnonzero(tokens == END)
    return tokenizer.decode(tokens[: ends[0]].tolist())
