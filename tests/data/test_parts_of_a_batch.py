"""The parts of streamed batches that the devices of one process compute."""

import numpy as np

from gradjax.data import streaming
from gradjax.data.streaming import Parts, read_steps

BATCH, CAPACITY = 8, 3


def test_the_parts_of_all_processes_are_the_batches():
    source = streaming.stream(lambda indices: {"x": indices.astype(np.int32)}, 50)
    whole, *parts = (
        read_steps(source, BATCH, 7, range(4, 6), CAPACITY, own)["x"]
        for own in (None, Parts(4, (0, 1)), Parts(4, (2, 3)))
    )
    # [devices, steps, examples of a device] of both processes, one after the other
    found = np.concatenate(parts).reshape(4, CAPACITY, BATCH // 4)
    np.testing.assert_array_equal(found.swapaxes(0, 1).reshape(-1), whole)
    assert not whole[2 * BATCH :].any() and whole[: 2 * BATCH].any()
