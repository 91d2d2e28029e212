"""Divide a labelled set into rows to learn from and rows to ask, without leaks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from choose.data import findings as find
from choose.data.checks import check_rows
from choose.data.pools import ordered
from choose.data.task import task_from
from choose.data.ways import Division, by_folds, by_part, by_test
from choose.errors import DataError, StudyError
from choose.types import Dataset, Example, Fold

HOLD_OUT_FROM = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How to divide, and what the task says; None means the design's default."""

    test_rows: int | None = None
    folds: int | None = None
    seed: int = 0
    names: Mapping[str, str] = field(default_factory=dict)
    descriptions: Mapping[str, str] = field(default_factory=dict)
    instruction: str | None = None


def divide(
    name: str,
    pool: Sequence[Example],
    test: Sequence[Example] | None = None,
    options: Options | None = None,
) -> Dataset:
    """Divide labelled rows: by the test rows given, a held-out part, or cross-fitting.

    With test rows, or from 5,000 rows on unless `folds` is given, there is one fold. Otherwise
    every row is asked once. Rows of one group and near-duplicates never straddle: pool rows that
    a test row shadows are left out, test rows never are. `test_rows` limits how many are asked.

    Raises:
        DataError: if the rows cannot be used, or not be divided.
        StudyError: if the options contradict the rows.
    """
    options = options or Options()
    kept, asked = usable_rows(pool, test)
    if asked is not None and options.folds is not None:
        raise StudyError(
            "Folds are made where there is no test file. Leave out --folds, or leave out --test."
        )
    check_rows(kept, asked)
    everything = [*kept, *(asked or ())]
    task = task_from(everything, options.names, options.descriptions, options.instruction)
    division = _divided(kept, asked, options)
    folds = _folds(division)
    dropped = find.left_out_rows(pool, "the pool" if test is not None else "the file")
    dropped += find.left_out_rows(test or (), "the test file")
    return Dataset(
        name=name,
        task=task,
        examples={e.id: e for e in division.rows},
        folds=folds,
        division=division.kind,
        clusters=division.clusters,
        findings=tuple(_findings(division, folds, dropped)),
    )


def _divided(pool: Sequence[Example], test: Sequence[Example] | None, options: Options) -> Division:
    if test is not None:
        return by_test(pool, test, options.test_rows, options.seed)
    if options.folds is None and len(pool) >= HOLD_OUT_FROM:
        return by_part(pool, options.test_rows, options.seed)
    return by_folds(pool, options.folds, options.test_rows, options.seed)


def _folds(division: Division) -> tuple[Fold, ...]:
    """Order every pool as draw 0 takes it.

    Raises:
        DataError: if some pool has only one class.
    """
    targets = {e.id: e.target for e in division.rows}
    folds = []
    for asked, kept in zip(division.asked, division.kept, strict=True):
        pool = ordered((id for id in targets if id not in kept), targets, draw=0)
        if len({targets[id] for id in pool}) < 2:
            raise DataError(
                "Once rows that belong together (by group, or by repeating a text) are kept on one "
                "side, a fold has only one label to learn from. Name another --group-column, or "
                "label more rows."
            )
        folds.append(Fold(pool=pool, questions=tuple(asked)))
    return tuple(folds)


def _findings(division: Division, folds: Sequence[Fold], dropped: Sequence[str]) -> list[str]:
    rows = {e.id: e for e in division.rows}
    held_out = set(folds[0].questions) if division.kind == "held-out" else set()
    pool = [e for e in division.rows if e.id not in held_out]
    unlearnable = []
    for fold in folds:
        known = {rows[id].target for id in fold.pool}
        unlearnable += [rows[id] for id in fold.questions if rows[id].target not in known]
    return [
        *find.absent_labels(unlearnable),
        *division.findings,
        *find.conflicts(division.rows),
        *dropped,
        *find.repeats(division.rows, division.twins),
        *find.few_rows(pool),
        *find.uneven(division.rows),
        *find.long_texts(division.rows),
        *find.sorted_input(pool),
    ]


def usable_rows(
    pool: Sequence[Example], test: Sequence[Example] | None
) -> tuple[list[Example], list[Example] | None]:
    """Return the rows with a text and a label, under ids that no other row has."""
    kept = _usable(pool)
    return kept, None if test is None else _apart(_usable(test), kept)


def _usable(rows: Sequence[Example]) -> list[Example]:
    return [e for e in rows if e.text.strip() and e.target]


def _apart(test: list[Example], pool: Sequence[Example]) -> list[Example]:
    """Give test rows other ids where any of them is also the id of a pool row."""
    if {e.id for e in test}.isdisjoint(e.id for e in pool):
        return test
    return [replace(e, id=f"test:{e.id}") for e in test]
