"""The kind of a verdict: adopt, baseline is enough, none works, and the rest.

`kind_of` tries the conditions in order; each is a function below it, such as
`wrong_labels_limit`, which makes it ``fix-labels``. The documentation quotes their docstrings.
"""

from typing import Literal

import numpy as np

from choose.judge.decision.more_labels import steepest_gain
from choose.judge.decision.rule import Case
from choose.schema.decision import SMALL_LOSS
from choose.schema.diagnosis import SURELY, NoiseBand
from choose.stats import Estimate
from choose.stats.intervals import wilson
from choose.types import Kind

# Doublings of the labels within which a rising curve may be hoped to reach a target.
DOUBLINGS = 2


def kind_of(case: Case) -> Kind:
    if case.candidates.nearest is not None:
        return "none-works"
    satisfied = case.sure and case.target in ("met", "none")
    if (conflicts_limit(case) or doubted_labels_limit(case)) and not satisfied:
        return "fix-labels"
    if not case.reachable:
        return "collect-labels" if may_grow(case) else "none-works"
    if case.missing:
        return "incomplete"
    if not case.chances.usable:
        grows = steepest_gain(case.candidates, case.candidates.names) is not None
        return "collect-labels" if grows else "none-works"
    if (limit := documents_limit(case)) is not None:
        return limit
    if case.candidates.scores.searched is not None:
        return "incomplete"
    if not case.sure or case.target == "missed":
        return _undecided(case)
    return "baseline-is-enough" if case.family == "baseline" else "adopt"


def conflicts_limit(case: Case) -> bool:
    """Return whether most errors are on texts that have two labels, for certain."""
    table = case.candidates.scores[case.named].main
    assert table is not None
    if not table.rows.labels:
        return False
    wrong = (table.answers == table.rows.targets[table.complete][:, None]).mean(axis=1) < 0.5
    errors = int(wrong.sum())
    conflicting = int((wrong & table.rows.conflicting[table.complete]).sum())
    return errors > 0 and wilson(conflicting, errors)[0] > 0.5


def doubted_labels_limit(case: Case) -> bool:
    noise = case.audit.noise if case.audit else None
    # A share of wrong labels counts rows: it bounds no other metric.
    if noise is None or not case.candidates.rule.by_rows:
        return False
    best, target = case.candidates.accuracies[case.candidates.leader], case.candidates.rule.target
    corrected = None if case.reachable else best.value + noise.low
    return wrong_labels_limit(noise, best, target=target, corrected=corrected)


def wrong_labels_limit(
    wrong: NoiseBand, best: Estimate, *, target: float | None, corrected: float | None
) -> bool:
    """Return whether wrong labels limit the best candidate, in one of three ways.

    The target lies above the whole band of what such labels allow, and the best candidate already
    reaches that band. Or no candidate reaches the target with these labels, and the best one would
    if the fewest possible wrong labels were corrected. Or wrong labels are more than half of the
    errors of the best candidate, at conservative bounds.
    """
    # `best` is an accuracy by the given labels, `corrected` that by correct ones, or None where
    # some candidate reaches the target.
    assert best.low is not None
    assert best.high is not None
    if target is not None and target > 1 - wrong.low and best.high >= 1 - wrong.high:
        return True
    if target is not None and corrected is not None and corrected >= target:
        return True
    return wrong.low > (1 - best.low) / 2


def may_grow(case: Case) -> bool:
    """Return whether some candidate may reach the target with more labels.

    Its last gain per doubling is extended by two doublings; curves flatten, so this is a reason to
    look and no forecast.
    """
    candidates, target = case.candidates, case.candidates.rule.target
    learners = tuple(c.info.name for c in candidates.order if not c.info.constant)
    growth = steepest_gain(candidates, learners)
    if target is None or growth is None:
        return False
    a_doubling = growth.gained.value / np.log2(growth.labels / growth.fewer)
    return bool(candidates.accuracies[growth.candidate].value + DOUBLINGS * a_doubling >= target)


def documents_limit(case: Case) -> Literal["fix-documents", "fix-retrieval"] | None:
    """Return whether documents or retrieval limit what is named more than reading does.

    The documents do where more questions have an answer that occurs nowhere than points are lost
    for any other cause; retrieval does where it surely loses most.
    """
    split = next((s for s in case.splits if s.candidate == case.named), None)
    if split is None or len(case.candidates.families) < 2 or target_met(case):
        return None
    first, missing = split.gaps[0], case.without_evidence
    if missing is not None and missing.value > max(case.margin, first.loss.value):
        return "fix-documents" if (missing.low or 0.0) > case.margin else None
    sure = first.largest >= SURELY and (first.loss.low or 0.0) > case.margin
    return "fix-retrieval" if first.name == "retrieval" and sure else None


def target_met(case: Case) -> bool:
    return case.sure and case.target == "met"


def _undecided(case: Case) -> Kind:
    """Return what the loss makes of a question without an answer that is sure and good enough.

    Little is at stake, or answers are missing that would tell, or only more labelled rows would.
    """
    if not case.sure and case.chances.loss < SMALL_LOSS:
        return "too-close"
    left = case.unbegun or case.unfinished or case.planned_runs
    return "incomplete" if case.would_tell or (case.sure and left) else "collect-labels"
