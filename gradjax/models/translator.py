"""Models of translations: trained on complete rows, decoded token by token.

Decoding takes one call per token. The keys and values of the earlier tokens are cached,
so a call costs as much as one token, not as the complete sentence.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from gradjax.models.attention import attend, check_heads, padding_mask, rotate
from gradjax.models.sequences import example_lengths, example_tokens
from gradjax.models.transformer import EncoderDecoder
from gradjax.types import Key, Params


class Translator(NamedTuple):
    """A model that predicts the next token of a translation of a sentence."""

    init: Callable[[Key], Params]
    apply: Callable[..., jax.Array]
    # (params, (source, source_part, inputs, target_part), key=None), rows as in
    # `EncoderDecoder.packed` -> logits f32[batch, time, num_tokens]
    start: Callable[..., tuple[Any, Any]]
    # (params, source i32[batch, memory], lengths i32[batch], num_beams, time) ->
    # (grown, stays): the empty cache of keys and values, leaves [batch, beams, ...],
    # and the constant keys and values of the source
    step: Callable[..., tuple[jax.Array, Any]]
    # (params, grown, stays, tokens i32[batch, beams], place i32[]) -> logits of the
    # next token f32[batch, beams, num_tokens], and the updated cache


def encoder_decoder(
    num_tokens: int,
    width: int = 128,
    depth: int = 3,
    heads: int = 4,
    dropout: float = 0.1,
) -> Translator:
    """Makes an encoder-decoder; all embeddings and the output share their weights.

    Args:
      num_tokens: number of tokens of the tokenizer, which both languages share.
      width: size of the stream, a multiple of 2 * heads.
      depth: number of blocks of the encoder, and of the decoder, each with a relu layer
        of 4 * width units.
      heads: number of heads of each attention.
      dropout: dropout rate of the embeddings and of the output of each sublayer.

    Raises:
      Refusal: width is not a multiple of 2 * heads.

    Source:
      Vaswani et al., "Attention Is All You Need", 2017. Differs from the paper in that
      norms come before each sublayer, positions are rotary, and attention between the
      two sentences uses no positions.
    """
    check_heads(width, heads)
    sizes = (num_tokens, num_tokens, width, depth, heads, 4 * width, dropout)
    module = EncoderDecoder(*sizes, is_shared=True)

    def init(key: Key) -> Params:
        examples = example_tokens(), example_lengths(), example_tokens()
        return module.init(key, *examples)["params"]

    def apply(params: Params, rows: Any, key: Key | None = None) -> jax.Array:
        rngs = None if key is None else {"dropout": key}
        found = module.apply({"params": params}, *rows, rngs=rngs, method="packed")
        return jnp.asarray(found)

    def start(
        params: Params, source: jax.Array, lengths: jax.Array, num_beams: int, time: int
    ) -> tuple[Any, Any]:
        memory = module.apply({"params": params}, source, lengths, method="encode")
        shape = (source.shape[0], num_beams, heads, time, width // heads)
        empty = jnp.zeros(shape, jnp.float32)
        grown = {name: {"keys": empty, "values": empty} for name in blocks(params)}
        looked = {
            name: _memory(block["cross"], jnp.asarray(memory), heads)
            for name, block in blocks(params).items()
        }
        return grown, (looked, padding_mask(lengths, source.shape[1]))

    def blocks(params: Params) -> dict[str, Params]:
        return {f"Block_{k}": params["decoder"][f"Block_{k}"] for k in range(depth)}

    def step(
        params: Params, grown: Any, stays: Any, tokens: jax.Array, place: jax.Array
    ) -> tuple[jax.Array, Any]:
        looked, mask = stays
        table, new = params["target"]["embedding"], {}
        stream = table[tokens] * width**0.5
        for name, block in blocks(params).items():
            normed = _norm(block["LayerNorm_0"], stream)
            seen, new[name] = _look_back(block["self"], normed, grown[name], place)
            stream = stream + seen
            normed = _norm(block["LayerNorm_1"], stream)
            stream = stream + _look_over(block["cross"], normed, looked[name], mask)
            inner = _dense(block["Dense_0"], _norm(block["LayerNorm_2"], stream))
            stream = stream + _dense(block["Dense_1"], nn.relu(inner))
        return _norm(params["decoder"]["LayerNorm_0"], stream) @ table.T, new

    return Translator(init, apply, start, step)


def _memory(params: Params, memory: jax.Array, heads: int) -> tuple[jax.Array, ...]:
    """Computes keys and values f32[batch, heads, memory, d] of the encoder's output."""
    parts = jnp.split(_dense(params["kv"], memory), 2, axis=-1)
    return tuple(_split(part, heads).transpose(0, 2, 1, 3) for part in parts)


def _look_back(
    params: Params, stream: jax.Array, kept: dict[str, jax.Array], place: jax.Array
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Applies self-attention of each beam's last token, f32[batch, beams, width].

    `kept` is the cache of keys and values, f32[batch, beams, heads, time, d], which is
    filled up to `place`.
    """
    batch, beams, heads, time, size = kept["keys"].shape
    parts = jnp.split(_dense(params["qkv"], stream), 3, axis=-1)
    queries, keys, values = (
        part.reshape(batch * beams, heads, 1, size) for part in parts
    )
    queries, keys = (rotate(part, place.reshape(1, 1, 1)) for part in (queries, keys))
    grown = {
        name: jax.lax.dynamic_update_slice_in_dim(
            kept[name], one.reshape(batch, beams, heads, 1, size), place, axis=3
        )
        for name, one in (("keys", keys), ("values", values))
    }
    flat = {name: one.reshape(-1, heads, time, size) for name, one in grown.items()}
    mask = (jnp.arange(time) <= place)[None, None, None]
    seen = attend(queries, flat["keys"], flat["values"], mask)
    return _dense(params["out"], seen.reshape(stream.shape)), grown


def _look_over(
    params: Params,
    stream: jax.Array,
    memory: tuple[jax.Array, ...],
    mask: jax.Array,
) -> jax.Array:
    """Applies attention of all beams, f32[batch, beams, width], to their source."""
    keys, values = memory
    queries = _split(_dense(params["q"], stream), keys.shape[1]).transpose(0, 2, 1, 3)
    seen = attend(queries, keys, values, mask).transpose(0, 2, 1, 3)
    return _dense(params["out"], seen.reshape(stream.shape))


def _split(values: jax.Array, heads: int) -> jax.Array:
    """Reshapes f32[batch, time, width] to f32[batch, time, heads, width / heads]."""
    return values.reshape(*values.shape[:2], heads, -1)


def _dense(params: Params, values: jax.Array) -> jax.Array:
    return values @ params["kernel"] + params["bias"][None, None]


def _norm(params: Params, values: jax.Array) -> jax.Array:
    return jnp.asarray(nn.LayerNorm().apply({"params": params}, values))
