"""Which of the six verdicts it is."""

from __future__ import annotations

import numpy as np

from choose.judge.case import Case
from choose.judge.forecasts import likely
from choose.judge.growth import COARSE, rising
from choose.judge.intervals import wilson
from choose.judge.label_limit import labels_limit
from choose.judge.more_labels import nearest, unknown
from choose.judge.record import Kind
from choose.judge.settling import asked_too_few, lead

# Doublings of the labels within which a rising curve may be hoped to reach a target.
DOUBLINGS = 2


def kind_of(case: Case) -> Kind:
    """Return the verdict's kind."""
    settlement = case.settlement
    limited = conflicts_limit(case) is not None or labels_limit(case) is not None
    if limited and not _content(case):
        return "fix-labels"
    if not settlement.reachable:
        return "collect-labels" if may_grow(case) else "none-works"
    if settlement.chosen is None:
        return "collect-labels" if _too_few_labels(case) else "too-close"
    if case.field.panel[settlement.chosen].info.strategy == "majority":
        grows = rising(case.field, case.field.names) is not None
        return "collect-labels" if grows else "none-works"
    if settlement.target == "missed":
        return "too-close"
    measured = {case.field.family(name) for name in case.field.names}
    is_baseline = case.field.family(settlement.chosen) == "baseline"
    if is_baseline and settlement.target != "open" and len(measured) > 1:
        return "baseline-is-enough"
    return "adopt"


def _content(case: Case) -> bool:
    return case.settlement.chosen is not None and case.settlement.target in ("met", "none")


def conflicts_limit(case: Case) -> tuple[int, int] | None:
    """Return (errors on texts with two labels, errors) if those are most errors for certain."""
    table = case.field.panel[case.name].main
    assert table is not None
    exact = table.answers == table.rows.targets[table.kept][:, None]
    wrong = exact.mean(axis=1) < 0.5
    errors, conflicting = int(wrong.sum()), int((wrong & table.rows.conflicting[table.kept]).sum())
    if not errors or wilson(conflicting, errors)[0] <= 0.5:
        return None
    return conflicting, errors


def may_grow(case: Case) -> bool:
    """Return whether some candidate is likely to reach the target with more labels.

    Its fitted curve says so. Where none may be fitted, two more doublings like the last one decide:
    the gain since a pool of half the size is taken per doubling; curves flatten, so that this is a
    reason to look and no forecast.
    """
    target, best = case.field.rule.target, nearest(case.field)
    if best is not None and likely(best.target):
        return True
    found = rising(case.field, unknown(case.field))
    if target is None or found is None:
        return False
    a_doubling = found.gained.value / np.log2(found.labels / found.fewer)
    return bool(case.field.accuracies[found.candidate].value + DOUBLINGS * a_doubling >= target)


def _too_few_labels(case: Case) -> bool:
    contenders = (case.name, *case.settlement.rivals)
    if rising(case.field, contenders) is not None:
        return True
    found = lead(case.field, case.settlement)
    if found is None or found.luck >= 0.5:
        return False
    if asked_too_few(found, case.stake, len(case.field.panel.rows.targets)):
        return False  # what is missing is time, not labels
    by_rows = case.detectable_by_rows
    return by_rows is None or by_rows > COARSE * case.stake
