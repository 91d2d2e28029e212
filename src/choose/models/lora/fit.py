"""Fit adapters with their classification heads, and verify that they learnt."""

from __future__ import annotations

from collections.abc import Sequence

from choose.errors import StrategyError
from choose.models.hardware.memory import give_back
from choose.models.lora.fused.engine import lane
from choose.models.lora.model import Tuned
from choose.models.lora.training import TRAINING, Course, Plan
from choose.progress import report_progress

PROOF_ROWS = 48


# Tokens learnt after which freed memory is given back: seldom enough to cost nothing, and often
# enough, since the longer a step's texts are the more of it they leave.
GIVE_BACK = 2_400


def train(
    tuned: Tuned, rows: Sequence[Sequence[int]], targets: Sequence[int], plan: Plan, seed: int
) -> None:
    """Train on rows of token ids with their classes, and prove that something was learnt.

    Raises:
        StrategyError: if the loss did not fall or the adapter changes no logit.
    """
    course = Course(tuned, rows, targets, plan, seed)
    train_several([course])
    believe(course)


def _train(courses: Sequence[Course]) -> None:
    learnt = 0
    with lane(courses) as step:
        while going := [course for course in courses if not course.over]:
            taken = [(course, course.take()) for course in going]
            step(taken)
            for course in going:
                course.move()
            learnt += sum(len(course.rows[place]) for course, places in taken for place in places)
            if learnt >= GIVE_BACK:
                give_back()
                learnt = 0
            done = sum(c.reading + c.step for c in courses)
            report_progress(done, sum(c.reading + c.plan.steps for c in courses), TRAINING)


def train_several(courses: Sequence[Course]) -> None:
    """Train several trials over one base side by side, step by step; see `believe`."""
    shown = [_shown(course) for course in courses]
    before = [course.tuned.loss(*own) for course, own in zip(courses, shown, strict=True)]
    give_back()  # what was asked of other models before
    try:
        _train(courses)
    finally:
        give_back()
    for course, own, loss in zip(courses, shown, before, strict=True):
        course.end()
        course.tuned.proof = _proof(course.tuned, own, loss)


def _shown(course: Course) -> tuple[list[Sequence[int]], list[int]]:
    """Return some of the rows that are learnt, with their classes."""
    learnt = course.learnt
    sample = learnt[:: max(1, len(learnt) // PROOF_ROWS)][:PROOF_ROWS]
    return [course.all_rows[i] for i in sample], [course.all_targets[i] for i in sample]


def _proof(
    tuned: Tuned, shown: tuple[list[Sequence[int]], list[int]], before: float
) -> tuple[float, float, float]:
    import torch

    rows, targets = shown
    logits = tuned.ask(rows)
    with tuned.adapter.disable_adapter():
        without = tuned.ask(rows)
    after = torch.nn.functional.cross_entropy(logits, torch.tensor(targets))
    return before, float(after), float((logits - without).abs().max())


def believe(course: Course) -> None:
    """Check the proof of a training.

    Raises:
        StrategyError: if the loss did not fall or the adapter changes no logit.
    """
    assert course.tuned.proof is not None
    before, after, effect = course.tuned.proof
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
