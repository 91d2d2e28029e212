"""Describe a labelled set: findings in plain sentences, label counts and text lengths."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from itertools import pairwise

import numpy as np

from choose.data.duplicates import TextIndex, conflicting_texts, count_conflicts
from choose.errors import quoted, quoted_list, rows_named
from choose.formatting import plural
from choose.schema.check import FEW, Balance, Count, Lengths
from choose.schema.decision import PART_OF_EVEN, RARE
from choose.types import Example

# Words that models read of a text.
LONG = 256


def balance_of(rows: Sequence[Example]) -> Balance:
    counts = sorted(Counter(e.target for e in rows).items(), key=lambda c: (-c[1], c[0]))
    return Balance(
        counts=tuple(Count(name=label, rows=n) for label, n in counts),
        majority=counts[0][1] / len(rows),
        few=tuple(label for label, n in counts if n < FEW),
    )


def hardly_counted(balance: Balance) -> tuple[Count, ...]:
    """Return the labels that accuracy hardly counts, the rarest first.

    Missing all rows of such a label costs little accuracy, in a set where others have many rows.
    Labels with fewer than `FEW` rows are not among them: no metric can judge these.
    """
    rows = sum(count.rows for count in balance.counts)
    most = min(RARE, PART_OF_EVEN / len(balance.counts)) * rows
    return tuple(count for count in reversed(balance.counts) if FEW <= count.rows <= most)


def lengths_of(rows: Sequence[Example]) -> Lengths:
    words = np.array([len(e.text.split()) for e in rows])
    return Lengths(
        words=float(np.median(words)),
        longest=int(words.max()),
        characters=float(np.median([len(e.text) for e in rows])),
        long=int((words > LONG).sum()),
    )


PARTED_PASSAGES = (
    "One passage has so many questions that questions on the same passage are on both sides of the "
    "division: figures are about new questions on known passages."
)


def left_out_rows(rows: Sequence[Example], origin: str, target: str) -> Iterator[str]:
    """Count the rows without a text or without a target, which is called `target`."""
    for what, ids in (
        ("text", [e.id for e in rows if not e.text.strip()]),
        (target, [e.id for e in rows if e.text.strip() and not e.target]),
    ):
        if ids:
            counted = plural(len(ids), "row")
            yield f"{counted} of {origin} without a {what} left out: {rows_named(ids)}."


def absent_labels(unlearnable: Sequence[Example]) -> Iterator[str]:
    """Name the labels of test rows that no training row of their fold has."""
    if labels := sorted({e.target for e in unlearnable}):
        yield (
            f"{plural(len(labels), 'label')} without a training row in a fold that tests them "
            f"({quoted_list(labels, 5)}): trained candidates get "
            f"{plural(len(unlearnable), 'row')} wrong."
        )


def shared_with_test(
    removed: Sequence[Example], concerned: Collection[str], test_rows: int
) -> Iterator[str]:
    """Count the pool rows that were removed because they repeat a test row or share its group."""
    if removed:
        yield (
            f"{len(concerned):,} of {plural(test_rows, 'test row')} also occur in the pool, with "
            "the same or nearly the same text or in the same group; "
            f"{plural(len(removed), 'row')} of the pool left out for that: "
            f"{rows_named(e.id for e in removed)}."
        )


def unused_test_rows(available: int, used: int) -> Iterator[str]:
    """Say how many labelled rows the limit on test rows leaves out."""
    if used < available:
        yield (
            f"{used:,} of {available:,} labelled rows are evaluated, as data.test_rows says; "
            f"evaluating the other {available - used:,} needs no labelling."
        )


def conflicts(rows: Sequence[Example]) -> Iterator[str]:
    """Name the rows whose text has more than one label."""
    if texts := conflicting_texts(rows):
        counts = count_conflicts(texts)
        yield (
            f"{plural(counts.texts, 'text')} with more than one label "
            f"({rows_named(e.id for same in texts for e in same)}): whatever the answers, at least "
            f"{plural(counts.lost, 'row')} of these will count as wrong."
        )


def duplicate_rows(rows: Sequence[Example], index: TextIndex) -> Iterator[str]:
    """Count the rows whose text another row has, or nearly has."""
    counts = Counter(index.text_of[e.id] for e in rows)
    same = sum(n for n in counts.values() if n > 1)
    among = index.pairs[np.isin(index.pairs, list(counts)).all(axis=1)]
    near = sum(counts[text] for text in np.unique(among).tolist())
    found = {"the same text as another row": same, "nearly the same text as another row": near}
    if parts := [f"{plural(n, 'row')} with {what}" for what, n in found.items() if n]:
        yield f"{' and '.join(parts)}; such rows are never split between training and test."


def broken_chain(count: int) -> str:
    """Say that a chain of near-duplicates was too long to keep together."""
    return (
        f"{plural(count, 'row')} form chains of near-duplicates (a template?), too long to keep on "
        "one side of the split: only rows with the same text stay together, so accuracies are "
        "optimistic."
    )


def rare_labels(rows: Sequence[Example]) -> Iterator[str]:
    """Name the labels with too few rows to evaluate."""
    if few := balance_of(rows).few:
        yield (
            f"{plural(len(few), 'label')} with fewer than {FEW} rows ({quoted_list(few, 5)}): they "
            "stay in, but figures about them mean little."
        )


def imbalance(rows: Sequence[Example]) -> Iterator[str]:
    """Say that one label dominates, where that inflates accuracy, and which labels that hides."""
    balance = balance_of(rows)
    most, least = balance.counts[0], balance.counts[-1]
    if hidden := hardly_counted(balance):
        names = quoted_list([count.name for count in hidden], 3)
        yield (
            f"Accuracy hardly counts {names} of {plural(len(rows), 'row')}: always "
            f"answering {quoted(most.name)} is right for {balance.majority:.0%}. Recall and "
            "precision of the rare label tell more; --metric balanced counts every label equally."
        )
    elif balance.majority >= 0.6 or (most.rows >= 20 * least.rows and len(balance.counts) > 1):
        yield (
            f"The labels are uneven: {quoted(most.name)} has {balance.majority:.0%} of the rows, "
            f"the rarest label {plural(least.rows, 'row')}; read macro-F1 along with accuracy."
        )


def long_texts(rows: Sequence[Example]) -> Iterator[str]:
    """Count the texts that models truncate."""
    lengths = lengths_of(rows)
    if lengths.long:
        yield (
            f"{plural(lengths.long, 'text')} of more than {LONG} words (the longest "
            f"{lengths.longest:,}): models truncate them."
        )


def sorted_input(rows: Sequence[Example]) -> Iterator[str]:
    """Say that the file is sorted by label, so that its first rows are no fair sample."""
    counts = Counter(e.target for e in rows)
    changes = sum(a.target != b.target for a, b in pairwise(rows))
    shuffled = len(rows) - sum(count**2 for count in counts.values()) / max(len(rows), 1)
    if len(rows) >= 4 * len(counts) and changes < min(2 * len(counts), shuffled / 2):
        yield "The file is sorted by label; rows are sampled in a shuffled, stratified order."
