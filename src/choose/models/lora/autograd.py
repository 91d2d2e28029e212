"""A training step of any model by autograd, with frozen matrices in bfloat16 where that pays."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from choose.models.lora.batching import pad
from choose.models.lora.model import Base, own_randomness
from choose.models.lora.training import Course

if TYPE_CHECKING:
    import torch

    from choose.models.lora.model import Base


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


# More than any trial has steps.
STEPS = 10**6


def halves(base: Base) -> bool:
    """Return whether training computes in bfloat16; decided by hardware, so that it repeats."""
    import torch

    from choose.models.hardware.device import dtype

    if base.device != "cpu" or os.environ.get("CHOOSE_DTYPE"):
        return dtype() is torch.bfloat16
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


class Plain:
    """Autograd through the model as it is, one course after another."""

    def __init__(self, base: Base, courses: Sequence[Course]) -> None:
        self._half = halves(base)
        for course in courses:
            course.start([p for p in course.tuned.adapter.parameters() if p.requires_grad])

    def step(self, taken: Sequence[tuple[Course, list[int]]]) -> None:
        """Leave each course's gradients where its optimiser finds them."""
        from choose.models.hardware.device import threads

        for course, places in taken:
            threads()
            # By trial and step, so that dropout is the same whatever is trained beside.
            with own_randomness(STEPS * course.seed + course.step, course.tuned.base.device):
                self._step(course, places)

    def _step(self, course: Course, places: list[int]) -> None:
        import torch

        tuned = course.tuned
        tuned.adapter.train()
        ids, lengths = pad([course.rows[i] for i in places], tuned.base.device)
        kind = torch.device(tuned.base.device).type
        cast: AbstractContextManager[None] = nullcontext()
        if self._half:
            cast = halved(tuned.adapter, tuned.base)
        # Opened anew for each pass: autocast keeps cast weights until its context ends, so one
        # context around the loop would train against the first step's adapter for ever.
        with cast:
            with torch.autocast(kind, torch.bfloat16, enabled=self._half):
                logits = tuned.logits(ids, lengths)
            wanted = course.targets[places]
            losses = torch.nn.functional.cross_entropy(logits.float(), wanted, reduction="none")
            (losses * course.weights[wanted]).mean().backward()  # type: ignore[no-untyped-call]
