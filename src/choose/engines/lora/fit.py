"""Fit adapters by the fused engine or by autograd, and verify the learning."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from math import inf
from time import perf_counter
from typing import Any

from choose.engines.hardware.batch_limits import (
    halvings,
    memory_notes,
    release_memory,
    within_memory,
)
from choose.engines.lora.fused import training_step as fused
from choose.engines.lora.model import Base, attention_layers, seeded
from choose.engines.lora.training_run import (
    PROGRESS_LABEL,
    RunBatches,
    Step,
    TrainingRun,
    compute_for_training,
)
from choose.errors import StrategyError
from choose.progress import decided_in_time, report_progress, seconds_left, seconds_to_aim
from choose.types import ROWS_READ, SHARE_READ

# Trained tokens after which freed memory is released: seldom enough to cost nothing, and often
# enough, since the longer a step's texts are the more of it they leave.
RELEASE_EVERY_TOKENS = 2_400

# Steps after which a training's pace is known, the first of which sets up; rows that a shortened
# one sees at least or all: so many, or as many as it reads in this share of the time that is left.
# Where that share is less than the last figure, a late one that writes makes a single step.
FIRST_STEPS, LEAST_ROWS, LATE_SHARE, LEAST_SECONDS = 3, 128, 0.02, 2.0

# Rows that are enough where others wait, or all: somewhat more than the 500 that are aimed at.
ENOUGH_ROWS = 528

# What it takes to embed a row, of what training on it takes.
EMBEDS = 0.12

# A shortened training ends with its first pass where it could read no more than this share again.
MORE = 0.3

# More than any trial has steps: separates the random seeds of trials.
MAX_STEPS = 10**6

# Halvings of a batch after which layers are computed again in backward: smaller batches cost less.
CHECKPOINT_AFTER = 2


def trains_together(base: Base) -> bool:
    """Return whether runs over a base share its products, so that training them together pays."""
    return fused.supports(base.model)


def engine_notes(base: Base, targets: str) -> list[str]:
    """Return how a base is held and what about it is trained in a slower or another way."""
    kind = type(base.model).__name__
    notes = memory_notes(base.device)
    if base.causal and not trains_together(base):
        notes.append(f"{kind} is trained by autograd, which is slower than layers written by hand.")
    if targets == "attention" and attention_layers(base) is None:
        notes.append(f"PEFT knows no query and value layers of {kind}: all layers have adapters.")
    return notes


def training_step(runs: Sequence[TrainingRun]) -> AbstractContextManager[Step]:
    """Return the context of a function that computes one step's gradients for runs over one base.

    The function takes some of the runs, each with the row indices of its batch.
    """
    # A model whose own weights are trained is no PEFT model.
    peft = all(hasattr(run.model.adapter, "peft_config") for run in runs)
    if peft and trains_together(runs[0].model.base):
        return fused.training_step(runs)
    return nullcontext(AutogradEngine(runs).step)


def train_together(runs: Sequence[TrainingRun]) -> None:
    """Train several runs over one base, step by step."""
    report_progress(0, sum(run.schedule.steps for run in runs), PROGRESS_LABEL)
    for run in runs:
        run.start_check()
        run.model.reader = None  # of weights that are about to change
    release_memory()  # of predictions by other models
    try:
        _run_steps(runs)
    finally:
        release_memory()
    for run in runs:
        if run.planned_steps:
            decided_in_time(SHARE_READ, run.step / run.planned_steps, 1.0)
            decided_in_time(ROWS_READ, run.rows_read, inf)
        run.restore_best()
        run.finish_check()


def _run_steps(runs: Sequence[TrainingRun]) -> None:
    tokens, work, since, before = 0, 0.0, perf_counter(), 0.0
    shorten(runs, 1.0, inf)  # neither is known
    with training_step(runs) as step:
        while unfinished := [run for run in runs if not run.finished]:
            batches = [(run, run.next_batch()) for run in unfinished]
            within_memory(runs[0].model.base.device, partial(step, batches))
            for run in unfinished:
                run.apply_gradients()
            tokens += sum(len(run.rows[i]) for run, indices in batches for i in indices)
            if tokens >= RELEASE_EVERY_TOKENS:
                release_memory()
                tokens = 0
            work += sum(_share_of_step(run, indices) for run, indices in batches)
            total = sum(run.schedule.steps for run in runs)
            done = total if all(run.finished for run in runs) else min(work, total)
            report_progress(done, total, PROGRESS_LABEL, at_most=seconds_to_aim() < inf)
            steps = max(run.step for run in runs)
            seconds = perf_counter() - since
            shorten(runs, seconds / max(1, steps - 1), (total - done) * seconds / (work - before))
            if steps == 1:  # which sets up: those after it tell the pace
                since, before = perf_counter(), work


def shorten(runs: Sequence[TrainingRun], pace: float, rest: float) -> None:
    """Shorten schedules that would end after what is aimed at.

    `pace` are the seconds of a step, `rest` those of the steps that are left, as forecast; after
    the first one, set-up and all. They count then only if the aim has passed. Before it they are
    not known; a head has to learn before its adapter can.
    """
    step = max(run.step for run in runs)
    after = [EMBEDS * pace * len(r.rows) / r.schedule.batch_size for r in runs if r.embeds_after]
    needed = sum(after) if step >= FIRST_STEPS else 0.0
    left, soon = (max(0.0, seconds_to_aim(enough) - needed) for enough in (False, True))
    last = whole = max(run.schedule.steps for run in runs)
    hurried = step == 0 and LATE_SHARE * seconds_left() < LEAST_SECONDS
    single = hurried and not any(r.embeds_after or r.model.head_parameters for r in runs)
    late = not left and (step > 0 or single)
    if min(left, soon) < rest and (step >= FIRST_STEPS or late):
        least = max(-(-min(len(r.rows), LEAST_ROWS) // r.schedule.batch_size) for r in runs)
        most = step + LATE_SHARE * seconds_left() / pace
        asked = (-(-min(len(r.rows), ENOUGH_ROWS) // r.schedule.batch_size) for r in runs)
        enough = max(step + soon / pace, *asked)
        last = int(min(whole, max(min(least, most), min(enough, step + max(1.0, left / pace)))))
        once = max(run.steps_per_pass for run in runs)
        last = once if step < once <= last < (1 + MORE) * once else last
    last = int(decided_in_time(f"steps after step {step}", last, whole))
    for run in (run for run in runs if not run.finished):
        run.shorten(last)


def _share_of_step(run: TrainingRun, indices: Sequence[int]) -> float:
    """Return a batch's tokens over those of an average one: batches are of similar lengths."""
    average = run.schedule.batch_size * sum(map(len, run.rows)) / len(run.rows)
    return sum(len(run.rows[index]) for index in indices) / average


def train(run: TrainingRun) -> None:
    """Train one run; see `verify_learning`."""
    train_together([run])
    verify_learning(run)


def verify_learning(run: TrainingRun) -> None:
    """Check that a finished training changed the model for the better.

    Raises:
        StrategyError: if the loss did not fall or no output changed.
    """
    assert run.model.learning is not None
    before, after, effect = run.model.learning
    if not after < before:
        raise StrategyError(
            f"Training did not learn: the loss on its own rows went from {before:.4f} to "
            f"{after:.4f}. Try a lower learning_rate, or more epochs."
        )
    if not effect > 1e-6:
        raise StrategyError(
            f"Training changes no answer: the largest change of {run.output} is {effect:.2g}, "
            f"while the loss went from {before:.4f} to {after:.4f}. Try a higher learning_rate."
        )


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
            # By trial and step, so that dropout does not depend on the other runs.
            base, tokens = run.model.base, sum(len(run.rows[i]) for i in indices)
            seed = seeded(MAX_STEPS * run.seed + run.step, base.device)
            with seed, base.steps["autograd"].step(tokens):
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
        for loss in compute_for_training(run.losses(batch), model.base):
            loss.backward()  # type: ignore[no-untyped-call]
