import numpy as np
import pytest

from gradjax.data import mapped
from gradjax.data.mapped import Member
from gradjax.errors import Refusal

IMAGES = np.arange(60, dtype=np.uint8).reshape(5, 4, 3)
LABELS = np.arange(5, dtype=np.int32)


def members(images=IMAGES):
    parts = (images[:2], images[2:])
    yield Member("image", (5, 4, 3), np.dtype(np.uint8), lambda: parts)
    yield Member("label", (5,), np.dtype(np.int32), lambda: [LABELS])


def test_what_is_written_in_parts_is_mapped(tmp_path):
    path = tmp_path / "a.npz"
    mapped.write(path, members())
    found = mapped.open_verified(path)
    np.testing.assert_array_equal(found["image"], IMAGES)
    np.testing.assert_array_equal(found["label"], LABELS)
    assert all(isinstance(values, np.memmap) for values in found.values())
    assert not found["image"].flags.writeable
    np.testing.assert_array_equal(np.load(path)["image"], IMAGES)  # a usual archive


@pytest.mark.parametrize("form", [(), (4, 3), (0,), (2, 0)])
def test_an_array_whose_length_is_not_known_is_the_same_file(
    tmp_path, form, monkeypatch
):
    monkeypatch.setattr(mapped, "_READ", 50)  # bytes that are copied at once
    values = np.arange(23 * int(np.prod(form)), dtype=np.int32).reshape(23, *form)
    parts = (values[:2], values[2:2], values[2:])
    for name, size in (("a", 23), ("b", None)):
        member = Member("x", (size, *form), values.dtype, lambda: parts)
        mapped.write(tmp_path / name, [member])
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    np.testing.assert_array_equal(np.load(tmp_path / "b")["x"], values)
    assert {path.name for path in tmp_path.iterdir()} == {"a", "b"}


def test_a_part_of_another_form_is_an_error(tmp_path):
    member = Member("x", (None, 2), np.dtype(np.int32), lambda: [LABELS])
    with pytest.raises(ValueError, match="x: int32"):
        mapped.write(tmp_path / "a", [member])
    assert list(tmp_path.iterdir()) == []


def test_equal_arrays_give_equal_bytes(tmp_path):
    for name in "ab":
        mapped.write(tmp_path / name, members())
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("place", [35, 200, 300, -30, -5])
def test_a_flipped_bit_is_refused_or_changes_no_array(tmp_path, place):
    path = tmp_path / "a.npz"
    mapped.write(path, members())
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    try:
        found = mapped.open_verified(path)
    except Refusal as refusal:
        assert "damaged" in str(refusal)
        return
    # A bit that is in no array and in no size may be read over.
    np.testing.assert_array_equal(found["image"], IMAGES)
    np.testing.assert_array_equal(found["label"], LABELS)


@pytest.mark.parametrize("length", [0, 10, 200])
def test_a_truncated_file_is_refused(tmp_path, length):
    path = tmp_path / "a.npz"
    mapped.write(path, members())
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(Refusal, match="damaged"):
        mapped.open_verified(path)


@pytest.mark.parametrize("images", [IMAGES[:4], IMAGES.astype(np.int32)])
def test_parts_of_another_form_leave_no_file(tmp_path, images):
    with pytest.raises(ValueError, match="image"):
        mapped.write(tmp_path / "a.npz", members(images))
    assert not list(tmp_path.iterdir())
