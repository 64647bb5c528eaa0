"""Parameters as one vector."""

import jax
import jax.numpy as jnp
import numpy as np

from gradjax.diagnostics.vectors import space_of

TREE = {"w": np.arange(6.0).reshape(2, 3), "b": np.float32([7.0]), "s": jnp.ones(())}


def test_a_vector_has_the_leaves_in_order_and_gives_them_back():
    space = space_of(TREE)
    vector = space.ravel(TREE)
    wanted = np.concatenate([np.ravel(one) for one in jax.tree.leaves(TREE)])
    np.testing.assert_array_equal(vector, wanted.astype(vector.dtype))
    back = space.unravel(vector)
    assert all(jax.tree.leaves(jax.tree.map(np.array_equal, back, TREE)))


def test_it_is_not_concatenated_because_xla_makes_a_slow_loop_of_it():
    text = jax.jit(space_of(TREE).ravel).lower(TREE).as_text()
    assert "concatenate" not in text and "dynamic_update_slice" in text
