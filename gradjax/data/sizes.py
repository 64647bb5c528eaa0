"""Reads batch sizes from flags: "8", "8,32,full"; counts the steps of an epoch."""

from collections.abc import Sequence

from gradjax.errors import Refusal
from gradjax.types import Splits

USUAL = (8, 32, 128)  # batch sizes to compare, beside the complete train split


def epoch_steps(data: Splits | None, batch_size: int | None) -> int | None:
    """Returns the steps of one pass over the train split; None without data.

    Args:
      data: of a problem.
      batch_size: examples; None: the complete train split.
    """
    if data is None:
        return None
    num_examples = data.train.num_examples
    return -(-num_examples // (batch_size or num_examples))


def usual(num_examples: int) -> tuple[str, ...]:
    """Returns the usual batch sizes to compare: those below num_examples, and "full".

    Where one of `USUAL` is too large, a size of 1 takes its place.
    """
    smaller = [one for one in (1, *USUAL) if one < num_examples]
    return (*map(str, smaller[-len(USUAL) :]), "full")


def batch_sizes(
    texts: Sequence[str], num_examples: int, low: int, high: int, where: str
) -> list[int]:
    """Converts texts to batch sizes; "full" means all training examples.

    Args:
      texts: each has one size, or several separated by commas.
      num_examples: the number of training examples, which is the largest size.
      low: the smallest allowed number of sizes.
      high: the largest allowed number of sizes.
      where: the name of the flag; the message of a Refusal begins with it.

    Returns:
      The sizes in examples, in the given order.

    Raises:
        Refusal: a word is not a size, a size is given twice, or there are too few or
            too many sizes.
    """
    sizes: list[int] = []
    words = [word.strip() for word in ",".join(texts).split(",")]
    for word in words:
        is_count = word.isdecimal() and len(word) <= 10
        size = num_examples if word == "full" else int(word) if is_count else 0
        if not 1 <= size <= num_examples:
            raise Refusal(
                f"{where}={_short(word)}: expected 'full', or a whole number from 1 to"
                f" the {num_examples} training examples"
            )
        if size in sizes:
            raise Refusal(f"{where}={word}: batches of {size} are given twice")
        sizes.append(size)
    if not low <= len(sizes) <= high:
        expected = f"expected from {low} to {high}, such as 8,32,full"
        raise Refusal(f"{where}={_short(','.join(words))}: {len(sizes)}; {expected}")
    return sizes


def _short(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:37]}..."
