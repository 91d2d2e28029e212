"""The audit of a labelled set: read, look, put in words."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version
from time import perf_counter

from choose.check.facts import Facts
from choose.check.lines import lines_of
from choose.data.duplicates import count_conflicts
from choose.data.load import dataset_from, read_rows
from choose.data.personal_data import hints_of
from choose.data.readers.delimited import listed, rows_named, short
from choose.formatting import plural, points, rounded
from choose.judge.decision.label_gates import CONFIRMED
from choose.judge.evidence import USUAL_MARGIN
from choose.schema.check import Check, Issue, Step
from choose.schema.plan import USUAL, Reach
from choose.study.config import Study


def issues_of(looked: Facts) -> tuple[Issue, ...]:
    """List the rows; texts are not in it."""
    label = {e.id: e.target for e in looked.all}
    return (
        *_leak_issue(looked, label),
        *_conflict_issue(looked),
        *_suspect_issue(looked),
        *_repeats(looked, label),
        *_rare_issue(looked),
        *(
            Issue(row=id, kind="personal", label=label[id], says=kind)
            for id, kind in looked.personal
        ),
    )


def _leak_issue(looked: Facts, label: dict[str, str]) -> Iterator[Issue]:
    for repeat in looked.across or ():
        yield Issue(
            row=repeat.id,
            kind="leak",
            label=label[repeat.id],
            other=repeat.of,
            says=repeat.likeness,
        )


def _conflict_issue(looked: Facts) -> Iterator[Issue]:
    for same in looked.torn:
        for row in same:
            other = next(e for e in same if e.target != row.target)
            yield Issue(
                row=row.id,
                kind="conflict",
                label=row.target,
                suggested=other.target,
                other=other.id,
                says="the same text under another label",
            )


def _suspect_issue(looked: Facts) -> Iterator[Issue]:
    found = looked.audit
    for rank, suspect in enumerate(found.suspects if found else ()):
        assert found is not None
        sure = "doubted strongly" if rank < found.suspected else "doubted"
        yield Issue(
            row=suspect.id,
            kind="suspected label",
            label=suspect.label,
            suggested=suspect.suggested,
            says=f"{sure} (log odds {suspect.score:.1f})",
        )


def _repeats(looked: Facts, label: dict[str, str]) -> Iterator[Issue]:
    for repeat in looked.within:
        yield Issue(
            row=repeat.id,
            kind="near-duplicate" if repeat.likeness == "near" else "duplicate",
            label=label[repeat.id],
            other=repeat.of,
            says=repeat.likeness,
        )


def _rare_issue(looked: Facts) -> Iterator[Issue]:
    few = set(looked.balance.few)
    for e in looked.all:
        if e.target in few:
            yield Issue(row=e.id, kind="rare label", label=e.target, says="fewer than 5 rows")


MOST = 3


# Less than this at stake does not make the list.
LEAST = 0.002


# Kinds of hints that give whoever reads them access or money.
SECRETS = ("key or token", "payment card number")


# Rows that a rare label should have at least before anything is said about it.
WANTED = 20


def steps_of(looked: Facts) -> tuple[Step, ...]:
    """Return at most three steps; secrets come before everything."""
    found = [step for step in _all(looked) if step.points >= LEAST]
    found.sort(key=lambda step: -step.points)
    return (*_secrets(looked), *found)[:MOST]


def _all(looked: Facts) -> Iterator[Step]:
    yield from _leak_step(looked)
    yield from _conflict_step(looked)
    yield from _suspect_step(looked)
    yield from _size(looked)
    yield from _rare_step(looked)


def _secrets(looked: Facts) -> Iterator[Step]:
    rows = {id for id, kind in looked.personal if kind in SECRETS}
    if rows:
        yield Step(
            says=(
                f"Take what looks like keys or card numbers out of {plural(len(rows), 'row')} "
                f"({rows_named(sorted(rows))}) before any text leaves this machine; revoke keys."
            ),
            points=0.0,
        )


def _leak_step(looked: Facts) -> Iterator[Step]:
    if not looked.across or looked.test is None:
        return
    share = len(looked.across) / len(looked.test)
    yield Step(
        says=(
            f"Replace the {plural(len(looked.across), 'test row')} that repeat rows to learn from "
            f"({rows_named(r.id for r in looked.across)}), or divide again by group: elsewhere, "
            f"they flatter by up to {points(share)}."
        ),
        points=share,
    )


def _conflict_step(looked: Facts) -> Iterator[Step]:
    found = count_conflicts(looked.torn)
    if not found.texts:
        return
    share = found.lost / len(looked.all)
    ids = [e.id for same in looked.torn for e in same]
    yield Step(
        says=(
            f"Settle the {plural(found.texts, 'text')} with more than one label "
            f"({rows_named(ids)}): {points(share)} that nobody can get."
        ),
        points=share,
    )


def _suspect_step(looked: Facts) -> Iterator[Step]:
    found = looked.audit
    if found is None or not found.suspected:
        return
    share = CONFIRMED * found.suspected / found.rows
    first = [s.id for s in found.suspects[: min(found.suspected, 3)]]
    where = ""
    if found.overlaps and len(looked.balance.counts) > 2:
        pair = found.overlaps[0]
        where = (
            f" Write down first where {short(pair.a, 28)} ends and {short(pair.b, 28)} begins: "
            f"{pair.doubted:,} of them lie between the two."
        )
    yield Step(
        says=(
            f"Look at the labels of the {plural(found.suspected, 'most doubted row')}, "
            f"{rows_named(first)} first. As a rule half of such rows are wrong: about "
            f"{points(share)}.{where}"
        ),
        points=share,
    )


def _size(looked: Facts) -> Iterator[Step]:
    found = looked.reach
    short_of = (found.usual if found.usual is not None else 1.0) - found.margin
    if short_of <= 0:
        return
    all_rows = len(looked.all)
    worth = found.independent / max(found.rows, 1) * all_rows
    if looked.test is None and found.rows < all_rows and worth >= found.margin_rows:
        yield Step(
            says=(
                f"Ask every row instead of a part (--folds 5, five fits): {found.rows:,} rows show "
                f"no gain below {points(found.usual or 1)}, all {all_rows:,} would show the "
                f"{points(found.margin)} that matter."
            ),
            points=short_of,
        )
        return
    missing = rounded(found.margin_rows - found.independent)
    kind = "rows" if looked.test is None else "test rows"
    shows = f"show no gain below {points(found.usual)}" if found.usual else "show no gain at all"
    yield Step(
        says=(
            f"Label about {missing:,} more {kind}, or settle for larger gains: now they {shows}, "
            f"and {points(found.margin)} would matter."
        ),
        points=short_of,
    )


def _rare_step(looked: Facts) -> Iterator[Step]:
    few = looked.balance.few
    if not few:
        return
    rows = sum(c.rows for c in looked.balance.counts if c.label in few)
    yield Step(
        says=(
            f"Label rows of the rare labels up to about {WANTED} each ({listed(few, 5)}), or "
            "merge them: nothing can be learnt or measured about them."
        ),
        points=max(rows / len(looked.all), LEAST),
    )


def check_set(study: Study) -> tuple[Check, dict[str, str]]:
    """Audit a study's labelled set; also return the texts by row, which the record has not.

    Raises:
        DataError: if the rows cannot be read, used or divided.
    """
    start = perf_counter()
    rows = read_rows(study.data)
    looked = Facts(
        rows, dataset_from(rows, study.data, study.task), study.goal.margin or USUAL_MARGIN
    )
    record = _record(looked, start)
    return record, {e.id: e.text for e in looked.all}


def _record(looked: Facts, start: float) -> Check:
    dataset, (within, across) = looked.dataset, looked.repeats
    read = len(looked.rows.pool) + len(looked.rows.test or ())
    steps = steps_of(looked)
    return Check(
        choose=version("choose-llm"),
        name=dataset.name,
        fingerprint=dataset.fingerprint,
        rows=len(looked.all),
        left_out=read - len(looked.all),
        test_rows=len(dataset.asked),
        division=dataset.division,
        headline=_headline(looked.reach, len(steps)),
        first=steps,
        lines=lines_of(looked),
        reach=looked.reach,
        balance=looked.balance,
        within=within,
        across=across,
        conflicts=count_conflicts(looked.torn),
        audit=looked.audit,
        lengths=looked.lengths,
        languages=looked.languages,
        tokens=looked.tokens,
        drift=looked.drift,
        personal=hints_of(looked.personal),
        findings=dataset.findings,
        issues=issues_of(looked),
        seconds=perf_counter() - start,
    )


def _headline(reach: Reach, steps: int) -> str:
    first = f"; {plural(steps, 'thing')} to do first" if steps else "; nothing has to be done first"
    if reach.usual is None:
        return f"These rows are too few to compare anything{first}."
    if reach.usual <= reach.margin:
        return (
            f"Large enough: these rows can show the gain that matters, {points(reach.margin)}"
            f"{first}."
        )
    return (
        f"These rows can show a gain of {points(reach.usual)} or more, where "
        f"{points(reach.margin)} would matter, if two candidates differ on {USUAL:.0%} of "
        f"rows{first}."
    )
