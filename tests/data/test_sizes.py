import pytest

from gradjax.data.sizes import batch_sizes
from gradjax.errors import Refusal


@pytest.mark.parametrize(
    ("texts", "sizes"),
    [
        (("8", "full"), [8, 100]),
        (("8,32, 64",), [8, 32, 64]),
        (("1", "2,full"), [1, 2, 100]),
        (("100", "1"), [100, 1]),
    ],
)
def test_reads_sizes_repeated_or_with_commas(texts, sizes):
    assert batch_sizes(texts, 100, 2, 7, "--batch_size") == sizes


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (("0", "8"), "--batch_size=0: expected 'full'"),
        (("8", "101"), "1 to the 100 training examples"),
        (("8", "all"), "--batch_size=all: expected 'full'"),
        (("8", "-1"), "--batch_size=-1: expected 'full'"),
        (("8,,16",), "--batch_size=: expected 'full'"),
        (("8", "9" * 10_000), "9" * 37 + "...: expected"),
        (("__import__('os')", "8"), "expected 'full'"),
        (("8", "16", "8"), "batches of 8 are given twice"),
        (("full", "100"), "batches of 100 are given twice"),
        (("8",), "1; expected from 2 to 7"),
        (("1,2,3,4,5,6,7,8",), "8; expected from 2 to 7"),
    ],
)
def test_refuses_what_is_no_list_of_sizes(texts, said):
    with pytest.raises(Refusal) as refused:
        batch_sizes(texts, 100, 2, 7, "--batch_size")
    assert said in str(refused.value)
    assert len(str(refused.value)) < 200
