"""One compilation serves all devices: in a process, and from the cache in the next."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradjax.training import compilation

ROOT = Path(__file__).resolve().parents[2]
ON_TWO = """
import json, sys
import jax
jax.config.update("jax_num_cpu_devices", 2)
if sys.argv[1]:
    jax.config.update("jax_compilation_cache_dir", sys.argv[1])
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
import jax.numpy as jnp
import numpy as np
from gradjax.training import compilation
x = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)
f = lambda x: jnp.tanh(x @ x).sum(0)
calls = compilation.compiled(f, (x,), tuple(jax.devices()))
placed = [call(jax.device_put(x, there)) for call, there in zip(calls, jax.devices())]
there = jax.devices()[1]
moved = True if sys.argv[1] else compilation.moved(calls[0], there)
print(json.dumps([
    [np.asarray(one).tobytes().hex() for one in placed],
    [next(iter(one.devices())).id for one in placed],
    moved is not None,
]))
"""


def on_two_devices(cache):
    done = subprocess.run(
        [sys.executable, "-c", ON_TWO, cache],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_same_code_runs_on_both_devices_and_can_be_moved():
    (one, other), places, is_moved = on_two_devices("")
    assert one == other and places == [0, 1]
    assert is_moved, "this version of jax does not let compiled code be moved"


def test_the_cache_keeps_one_program_for_all_devices(tmp_path):
    first = on_two_devices(str(tmp_path))
    kept = sorted(path.name for path in tmp_path.glob("*lambda*-cache"))
    assert len(kept) == 1, kept
    assert on_two_devices(str(tmp_path)) == first
    assert sorted(path.name for path in tmp_path.glob("*lambda*-cache")) == kept


def test_what_is_compiled_quickly_draws_the_same():
    def drawn(seed):
        key = jax.random.key(seed)
        return jax.random.bits(key, (50,)), jax.random.normal(key, (50, 7))

    seed = np.uint32(3)
    (quick,) = compilation.compiled(
        drawn, (seed,), (jax.devices()[0],), options=compilation.quick_options()
    )
    bits, normal = quick(seed)
    expected_bits, expected = jax.jit(drawn)(seed)
    np.testing.assert_array_equal(bits, expected_bits)
    np.testing.assert_allclose(normal, expected, rtol=1e-5)


def test_what_cannot_be_moved_is_said():
    compiled = jax.jit(lambda x: x + 1.0).lower(jnp.zeros(3)).compile()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("jax.experimental.serialize_executable.serialize", None)
        assert compilation.moved(compiled, jax.devices()[0]) is None
