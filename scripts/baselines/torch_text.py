"""Networks of tokens as PyTorch's users write them, and batches of characters.

`lstm` is an embedding, `nn.LSTM` and a linear layer. `transformer` is embeddings of
tokens and of positions, pre-norm `nn.TransformerEncoderLayer`s with a causal mask, and
a linear layer. Logits and targets are flattened, because the loss needs it. `bag` is
an embedding, dropout, the mean without padding, and a linear layer.
"""

from collections.abc import Iterator

import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from torch import nn  # pyright: ignore[reportMissingImports]

from scripts.baselines import DROPOUT, NUM_TOKENS, WINDOW


class Lstm(nn.Module):
    """i64[batch, time] to f32[batch * time, tokens]."""

    def __init__(self, num_tokens: int, width: int = 256):
        """Makes one layer."""
        super().__init__()
        self.embed = nn.Embedding(num_tokens, width)
        self.lstm = nn.LSTM(width, width, batch_first=True)
        self.out = nn.Linear(width, num_tokens)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """The logits."""
        states, _ = self.lstm(self.embed(tokens))
        return self.out(states).flatten(0, 1)


class Transformer(nn.Module):
    """i64[batch, time] to f32[batch * time, tokens]."""

    def __init__(
        self, num_tokens: int, width: int = 128, depth: int = 3, heads: int = 4
    ):
        """Makes layers with 4 * width hidden units."""
        super().__init__()
        self.embed = nn.Embedding(num_tokens, width)
        self.places = nn.Parameter(0.02 * torch.randn(WINDOW, width))
        layer = nn.TransformerEncoderLayer(
            width, heads, 4 * width, dropout=0.0, batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(
            layer, depth, nn.LayerNorm(width), enable_nested_tensor=False
        )
        self.out = nn.Linear(width, num_tokens)
        mask = nn.Transformer.generate_square_subsequent_mask(WINDOW)
        self.register_buffer("mask", mask)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """The logits."""
        stream = self.embed(tokens) + self.places
        stream = self.layers(stream, mask=self.mask, is_causal=True)
        return self.out(stream).flatten(0, 1)


class Bag(nn.Module):
    """i64[batch, time], padded with 0, to f32[batch, classes]."""

    def __init__(self, num_classes: int, width: int = 256):
        """Makes the embeddings and the linear layer."""
        super().__init__()
        self.embed = nn.Embedding(NUM_TOKENS, width, padding_idx=0)
        self.dropout = nn.Dropout(DROPOUT)
        self.out = nn.Linear(width, num_classes)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """The logits."""
        is_real = (tokens != 0).unsqueeze(2)
        rows = self.dropout(self.embed(tokens))
        return self.out((rows * is_real).sum(1) / is_real.sum(1))


NETWORKS = {"lstm": Lstm, "transformer": Transformer}


def windows(
    inputs: np.ndarray, targets: np.ndarray, batch_size: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yields random windows i64[batch, WINDOW] and the next characters, flattened."""
    letters = np.unique(inputs)
    read, said = (
        torch.from_numpy(np.searchsorted(letters, one).astype(np.int64))
        for one in (inputs, targets)
    )
    places = torch.arange(WINDOW)
    while True:
        start = torch.randint(len(read) - WINDOW, (batch_size, 1))
        yield read[start + places], said[start + places].flatten()
