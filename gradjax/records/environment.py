"""The environment in which a result was computed: versions, sources, device."""

import platform
import subprocess
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any, cast

import jax

from gradjax.records import sources
from gradjax.trials import cores

_PACKAGES = ("gradjax", "jax", "jaxlib", "optax", "flax", "numpy")


def environment(modules: Iterable[str] = ()) -> dict[str, Any]:
    """Returns versions, digests of sources, the git revision and the device.

    Args:
      modules: names of the modules that decide the result beside gradjax, see
        `sources.digests`.

    Returns:
      Name -> value. The git revision is None outside a checkout. It is a hint for a
      reader, as the name of the CPU is; the digests of the sources decide whether a
      result is up to date.
    """
    device = jax.devices()[0]
    precision = cast(
        Any, jax.config
    ).jax_default_matmul_precision  # None: of the device
    return {
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in _PACKAGES},
        "sources": sources.digests(modules),
        "git_revision": _git_revision(),
        "platform": platform.platform(),
        "backend": jax.default_backend(),
        "device": device.device_kind,
        **(cores.cpu() if cores.is_cpu() else {}),
        **({} if precision is None else {"matmul_precision": precision}),
        "num_devices": cores.num_devices(),
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _git_revision() -> str | None:
    """Returns the commit, with "+changes" if tracked files differ from it."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None

    def git(*words: str) -> str:
        command = ["git", "-C", str(root), *words]
        return subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()

    try:
        changes = git("status", "--porcelain", "--untracked-files=no")
        return git("rev-parse", "HEAD") + ("+changes" if changes else "")
    except (OSError, subprocess.SubprocessError):
        return None
