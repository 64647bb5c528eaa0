"""Translation: the loss is a smoothed cross-entropy, and the report gives BLEU."""

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
from gradjax.problems import bleu, decoding, described
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

if TYPE_CHECKING:  # because flax would be a third of the time to import gradjax
    from gradjax.models.translator import Translator

_MOST_SMOOTHING = 0.9
_NUM_SHOWN = 5  # translations in the report
_BATCH = 64  # sentences translated in one call
_TIME = 16  # sources are padded to a multiple of it, because each length is compiled
_NUM_BEAMS = 4
_beam = functools.partial(decoding.beam, num_beams=_NUM_BEAMS)


class _Sums(NamedTuple):
    """Sums over the target tokens of a batch without padding, f32[] each."""

    smoothed: jax.Array
    cross_entropy: jax.Array
    hits: jax.Array
    count: jax.Array


def load(
    dataset: str = "ted_hrlr_translate/pt_to_en",
    model: str = "transformer",
    *,
    source: str | None = None,
    target: str | None = None,
    test: str | None = None,
    vocab_size: int | None = None,
    max_length: int = 64,
    label_smoothing: float = 0.1,
    precision: str = "float32",
    data_dir: str | None = None,
) -> Problem:
    """Loads pairs of sentences and makes the problem for a network.

    Args:
      dataset: a TFDS name, aligned files or a file of rows, see `pairs.load`.
      model: an expression, see `translation_model`.
      source: the source language; None: that of the data set.
      target: the target language; None: the other one.
      test: the files of a folder that are the test split, see `pairs.load`.
      vocab_size: the largest number of tokens in the vocabulary of both languages;
        None: 4,000, or more where the sentences have more characters.
      max_length: length of a row in each language, in tokens.
      label_smoothing: as in `translation`.
      precision: as in `images.load`; the report decodes in float32.
      data_dir: TFDS's folder; None: that of `data.default_data_dir`.

    Raises:
      Refusal: the pairs are missing or damaged, or an argument is out of range.
    """
    found = pairs.load(dataset, source, target, test, data_dir)
    tokenized = token_pairs.tokenize(found, vocab_size, max_length)
    size = tokenized.tokenizer.num_tokens
    network = translation_model(model, size, precision=precision)
    made = translation(found, tokenized, network, label_smoothing)
    about = about_translation(found, tokenized)
    if vocab_size is None:
        about |= tokens.chosen(tokenized.tokenizer, tokens.USUAL_PAIRS)
    return made._replace(about=about)


def translation(
    translations: Translations,
    tokenized: TokenizedPairs,
    model: "Translator",
    label_smoothing: float = 0.1,
) -> Problem:
    """Makes the problem of translating sentences.

    The loss is the mean over the target tokens of a batch, with END and without
    padding, of -sum_v q(v) log p(v), q = (1 - s) onehot(token) + s / vocabulary (label
    smoothing: Szegedy et al., "Rethinking the Inception Architecture", 2016). The
    metrics are the loss, the cross-entropy without smoothing in nats, and the share of
    tokens that are the most probable ones given the tokens before them. A batch has the
    fields of `Rows`.

    The report translates the complete test split by greedy search and by beam search
    with 4 beams, and gives the BLEU of the corpus (Papineni et al. 2002), computed by
    sacrebleu.

    Args:
      translations: the pairs of sentences.
      tokenized: the same pairs as rows of tokens.
      model: computes logits of complete rows, and of one token at a time.
      label_smoothing: s, from 0 to 0.9.

    Raises:
      Refusal: label_smoothing is out of range, or `sacrebleu` is not installed.
    """
    bleu.package()  # refuses a missing package now, not in the report after training
    smoothing = number("label_smoothing", label_smoothing, 0.0, _MOST_SMOOTHING)

    def logits_of(params: Params, batch: Batch, key: Key | None = None) -> jax.Array:
        names = ("source", "source_part", "inputs", "target_part")
        return model.apply(params, tuple(batch[name] for name in names), key)

    def sums(params: Params, batch: Batch, key: Key | None) -> _Sums:
        logits = logits_of(params, batch, key)
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
        apply=logits_of,
        describe=described.of_pairs(tokenized.tokenizer),
    )


def translation_model(
    expression: str, num_tokens: int, own: Any = None, precision: str = "float32"
) -> "Translator":
    """Makes the model that an expression names, such as `transformer(width=256)`.

    Raises:
      Refusal: the name or an argument is unknown, or a value is out of range.
    """
    from gradjax import models

    registry: Any = models.TRANSLATORS
    return network(expression, registry, num_tokens, own=own, precision=precision)


def about_translation(
    translations: Translations, tokenized: TokenizedPairs
) -> dict[str, Any]:
    """Describes the pairs for the record."""
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
        "padding": token_pairs.padding(tokenized.train),
    } | ({"understood": translations.understood} if translations.understood else {})


def translate(
    search: Callable[..., decoding.Found],
    model: "Translator",
    tokenizer: Tokenizer,
    params: Params,
    rows: Rows,
) -> tuple[list[str], np.ndarray]:
    """Translates the sources of a split.

    Sentences of similar length are translated together; padding does not change the
    results.

    Args:
      search: `decoding.greedy` or `decoding.beam`, with its options bound.
      model: the model.
      tokenizer: the tokenizer with which the model was trained.
      params: trained parameters of the model.
      rows: rows with one pair each; only the source is read.

    Returns:
      The translations and their scores f32[sentences], in the order of the rows.
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
        real = np.ones(size, np.int32)  # rows that fill the last batch have one token
        real[: len(there)] = lengths[there]
        made = jax.tree.map(np.asarray, found(params, source, real))
        for row, place in enumerate(there):
            texts[place] = _text(tokenizer, made.tokens[row])
            scores[place] = made.scores[row]
    return texts, scores


def predictor(
    model: "Translator", tokenizer: Tokenizer
) -> Callable[[Params, Sequence[str]], list[str]]:
    """Makes a function that translates sentences by beam search with 4 beams.

    It maps (params, sentences) to the translations, one per sentence. It raises Refusal
    if `sentences` is not a list of texts.
    """

    def predict(params: Params, sentences: Sequence[str]) -> list[str]:
        sources = [one or [UNKNOWN] for one in tokens.encode(tokenizer, sentences)]
        alone = [[place] for place in range(len(sources))]
        rows = token_pairs.rows_of(sources, [[END]] * len(sources), alone)
        return translate(_beam, model, tokenizer, params, rows)[0]

    return predict


def _report(
    translations: Translations,
    tokenized: TokenizedPairs,
    model: "Translator",
    params: Params,
) -> Report:
    given = model, tokenized.tokenizer, params, tokenized.test
    (plain, _), (best, _) = translate(decoding.greedy, *given), translate(_beam, *given)
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
    """Computes the sums; logits f32[batch, time, tokens], labels i32[batch, time]."""
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
