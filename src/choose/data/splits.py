"""The three ways to divide: by a test file, by a held-out part, by cross-fitting."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from choose.data.duplicates import TextIndex, clusters_of, index_texts
from choose.data.profile import (
    absent_labels,
    broken_chain,
    conflicts,
    duplicate_rows,
    imbalance,
    left_out_rows,
    long_texts,
    rare_labels,
    shared_with_test,
    sorted_input,
    unused_test_rows,
)
from choose.data.stratify import hold_out, sampling_order, stratified_folds, stratified_sample
from choose.data.task import check_rows, task_from
from choose.errors import DataError, StudyError
from choose.types import Dataset, Example, Fold

FOLDS = 5


HELD_OUT_SHARE = 0.2


HELD_OUT_MOST = 3_000


@dataclass(frozen=True, slots=True)
class Division:
    """Rows, and for each fold the ids that are asked and those that are kept from the pool."""

    kind: Literal["held-out", "cross-fit"]
    rows: Sequence[Example]
    asked: Sequence[Sequence[str]]
    kept: Sequence[Collection[str]]
    clusters: Mapping[str, str]
    twins: TextIndex
    findings: Sequence[str]


def split_by_test_file(
    pool: Sequence[Example], test: Sequence[Example], limit: int | None, seed: int
) -> Division:
    """Ask a stratified sample of the test rows; leave out pool rows that one of them shadows.

    Raises:
        DataError: if nothing is left to learn from.
    """
    targets = {e.id: e.target for e in test}
    chosen = set(stratified_sample(list(targets), targets, limit or len(test), f"test-{seed}"))
    asked = [e for e in test if e.id in chosen]
    twins = index_texts([*pool, *asked])
    kept, removed, concerned = _unshadowed(pool, asked, twins)
    if len({e.target for e in kept}) < 2:
        raise DataError(
            f"{len(removed):,} of {len(pool):,} rows to learn from stand in the test file too, so "
            "nothing is left to learn. Give a test file that holds other rows."
        )
    rows = [*kept, *asked]
    finding = unused_test_rows(len(test), len(asked))
    finding += shared_with_test(removed, concerned, len(asked))
    ids = [e.id for e in asked]
    return Division("held-out", rows, [ids], [chosen], clusters_of(rows, twins), twins, finding)


def hold_out_part(rows: Sequence[Example], limit: int | None, seed: int) -> Division:
    """Hold out one stratified part: 20 % but at most 3,000 rows, or `limit` rows.

    Raises:
        DataError: if rows belong together in a way that leaves nothing to ask.
        StudyError: if the part would be larger than the rest.
    """
    count = limit or min(HELD_OUT_MOST, round(HELD_OUT_SHARE * len(rows)))
    if 2 * count > len(rows):
        raise StudyError(
            f"{count:,} test rows of {len(rows):,} leave too little to learn from. "
            f"Allowed here: 2 to {len(rows) // 2:,}."
        )
    twins, clusters, finding = _together(rows, len(rows) // 2)
    targets = {e.id: e.target for e in rows}
    asked = hold_out(list(targets), targets, clusters, count, seed)
    if len(asked) < 2:
        raise _indivisible(rows, clusters, "a held-out part")
    return Division("held-out", rows, [asked], [set(asked)], clusters, twins, finding)


def cross_fit(rows: Sequence[Example], folds: int | None, limit: int | None, seed: int) -> Division:
    """Divide into folds, each asked once; with a limit, a stratified sample of the rows is asked.

    Raises:
        DataError: if rows belong together in a way that folds cannot divide.
    """
    count = folds or FOLDS
    twins, clusters, finding = _together(rows, len(rows) // count)
    if len({clusters.get(e.id, f"alone {e.id}") for e in rows}) < count:
        raise _indivisible(rows, clusters, f"{count} folds")
    targets = {e.id: e.target for e in rows}
    ids = list(targets)
    chosen = set(stratified_sample(ids, targets, limit or len(ids), f"test-{seed}"))
    parts = [
        part
        for part in stratified_folds(ids, targets, clusters, count, seed)
        if not chosen.isdisjoint(part)
    ]
    asked = [[id for id in part if id in chosen] for part in parts]
    finding = [*finding, *unused_test_rows(len(ids), len(chosen))]
    return Division(
        "cross-fit", rows, asked, [set(part) for part in parts], clusters, twins, finding
    )


def _unshadowed(
    pool: Sequence[Example], asked: Sequence[Example], twins: TextIndex
) -> tuple[list[Example], list[Example], list[str]]:
    """Split the pool by whether a test row is nearly the same or of the same group.

    Also returns the ids of the test rows concerned.
    """
    texts = twins.near([e.id for e in asked])
    groups = {e.group for e in asked} - {None}
    removed = [e for e in pool if twins.text_of[e.id] in texts or e.group in groups]
    out = {e.id for e in removed}
    shadows = twins.near(out)
    theirs = {e.group for e in removed} - {None}
    concerned = [e.id for e in asked if twins.text_of[e.id] in shadows or e.group in theirs]
    return [e for e in pool if e.id not in out], removed, concerned


def _together(rows: Sequence[Example], limit: int) -> tuple[TextIndex, dict[str, str], list[str]]:
    """Find what belongs together; near-duplicates that chain up to over `limit` rows do not."""
    twins = index_texts(rows)
    clusters = clusters_of(rows, twins)
    big = {cluster for cluster, n in Counter(clusters.values()).items() if n > limit}
    texts = {twins.text_of[id] for id, cluster in clusters.items() if cluster in big}
    loose = ~np.isin(twins.pairs[:, 0], list(texts))
    if loose.all():
        return twins, clusters, []
    apart = replace(twins, pairs=twins.pairs[loose])
    count = sum(cluster in big for cluster in clusters.values())
    return twins, clusters_of(rows, apart), broken_chain(count)


def _indivisible(rows: Sequence[Example], clusters: Mapping[str, str], into: str) -> DataError:
    units = len({clusters.get(e.id, f"alone {e.id}") for e in rows})
    return DataError(
        f"{len(rows):,} rows fall into {units:,} sets that belong together, by group or because "
        f"they repeat a text, and {into} cannot divide them. Name another --group-column, ask for "
        "fewer --folds, or give a test file with --test."
    )


HOLD_OUT_FROM = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitOptions:
    """How to divide, and what the task says; None means the design's default."""

    test_rows: int | None = None
    folds: int | None = None
    seed: int = 0
    names: Mapping[str, str] = field(default_factory=dict)
    descriptions: Mapping[str, str] = field(default_factory=dict)
    instruction: str | None = None


def build_dataset(
    name: str,
    pool: Sequence[Example],
    test: Sequence[Example] | None = None,
    options: SplitOptions | None = None,
) -> Dataset:
    """Divide labelled rows: by the test rows given, a held-out part, or cross-fitting.

    With test rows, or from 5,000 rows on unless `folds` is given, there is one fold. Otherwise
    every row is asked once. Rows of one group and near-duplicates never straddle: pool rows that
    a test row shadows are left out, test rows never are. `test_rows` limits how many are asked.

    Raises:
        DataError: if the rows cannot be used, or not be divided.
        StudyError: if the options contradict the rows.
    """
    options = options or SplitOptions()
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
    dropped = left_out_rows(pool, "the pool" if test is not None else "the file")
    dropped += left_out_rows(test or (), "the test file")
    return Dataset(
        name=name,
        task=task,
        examples={e.id: e for e in division.rows},
        folds=folds,
        division=division.kind,
        clusters=division.clusters,
        findings=tuple(_findings(division, folds, dropped)),
    )


def _divided(
    pool: Sequence[Example], test: Sequence[Example] | None, options: SplitOptions
) -> Division:
    if test is not None:
        return split_by_test_file(pool, test, options.test_rows, options.seed)
    if options.folds is None and len(pool) >= HOLD_OUT_FROM:
        return hold_out_part(pool, options.test_rows, options.seed)
    return cross_fit(pool, options.folds, options.test_rows, options.seed)


def _folds(division: Division) -> tuple[Fold, ...]:
    """Order every pool as draw 0 takes it.

    Raises:
        DataError: if some pool has only one class.
    """
    targets = {e.id: e.target for e in division.rows}
    folds = []
    for asked, kept in zip(division.asked, division.kept, strict=True):
        pool = sampling_order((id for id in targets if id not in kept), targets, draw=0)
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
        *absent_labels(unlearnable),
        *division.findings,
        *conflicts(division.rows),
        *dropped,
        *duplicate_rows(division.rows, division.twins),
        *rare_labels(pool),
        *imbalance(division.rows),
        *long_texts(division.rows),
        *sorted_input(pool),
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
