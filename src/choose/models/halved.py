"""A frozen base's matrices in bfloat16, cast once a process and not at every training step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from choose.models.adapters import Base


@contextmanager
def halved(model: Any, base: Base) -> Iterator[None]:
    """Let the linear layers of a frame over `base` hold bfloat16 weights for a while.

    Autocast would compute the same products, but casts every frozen weight in every pass: for
    short texts, a third of a step. Norms and embeddings stay in float32, as under autocast.
    """
    import torch

    layers = [
        module
        for module in model.modules()
        if type(module) is torch.nn.Linear and not module.weight.requires_grad
    ]
    whole = [module.weight for module in layers]
    try:
        for module in layers:
            module.weight = _half(module.weight, base.halves)
        yield
    finally:
        for module, weight in zip(layers, whole, strict=True):
            module.weight = weight


def _half(weight: torch.Tensor, known: dict[int, torch.Tensor]) -> torch.Tensor:
    import torch

    # The base holds its weights as long as it lives, so their ids name them.
    if id(weight) not in known:
        cast = weight.detach().to(torch.bfloat16)
        known[id(weight)] = torch.nn.Parameter(cast, requires_grad=False)
    return known[id(weight)]
