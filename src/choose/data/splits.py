"""Split labelled rows into training pools and test rows: test file, held-out part or folds."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from choose.data.duplicates import TextIndex, clusters_of, index_texts
from choose.data.examples import check_filled, check_rows, dropped_rows, usable_rows
from choose.data.stratify import disjoint_from, folds_of, hold_out, sampling_order, strata_of
from choose.errors import DataError, StudyError, quoted, rows_named
from choose.formatting import plural
from choose.schema.study_sections import TaskSection
from choose.tasks.answering import passage_field
from choose.tasks.kinds import KINDS, USUAL, make_task
from choose.types import Dataset, Example, Fold, Task

# There is one fold fewer where only then each has so many test rows: a single fit answers them.
FOLDS, TESTED = 5, 100

# From so many rows on, a part is held out instead of cross-validating; its share and its limit.
HOLD_OUT_FROM = 5_000
HELD_OUT_SHARE = 0.2
HELD_OUT_MOST = 3_000


@dataclass(frozen=True, slots=True)
class Division:
    """Rows, and for each fold the ids of its test rows and the ids that its pool must not hold."""

    kind: Literal["held-out", "cross-fit"]
    rows: Sequence[Example]
    test: Sequence[Sequence[str]]
    excluded: Sequence[Collection[str]]
    clusters: Mapping[str, str]
    findings: Sequence[str] = ()
    leaked: int = 0


def build_dataset(
    name: str,
    pool: Sequence[Example],
    test: Sequence[Example] | None = None,
    *,
    folds: int | None = None,
    kind: str = USUAL,
    told: TaskSection | None = None,
) -> Dataset:
    """Split labelled rows by the given test rows, a held-out part, or folds.

    `kind` is that of the task, `told` what a study says of it.
    With test rows, or from 5,000 rows on unless `folds` is given, there is one fold. Otherwise
    every row is tested once. Rows of one group and near-duplicates are never on both sides of a
    split; with a test file, the pool rows are removed.
    """
    known = KINDS[kind]
    check_filled(known, [*pool, *(test or ())])
    usable, usable_test = usable_rows(pool, test)
    check_rows(usable, usable_test, known)
    known.check(usable, usable_test)
    task = make_task(kind, usable, usable_test or (), told or TaskSection())
    division = _divide(usable, usable_test, task, folds=folds)
    dropped = dropped_rows(pool, test, known)
    return Dataset(
        name=name,
        task=task,
        examples={e.id: e for e in division.rows},
        folds=_folds(division, task),
        division=division.kind,
        clusters=division.clusters,
        findings=(*division.findings, *dropped),
        dropped=tuple(dropped),
        leaked=division.leaked,
    )


def _divide(
    rows: Sequence[Example], test: Sequence[Example] | None, task: Task, *, folds: int | None
) -> Division:
    if test is not None and folds is not None:
        raise StudyError(
            "data.folds cannot be combined with a test file, which needs no folds. Leave one out."
        )
    if test is not None:
        return split_by_test_file(rows, test, task)
    labelled = sum(e.labelled for e in rows)
    if folds is None and labelled >= HOLD_OUT_FROM:
        return hold_out_part(rows, task)
    fewer = labelled // FOLDS < TESTED <= labelled // (FOLDS - 1)
    return cross_fit(rows, task, folds or FOLDS - fewer)


def _folds(division: Division, task: Task) -> tuple[Fold, ...]:
    targets = strata_of(task, division.rows)
    folds = []
    for test_ids, excluded in zip(division.test, division.excluded, strict=True):
        pool = sampling_order((id for id in targets if id not in excluded), targets, draw=0)
        if task.labels and len({targets[id] for id in pool}) < 2:
            raise DataError(
                "With rows of the same group or text kept together, a fold has only one label to "
                "train on. Name another group_column, or label more rows."
            )
        folds.append(Fold(pool=pool, questions=tuple(test_ids)))
    return tuple(folds)


def split_by_test_file(pool: Sequence[Example], test: Sequence[Example], task: Task) -> Division:
    """Test on the test file; remove pool rows that repeat a test row."""
    if task.labels and len(found := {e.target for e in test}) == 1:
        raise DataError(
            f"All {len(test):,} rows of the test file have the label {quoted(found.pop())}. There "
            "must be at least two labels."
        )
    passage = passage_field(task)
    index = index_texts([*pool, *test], passage is not None)
    removed = _touching(pool, test, index)
    concerned = _touching(test, removed, index)
    gone = {e.id for e in removed}
    remaining = [e for e in pool if e.id not in gone]
    if len({e.target for e in remaining}) < 2:
        what = "labels" if task.labels else "targets"
        raise DataError(
            f"{len(removed):,} of {len(pool):,} training rows also occur in the test file; without "
            f"them, fewer than two {what} remain. Give a test file with other rows."
        )
    rows, ids = [*remaining, *test], [e.id for e in test]
    findings = [*_leaks(removed, len(concerned), len(test))]
    clusters = clusters_of(_by_passage(rows, passage), index)
    return Division("held-out", rows, [ids], [{*ids}], clusters, findings, len(concerned))


def hold_out_part(rows: Sequence[Example], task: Task) -> Division:
    """Hold out one stratified part: 20 % but at most 3,000 rows."""
    count = min(HELD_OUT_MOST, round(HELD_OUT_SHARE * len(rows)))
    clusters, findings = _cluster(rows, len(rows) // 2, task)
    targets = strata_of(task, [e for e in rows if e.labelled])
    test_part = hold_out(list(targets), targets, clusters, count)
    if len(test_part) < 2:
        raise _indivisible(rows, clusters, "a held-out part")
    part = {e.id for e in rows} - {e.id for e in disjoint_from(rows, set(test_part), clusters)}
    return Division("held-out", rows, [test_part], [part], clusters, findings)


def cross_fit(rows: Sequence[Example], task: Task, count: int) -> Division:
    """Split into folds for cross-validation; rows without a label are never test rows."""
    clusters, findings = _cluster(rows, len(rows) // count, task)
    if len({clusters.get(e.id, f"alone {e.id}") for e in rows}) < count:
        raise _indivisible(rows, clusters, f"{count} folds")
    ids = set(strata_of(task, rows))
    known = {e.id for e in rows if e.labelled}
    parts = [part for part in folds_of(task, rows, clusters, count) if not known.isdisjoint(part)]
    test_ids = [[id for id in part if id in known] for part in parts]
    outside = [set(part) for part in parts]
    if known < ids:  # a row without a label teaches in every fold that it is not near
        apart = ({e.id for e in disjoint_from(rows, part & known, clusters)} for part in outside)
        outside = [ids - own for own in apart]
    return Division("cross-fit", rows, test_ids, outside, clusters, findings)


def _leaks(removed: Sequence[Example], concerned: int, test_rows: int) -> Iterator[str]:
    if removed:
        yield (
            f"{concerned:,} of {plural(test_rows, 'test row')} also occur in the pool, with "
            "the same or nearly the same text or in the same group; "
            f"{plural(len(removed), 'row')} of the pool left out for that: "
            f"{rows_named(e.id for e in removed)}."
        )


def _touching(
    rows: Sequence[Example], others: Sequence[Example], index: TextIndex
) -> list[Example]:
    texts, groups = index.near([e.id for e in others]), {e.group for e in others} - {None}
    return [e for e in rows if index.text_of[e.id] in texts or e.group in groups]


def _by_passage(rows: Sequence[Example], passage: str | None) -> Sequence[Example]:
    """Return rows of which those without a group have their passage as one."""
    if passage is None:
        return rows
    return [e if e.group else replace(e, group=e.fields.get(passage) or None) for e in rows]


def _cluster(rows: Sequence[Example], limit: int, task: Task) -> tuple[dict[str, str], list[str]]:
    """Cluster the rows, and say what had to be parted.

    Chains of near-duplicates of over `limit` rows are broken up. Questions on one passage stay
    together, unless one has over `limit`.
    """
    passage = passage_field(task)
    index = index_texts(rows, passage is not None)
    if passage is not None:
        asked = Counter(e.fields.get(passage) for e in rows if not e.group)
        if max(asked.values(), default=0) > limit:
            return clusters_of(rows, index), [
                "One passage has so many questions that questions on the same passage are on both "
                "sides of the division: figures are about new questions on known passages."
            ]
    rows = _by_passage(rows, passage)
    clusters = clusters_of(rows, index)
    big = {cluster for cluster, n in Counter(clusters.values()).items() if n > limit}
    texts = {index.text_of[id] for id, cluster in clusters.items() if cluster in big}
    loose = ~np.isin(index.pairs[:, 0], list(texts))
    if loose.all():
        return clusters, []
    count = sum(cluster in big for cluster in clusters.values())
    return clusters_of(rows, replace(index, pairs=index.pairs[loose])), [
        f"{plural(count, 'row')} form chains of near-duplicates (a template?), too long to keep on "
        "one side of the split: only rows with the same text stay together, so accuracies are "
        "optimistic."
    ]


def _indivisible(rows: Sequence[Example], clusters: Mapping[str, str], into: str) -> DataError:
    units = len({clusters.get(e.id, f"alone {e.id}") for e in rows})
    return DataError(
        f"{len(rows):,} rows form only {units:,} sets that must stay together (same group or same "
        f"text), too few for {into}. Name another group_column, ask for fewer "
        "folds (data.folds), or give a test file with --test."
    )
