"""The environment in which a result was computed: versions, sources, device."""

import contextlib
import platform
import subprocess
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

import jax

from gradjax.records import sources
from gradjax.trials import cores

# Of x86-64 and of ARM, the widest first. XLA compiles for the widest one of a CPU, and
# the order of its sums depends on the width.
_INSTRUCTION_SETS = ("avx512f", "avx2", "avx", "sse4_2", "sve2", "sve", "asimd")
_CPU_INFO = Path("/proc/cpuinfo")
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
    return {
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in _PACKAGES},
        "sources": sources.digests(modules),
        "git_revision": _git_revision(),
        "platform": platform.platform(),
        "backend": jax.default_backend(),
        "device": device.device_kind,
        **(cpu() if cores.is_cpu() else {}),
        "num_devices": cores.num_devices(),
    }


def cpu(path: Path = _CPU_INFO) -> dict[str, str]:
    """Returns the name of the CPU and its widest set of vector instructions.

    Args:
      path: a file as Linux describes its CPUs; where there is none, the architecture
        stands for both.
    """
    found: dict[str, str] = {}
    with contextlib.suppress(OSError):
        lines = path.read_text(errors="replace").splitlines()
        pairs = [line.partition(":") for line in lines]
        found = {name.strip(): value.strip() for name, _, value in reversed(pairs)}
    flags = (found.get("flags") or found.get("Features") or "").split()
    architecture = platform.machine()
    widest = next((one for one in _INSTRUCTION_SETS if one in flags), None)
    return {
        "cpu": found.get("model name") or architecture,
        "instruction_set": " ".join(filter(None, [architecture, widest])),
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
