"""Rank what to do before a study, and list the rows that need a look."""

from __future__ import annotations

from collections.abc import Iterator

from choose.check.measurements import Facts
from choose.data.duplicates import count_conflicts
from choose.errors import quoted, quoted_list, rows_named
from choose.formatting import plural, points, rounded
from choose.judge.decision.label_gates import CONFIRMED
from choose.schema.check import Issue, Step

MOST_STEPS = 3

# Steps that affect less accuracy than this are left out.
LEAST = 0.002

# Kinds of personal data that give a reader access or money.
SECRETS = ("key or token", "payment card number")

# Rows that a label needs before its accuracy means anything.
ROWS_PER_LABEL = 20

# Characters of a label.
LABEL = 28


def steps_of(facts: Facts) -> tuple[Step, ...]:
    """Return at most three steps: secrets first, then by the accuracy that is affected."""
    steps = [
        *_fix_leaks(facts),
        *_fix_conflicts(facts),
        *_review_labels(facts),
        *_add_test_rows(facts),
        *_add_rare_labels(facts),
    ]
    steps = [step for step in steps if step.points >= LEAST]
    steps.sort(key=lambda step: -step.points)
    return (*_remove_secrets(facts), *steps)[:MOST_STEPS]


def _remove_secrets(facts: Facts) -> Iterator[Step]:
    rows = {id for id, kind in facts.personal if kind in SECRETS}
    if rows:
        yield Step(
            says=(
                f"Remove what looks like keys or card numbers from {plural(len(rows), 'row')} "
                f"({rows_named(sorted(rows))}) before any text leaves this machine, and revoke "
                "the keys."
            ),
            points=0.0,
        )


def _fix_leaks(facts: Facts) -> Iterator[Step]:
    if not facts.leaks or facts.test is None:
        return
    share = len(facts.leaks) / len(facts.test)
    yield Step(
        says=(
            f"Replace the test rows that repeat training rows ({len(facts.leaks):,}: "
            f"{rows_named(leak.id for leak in facts.leaks)}), or split the data by group. They "
            f"inflate accuracies measured elsewhere by up to {points(share)}."
        ),
        points=share,
    )


def _fix_conflicts(facts: Facts) -> Iterator[Step]:
    conflicts = count_conflicts(facts.conflicts)
    if not conflicts.texts:
        return
    share = conflicts.lost / len(facts.all)
    ids = [e.id for same in facts.conflicts for e in same]
    yield Step(
        says=(
            f"Choose one label for {plural(conflicts.texts, 'text')} with several "
            f"({rows_named(ids)}): they cost every candidate at least {points(share)}."
        ),
        points=share,
    )


def _review_labels(facts: Facts) -> Iterator[Step]:
    audit = facts.audit
    if audit is None or not audit.suspected:
        return
    share = CONFIRMED * audit.suspected / audit.rows
    first = [s.id for s in audit.suspects[: min(audit.suspected, 3)]]
    boundary = ""
    if audit.overlaps and len(facts.balance.counts) > 2:
        pair = audit.overlaps[0]
        boundary = (
            f" First define the boundary between {quoted(pair.a, LABEL)} and "
            f"{quoted(pair.b, LABEL)}, which {plural(pair.doubted, 'doubted row')} may confuse."
        )
    yield Step(
        says=(
            f"Review the {plural(audit.suspected, 'most doubtful label')}, starting with "
            f"{rows_named(first)}. Typically half of such labels are wrong, here about "
            f"{points(share)}.{boundary}"
        ),
        points=share,
    )


def _add_test_rows(facts: Facts) -> Iterator[Step]:
    reach = facts.reach
    missing = (reach.usual if reach.usual is not None else 1.0) - reach.margin
    if missing <= 0:
        return
    all_rows = len(facts.all)
    independent = reach.independent / max(reach.rows, 1) * all_rows
    if facts.test is None and reach.rows < all_rows and independent >= reach.margin_rows:
        yield Step(
            says=(
                f"Evaluate all rows by cross-validation (--folds 5, five training runs): "
                f"{reach.rows:,} test rows detect no difference below {points(reach.usual or 1)}, "
                f"all {all_rows:,} would detect your margin of {points(reach.margin)}."
            ),
            points=missing,
        )
        return
    rows = f"{rounded(reach.margin_rows - reach.independent):,} more "
    rows += "rows" if facts.test is None else "test rows"
    detect = f"no difference below {points(reach.usual)}" if reach.usual else "no difference at all"
    yield Step(
        says=(
            f"Label about {rows}, or accept a larger margin: today's rows detect {detect}, and "
            f"your margin is {points(reach.margin)}."
        ),
        points=missing,
    )


def _add_rare_labels(facts: Facts) -> Iterator[Step]:
    rare = facts.balance.few
    if not rare:
        return
    rows = sum(c.rows for c in facts.balance.counts if c.label in rare)
    yield Step(
        says=(
            f"Label more rows of the rare labels, up to about {ROWS_PER_LABEL} each "
            f"({quoted_list(rare, 5)}), or merge them: they are too rare to learn or to evaluate."
        ),
        points=max(rows / len(facts.all), LEAST),
    )


def issues_of(facts: Facts) -> tuple[Issue, ...]:
    """List the rows that need a look, by id and without their texts."""
    label = {e.id: e.target for e in facts.all}
    leaks = (
        Issue(row=r.id, kind="leak", label=label[r.id], other=r.of, says=r.likeness)
        for r in facts.leaks or ()
    )
    duplicates = (
        Issue(
            row=r.id,
            kind="near-duplicate" if r.likeness == "near" else "duplicate",
            label=label[r.id],
            other=r.of,
            says=r.likeness,
        )
        for r in facts.duplicates
    )
    rare = (
        Issue(row=e.id, kind="rare label", label=e.target, says="fewer than 5 rows")
        for e in facts.all
        if e.target in facts.balance.few
    )
    personal = (
        Issue(row=id, kind="personal", label=label[id], says=kind) for id, kind in facts.personal
    )
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
                says="same text, different label",
            )


def _suspect_issues(facts: Facts) -> Iterator[Issue]:
    if facts.audit is None:
        return
    for rank, suspect in enumerate(facts.audit.suspects):
        doubt = "strongly doubted" if rank < facts.audit.suspected else "doubted"
        yield Issue(
            row=suspect.id,
            kind="suspected label",
            label=suspect.label,
            suggested=suspect.suggested,
            says=f"{doubt} (log odds {suspect.score:.1f})",
        )
