"""Classification of texts: mean softmax cross-entropy, and accuracy."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from gradjax import expressions
from gradjax.data import arrays, packed_texts, texts, tokens
from gradjax.data.packed_texts import PackedTexts
from gradjax.data.strings import LabelledTexts
from gradjax.data.tokens import TokenizedTexts, Tokenizer
from gradjax.errors import Refusal
from gradjax.problems import described
from gradjax.problems import state as states
from gradjax.problems.network import network
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

_TARGETS = {"clinc_oos": 0.88}  # target accuracy, for a GRU or a Transformer
_NUM_SHOWN = 5  # texts in the report


def load(
    dataset: str = "clinc_oos",
    model: str = "bag",
    tokenizer: str = "word",
    vocab_size: int | None = None,
    max_length: int = 128,
    text_column: str | None = None,
    label_column: str | None = None,
    *,
    packed: bool = False,
    precision: str = "float32",
    data_dir: str | None = None,
) -> Problem:
    """Loads labelled texts and makes the problem for a network.

    Args:
      dataset: a TFDS name, or a file of texts and labels: CSV, TSV or JSON lines.
      model: an expression, see `text_model`.
      tokenizer: "word" or "bpe"; it is trained on the train split.
      vocab_size: the largest number of tokens in the vocabulary; None: 8,000, or more
        where the texts have more characters.
      max_length: the largest number of tokens per text; longer texts are truncated.
      text_column: name, or number from 1, of the column of the texts in a file; None:
        the one with a usual name.
      label_column: the same for the labels.
      packed: whether a row, which is an example of a batch, contains several texts.
      precision: "float32" or "bfloat16", in which the network computes; parameters and
        the loss are float32.
      data_dir: TFDS's folder; None: that of `data.default_data_dir`.

    Raises:
      Refusal: the texts are missing or damaged, or an argument is out of range.
    """
    if packed:
        _check_packed(model)
    labelled = texts.load_labelled(dataset, data_dir, text_column, label_column)
    tokenized = tokens.tokenize(labelled, tokenizer, vocab_size, max_length)
    counts = tokenized.tokenizer.num_tokens, len(labelled.class_names)
    network = text_model(model, *counts, precision=precision)
    rows = packed_texts.pack(tokenized) if packed else None
    made = text(labelled, tokenized, network, rows)
    about = about_text(labelled, tokenized, rows)
    if vocab_size is None:
        about |= tokens.chosen(tokenized.tokenizer, tokens.USUAL_WORDS)
    return made._replace(about=about)


def text(
    dataset: LabelledTexts,
    tokenized: TokenizedTexts,
    model: Model,
    rows: PackedTexts | None = None,
) -> Problem:
    """Makes the problem of classifying texts.

    The loss is the mean over the texts of a batch of -log softmax(logits)[label]. A
    batch has "tokens" i32[batch, time], "lengths" i32[batch] and "label" i32[batch].
    Tokens after a text's length are padding and do not change the outputs. In rows of
    several texts, lengths and labels are i32[batch, parts], and the number of texts of
    a batch varies.

    Args:
      dataset: the texts.
      tokenized: the same texts as token numbers.
      model: apply(params, (tokens, lengths), key) -> f32[batch, classes], or f32[batch,
        parts, classes] for rows of several texts.
      rows: the same texts in rows of several; None: each text is a row.

    Raises:
      Refusal: a label is outside [0, classes), or a split has no texts.
    """

    def logits_of(params: Params, batch: Batch, key: Key | None = None) -> jax.Array:
        return model.apply(params, (batch["tokens"], batch["lengths"]), key)

    def loss(
        params: Params, batch: Batch, key: Key
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        logits = logits_of(params, batch, key)
        if rows is None:
            aux = {"accuracy": _hits(logits, batch).mean()}
            return _cross_entropy(logits, batch).mean(), aux
        count = _count(batch)
        aux = {"accuracy": _hits(logits, batch).sum() / count}
        return _cross_entropy(logits, batch).sum() / count, aux

    def metrics(params: Params, batch: Batch, _key: Key) -> MetricSums:
        logits = logits_of(params, batch, None)
        count = _count(batch)
        return {
            "loss": (_cross_entropy(logits, batch).sum(), count),
            "accuracy": (_hits(logits, batch).sum(), count),
        }

    def report(params: Params, _data: Splits) -> Report:
        said = {"texts of the test split": _predictions(params)}
        return Report({}, said, {"tokenizer.json": tokenized.tokenizer.state.encode()})

    def _predictions(params: Params) -> list[str]:
        part = tokenized.test
        inputs = part.tokens[:_NUM_SHOWN], part.lengths[:_NUM_SHOWN]
        found = np.asarray(jax.jit(model.apply)(params, inputs)).argmax(axis=-1)
        names = dataset.class_names
        return [
            f"{_short(said)} -> {names[guess]}"
            + ("" if guess == label else f" (it is {names[label]})")
            for said, guess, label in zip(
                dataset.test.texts, found, part.labels, strict=False
            )
        ]

    return Problem(
        init=model.init,
        loss=loss,
        metrics=metrics,
        data=splits(dataset, tokenized, rows),
        target=Target("accuracy", _TARGETS.get(dataset.name), "max"),
        report=report,
        apply=logits_of,
        rate_factors=model.rate_factors,
        describe=described.of_texts(tokenized.tokenizer, dataset.class_names),
    )


def splits(
    dataset: LabelledTexts, tokenized: TokenizedTexts, rows: PackedTexts | None = None
) -> Splits:
    """Copies the three splits to the device, as texts or as rows of several texts.

    Raises:
      Refusal: a label is outside [0, classes), or a split has no texts.
    """
    parts = (tokenized.train, tokenized.validation, tokenized.test)
    for split, part in zip(("train", "validation", "test"), parts, strict=True):
        where = f"data set {dataset.name!r}, {split} split"
        arrays.check_labels(part.labels, len(dataset.class_names), where)
    return Splits(
        *(
            arrays.source(
                {"tokens": part.tokens, "lengths": part.lengths, "label": part.labels}
            )
            for part in (parts if rows is None else rows)
        )
    )


def text_model(
    expression: str,
    num_tokens: int,
    num_classes: int,
    own: Any = None,
    precision: str = "float32",
) -> Model:
    """Makes the model that an expression names, such as `gru(width=128)`.

    Raises:
      Refusal: the name or an argument is unknown, or a value is out of range.
    """
    from gradjax import models

    inputs = jnp.zeros((1, 2), jnp.int32), jnp.full(1, 2, jnp.int32)
    form = inputs, (1, num_classes)
    given = (num_tokens, num_classes)
    how: dict[str, Any] = {"own": own, "form": form, "precision": precision}
    made = network(expression, models.TEXT_MODELS, *given, **how)
    return states.without(made, expression)


def about_text(
    dataset: LabelledTexts, tokenized: TokenizedTexts, rows: PackedTexts | None = None
) -> dict[str, Any]:
    """Describes the texts for the record."""
    train = tokenized.train if rows is None else rows.train
    about = {
        "name": dataset.name,
        "origin": dataset.origin,
        "fingerprint": dataset.fingerprint,
        "num_examples": {
            split: len(getattr(dataset, split).texts)
            for split in ("train", "validation", "test")
        },
        "num_classes": len(dataset.class_names),
        "class_names": list(dataset.class_names),
        "num_tokens": tokenized.tokenizer.num_tokens,
        "max_length": int(tokenized.train.tokens.shape[1]),
        "num_cut": tokenized.num_cut,
        "padding": tokens.padding(train.lengths, train.tokens.size),
    }
    if rows is not None:
        about["num_rows"] = len(train.tokens)
    return about | ({"understood": dataset.understood} if dataset.understood else {})


def predictor(
    model: Model, tokenizer: Tokenizer, max_length: int
) -> Callable[[Params, Sequence[str]], jax.Array]:
    """Makes a function (params, texts) -> probabilities f32[texts, classes].

    Args:
      model: the classifier.
      tokenizer: the tokenizer with which the model was trained.
      max_length: the largest number of tokens per text; longer texts are truncated.

    Returns:
      The function; it raises Refusal if its argument is not a list of texts.
    """
    apply = jax.jit(model.apply)

    def predict(params: Params, said: Sequence[str]) -> jax.Array:
        inputs = tokens.pad(tokens.encode(tokenizer, said), max_length)
        return jax.nn.softmax(apply(params, inputs))

    return predict


def _check_packed(model: str) -> None:
    """Refuses a network of one's own, which reads one text in each row."""
    from gradjax.models import TEXT_MODELS

    if (name := expressions.parse(model).name) not in TEXT_MODELS:
        expected = " or ".join(TEXT_MODELS)
        raise Refusal(f"packed: {name} reads one text in each row; expected {expected}")


def _cross_entropy(logits: jax.Array, batch: Batch) -> jax.Array:
    """Computes the loss of each text, in the shape of the labels; 0: no text."""
    loss = optax.softmax_cross_entropy_with_integer_labels(logits, batch["label"])
    return loss if batch["label"].ndim == 1 else loss * (batch["lengths"] > 0)


def _hits(logits: jax.Array, batch: Batch) -> jax.Array:
    """Returns 1 for each text that is classified correctly, and 0 for all others."""
    hits = (logits.argmax(axis=-1) == batch["label"]).astype(jnp.float32)
    return hits if batch["label"].ndim == 1 else hits * (batch["lengths"] > 0)


def _count(batch: Batch) -> jax.Array:
    """Returns the number of texts of a batch, f32[]."""
    if batch["label"].ndim == 1:
        return jnp.float32(len(batch["label"]))
    return (batch["lengths"] > 0).sum().astype(jnp.float32)


def _short(said: str) -> str:
    line = " ".join(said.split())
    return line if len(line) <= 60 else f"{line[:57]}..."
