"""Layers of encoders such as BERT over the tokens of a batch alone, without its padding.

Texts lie one after another as rows of one matrix, so that products are of real tokens only, large,
and over packed weights; texts of equal length attend in one call. Results are those of
the plain layers within rounding. Models that are built otherwise compute as before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary

import torch

from choose.engines.hardware.packed_products import (
    MOST_BYTES,
    can_pack,
    pack,
    packed_product,
    replacing,
)

if TYPE_CHECKING:
    Forward = Callable[..., Any]

# Tokens of a pass for each thread, whose activations stay in the caches of a processor.
TOKENS_PER_THREAD = 1024

# The kernel of the attention takes twice as long for keys that are no multiple of this.
KEYS = 16

# By transformers' name: an activation that a product can end with, and how it is computed.
_ACTIVATIONS = {
    "gelu": ("gelu", "none"),
    "gelu_new": ("gelu", "tanh"),
    "gelu_pytorch_tanh": ("gelu", "tanh"),
    "relu": ("relu", ""),
}

# Texts of several lengths, whose vectors tell whether layers compute what their names say.
_SAMPLES = ("it", "one of two", "which of these is long?", "the third is longer than the rest")

# How far apart those vectors may be, as a share of their largest number.
_TOLERANCE = 1e-4


@contextmanager
def unpadded(model: Any) -> Iterator[bool]:
    """Let the encoder in a sentence-transformers model skip padding inside the block, if it can.

    Yields whether it does. Weights are packed, and vectors of sample texts compared, when a model
    is first used and after its weights have changed. Outside the block the model is as it
    was.
    """
    # On accelerators nothing was measured, and packed weights are for the CPU.
    forwards = _prepared(model) if model.device.type == "cpu" else ()
    with replacing(forwards):
        yield bool(forwards)


class _Prepared(NamedTuple):
    """The state of a model's weights, and what its encoders compute instead."""

    state: tuple[Any, ...]
    forwards: tuple[tuple[Any, Forward], ...]


_PREPARED: WeakKeyDictionary[Any, _Prepared] = WeakKeyDictionary()


def _prepared(model: Any) -> tuple[tuple[Any, Forward], ...]:
    # Training changes weights where they are, so their address alone does not suffice.
    state = tuple((p.data_ptr(), _version(p)) for p in model.parameters())
    known = _PREPARED.get(model)
    if known is None or known.state != state:
        forwards = tuple((module, _forward(module)) for module in _encoders(model))
        if forwards and not _same_vectors(model, forwards):
            forwards = ()
        known = _PREPARED[model] = _Prepared(state, forwards)
    return known.forwards


def _version(parameter: torch.Tensor) -> int:
    return 0 if parameter.is_inference() else parameter._version


def _encoders(model: Any) -> list[Any]:
    """Return the modules of layers as BERT and RoBERTa have them, in float32; no large ones."""
    # Weights are held twice, as in packed_products.
    if model.dtype is not torch.float32 or _bytes(model) > MOST_BYTES:
        return []
    return [
        module
        for module in model.modules()
        if isinstance(layers := getattr(module, "layer", None), torch.nn.ModuleList)
        and getattr(getattr(module, "config", None), "hidden_act", None) in _ACTIVATIONS
        and not getattr(module.config, "is_decoder", False)
        and not getattr(module.config, "output_hidden_states", False)
        and all(plain_linears(layer) for layer in layers)
    ]


def _bytes(model: Any) -> int:
    linears = (m for m in model.modules() if isinstance(m, torch.nn.Linear))
    return sum(linear.weight.nbytes for linear in linears)


def plain_linears(layer: Any) -> list[Any]:
    """Return the linear layers of a layer: of query, key, value, output, and both feed-forward."""
    try:
        own, out = layer.attention.self, layer.attention.output
        found = [own.query, own.key, own.value, out.dense]
        found += [layer.intermediate.dense, layer.output.dense]
        norms = out.LayerNorm, layer.output.LayerNorm
    except AttributeError:
        return []
    # Layers with an adapter are of another class; hooks and layers without a bias are left alone.
    plain = all(
        type(one) is torch.nn.Linear and one.bias is not None and "forward" not in one.__dict__
        for one in found
    )
    return found if plain and all(isinstance(n, torch.nn.LayerNorm) for n in norms) else []


def _same_vectors(model: Any, forwards: Sequence[tuple[Any, Forward]]) -> bool:
    """Return whether texts get the same vectors: names say little about what is computed."""
    try:
        plain = model.encode([*_SAMPLES], show_progress_bar=False)
        with replacing(forwards):
            vectors = model.encode([*_SAMPLES], show_progress_bar=False)
    except Exception:  # whatever stops it, texts are embedded the plain way, or fail there
        return False
    return bool(abs(vectors - plain).max() <= _TOLERANCE * abs(plain).max())


class _Product:
    """Linear layers of the same input as one product, over packed weights where torch has them."""

    def __init__(self, linears: Sequence[Any], activation: str = "") -> None:
        weight = torch.cat([linear.weight.detach() for linear in linears])
        self.bias = torch.cat([linear.bias.detach() for linear in linears])
        self.activation, self.packed = activation, can_pack(torch.float32)
        self.weight = pack(weight) if self.packed else weight

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        if self.packed:
            name, algorithm = _ACTIVATIONS.get(self.activation, ("none", ""))
            return packed_product(x, self.weight, self.bias, name, algorithm)
        product = torch.nn.functional.linear(x, self.weight, self.bias)
        if self.activation:
            from transformers.activations import ACT2FN

            product = ACT2FN[self.activation](product)
        return product


class _Group(NamedTuple):
    """Texts of one length, one after another.

    Attributes:
        start: the place of the first token.
        texts: how many texts.
        length: the tokens of each.
        mask: (texts, 1, length, keys) of the keys that each reads, which are more than its own;
            None where it reads its own.
    """

    start: int
    texts: int
    length: int
    mask: torch.Tensor | None


class _Layer:
    """A layer of an encoder over the tokens of several texts."""

    def __init__(self, layer: Any, config: Any) -> None:
        *read, out, inner, outer = plain_linears(layer)
        self.heads = config.num_attention_heads
        self.read, self.out = _Product(read), _Product([out])
        self.inner, self.outer = _Product([inner], config.hidden_act), _Product([outer])
        self.norms = layer.attention.output.LayerNorm, layer.output.LayerNorm

    def __call__(self, x: torch.Tensor, groups: Sequence[_Group]) -> torch.Tensor:
        x = self.norms[0](self.out(self._attended(self.read(x), groups)) + x)
        return self.norms[1](x + self.outer(self.inner(x)))

    def _attended(self, read: torch.Tensor, groups: Sequence[_Group]) -> torch.Tensor:
        """Return (tokens, width) attended values of (tokens, 3 * width) products."""
        width = read.shape[1] // 3
        head = width // self.heads
        found = read.new_empty(len(read), width)
        for start, texts, length, mask in groups:
            keys = length if mask is None else mask.shape[-1]
            strides = (length * 3 * width, head, 3 * width, 1)
            query, key, value = (
                read.as_strided((texts, self.heads, n, head), strides, (3 * start + part) * width)
                for part, n in enumerate((length, keys, keys))
            )
            attended = torch.nn.functional.scaled_dot_product_attention(
                query, key, value, attn_mask=mask
            )
            place = found[start : start + texts * length].view(texts, length, self.heads, head)
            place.copy_(attended.transpose(1, 2))
        return found


def _groups(lengths: Sequence[int]) -> Iterator[_Group]:
    """Yield the groups of texts of those lengths, which are sorted."""
    tokens, start = sum(lengths), 0
    for length, equal in groupby(lengths):
        texts = sum(1 for _ in equal)
        # More keys are those of the texts behind, as far as there are any.
        keys = -(-length // KEYS) * KEYS
        fit = min(texts, max(0, (tokens - start - keys) // length + 1))
        if keys == length:
            fit = 0
        if fit:
            mask = torch.zeros(keys)
            mask[length:] = -torch.inf
            yield _Group(start, fit, length, mask.expand(fit, 1, length, keys))
            start += fit * length
        if texts > fit:
            yield _Group(start, texts - fit, length, None)
            start += (texts - fit) * length


def _forward(encoder: Any) -> Forward:
    """Return what computes as an encoder's `forward`."""
    from transformers.modeling_outputs import BaseModelOutputWithPastAndCrossAttentions as Output

    plain = encoder.forward
    with torch.inference_mode():
        layers = [_Layer(layer, encoder.config) for layer in encoder.layer]

    def forward(states: torch.Tensor, attention_mask: Any = None, **more: Any) -> Any:
        asked = [name for name, value in more.items() if value is not None and value is not False]
        known = attention_mask is None or (
            attention_mask.dtype is torch.bool and attention_mask.dim() == 4
        )
        if asked or not known or torch.is_grad_enabled():
            return plain(states, attention_mask, **more)
        if attention_mask is None:
            tokens = torch.ones(states.shape[:2], dtype=torch.bool)
        else:
            tokens = attention_mask[:, 0, 0]
        if not tokens.any(1).all():
            return plain(states, attention_mask, **more)
        return Output(last_hidden_state=_states(layers, states, tokens))

    return forward


def _states(layers: Sequence[_Layer], states: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """Return (texts, length, width) states after all layers, zero where there is no token."""
    counts = tokens.sum(1)
    order = counts.argsort(stable=True)
    rows, columns = tokens[order].nonzero(as_tuple=True)
    places = order[rows] * tokens.shape[1] + columns
    flat = states.reshape(-1, states.shape[-1])
    found, start = torch.zeros_like(flat), 0
    for lengths in _passes(counts[order].tolist(), TOKENS_PER_THREAD * torch.get_num_threads()):
        some, groups = places[start : start + sum(lengths)], list(_groups(lengths))
        x = flat[some]
        for layer in layers:
            x = layer(x, groups)
        found[some] = x
        start += len(some)
    return found.view_as(states)


def _passes(lengths: Sequence[int], most: int) -> Iterator[list[int]]:
    """Yield lengths in parts of about equal sums, at most `most` or a single length."""
    total = sum(lengths)
    even = -(-total // -(-total // most))
    first = tokens = 0
    for place, length in enumerate(lengths):
        if tokens and tokens + length > even:
            yield [*lengths[first:place]]
            first, tokens = place, 0
        tokens += length
    yield [*lengths[first:]]
