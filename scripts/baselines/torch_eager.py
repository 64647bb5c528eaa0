"""PyTorch, eager: tensors in memory, mini-batches by index, no DataLoader."""

import functools
import itertools
import time
from collections.abc import Callable, Iterator

import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from torch import nn  # pyright: ignore[reportMissingImports]

from scripts.baselines import LEARNING_RATE, Rival, Round, Settings, torch_text

NETWORKS = {
    "mlp": lambda: nn.Sequential(
        nn.Flatten(), nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10)
    ),
    "cnn": lambda: nn.Sequential(
        nn.Conv2d(1, 32, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(64 * 5 * 5, 10),
    ),
}


def make(settings: Settings, inputs: np.ndarray, targets: np.ndarray) -> Rival:
    """Builds the network and takes one step."""
    torch.manual_seed(0)
    if settings.model == "bag":
        network = functools.partial(torch_text.Bag, len(np.unique(targets)))
        read, said = (torch.from_numpy(x.astype(np.int64)) for x in (inputs, targets))
        taken = batches(read, said, settings.batch_size)
    elif settings.model in NETWORKS:
        network = NETWORKS[settings.model]
        taken = batches(*tensors(inputs, targets), settings.batch_size)
    else:
        num_tokens = len(np.unique(inputs))
        network = functools.partial(torch_text.NETWORKS[settings.model], num_tokens)
        taken = torch_text.windows(inputs, targets, settings.batch_size)
    start = time.perf_counter()
    train = trainer(settings, LEARNING_RATE, taken, network())
    train(1)
    return Rival(time.perf_counter() - start, train)


def trainer(
    settings: Settings,
    learning_rate: float,
    taken: Iterator[tuple[torch.Tensor, torch.Tensor]],
    model: nn.Module,
) -> Callable[[int], Round]:
    """Returns a function that trains the network for some more steps at each call."""
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate)

    def train(num_steps: int) -> Round:
        start, running_loss, correct = time.perf_counter(), 0.0, 0
        for x, y in itertools.islice(taken, num_steps):
            optimizer.zero_grad()
            logits = model(x)
            loss = criterion(logits, y)
            loss.backward()
            optimizer.step()
            running_loss += loss.item()
            if settings.with_accuracy:
                correct += (logits.argmax(1) == y).sum().item()
        return Round(time.perf_counter() - start, running_loss / num_steps)

    return train


def tensors(
    images: np.ndarray, labels: np.ndarray
) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns images u8[n, 28, 28, 1] as f32[n, 1, 28, 28] in [0, 1], and labels."""
    inputs = torch.from_numpy(images.astype(np.float32) / 255).reshape(-1, 1, 28, 28)
    return inputs, torch.from_numpy(labels.astype(np.int64))


def batches(
    inputs: torch.Tensor, targets: torch.Tensor, batch_size: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yields the batches of epoch after epoch, each in a new order.

    The incomplete last batch of an epoch is left out.
    """
    num_batches = len(targets) // batch_size
    while True:
        order = torch.randperm(len(targets))
        for rows in order[: num_batches * batch_size].split(batch_size):
            yield inputs[rows], targets[rows]
