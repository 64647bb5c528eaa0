"""Files of named leaves: `.npz` and `.safetensors`, with names as "Dense_0/kernel".

The leaves of a network's state have names that begin with "model_state/". An `.npz` has
no bfloat16, so it holds such leaves as float32, with the same values; `.safetensors`
keeps every type.
"""

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from gradjax.errors import Refusal
from gradjax.files import npz_bytes, read_npz, write_bytes
from gradjax.records.params import Leaves, plain

ENDINGS = (".npz", ".safetensors")
_STATE = "model_state/"


def is_file_of_weights(path: Path) -> bool:
    """Returns whether a path has one of the endings."""
    return path.suffix in ENDINGS


def write(path: Path, params: Leaves, model_state: Leaves) -> None:
    """Writes leaves to a file, in the format of its ending.

    Args:
      path: is replaced if it exists.
      params: name -> values.
      model_state: likewise; without leaves where the network has no state.

    Raises:
        Refusal: another ending, parameters that have the name of a state, or the
            package safetensors is not installed.
    """
    if not is_file_of_weights(path):
        raise Refusal(f"--out={path}: must end in {' or '.join(ENDINGS)}")
    if any(name.startswith(_STATE) for name in params):
        raise Refusal(f"parameters in {_STATE!r} have the names of a network's state")
    named = params | {f"{_STATE}{name}": x for name, x in model_state.items()}
    if path.suffix == ".npz":
        content = npz_bytes({name: plain(x) for name, x in named.items()})
    else:
        whole = {name: np.require(x, None, "C") for name, x in named.items()}
        content = _safetensors().save(whole)
    write_bytes(path, content)


def read(path: Path) -> tuple[Leaves, Leaves]:
    """Reads (parameters, state of the network) from a file, by name.

    Raises:
        Refusal: there is no such file, it is damaged, or the package safetensors is not
            installed.
    """
    try:
        named = read_npz(path) if path.suffix == ".npz" else _read_tensors(path)
    except OSError as error:
        raise Refusal(f"{path}: {error.strerror or error}") from error
    params = {name: x for name, x in named.items() if not name.startswith(_STATE)}
    state = {name.removeprefix(_STATE): named[name] for name in named.keys() - params}
    return params, state


def _read_tensors(path: Path) -> Leaves:
    library: Any = _safetensors()
    try:
        return library.load_file(path)
    except OSError:
        raise
    except Exception as error:  # it has error types of its own
        reason = " ".join(str(error).split())
        raise Refusal(f"{path}: damaged ({reason})") from error


def _safetensors() -> ModuleType:
    try:
        import safetensors.numpy
    except ImportError as error:
        raise Refusal(
            "files of .safetensors need the package safetensors:"
            ' pip install "gradjax[safetensors]"'
        ) from error
    return safetensors.numpy
