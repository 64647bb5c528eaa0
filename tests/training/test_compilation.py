"""What is compiled on a device, and what compiles quickly."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradjax.training import compilation

HERE = jax.devices()[0]


def test_a_function_is_compiled_for_a_device():
    x = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)
    call = compilation.compile_for(lambda x: jnp.tanh(x @ x).sum(0), (x,), HERE)
    found = call(x)
    np.testing.assert_allclose(found, np.tanh(x @ x).sum(0), rtol=1e-5)
    assert found.devices() == {HERE}


def test_a_donated_argument_is_given_up():
    x = jnp.zeros(1_000)
    call = compilation.compile_for(lambda x: x + 1.0, (x,), HERE, donate_argnums=(0,))
    assert (np.asarray(call(x)) == 1.0).all()
    assert x.is_deleted()


@pytest.mark.slow
def test_what_is_compiled_quickly_draws_the_same():
    def drawn(seed):
        key = jax.random.key(seed)
        return jax.random.bits(key, (50,)), jax.random.normal(key, (50, 7))

    seed = np.uint32(3)
    options = compilation.quick_options()
    bits, normal = compilation.compile_for(drawn, (seed,), HERE, options=options)(seed)
    expected_bits, expected = jax.jit(drawn)(seed)
    np.testing.assert_array_equal(bits, expected_bits)
    np.testing.assert_allclose(normal, expected, rtol=1e-5)
