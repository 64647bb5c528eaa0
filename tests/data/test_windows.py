"""Windows of a text: how many tokens a split may have."""

import numpy as np
import pytest

from gradjax.data import windows
from gradjax.data.plain_tokens import Tokens
from gradjax.errors import Refusal

WINDOW = 64
MOST = 2**31 - 1 - 2 * WINDOW


def tokens(path, count):
    """A split of so many tokens in a sparse file, which takes no room."""
    mapped = np.memmap(path, np.uint16, "w+", shape=(count + 1,))
    return Tokens(mapped, count, 0.0)


def test_a_split_with_more_tokens_than_places_is_refused(tmp_path):
    with pytest.raises(
        Refusal, match="split of 2,147,483,520 tokens; expected at most"
    ):
        windows.source(tokens(tmp_path / "many", MOST + 1), WINDOW)


def test_the_last_window_of_the_longest_split_is_read(tmp_path):
    part = tokens(tmp_path / "most", MOST)
    part.tokens[-3:] = 1, 2, 3
    source = windows.source(part, WINDOW)
    last = np.asarray([source.num_examples - 1], np.uint32)
    batch = source.take.on_host(source.arrays, last)
    left = int(batch["num_left"][0])
    assert left == MOST - int(last[0]) * WINDOW
    assert batch["tokens"][0, left - 2 : left + 1].tolist() == [1, 2, 3]
