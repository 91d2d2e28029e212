"""What a careful reader should know about a labelled set, in plain sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from itertools import pairwise
from math import exp, log

import numpy as np

from choose.data.duplicates import TextIndex, conflicting_texts, unavoidable_errors
from choose.data.readers.delimited import listed, rows_named, short
from choose.schema.check import Balance, LabelCount, Lengths
from choose.types import Example

FEW = 5


LONG = 256


def left_out_rows(rows: Sequence[Example], origin: str) -> list[str]:
    """Say how many rows have no text or no label."""
    found = []
    for what, missing in (
        ("text", [e.id for e in rows if not e.text.strip()]),
        ("label", [e.id for e in rows if e.text.strip() and not e.target]),
    ):
        if missing:
            found.append(
                f"{_rows(len(missing))} of {origin} without a {what} left out: "
                f"{rows_named(missing)}."
            )
    return found


def absent_labels(unlearnable: Sequence[Example]) -> list[str]:
    """Name the labels of the rows that are asked of a fold with no row of theirs to learn from."""
    if not unlearnable:
        return []
    labels = sorted({e.target for e in unlearnable})
    return [
        f"{_counted(len(labels), 'label')} {_has(len(labels))} no row to learn from where "
        f"{'it is' if len(labels) == 1 else 'they are'} asked ({listed(labels, 5)}): whatever "
        f"learns answers {_rows(len(unlearnable))} wrongly."
    ]


def shared_with_test(
    removed: Sequence[Example], concerned: Collection[str], asked: int
) -> list[str]:
    """Say which pool rows were left out because a test row is the same or nearly so."""
    if not removed:
        return []
    return [
        f"{_counted(len(concerned), 'test row')} of {asked:,} can be found in the pool, with the "
        f"same or nearly the same text or in the same group; {_rows(len(removed))} of the pool "
        f"left out for that: {rows_named(e.id for e in removed)}."
    ]


def unused_test_rows(labelled: int, asked: int) -> list[str]:
    """Say how many labelled rows a limit keeps from being asked: no labelling is needed for them.

    `labelled` counts those that could be asked.
    """
    if asked >= labelled:
        return []
    return [
        f"{asked:,} of {labelled:,} labelled rows are asked, as --test-rows says; asking the other "
        f"{labelled - asked:,} needs no labelling."
    ]


def conflicts(rows: Sequence[Example]) -> list[str]:
    """Say which texts stand under more than one label, case and spaces set aside."""
    found = conflicting_texts(rows)
    if not found:
        return []
    ids = [e.id for same in found for e in same]
    return [
        f"{_counted(len(found), 'text')} {_has(len(found))} more than one label "
        f"({rows_named(ids)}): no answer is right for at "
        f"least {_rows(unavoidable_errors(found))}."
    ]


def duplicate_rows(rows: Sequence[Example], twins: TextIndex) -> list[str]:
    """Count the rows whose text another row has, or nearly has."""
    counts = Counter(twins.text_of[e.id] for e in rows)
    same = sum(n for n in counts.values() if n > 1)
    among = twins.pairs[np.isin(twins.pairs, list(counts)).all(axis=1)]
    near = np.unique(among).tolist()
    close = sum(counts[text] for text in near)
    found = []
    if same:
        found.append(f"{_rows(same)} share their text with another row")
    if close:
        found.append(f"{_rows(close)} have a text that is nearly another row's")
    if not found:
        return []
    return [f"{' and '.join(found)}; such rows stay on one side of the division."]


def broken_chain(count: int) -> list[str]:
    """Say that near-duplicates were too many to be kept together."""
    return [
        f"{_rows(count)} are near-duplicates of one another in a chain (a template?), too many to "
        "keep on one side: only those with the same text stay together, so figures flatter."
    ]


def rare_labels(rows: Sequence[Example]) -> list[str]:
    """Name the labels with too few rows to say anything about them."""
    counts = Counter(e.target for e in rows)
    few = sorted((n, label) for label, n in counts.items() if n < FEW)
    if not few:
        return []
    shown = listed([label for _, label in few], 5)
    return [
        f"{_counted(len(few), 'label')} {_has(len(few))} fewer than {FEW} rows ({shown}): kept "
        "as they are, but no figure about them means much."
    ]


def imbalance(rows: Sequence[Example]) -> list[str]:
    """Say how far one label dominates, where that flatters accuracy."""
    (label, most), *_, (_, least) = (counts := Counter(e.target for e in rows)).most_common()
    share = most / len(rows)
    if share < 0.6 and (most < 20 * least or len(counts) < 2):
        return []
    return [
        f"The labels are uneven: {short(label)} has {share:.0%} of the rows, the rarest label "
        f"{_rows(least)}; read macro-F1 beside accuracy."
    ]


def long_texts(rows: Iterable[Example]) -> list[str]:
    """Count the texts that models will not read to their end."""
    lengths = [len(e.text.split()) for e in rows]
    long = sum(length > LONG for length in lengths)
    if not long:
        return []
    return [
        f"{_counted(long, 'text')} {'is' if long == 1 else 'are'} longer than {LONG} words (the "
        f"longest {max(lengths):,}): models cut them and do not see the rest."
    ]


def sorted_input(rows: Sequence[Example]) -> list[str]:
    """Say that the file is sorted by label, which would bias any reading of its first rows."""
    labels = len({e.target for e in rows})
    changes = sum(a.target != b.target for a, b in pairwise(rows))
    if len(rows) < 4 * labels or changes >= 2 * labels:
        return []
    return ["The file is sorted by label; rows are drawn in a shuffled, stratified order."]


def _rows(count: int) -> str:
    return _counted(count, "row")


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def _has(count: int) -> str:
    return "has" if count == 1 else "have"


def balance_of(rows: Sequence[Example]) -> Balance:
    """Count the labels of the rows."""
    counts = sorted(Counter(e.target for e in rows).items(), key=lambda c: (-c[1], c[0]))
    shares = [n / len(rows) for _, n in counts]
    return Balance(
        counts=tuple(LabelCount(label=label, rows=n) for label, n in counts),
        majority=shares[0],
        effective=exp(-sum(share * log(share) for share in shares)),
        few=tuple(label for label, n in counts if n < FEW),
    )


def lengths_of(rows: Sequence[Example]) -> Lengths:
    """Measure the texts."""
    words = np.array([len(e.text.split()) for e in rows])
    return Lengths(
        words=float(np.median(words)),
        words_95=float(np.quantile(words, 0.95)),
        longest=int(words.max()),
        characters=float(np.median([len(e.text) for e in rows])),
        long=int((words > LONG).sum()),
        short=int((words < 2).sum()),
    )
