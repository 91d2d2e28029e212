"""Whether the labels are what limits the candidates, and what settling the doubtful ones gains."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np

from choose.judge.answers import MISSING
from choose.judge.case import Case
from choose.judge.frozen import Interval
from choose.judge.intervals import wilson
from choose.judge.labelling import priced
from choose.judge.record_audit import Audit, RelabelGain
from choose.judge.words import listed, of_100, per_cent, plural, points

# Of rows flagged in ten public sets, people found this share to be wrong (Northcutt et al. 2021).
CONFIRMED = 0.51

# Ids that a sentence names.
NAMED = 5

# Where nobody checked the labels, as many as this may be wrong: far above the 3.3 % that public
# test sets average (Northcutt et al. 2021).
UNCHECKED = 0.2


def labels_limit(case: Case) -> Literal["target", "short", "errors"] | None:
    """Say whether the labels limit the best candidate, and what shows it.

    ``target``: the target lies above the whole band of what such labels allow, and the best
    candidate is already up to that band. ``short``: none reaches the target by the labels as given,
    and with as few wrong labels as can be, settled in its favour, the best would. ``errors``: the
    wrong labels are more than half of the best candidate's errors, both at the ends that speak
    against it.
    """
    noise = case.audit.noise if case.audit else None
    # A share of wrong labels is one of rows: it bounds no other measure.
    if noise is None or not case.field.rule.measure.by_rows:
        return None
    best, target = case.field.accuracies[case.field.leader], case.field.rule.target
    assert best.low is not None
    assert best.high is not None
    if target is not None and target > 1 - noise.low and best.high >= 1 - noise.high:
        return "target"
    if not case.settlement.reachable and target is not None and best.value + noise.low >= target:
        return "short"
    return "errors" if noise.low > (1 - best.low) / 2 else None


def may_hide_success(case: Case) -> bool:
    """Return whether none reaches the target as measured, and wrong labels may be the reason.

    By right labels the best gets at most as much more right as labels are wrong; where rows count
    otherwise, nothing bounds it.
    """
    target = case.field.rule.target
    if case.settlement.reachable or target is None:
        return False
    if not case.field.rule.measure.by_rows:
        return True
    high = max(found.high or 0.0 for found in case.field.accuracies.values())
    return high + _most_wrong(case.audit) >= target


def _most_wrong(audit: Audit | None) -> float:
    """Return how many labels may be wrong at most; contradictions bound it where nothing else."""
    if audit is None or not audit.auditors:
        return UNCHECKED
    if audit.noise is not None:
        return audit.noise.high
    return wilson(audit.contradicted, audit.rows)[1]


def limit_sentence(case: Case) -> str:
    """Say in what way the labels limit; only where they do."""
    shown = labels_limit(case)
    assert shown is not None
    assert case.audit is not None
    assert case.audit.noise is not None
    noise, leader = case.audit.noise, case.field.leader
    wrong = f"{per_cent(noise.low)} to {per_cent(noise.high)} % of the labels seem wrong"
    if shown == "target":
        assert case.field.rule.target is not None
        return (
            f"{wrong}, so that answers without a mistake would get at most "
            f"{of_100(1 - noise.low)} right, and the target is {of_100(case.field.rule.target)}."
        )
    best = case.field.accuracies[leader].value
    if shown == "short":
        assert case.field.rule.target is not None
        return (
            f"{wrong}; the best, {leader}, gets {of_100(best)} right by the labels as given, and "
            f"may well get {of_100(case.field.rule.target)} right by better ones."
        )
    return f"{wrong}, and the best, {leader}, gets only {of_100(1 - best)} wrong."


def audited(case: Case) -> Audit | None:
    """Return the audit, with what settling the suspected rows would gain."""
    return case.audit and case.audit.model_copy(update={"gain": _gain(case.audit, case)})


def _gain(audit: Audit, case: Case) -> RelabelGain | None:
    """Return the change in measured accuracy of the candidate in use, if it can be estimated.

    At most every suggestion is right; as a rule `CONFIRMED` of them are; at least the band's low
    end of all labels is wrong.
    """
    rows, table = case.field.panel.rows, case.field.panel[case.name].main
    code = {label: i for i, label in enumerate(rows.labels)}
    suspects = [s for s in audit.suspects[: audit.suspected] if s.id in rows.index]
    by_rows = case.field.rule.measure.by_rows
    if audit.noise is None or table is None or not suspects or not by_rows:
        return None
    place = [rows.index[s.id] for s in suspects]
    outputs = np.ma.masked_equal(table.outputs[place], MISSING)
    better = outputs == np.array([[code[s.suggested]] for s in suspects])
    worse = outputs == np.array([[code[s.label]] for s in suspects])
    each = better.mean(axis=1).filled(0.0) - worse.mean(axis=1).filled(0.0)
    most = float(each.sum()) / int(table.kept.sum())
    if most <= 0:
        return None
    likely = CONFIRMED * most
    least = min(audit.noise.low * float(each.mean()), likely)
    return RelabelGain(
        candidate=case.name,
        rows=len(suspects),
        gain=Interval(value=likely, low=least, high=most, estimand="measured accuracy"),
    )


def relabel(case: Case) -> Iterator[str]:
    """Yield which rows to look at first, and what that is worth."""
    if case.audit is None:
        return
    suspects = case.audit.suspects[: case.audit.suspected]
    if not suspects:
        return
    named = [s.id for s in suspects[:NAMED]]
    more = ["others"] if len(suspects) > NAMED else []
    found = _gain(case.audit, case)
    worth = (
        f"worth about {points(found.gain.value)} of measured accuracy to {found.candidate}, "
        f"{points(found.gain.high)} at most"
        if found and found.gain.high is not None
        else "what that is worth is not known"
    )
    yield (
        f"Look at the labels of the {plural(len(suspects), 'most doubted row')} "
        f"({listed([*named, *more])}): {worth}{priced(case.field.rule, len(suspects))}."
    )
