"""What models that read documents lose, and to what, in sentences."""

from __future__ import annotations

from collections.abc import Sequence

from choose.formatting import in_percent, points
from choose.schema.reading import Gap, GapName, LossSplit

# A gap is named as the largest if it is so in this share of resamples of the documents.
SURELY = 0.8

_LOSES: dict[GapName, str] = {
    "reading": "reading",
    "retrieval": "retrieval",
    "distraction": "the other passages that are read beside the right one",
}

_DO: dict[GapName, str] = {
    "reading": "a stronger or tuned reader, not a better index",
    "retrieval": "a better index or better documents, not another reader",
    "distraction": "fewer passages, or a reader that was tuned among others",
}


def best_split(splits: Sequence[LossSplit], candidate: str) -> LossSplit | None:
    """Return the split of a candidate; else that of the one that scores highest."""
    own = [split for split in splits if split.candidate == candidate]
    return max(own or splits, key=lambda split: split.retrieved.value, default=None)


def loss_sentences(splits: Sequence[LossSplit], candidate: str) -> tuple[str, ...]:
    """Return what retrieval brings and what is missing now; nothing without a split."""
    split = best_split(splits, candidate)
    return () if split is None else (_knowledge(split), _missing(split))


def _knowledge(split: LossSplit) -> str:
    without, found, gold = (
        in_percent(interval.value).removesuffix(" %")
        for interval in (split.nothing, split.retrieved, split.gold)
    )
    low, high = split.knowledge.low, split.knowledge.high
    if low is not None and low > 0:
        return (
            f"Retrieval brings the knowledge: {split.candidate} scores {without} without a passage "
            f"and {found} with what it retrieves ({gold} with the right passage)."
        )
    if high is not None and high < 0:
        return (
            f"Passages mislead {split.candidate}: it scores {without} without one and {gold} with "
            "the right one."
        )
    return (
        f"Passages are not shown to help {split.candidate}: it scores {without} without one and "
        f"{gold} with the right one."
    )


def _missing(split: LossSplit) -> str:
    first, second = split.gaps[:2]
    shown = first.loss.low is not None and first.loss.low > 0
    if first.largest < SURELY or not shown:
        return (
            f"What it loses most by is open: {_LOSES[first.name]} ({_points(first)}) or "
            f"{_LOSES[second.name]} ({_points(second)}), on {split.rows} rows."
        )
    other = next(gap for gap in split.gaps if gap.name in ("reading", "retrieval") and gap != first)
    return (
        f"What is missing now is {_LOSES[first.name]} ({_points(first)}), not "
        f"{_LOSES[other.name]} ({_points(other)}): {_DO[first.name]}."
    )


def _points(gap: Gap) -> str:
    return points(-gap.loss.value)
