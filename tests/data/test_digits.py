import subprocess
import sys

import numpy as np
import pytest

from gradjax import data


def test_the_splits_are_the_whole_set_once():
    from sklearn.datasets import load_digits

    dataset = data.load("digits")
    parts = [dataset.train, dataset.validation, dataset.test]
    assert [len(part["label"]) for part in parts] == [1257, 180, 360]
    images = np.concatenate([part["image"] for part in parts])
    assert images.dtype == np.uint8
    assert images.shape == (1797, 8, 8, 1)
    assert images.max() == dataset.max_value == 16
    bunch = load_digits()
    ours = {(image.tobytes(), label) for part in parts for image, label in pairs(part)}
    theirs = zip(bunch["images"].astype(np.uint8), bunch["target"], strict=True)
    assert ours == {(image.tobytes(), int(label)) for image, label in theirs}


def pairs(part):
    return zip(part["image"], part["label"].tolist(), strict=True)


def test_every_split_holds_every_class():
    dataset = data.load("digits")
    for part in (dataset.train, dataset.validation, dataset.test):
        assert part["label"].dtype == np.int32
        assert set(part["label"].tolist()) == set(range(dataset.num_classes))


@pytest.mark.slow
def test_a_second_load_is_equal_and_leaves_sklearn_alone():
    first = data.load("digits")
    code = (
        "import sys; from gradjax import data; d = data.load('digits');"
        "print(d.fingerprint, d.train['label'].sum(), 'sklearn' in sys.modules)"
    )
    command = [sys.executable, "-c", code]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    expected = [first.fingerprint, str(first.train["label"].sum()), "False"]
    assert printed.split() == expected
