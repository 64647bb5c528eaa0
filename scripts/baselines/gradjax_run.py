"""gradjax: the compiled segments of a run, with the threads that a command uses."""

import os
import time

import numpy as np

import gradjax
from gradjax.data import pieces
from gradjax.data.strings import LabelledTexts, Part, PlainText
from gradjax.data.tokens import TokenizedTexts, Tokenizer, Tokens
from gradjax.problems.classification import classification, model_for
from gradjax.problems.language import language, language_model
from gradjax.problems.text import text, text_model
from gradjax.trials import devices, lanes
from gradjax.types import Dataset, Problem, Program
from scripts.baselines import (
    DROPOUT,
    LEARNING_RATE,
    NUM_TOKENS,
    THREADS,
    WINDOW,
    Rival,
    Round,
    Settings,
)

# Steps of a block; it takes 20 ms for the MLP and 0.3 to 0.7 s for the others.
BLOCK_STEPS = {"mlp": 100, "cnn": 25, "lstm": 10, "transformer": 5, "bag": 100}
_EXPRESSIONS = {
    "lstm": "lstm(width=256)",
    "transformer": "transformer(width=128, depth=3, heads=4)",
}
_NUM_BLOCKS = 10_000  # of the complete run, of which only some are timed


def make(
    settings: Settings,
    inputs: np.ndarray,
    targets: np.ndarray,
    precision: str = "float32",
    diagnostics: str | None = None,
) -> Rival:
    """Compiles the initialisation and the segments of `gradjax.run`."""
    problem = problem_of(settings, inputs, targets, precision)
    size = BLOCK_STEPS[settings.model]
    start = time.perf_counter()
    program = _program(settings, problem, diagnostics)
    fixed = os.environ.get(THREADS)  # those of the run with which this is compared
    devices.use(int(fixed) if fixed else devices.threads_for(program))
    made = lanes.lanes(program, num_devices=1)
    own = lanes.stack(program, [{"learning_rate": LEARNING_RATE}], [0])
    (call,) = made.ready().calls
    state, taken = None, 0
    first_s = time.perf_counter() - start

    def train(num_steps: int) -> Round:
        nonlocal state, taken
        start, losses = time.perf_counter(), []
        end = taken + num_steps // size
        while taken < end:
            count = min(made.form.capacity, end - taken)
            state, report = call(state, own, taken, count, False)
            losses.append(report.infos.loss[0, :count])
            taken += count
        loss = float(np.mean(np.concatenate(losses)))
        return Round(time.perf_counter() - start, loss)

    return Rival(first_s, train)


def predicted(
    settings: Settings,
    inputs: np.ndarray,
    targets: np.ndarray,
    num_threads: int,
    diagnostics: str,
) -> tuple[float, float]:
    """Returns the predicted time of diagnostics, divided by that of the steps.

    The first value is counted, and the second one is timed. It is called in a process
    of its own, as the rivals are.
    """
    program = _program(settings, problem_of(settings, inputs, targets), diagnostics)
    devices.use(num_threads)
    counted, timed = gradjax.overhead(program), gradjax.timed_overhead(program)
    return counted.share, timed.share


def _program(settings: Settings, problem: Problem, diagnostics: str | None) -> Program:
    """Returns the program of a run that is longer than what is timed."""
    size = BLOCK_STEPS[settings.model]
    return gradjax.program(
        problem,
        "adam",
        num_steps=size * _NUM_BLOCKS,
        batch_size=settings.batch_size,
        eval_every=size,
        diagnostics=diagnostics,
    )


def problem_of(
    settings: Settings,
    inputs: np.ndarray,
    targets: np.ndarray,
    precision: str = "float32",
) -> Problem:
    """Returns the problem of a case, on the arrays that every rival gets."""
    if settings.model in _EXPRESSIONS:
        said = inputs.tobytes().decode("latin-1")
        text = PlainText("benchmark", said, said[:1], said[:1], "", "scripts.benchmark")
        expression = _EXPRESSIONS[settings.model]
        num_tokens = len(pieces.alphabet(text.train)) + 1
        model = language_model(expression, num_tokens, precision=precision)
        return language(text, model, WINDOW)
    if settings.model == "bag":
        return _texts(inputs, targets, precision)
    dataset = _dataset(inputs, targets)
    model = model_for(settings.model, dataset, precision)
    return classification(dataset, model, with_accuracy=settings.with_accuracy)


def _texts(codes: np.ndarray, labels: np.ndarray, precision: str) -> Problem:
    """Returns the problem of classifying the texts; one is held out."""
    lengths = (codes != 0).sum(axis=1).astype(np.int32)
    train = Tokens(codes, lengths, labels)
    held_out = Tokens(codes[:1], lengths[:1], labels[:1])
    tokenizer = Tokenizer(lambda _: [], lambda _: "", NUM_TOKENS, "")  # has no words
    tokenized = TokenizedTexts(train, held_out, held_out, tokenizer, 0)
    names = tuple(map(str, np.unique(labels)))
    read, unseen = Part([], labels), Part([], labels[:1])
    parts = (read, unseen, unseen)
    labelled = LabelledTexts("benchmark", *parts, names, "", "scripts.benchmark")
    expression = f"bag(width=256, dropout={DROPOUT})"
    made = text_model(expression, NUM_TOKENS, len(names), precision=precision)
    return text(labelled, tokenized, made)


def _dataset(images: np.ndarray, labels: np.ndarray) -> Dataset:
    """Returns the images of all rivals; one is held out, as nothing is evaluated."""
    train = {"image": images, "label": labels.astype(np.int32)}
    held_out = {name: values[:1] for name, values in train.items()}
    return Dataset(
        name="benchmark",
        train=train,
        validation=held_out,
        test=held_out,
        num_classes=10,
        max_value=255.0,
        fingerprint="",
        origin="scripts.benchmark",
    )
