"""The plain engine: training steps of any model by autograd, one run after another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from choose.models.hardware.compute_settings import set_threads
from choose.models.hardware.memory import halvings
from choose.models.lora.model import Base, frozen_weights, seeded
from choose.models.lora.training_run import RunBatches, Step, TrainingRun

# More than any trial has steps: separates the random seeds of trials.
MAX_STEPS = 10**6

# Halvings of a batch after which layers are computed again in backward: smaller batches cost less.
CHECKPOINT_AFTER = 2


@contextmanager
def training_step(runs: Sequence[TrainingRun]) -> Iterator[Step]:
    """Yield the function that computes one step's gradients for runs over one base."""
    yield AutogradEngine(runs).step


def training_threads(base: Base) -> int:
    """Return how many threads a base is trained on."""
    return set_threads()


def recompute_layers(adapter: Any) -> None:
    """Let backward compute a layer's activations again, so that only its input is kept.

    A third of a step more time, and memory for one layer instead of all.
    """
    if adapter.is_gradient_checkpointing:
        return
    adapter.enable_input_require_grads()
    adapter.gradient_checkpointing_enable({"use_reentrant": False})


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
        for parameter in model.adapter.parameters():  # of a try that ran out of memory
            parameter.grad = None
        for parameter in model.head_parameters.values():
            parameter.grad = None
        if halvings(model.base.device) >= CHECKPOINT_AFTER:
            recompute_layers(model.adapter)
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
