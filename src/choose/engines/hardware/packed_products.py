"""Products of frozen weights in the layout of the processor's kernels, for models that only read.

On a CPU, torch converts a matrix to its kernels' layout in every product: a third of the time for
few rows, a tenth for many. Here each matrix is converted once, and a gated feed-forward layer
multiplies inside its products. Measured on a processor with bfloat16 products; in bfloat16 a linear
layer's results are the same to the bit, and in float32 within rounding.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from typing import Any
from weakref import WeakKeyDictionary

import torch

Forward = Callable[..., Any]
Forwards = Sequence[tuple[Any, Forward]]

# Weights are held twice, so those of larger models are left as they are.
MOST_BYTES = 1 << 30


@cache
def can_pack(dtype: torch.dtype) -> bool:
    """Return whether this build of torch multiplies packed matrices of that type correctly.

    The operators are the ones that torch's own compiler emits; they are no stable interface.
    """
    matrix = torch.arange(-64.0, 64.0).reshape(16, 8).to(dtype) / 64
    rows, bias = matrix[:3].clone(), torch.arange(16.0).to(dtype)
    try:
        product = packed_product(rows, pack(matrix), bias)
    except (AttributeError, RuntimeError, NotImplementedError):
        return False
    return torch.allclose(product, torch.nn.functional.linear(rows, matrix, bias), atol=0.05)


def pack(matrix: torch.Tensor) -> torch.Tensor:
    """Return a matrix in the layout of the processor's kernels; other operators cannot read it."""
    return torch.ops.mkldnn._reorder_linear_weight(matrix)


def packed_product(
    x: torch.Tensor,
    packed: torch.Tensor,
    bias: torch.Tensor | None,
    activation: str = "none",
    algorithm: str = "",
) -> torch.Tensor:
    """Return ``activation(x @ W.T + b)``; autograd does not see it."""
    return torch.ops.mkldnn._linear_pointwise(x, packed, bias, activation, [], algorithm)


@contextmanager
def packed_products(model: Any) -> Iterator[None]:
    """Let a model's linear layers multiply packed weights inside the block, where that is faster.

    Outside it the model is as it was: copies of it, training and `generate` see nothing of it.
    """
    with replacing(prepared(model, _forwards)):
        yield


@contextmanager
def replacing(forwards: Forwards) -> Iterator[None]:
    """Let modules compute something else than their `forward` inside the block."""
    try:
        for module, forward in forwards:
            module.__dict__["forward"] = forward
        yield
    finally:
        for module, _ in forwards:
            module.__dict__.pop("forward", None)


# What modules of a model compute instead, by what makes it, with the state of the weights.
_PREPARED: WeakKeyDictionary[Any, dict[Any, tuple[Any, Forwards]]] = WeakKeyDictionary()


def prepared(model: Any, make: Callable[[Any], Forwards]) -> Forwards:
    """Return what `make` gives for a model, made anew once its weights have changed."""
    known, state = _PREPARED.setdefault(model, {}), state_of_weights(model)
    if make not in known or known[make][0] != state:
        known[make] = state, make(model)
    return known[make][1]


def state_of_weights(model: Any) -> tuple[Any, ...]:
    """Return what differs once weights were exchanged, or changed where they are."""
    return tuple((p.data_ptr(), 0 if p.is_inference() else p._version) for p in model.parameters())


def _linears(model: Any) -> list[Any]:
    if model.device.type != "cpu" or not can_pack(model.dtype):
        return []
    found = [
        module
        for module in model.modules()
        # Layers of 4 bits or with an adapter are of other classes; hooks are left alone.
        if type(module) is torch.nn.Linear
        and "forward" not in module.__dict__
        and module.weight.dtype is model.dtype
    ]
    return found if sum(one.weight.nbytes for one in found) <= MOST_BYTES else []


def _forwards(model: Any) -> Forwards:
    with torch.inference_mode():
        packed = {linear: pack(linear.weight) for linear in _linears(model)}
        found: list[tuple[Any, Forward]] = [
            (one, partial(packed_product, packed=matrix, bias=one.bias))
            for one, matrix in packed.items()
        ]
        for module in model.modules():
            gated = _gated(module, packed)
            if gated is not None:
                found.append((module, gated))
    return found


def _gated(module: Any, packed: dict[Any, torch.Tensor]) -> Forward | None:
    """Return ``down(silu(gate(x)) * up(x))`` in three products, if the module computes this."""
    parts: list[Any] = [getattr(module, f"{n}_proj", None) for n in ("gate", "up", "down")]
    if not all(part in packed for part in parts):
        return None
    gate, up, down = parts
    gate_matrix, up_matrix, down_matrix = (packed[part] for part in parts)

    def forward(x: torch.Tensor) -> torch.Tensor:
        gates = packed_product(x, gate_matrix, gate.bias, "swish")
        times = torch.ops.mkldnn._linear_pointwise.binary
        risen = times(x, gates, up_matrix, up.bias, "mul")  # (x @ W.T + b) * gates
        return packed_product(risen, down_matrix, down.bias)

    # Names say little about what is computed between them; numbers do.
    rows = torch.linspace(-2, 2, 3 * gate.in_features).reshape(1, 3, -1).to(gate.weight.dtype)
    plain = module(rows).float()
    apart = (forward(rows).float() - plain).abs().max()
    tolerance = 1e-4 if gate.weight.dtype is torch.float32 else 0.03
    return forward if bool(apart <= tolerance * plain.abs().max()) else None
