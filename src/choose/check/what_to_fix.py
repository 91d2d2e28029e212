"""Rank what to do before a study, and list the rows that need a look."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf

from choose.check.measurements import Facts
from choose.check.target_lines import rare_fields, steps_of_targets
from choose.data.duplicates import count_conflicts
from choose.data.findings import rare_in_words
from choose.errors import quoted, quoted_list, rows_named
from choose.formatting import measured, per_100, plural, points, rounded
from choose.judge.decision.label_gates import CONFIRMED
from choose.judge.stats.paired import smallest_detectable_gain
from choose.schema.check import Issue, Step
from choose.schema.plan import USUAL, DetectableGains

MOST_STEPS = 3

# Steps that affect less accuracy than this are left out.
LEAST = 0.002

# Kinds of personal data that give a reader access or money.
SECRETS = ("key or token", "payment card number")

# Rows that a label needs before its accuracy means anything.
ROWS_PER_LABEL = 20

# Characters of a label.
LABEL = 28

# Numbers of added rows whose worth is shown.
SIZES = (60, 200, 600, 2_000)


def steps_of(facts: Facts) -> tuple[Step, ...]:
    """Return at most three steps, the most valuable first.

    Secrets come first, then labels that the metric hides, which make other
    figures mislead, then what costs accuracy, by how much. Labelling more comes last: it never
    stands in the way of a first study.
    """
    if not facts.dataset.task.labels:
        return _steps_for_targets(facts)
    costly = [*_fix_leaks(facts), *_fix_conflicts(facts), *_review_labels(facts)]
    costly = [step for step in costly if step.points >= LEAST]
    costly.sort(key=lambda step: -step.points)
    steps = (
        *_remove_secrets(facts),
        *_change_metric(facts),
        *costly,
        *_add_rare_labels(facts),
        *_add_test_rows(facts),
    )
    return steps[:MOST_STEPS]


def _steps_for_targets(facts: Facts) -> tuple[Step, ...]:
    """Return at most three steps for targets that are records or texts."""
    costly = [*_fix_leaks(facts), *steps_of_targets(facts.targets)]
    costly.sort(key=lambda step: -step.points)
    steps = (
        *_remove_secrets(facts),
        *(step for step in costly if step.points >= LEAST),
        *rare_fields(facts.targets.facts),
        *_add_test_rows(facts),
    )
    return steps[:MOST_STEPS]


def _change_metric(facts: Facts) -> Iterator[Step]:
    """Say that accuracy hides the rare labels, and how to compare all the same."""
    if not facts.hidden:
        return
    most, share = facts.balance.counts[0], facts.balance.majority
    guess = f"always answering {quoted(most.label, LABEL)} is right for {per_100(share)} % of rows"
    yield Step(
        says=(
            f"Judge by a metric that counts {rare_in_words(facts.hidden)}; accuracy hardly does: "
            f"{guess}. {_recall(facts)}Run: {facts.target} --metric balanced (every label counts "
            "the same), or state what each error costs ([goal.error_costs])."
        ),
        points=0.0,
        question="whether a candidate finds the rare label",
        command=f"{facts.target} --metric balanced",
    )


def _recall(facts: Facts) -> str:
    """Say how many rows of the rarest label the text baseline finds."""
    label = facts.hidden[0].label
    found = facts.found_labels.get(label)
    if found is None:
        return ""
    text = f"The text baseline finds {found.right:,} of {found.rows:,}"
    if not found.said:
        return f"{text}. "
    return f"{text}; {found.right:,} of the {found.said:,} that it reports are right. "


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
    if audit is None or not audit.doubted:
        return
    share = CONFIRMED * audit.suspected / audit.rows
    worth = f"Typically half of such labels are wrong, here about {points(share)}."
    if facts.study is not None and audit.gain is not None:
        share, name = audit.gain.gain.value, audit.gain.candidate
        worth = f"Correcting them would add about {measured(share)} to the accuracy of {name}."
    first = [s.id for s in audit.doubted[:3]]
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
            f"{rows_named(first)}. {worth} {_list_of(facts)}{boundary}"
        ),
        points=share,
        question="which labels are wrong",
    )


def _list_of(facts: Facts) -> str:
    """Say whose list it is, since a study's may be longer."""
    if facts.study is not None:
        return f"This is the list of the study {facts.study[0]}."
    return "A text baseline alone made this list; that of a study replaces it."


def _add_test_rows(facts: Facts) -> Iterator[Step]:
    reach = facts.reach
    if reach.usual is not None and reach.usual <= reach.margin:
        return
    all_rows = len(facts.all)
    independent = reach.independent / max(reach.rows, 1) * all_rows
    question = "how many rows tell two candidates apart"
    shows = reach.margin_rows is not None and independent >= reach.margin_rows
    if facts.test is None and reach.rows < all_rows and shows:
        yield Step(
            says=(
                "Evaluate all rows by cross-validation (folds = 5 under [data], five training "
                "runs): "
                f"{reach.rows:,} test rows detect no difference below {points(reach.usual or 1)}, "
                f"all {all_rows:,} would detect your margin of {points(reach.margin)}."
            ),
            points=0.0,
            question=question,
            first=False,
        )
        return
    yield Step(says=_rows_later(facts), points=0.0, question=question, first=False)


def _rows_later(facts: Facts) -> str:
    """Say what today's rows can show, what some more would, and what the margin takes."""
    reach, noun = facts.reach, "rows" if facts.test is None else "test rows"
    today = f"today's {reach.rows:,} {noun}"
    most = inf if reach.margin_rows is None else reach.margin_rows
    sizes = [n for n in SIZES if 1.5 * reach.independent <= n < most][:2]
    known = [(f"{n:,} {noun}", smallest_detectable_gain(n, USUAL) or 1) for n in sizes]
    few = f"{today} are too few to compare candidates"
    if reach.usual is not None:
        few, known = "", [(today, reach.usual), *known]
    detect = [
        f"{rows} {points(least)}" if place else f"{rows} detect {points(least)} or more"
        for place, (rows, least) in enumerate(known)
    ]
    says = "; ".join(filter(None, (few, ", ".join(detect))))
    return (
        f"To tell close candidates apart, label more later: {says}; "
        f"your {rows_of_margin(reach)}. A first study does not need them."
    )


def rows_of_margin(reach: DetectableGains) -> str:
    """Say what ``margin of 2 points`` takes."""
    margin = f"margin of {points(reach.margin)}"
    if reach.margin_rows is None:
        return f"{margin} is below what any number of rows shows"
    return f"{margin} takes about {rounded(reach.margin_rows):,}"


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
        points=rows / len(facts.all),
    )


def issues_of(facts: Facts) -> tuple[Issue, ...]:
    """List the rows that need a look, by id and without their texts."""
    labelled = bool(facts.dataset.task.labels)
    label = {e.id: e.target if labelled else "" for e in facts.all}
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
                says="same text, different label",
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
            says=f"doubted (log odds {suspect.score:.1f})",
        )
