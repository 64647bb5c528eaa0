"""A hash of 32-bit numbers, from which random numbers are derived by their index."""

from typing import Any


def mix(xp: Any, x: Any) -> Any:
    """Computes the 32-bit finalizer of MurmurHash3, a bijection of u32.

    Every bit of the result depends on every bit of the argument; mix(0) is 0.

    Args:
      xp: numpy or jax.numpy, which give the same bits.
      x: u32[...].

    Returns:
      u32[...].

    Source:
      Appleby, MurmurHash3, 2011, public domain.
    """
    x = (x ^ (x >> xp.uint32(16))) * xp.uint32(0x85EBCA6B)
    x = (x ^ (x >> xp.uint32(13))) * xp.uint32(0xC2B2AE35)
    return x ^ (x >> xp.uint32(16))
