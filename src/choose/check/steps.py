"""Rank what to do before a study, and list the rows that need a look."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf

from choose.check.lines import IN_QUESTION
from choose.check.measurements import Facts
from choose.check.targets import Targets
from choose.data.duplicates import count_conflicts
from choose.judge.decision.label_gates import CONFIRMED
from choose.judge.stats.paired import smallest_detectable_gain
from choose.schema.check import Issue, Step
from choose.schema.plan import USUAL

MOST_STEPS = 3

# Steps that affect less accuracy than this are left out.
LEAST = 0.002

# Kinds of personal data that give a reader access or money.
SECRETS = ("key or token", "payment card number")

# Numbers of added rows whose worth is told.
SIZES = (60, 200, 600, 2_000)


def steps_of(facts: Facts) -> tuple[Step, ...]:
    """Return at most three steps, the most valuable first.

    Secrets come first, then labels that the metric hides, which make other figures mislead, then
    what costs accuracy, by how much. Labelling more comes last: it never stands in the way of a
    first study.
    """
    labelled = bool(facts.dataset.task.labels)
    own = _of_labels(facts) if labelled else _of_targets(facts.targets)
    costly = [step for step in (*_leaks(facts), *own) if step.points >= LEAST]
    costly.sort(key=lambda step: -step.points)
    steps = (
        *_secrets(facts),
        *_metric(facts, labelled),
        *costly,
        *_rare(facts, labelled),
        *_test_rows(facts),
    )
    return steps[:MOST_STEPS]


def _secrets(facts: Facts) -> Iterator[Step]:
    if rows := {id for id, kind in facts.personal if kind in SECRETS}:
        yield Step(code="secrets", rows=tuple(sorted(rows)))


def _metric(facts: Facts, labelled: bool) -> Iterator[Step]:
    """Yield the step for labels that accuracy hides."""
    if labelled and facts.hidden:
        yield Step(code="metric", command=f"{facts.target} --metric balanced")


def _leaks(facts: Facts) -> Iterator[Step]:
    if facts.leaks and facts.test:
        ids = tuple(leak.id for leak in facts.leaks)
        yield Step(code="leaks", points=len(ids) / len(facts.test), rows=ids)


def _of_labels(facts: Facts) -> Iterator[Step]:
    conflicts = count_conflicts(facts.conflicts)
    if conflicts.texts:
        ids = tuple(e.id for same in facts.conflicts for e in same)
        yield Step(code="conflicts", points=conflicts.lost / len(facts.all), rows=ids)
    if (audit := facts.audit) is not None and audit.doubted:
        worth = CONFIRMED * audit.suspected / audit.rows
        if facts.study is not None and audit.gain is not None:
            worth = audit.gain.gain.value
        first = tuple(s.id for s in audit.doubted[:3])
        yield Step(code="doubted-labels", points=worth, rows=first)


def _rare(facts: Facts, labelled: bool) -> Iterator[Step]:
    """Yield the step for labels, or fields, that hardly any row has."""
    if not labelled:
        if rare := facts.targets.facts.rare:
            yield Step(code="rare-fields", names=rare)
    elif few := facts.balance.few:
        rows = sum(c.rows for c in facts.balance.counts if c.label in few)
        yield Step(code="rare-labels", points=rows / len(facts.all), names=few)


def _test_rows(facts: Facts) -> Iterator[Step]:
    reach = facts.reach
    if reach.usual is not None and reach.usual <= reach.margin:
        return
    all_rows = len(facts.all)
    independent = reach.independent / max(reach.rows, 1) * all_rows
    shows = reach.margin_rows is not None and independent >= reach.margin_rows
    if facts.test is None and reach.rows < all_rows and shows:
        yield Step(code="cross-validate", first=False)
        return
    most = inf if reach.margin_rows is None else reach.margin_rows
    sizes = [n for n in SIZES if 1.5 * reach.independent <= n < most][:2]
    gains = {n: smallest_detectable_gain(n, USUAL) or 1 for n in sizes}
    yield Step(code="more-rows", sizes=gains, first=False)


def _of_targets(targets: Targets) -> Iterator[Step]:
    """Yield what costs score, with the share of the rows that are concerned."""
    rows, facts = len(targets.rows), targets.facts
    if pairs := targets.unlike:
        ids = tuple(row for pair in pairs for row in (pair.row, pair.other))
        yield Step(code="contradictions", points=len(pairs) / rows, rows=ids, count=len(pairs))
    if facts.shapes:
        yield Step(code="shapes", points=min(shape.rows for shape in facts.shapes) / rows)
    for name, slips in facts.slips.items():
        yield Step(code="mixed-types", points=len(slips) / rows, rows=slips, names=(name,))
    if suspects := tuple(targets.suspects):
        points, fields = len(suspects) / rows, tuple(targets.invented)
        yield Step(code="values", points=points, rows=suspects, names=fields)
    yield from _of_documents(targets)
    if copied := tuple(targets.copied):
        yield Step(code="copies", points=len(copied) / rows, rows=copied)


def _of_documents(targets: Targets) -> Iterator[Step]:
    """Yield the steps of answers, and of the documents that they are in."""
    rows = len(targets.rows)
    if (audit := targets.corpus_audit) is not None:
        asked = max(len(audit.answered), 1)
        if audit.without:
            ids = tuple(audit.without)
            yield Step(code="not-in-documents", points=len(ids) / asked, rows=ids)
        if audit.repeated:
            count = audit.facts.repeated
            yield Step(code="same-documents", points=audit.share_of_repeated(), count=count)
    if (answers := targets.answers) is None:
        return
    if answers.absent:
        names, ids = (answers.facts.passage or "",), tuple(answers.absent)
        yield Step(code="not-in-passage", points=len(ids) / rows, rows=ids, names=names)
    if len(answers.asked) > IN_QUESTION * rows:
        ids = tuple(answers.asked)
        yield Step(code="in-question", points=len(ids) / rows, rows=ids)


def issues_of(facts: Facts) -> tuple[Issue, ...]:
    """List the rows that need a look, by id and without their texts."""
    labelled = bool(facts.dataset.task.labels)
    label = {e.id: e.target if labelled else "" for e in facts.all}
    leaks = (
        Issue(row=r.id, kind="leak", label=label[r.id], other=r.of, detail=r.likeness)
        for r in facts.leaks or ()
    )
    duplicates = (
        Issue(
            row=r.id,
            kind="near-duplicate" if r.likeness == "near" else "duplicate",
            label=label[r.id],
            other=r.of,
            detail=r.likeness,
        )
        for r in facts.duplicates
    )
    rare = (
        Issue(row=e.id, kind="rare label", label=e.target)
        for e in facts.all
        if e.target in facts.balance.few
    )
    personal = (
        Issue(row=id, kind="personal", label=label[id], detail=kind) for id, kind in facts.personal
    )
    if not labelled:
        return (*leaks, *facts.targets.issues(), *duplicates, *personal)
    suspects = _suspect_issues(facts)
    return (*leaks, *_conflict_issues(facts), *suspects, *duplicates, *rare, *personal)


def _conflict_issues(facts: Facts) -> Iterator[Issue]:
    for same in facts.conflicts:
        for row in same:
            other = next(e for e in same if e.target != row.target)
            yield Issue(
                row=row.id,
                kind="conflict",
                label=row.target,
                suggested=other.target,
                other=other.id,
            )


def _suspect_issues(facts: Facts) -> Iterator[Issue]:
    if facts.audit is None:
        return
    for suspect in facts.audit.doubted:
        yield Issue(
            row=suspect.id,
            kind="suspected label",
            label=suspect.label,
            suggested=suspect.suggested,
            detail=f"{suspect.score:.1f}",
        )
