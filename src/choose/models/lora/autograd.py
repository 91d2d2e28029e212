"""The plain engine: training steps of any model by autograd, one run after another."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from choose.models.hardware.compute_settings import set_threads, trains_in_bfloat16
from choose.models.lora.model import Base, seeded
from choose.models.lora.training_run import RunBatches, Step, TrainingRun

if TYPE_CHECKING:
    import torch

# More than any trial has steps: separates the random seeds of trials.
MAX_STEPS = 10**6


@contextmanager
def training_step(runs: Sequence[TrainingRun]) -> Iterator[Step]:
    """Yield the function that computes one step's gradients for runs over one base."""
    yield AutogradEngine(runs).step


def training_threads(base: Base) -> int:
    """Return how many threads a base is trained on."""
    return set_threads()


class AutogradEngine:
    """Autograd through PEFT's model, one run after another."""

    def __init__(self, runs: Sequence[TrainingRun]) -> None:
        for run in runs:
            run.create_optimiser([p for p in run.model.adapter.parameters() if p.requires_grad])

    def step(self, batches: RunBatches) -> None:
        """Leave each run's gradients where its optimiser reads them."""
        for run, indices in batches:
            set_threads()
            # By trial and step, so that dropout does not depend on the other runs.
            with seeded(MAX_STEPS * run.seed + run.step, run.model.base.device):
                self._backward(run, indices)

    def _backward(self, run: TrainingRun, batch: list[int]) -> None:

        model = run.model
        model.adapter.train()
        with frozen_weights(model.adapter, model.base) as cast:
            losses = run.losses(batch)
            while True:
                # Opened anew for each pass: autocast keeps cast weights until its context ends, so
                # one context around the loop would train against the first step's adapter for ever.
                with cast():
                    loss = next(losses, None)
                if loss is None:
                    break
                loss.backward()  # type: ignore[no-untyped-call]


@contextmanager
def frozen_weights(
    adapter: Any, base: Base
) -> Iterator[Callable[[], AbstractContextManager[None]]]:
    """Yield a context for one pass in the number type of training; see `bfloat16_weights`."""
    import torch

    half, kind = trains_in_bfloat16(base.device), torch.device(base.device).type
    with bfloat16_weights(adapter, base) if half else nullcontext():
        yield lambda: torch.autocast(kind, torch.bfloat16, enabled=half)


@contextmanager
def bfloat16_weights(model: Any, base: Base) -> Iterator[None]:
    """Let the frozen linear layers of a copy of `base` hold bfloat16 weights inside the block.

    Autocast would compute the same products, but casts every frozen weight in every pass: for
    short texts, a third of a step. Norms and embeddings stay in float32, as under autocast.
    """
    import torch

    layers = [
        module
        for module in model.modules()
        if type(module) is torch.nn.Linear and not module.weight.requires_grad
    ]
    originals = [module.weight for module in layers]
    try:
        for module in layers:
            module.weight = _bfloat16_copy(module.weight, base.bfloat16_copies)
        yield
    finally:
        for module, weight in zip(layers, originals, strict=True):
            module.weight = weight


def _bfloat16_copy(weight: torch.Tensor, copies: dict[int, torch.Tensor]) -> torch.Tensor:
    import torch

    # The base holds its weights as long as it lives, so their ids identify them.
    if id(weight) not in copies:
        cast = weight.detach().to(torch.bfloat16)
        copies[id(weight)] = torch.nn.Parameter(cast, requires_grad=False)
    return copies[id(weight)]
