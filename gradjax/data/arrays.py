"""Sources that take batches from arrays on the device."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradjax.data.mapped_rows import Rows
from gradjax.errors import Refusal
from gradjax.types import Batch, Dataset, Source, Splits

_CHECKED = 2**22  # values that are checked at once


def source(arrays: Any) -> Source:
    """Makes a source of batches from a pytree of arrays with a common first axis.

    The arrays are copied to the device once and converted to their types there (f64
    becomes f32 unless x64 is enabled), so they must fit into its memory. A
    memory-mapped file is only read in parts, to check its values: it is copied when a
    program is compiled for it, and never if the problem is streamed
    (`gradjax.streamed`). A batch is `leaf[indices]` for every leaf.

    Args:
      arrays: a pytree of arrays [examples, ...], on the host or on the device.

    Returns:
      A Source whose `take(arrays, indices u32[batch])` gives leaves [batch, ...].

    Raises:
      Refusal: a leaf is no array, such as a data set with `__len__` and `__getitem__`
        or a list of numbers; there is no array or no example; the sizes of the first
        axes differ; or a value is not a finite number in the type that it has on the
        device.
    """
    # jax has announced an error for an iterator in a tree, which has another text.
    leaves = jax.tree.leaves_with_path(arrays, is_leaf=_is_iterator)
    if not leaves:
        raise Refusal("data without arrays; expected at least one [examples, ...]")
    sizes = {}
    for path, leaf in leaves:
        name = jax.tree_util.keystr(path) or "the array"
        _check_type(name, leaf)
        sizes[name] = _num_examples(name, leaf)
        _check_values(name, leaf)
    if len(set(sizes.values())) > 1:
        raise Refusal(f"arrays whose first axes differ: {sizes}; expected one size")
    num_examples = next(iter(sizes.values()))
    if any(getattr(leaf, "is_on_disk", False) for _, leaf in leaves):
        read, first = Rows(arrays), np.zeros(1, np.uint32)
        return Source(num_examples, jax.tree.map(jnp.asarray, read(first)), take, read)
    return Source(num_examples, jax.tree.map(placed, arrays), take)


def take(arrays: Any, indices: jax.Array) -> Batch:
    """Returns the rows of the indices: leaves [batch, ...]."""
    return jax.tree.map(lambda leaf: jnp.asarray(leaf)[indices], arrays)


def placed(leaf: Any) -> Any:
    """Copies an array to the device; a memory-mapped file stays on the disk.

    An array of the other byte order is copied in that of this machine.
    """
    if isinstance(leaf, np.ndarray) and not leaf.dtype.isnative:
        leaf = np.asarray(leaf, leaf.dtype.newbyteorder("="))
    return leaf if isinstance(leaf, np.memmap) else jnp.asarray(leaf)


def splits(dataset: Dataset) -> Splits:
    """Copies the three splits of a data set to the device; images stay uint8.

    Raises:
      Refusal: `source` refuses a split, or a label is outside [0, num_classes).
    """
    parts = (dataset.train, dataset.validation, dataset.test)
    for split, part in zip(("train", "validation", "test"), parts, strict=True):
        where = f"data set {dataset.name!r}, {split} split"
        check_labels(np.asarray(part["label"]), dataset.num_classes, where)
    return Splits(*map(source, parts))


def check_labels(labels: np.ndarray, num_classes: int, where: str) -> None:
    """Refuses integer labels outside [0, num_classes); the line names the first one.

    Args:
      labels: i32[examples] or i64[examples].
      num_classes: number of classes.
      where: the start of the line, such as the data set and the split.

    Raises:
      Refusal: a label is outside [0, num_classes).
    """
    is_outside = (labels < 0) | (labels >= num_classes)
    if is_outside.any():
        index = int(is_outside.argmax())
        expected = f"expected 0 to {num_classes - 1}"
        raise Refusal(f"{where}: example {index} has label {labels[index]}; {expected}")


def _is_iterator(value: Any) -> bool:
    return hasattr(value, "__next__")


def _check_type(name: str, leaf: Any) -> None:
    """Refuses a leaf that is no array, without asking it for its elements.

    `np.asarray` of an object with `__len__` and `__getitem__` reads all its elements,
    and never ends if it raises no IndexError.
    """
    if hasattr(leaf, "shape") and hasattr(leaf, "dtype"):
        return
    name = "the data" if name == "the array" else f"the data's leaf {name}"
    kind = f"{type(leaf).__module__}.{type(leaf).__qualname__}".removeprefix(
        "builtins."
    )
    if isinstance(leaf, bool | int | float | complex):
        hint = "an array of all its numbers, as in np.asarray([1.0, 2.0])"
    elif isinstance(leaf, str | bytes):
        hint = "numbers; gradjax.problem takes no texts"
    elif hasattr(leaf, "to_numpy"):
        hint = "its columns as arrays, as in data.to_numpy(np.float32)"
    elif hasattr(leaf, "__getitem__") or hasattr(leaf, "__iter__"):
        hint = (
            "arrays of all its examples: x = np.stack([data[k][0] for k in"
            " range(len(data))]), the same for y, and {'x': x, 'y': y}"
        )
    else:
        hint = "an array [examples, ...] of numpy or jax"
    raise Refusal(f"{name} is {kind}, which is no array; expected {hint}")


def _num_examples(name: str, leaf: Any) -> int:
    shape = np.shape(leaf)
    if not shape or not shape[0]:
        raise Refusal(f"{name} has shape {shape}; expected [examples, ...], examples>0")
    return shape[0]


def _check_values(name: str, leaf: Any) -> None:
    """Checks the values in parts of the first axis, so that little memory is taken."""
    if not (jnp.issubdtype(leaf.dtype, jnp.number) or leaf.dtype == np.bool_):
        raise Refusal(f"{name} has type {leaf.dtype}; expected numbers")
    if _is_kept(leaf.dtype):
        return
    num_rows = len(leaf)
    step = max(1, _CHECKED // max(1, int(np.prod(leaf.shape[1:]))))
    if isinstance(leaf, jax.Array):
        step = num_rows  # a part of it would be a compiled program
    for start in range(0, num_rows, step):
        _check_part(name, np.asarray(leaf[start : start + step]), start)


def _is_kept(dtype: Any) -> bool:
    """Returns whether every value of a type is the same, and finite, on the device."""
    is_exact = not jnp.issubdtype(dtype, jnp.inexact)
    return is_exact and jax.dtypes.canonicalize_dtype(dtype) == dtype


def _check_part(name: str, values: np.ndarray, start: int) -> None:
    on_device = jax.dtypes.canonicalize_dtype(values.dtype)
    with np.errstate(over="ignore"):  # an overflow is refused below, with its value
        narrow = values.astype(on_device, copy=False)
    is_inexact = jnp.issubdtype(on_device, jnp.inexact)
    is_bad = ~np.isfinite(narrow) if is_inexact else narrow != values
    if is_bad.any():
        first, *rest = (int(i) for i in np.argwhere(is_bad)[0])
        expected = f"expected finite values of type {on_device}"
        place = [start + first, *rest]
        raise Refusal(f"{name}{place} is {values[(first, *rest)]}; {expected}")
