"""Fit adapters with their classification heads, choose the engine, and verify the learning."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from math import inf

from choose.errors import StrategyError
from choose.models.hardware.memory import release_memory
from choose.models.lora import autograd
from choose.models.lora.fused import training_step as fused
from choose.models.lora.model import AdaptedModel, Base, LearningCheck
from choose.models.lora.training_run import PROGRESS_LABEL, Schedule, Step, TrainingRun
from choose.progress import report_progress, sampled

# Training rows on which the loss is compared before and after.
CHECK_ROWS = 48

# Trained tokens after which freed memory is released: seldom enough to cost nothing, and often
# enough, since the longer a step's texts are the more of it they leave.
RELEASE_EVERY_TOKENS = 2_400


def trains_together(base: Base) -> bool:
    """Return whether runs over a base share its products, so that training them together pays."""
    return fused.supports(base)


def training_threads(base: Base) -> int:
    """Return how many threads a base is trained on."""
    engine = fused.training_threads if fused.supports(base) else autograd.training_threads
    return engine(base)


def training_step(runs: Sequence[TrainingRun]) -> AbstractContextManager[Step]:
    """Return the context of a function that computes one step's gradients for runs over one base.

    The function takes some of the runs, each with the row indices of its batch.
    """
    adapters = [run.model.adapter for run in runs]
    supported = fused.supports(runs[0].model.base, adapters)
    engine = fused.training_step if supported else autograd.training_step
    return engine(runs)


def train(
    model: AdaptedModel,
    rows: Sequence[Sequence[int]],
    targets: Sequence[int],
    schedule: Schedule,
    seed: int,
) -> None:
    """Train on rows of token ids with their classes.

    Raises:
        StrategyError: if the loss did not fall or the adapter changes no logit.
    """
    run = TrainingRun(model, rows, targets, schedule, seed)
    train_together([run])
    verify_learning(run)


def train_together(runs: Sequence[TrainingRun]) -> None:
    """Train several runs over one base, step by step; see `verify_learning`."""
    report_progress(0, sum(run.schedule.steps for run in runs), PROGRESS_LABEL)
    samples = [_check_sample(run) for run in runs]
    # As expensive as many steps, and of no use where the fit is only begun to see its pace.
    before = [
        inf if sampled() else run.model.loss(*s) for run, s in zip(runs, samples, strict=True)
    ]
    release_memory()  # of predictions by other models
    try:
        _run_steps(runs)
    finally:
        release_memory()
    for run, sample, loss in zip(runs, samples, before, strict=True):
        run.restore_best()
        run.model.learning = _check_learning(run.model, *sample, loss)


def _run_steps(runs: Sequence[TrainingRun]) -> None:
    tokens = 0
    with training_step(runs) as step:
        while unfinished := [run for run in runs if not run.finished]:
            batches = [(run, run.next_batch()) for run in unfinished]
            step(batches)
            for run in unfinished:
                run.apply_gradients()
            tokens += sum(len(run.rows[i]) for run, indices in batches for i in indices)
            if tokens >= RELEASE_EVERY_TOKENS:
                release_memory()
                tokens = 0
            done = sum(run.setup_steps + run.step for run in runs)
            total = sum(run.setup_steps + run.schedule.steps for run in runs)
            report_progress(done, total, PROGRESS_LABEL)


def _check_sample(run: TrainingRun) -> tuple[list[Sequence[int]], list[int]]:
    """Return evenly spread training rows with their classes."""
    indices = run.training_indices
    sample = indices[:: max(1, len(indices) // CHECK_ROWS)][:CHECK_ROWS]
    return [run.all_rows[i] for i in sample], [run.all_targets[i] for i in sample]


def _check_learning(
    model: AdaptedModel, rows: list[Sequence[int]], targets: list[int], loss_before: float
) -> LearningCheck:
    import torch

    logits = model.predict_logits(rows)
    with model.adapter.disable_adapter():
        without = model.predict_logits(rows)
    after = torch.nn.functional.cross_entropy(logits, torch.tensor(targets))
    return LearningCheck(loss_before, float(after), float((logits - without).abs().max()))


def verify_learning(run: TrainingRun) -> None:
    """Check that a finished training changed the model for the better.

    Raises:
        StrategyError: if the loss did not fall or the adapter changes no logit.
    """
    assert run.model.learning is not None
    before, after, effect = run.model.learning
    if not after < before:
        raise StrategyError(
            f"LoRA did not learn: the loss on its own rows went from {before:.4f} to {after:.4f}. "
            "Try a lower learning_rate, or more epochs."
        )
    if not effect > 1e-6:
        raise StrategyError(
            f"The adapter changes no answer: the largest change of a logit is {effect:.2g}, while "
            f"the loss went from {before:.4f} to {after:.4f}. Try a higher learning_rate."
        )
