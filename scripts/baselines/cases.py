"""The networks that are timed, and the rivals that train each."""

from typing import NamedTuple

from scripts.baselines import Settings


class Case(NamedTuple):
    """A network, the rivals that train it, and the number of steps of a round."""

    title: str
    settings: Settings
    rivals: tuple[str, ...]  # modules of scripts.baselines, gradjax first
    num_steps: int  # of a round, so that it takes seconds
    inputs: str = "images"  # a name in INPUTS


CASES = {
    "mlp": (
        Case(
            "MLP 784-128-10, batch 32, loss",
            Settings("mlp", 32, with_accuracy=False),
            ("gradjax_run", "bare_scan", "flax_loop", "torch_eager"),
            3000,
        ),
        Case(
            "MLP 784-128-10, batch 32, loss and accuracy",
            Settings("mlp", 32, with_accuracy=True),
            ("gradjax_run", "bare_scan", "keras_fit", "flax_loop", "torch_eager"),
            3000,
        ),
    ),
    "cnn": (
        Case(
            "CNN 32-64-10, batch 128, loss",
            Settings("cnn", 128, with_accuracy=False),
            ("gradjax_run", "bare_scan", "keras_fit", "flax_loop", "torch_eager"),
            50,
        ),
    ),
    "lstm": (
        Case(
            "LSTM of 256 over windows of 128 characters, batch 32, loss",
            Settings("lstm", 32, with_accuracy=False),
            ("gradjax_run", "bare_scan", "torch_eager"),
            20,
            "characters",
        ),
    ),
    "transformer": (
        Case(
            "Transformer 3 x 128 over windows of 128 characters, batch 32, loss",
            Settings("transformer", 32, with_accuracy=False),
            ("gradjax_run", "bare_scan", "torch_eager"),
            20,
            "characters",
        ),
    ),
    "bag": (
        Case(
            "Bag of embeddings of 8,000 x 256, dropout 0.3, texts of up to 128 tokens",
            Settings("bag", 64, with_accuracy=False),
            ("gradjax_run", "bare_scan", "torch_eager"),
            500,
            "texts",
        ),
    ),
}


def ours(*rivals: str) -> dict[str, tuple[Case, ...]]:
    """Returns the cases with rivals that are gradjax in another form."""
    return {
        name: tuple(
            case._replace(rivals=("gradjax_run", *rivals))
            for case in cases
            if not case.settings.with_accuracy
        )
        for name, cases in CASES.items()
    }
