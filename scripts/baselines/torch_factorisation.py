"""Biased matrix factorisation in eager PyTorch, as its users write it."""

import time

import torch  # pyright: ignore[reportMissingImports]
from torch import nn  # pyright: ignore[reportMissingImports]


class Factorisation(nn.Module):
    """A vector and a bias for each user and each item."""

    def __init__(self, num_users: int, num_items: int, rank: int, mean: float):
        """Draws vectors from N(0, 0.01) and sets biases to zero."""
        super().__init__()
        self.mean = mean
        self.users, self.items = (
            nn.Embedding(num_users, rank),
            nn.Embedding(num_items, rank),
        )
        self.user_bias = nn.Embedding(num_users, 1)
        self.item_bias = nn.Embedding(num_items, 1)
        for table in (self.users, self.items):
            nn.init.normal_(table.weight, std=0.1)
        for table in (self.user_bias, self.item_bias):
            nn.init.zeros_(table.weight)

    def forward(self, user: torch.Tensor, item: torch.Tensor) -> tuple:
        """Returns the predicted ratings, and the rows that they use."""
        p, q = self.users(user), self.items(item)
        b, c = self.user_bias(user).squeeze(1), self.item_bias(item).squeeze(1)
        return self.mean + b + c + (p * q).sum(1), (p, q, b, c)


def step_s(
    ratings: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
    sizes: tuple[int, int, int],
    batch_size: int,
    num_steps: int,
    num_threads: int,
) -> float:
    """Returns the seconds per step of Adam, with dense gradients, shuffled batches.

    `ratings` are the user, the item and the rating of each.
    """
    user, item, rating = ratings
    torch.set_num_threads(num_threads)
    torch.manual_seed(0)
    model = Factorisation(*sizes, float(rating.mean()))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    places = torch.randperm(len(user))
    start = 0.0
    for step in range(num_steps + 20):
        if step == 20:
            start = time.perf_counter()
        at = (step * batch_size) % (len(user) - batch_size)
        rows = places[at : at + batch_size]
        optimizer.zero_grad()
        guess, (p, q, b, c) = model(user[rows], item[rows])
        penalty = 0.12 * ((p**2).sum(1) + (q**2).sum(1)) + 0.01 * (b**2 + c**2)
        loss = nn.functional.mse_loss(guess, rating[rows]) + penalty.mean()
        loss.backward()
        optimizer.step()
    return (time.perf_counter() - start) / num_steps
