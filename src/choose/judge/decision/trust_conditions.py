"""The gates of a verdict: conditions that pass, fail or are unknown, each with its figure.

PASS and FAIL need the whole interval on that side; anything else is UNKNOWN, and so is what was
not measured, with the reason.
"""

from collections.abc import Iterator

import numpy as np

from choose.judge.decision.candidates import Candidates
from choose.judge.decision.rule import Case
from choose.judge.evidence import strong
from choose.judge.measures.scorecard import drop_of
from choose.judge.scores.score_tables import MISSING, StudyScores
from choose.schema.decision import (
    DOMINANT,
    PART_OF_EVEN,
    RARE,
    Gate,
    GateCode,
    GateStatus,
    RareLabel,
)
from choose.schema.diagnosis import Audit, RelabelGain
from choose.stats import Estimate
from choose.stats.intervals import clopper_pearson, wilson

# With fewer test rows, the figures of a label are unreliable.
SUPPORT = 5

# Conflicting labels above this share, for certain, limit what can be reached.
CONFLICTS = 0.05

# Wrong labels in public test sets average above 3 % (Northcutt et al. 2021); more than this is bad.
WRONG = 0.05

LABELS_CLEAN_ENOUGH, TASK_STABLE = "labels clean enough", "task stable"

# Of rows flagged in ten public sets, people found this share to be wrong (Northcutt et al. 2021).
CONFIRMED = 0.51

# Share of labels that may be wrong without an audit: far above the 3.3 % that public
# test sets average (Northcutt et al. 2021).
UNCHECKED = 0.2


def rare_labels(case: Case) -> tuple[RareLabel, ...]:
    """Return the labels that the study's metric hardly counts, the rarest first.

    Only plain accuracy overlooks them: with labels weighted equally, or errors by their costs,
    there is none. Labels of which the named candidate answered fewer than `SUPPORT` rows are not
    among them: no metric can judge these.
    """
    candidates = case.candidates
    rows = candidates.scores.rows
    if not candidates.rule.by_rows:
        return ()
    support = np.bincount(rows.targets, minlength=len(rows.labels))
    shares = support / len(rows.targets)
    few = shares <= min(RARE, PART_OF_EVEN / len(rows.labels))
    if shares.max() > DOMINANT:
        few |= shares == shares[support >= SUPPORT].min()
    codes = np.flatnonzero((support >= SUPPORT) & few).tolist()
    codes.sort(key=lambda code: support[code])
    labels = (_rare_label(case, code, tested=len(codes)) for code in codes)
    return tuple(label for label in labels if label.answered >= SUPPORT)


def _rare_label(case: Case, code: int, *, tested: int) -> RareLabel:
    """Return how many rows of a label are found, of those that the candidate in use answered.

    It is missed where that is sure of all labels `tested` together (Bonferroni). Its own figure is
    first, then those of the best finders. Candidates that answered fewer rows are left out: their
    figures are of other rows.
    """
    rows, named = case.candidates.scores.rows, case.candidates.scores[case.named].main
    assert named is not None
    asked, of_label = named.complete, named.complete & (rows.targets == code)
    found = {
        c.info.name: float((t.outputs[of_label][:, t.whole] == code).sum(axis=0).mean())
        for c in case.candidates.order
        if (t := c.main) is not None and not (asked & ~t.complete).any()
    }
    order = sorted(found, key=lambda name: (name != case.named, -found[name]))
    answered, own = int(of_label.sum()), case.candidates.accuracies[case.named].value
    most = clopper_pearson(round(found[case.named]), answered, error=0.05 / tested)[1]
    return RareLabel(
        label=rows.labels[code],
        rows=int((rows.targets == code).sum()),
        share=float((rows.targets == code).mean()),
        answered=answered,
        found={name: found[name] for name in order},
        missed=most < own - case.margin,
    )


def task_stable(scores: StudyScores, name: str, margin: float) -> Gate | None:
    """Judge one candidate's loss over time, or else on other sources, against the margin.

    None where neither was measured, and for what reads nothing, which no training rows change.
    """
    if scores[name].info.floor:
        return None
    over_time = drop_of(scores[name])
    drop = over_time or drop_of(scores[name], "source")
    if drop is None:
        return None
    return Gate(
        name=TASK_STABLE,
        status="pass" if drop.high < margin else "fail" if drop.low > margin else "unknown",
        code="drift" if over_time else "sources",
        names=(name,),
        count=drop.rows,
        value=drop.negated().estimate(),
        limit=margin,
    )


def conflicts_fail(conflicting: int, rows: int) -> bool:
    """Return whether the share of texts with two labels certainly exceeds `CONFLICTS`."""
    return bool(conflicting) and wilson(conflicting, rows)[0] > CONFLICTS


def labels_clean_enough(audit: Audit | None, conflicting: int, rows: int) -> Gate:
    """Judge the share of wrong labels, and of texts with two labels, against their limits."""
    band = audit.noise if audit else None
    status: GateStatus = "unknown"
    if conflicts_fail(conflicting, rows) or (band is not None and band.low > WRONG):
        status = "fail"
    elif band is not None and band.high < WRONG:
        status = "pass"
    return Gate(
        name=LABELS_CLEAN_ENOUGH,
        status=status,
        code="labels",
        count=conflicting,
        total=rows,
        limit=WRONG,
    )


def may_hide_success(case: Case) -> bool:
    """Return whether wrong labels may be why no candidate reaches the target.

    Correct labels raise an accuracy by at most the share of wrong ones; other metrics have no
    such bound.
    """
    target = case.candidates.rule.target
    if case.reachable or target is None:
        return False
    if not case.candidates.rule.by_rows:
        return True
    high, wrong = max(one.high or 0.0 for one in case.candidates.accuracies.values()), UNCHECKED
    if (audit := case.audit) and audit.auditors:
        wrong = audit.noise.high if audit.noise else wilson(audit.contradicted, audit.rows)[1]
    return high + wrong >= target


def audit_with_gain(case: Case) -> Audit | None:
    return case.audit and case.audit.model_copy(update={"gain": relabelling_gain(case.audit, case)})


def relabelling_gain(audit: Audit, case: Case) -> RelabelGain | None:
    """Return the change in measured accuracy of the candidate in use, if it can be estimated.

    At most every suggestion is right; as a rule `CONFIRMED` of them are; at least the band's low
    end of all labels is wrong.
    """
    rows, table = case.candidates.scores.rows, case.candidates.scores[case.named].main
    code = {label: i for i, label in enumerate(rows.labels)}
    suspects = [s for s in audit.doubted if s.id in rows.index]
    if audit.noise is None or table is None or not suspects or not case.candidates.rule.by_rows:
        return None
    outputs = np.ma.masked_equal(table.outputs[[rows.index[s.id] for s in suspects]], MISSING)
    better = outputs == np.array([[code[s.suggested]] for s in suspects])
    worse = outputs == np.array([[code[s.label]] for s in suspects])
    each = better.mean(axis=1).filled(0.0) - worse.mean(axis=1).filled(0.0)
    most = float(each.sum()) / int(table.complete.sum())
    if most <= 0:
        return None
    likely = CONFIRMED * most
    least = min(audit.noise.low * float(each.mean()), likely)
    return RelabelGain(
        candidate=case.named,
        rows=len(suspects),
        gain=Estimate(value=likely, low=least, high=most, estimand="measured"),
    )


def gates_of(case: Case) -> Iterator[Gate]:
    rows = case.rows
    yield _adequate(case)
    if rows.labels:
        yield labels_clean_enough(case.audit, int(rows.conflicting.sum()), len(rows.targets))
    if stable := task_stable(case.candidates.scores, case.named, case.margin):
        yield stable


def _adequate(case: Case) -> Gate:
    """Judge whether the test rows detect a gain of the margin, or detected the one that decided."""
    name = "labelled set adequate"
    difference, rival = case.lead, case.rival
    if difference is None or rival is None:
        return Gate(name=name, status="unknown", code="alone")
    code: GateCode = "detects-none" if case.detectable is None else "detects"
    if case.sure and code == "detects-none":
        code = "decided"
    detects = case.detectable is not None and case.detectable <= case.margin
    return Gate(
        name=name,
        status="pass" if detects or case.sure else "fail",
        code=code,
        names=(case.named, rival),
        count=difference.rows,
        share=case.detectable,
        limit=case.margin,
    )


def credible(candidates: Candidates) -> bool:
    """Return whether a prompted model was strong enough to represent prompting.

    It beats every reference by the margin. Where documents are ranked, more than one embedder was
    tried.
    """
    if candidates.ranks:
        return len({m.info.model for m in candidates.order if m.info.model}) > 1
    prompted = [m.info for m in candidates.order if m.info.family in ("prompting", "retrieval")]
    able = [info.name for info in prompted if strong(info)]
    if not able:
        return False
    best = max(able, key=lambda name: candidates.accuracies[name].value)
    leads = [candidates.gain(best, floor) for floor in candidates.floors]
    by_margin = all(lead and lead.value >= candidates.rule.margin for lead in leads)
    return by_margin and not candidates.unbeaten(best)
