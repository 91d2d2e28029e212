"""What every form of a report says of candidates that read documents: what is lost, to what."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from choose.formatting import DASH, clean, difference, in_points, percent, plural, span
from choose.report.decision_text import chosen, score_head
from choose.schema.base import Interval
from choose.schema.decision import Decision
from choose.schema.reading import GapName, LossSplit, Retrieved, best_first

# The gaps in the order in which they lead from what is reached to every answer right.
GAPS: dict[GapName, str] = {
    "retrieval": "retrieval",
    "distraction": "other passages",
    "reading": "reading",
}


class LossStep(NamedTuple):
    """A step from what a candidate reaches to every answer right; `start` and `end` are scores.

    `shown` is whether the whole interval of a gap lies above 0; None for the ends, which are no
    gaps, and for a gap without an interval.
    """

    name: str
    start: float
    end: float
    interval: Interval | None = None
    largest: float | None = None
    shown: bool | None = None


def loss_steps(split: LossSplit) -> list[LossStep]:
    """Return what is reached, each gap on top of what is below it, and every answer right."""
    reached = split.retrieved.value
    steps = [LossStep("reached", 0.0, reached, split.retrieved)]
    for gap in map(split.gap, GAPS):
        low, start = gap.loss.low, steps[-1].end
        shown = None if low is None else low > 0
        end = start + gap.loss.value
        steps.append(LossStep(f"+ {GAPS[gap.name]}", start, end, gap.loss, gap.largest, shown))
    return [*steps, LossStep("all right", 0.0, 1.0)]


class TextTable(NamedTuple):
    """A table whose first column names the rows; `about` is a candidate, if it is of one only."""

    title: str
    heads: list[str]
    rows: list[list[str]]
    about: str = ""

    @property
    def titled(self) -> str:
        """Return the title with the candidate."""
        return f"{self.title}: {self.about}" if self.about else self.title


def splits_of(decision: Decision) -> list[LossSplit]:
    """Return what candidates that read documents lose, that of the chosen one or the best first."""
    return best_first(decision.loss_splits, chosen(decision.verdict))


def reading_tables(decision: Decision) -> Iterator[TextTable]:
    """Yield what is lost to what, the scores by what is read, and how well it was retrieved."""
    splits, score = splits_of(decision), score_head(decision.goal)
    for split in splits[:1]:
        heads = ["part", "points (95 % CI)", "% largest", "shown"]
        title, name = "From what is reached to every answer right", clean(split.candidate)
        yield TextTable(title, heads, _step_rows(split), name)
    if splits[1:]:
        heads = ["candidate", *(f"{name} (95 % CI)" for name in GAPS.values()), "largest"]
        rows = [_gap_row(split) for split in splits]
        yield TextTable("Points that each candidate loses", heads, rows)
    if splits:
        heads = ["candidate", "no passage", "as retrieved", "right passage", "right and others"]
        heads += ["rows", "documents"]
        rows = [_condition_row(split) for split in splits]
        yield TextTable(f"Scores by what is read ({score}, 95 % CI)", heads, rows)
    found = [(split.candidate, split.found) for split in splits if split.found is not None]
    if found:
        heads = ["candidate", "hit@1 (95 % CI)", "hit@k (95 % CI)", "k", "MRR", "nDCG", "rows"]
        rows = [[clean(name), *_found_row(one)] for name, one in found]
        yield TextTable("Evidence among the passages that were retrieved", heads, rows)


def _step_rows(split: LossSplit) -> list[list[str]]:
    return [
        [
            step.name,
            difference(step.interval)
            if step.largest is not None
            else _with_span(step.interval or Interval(value=1.0)),
            percent(step.largest, 0),
            DASH if step.shown is None else "yes" if step.shown else "no",
        ]
        for step in loss_steps(split)
    ]


def _gap_row(split: LossSplit) -> list[str]:
    first = split.gaps[0]
    return [
        clean(split.candidate),
        *(difference(split.gap(name).loss) for name in GAPS),
        f"{GAPS[first.name]} {percent(first.largest, 0)} %",
    ]


def _condition_row(split: LossSplit) -> list[str]:
    scores = (split.nothing, split.retrieved, split.gold, split.among_others)
    return [
        clean(split.candidate),
        *map(_with_span, scores),
        f"{split.rows:,}",
        f"{split.documents:,}",
    ]


def _found_row(found: Retrieved) -> list[str]:
    hits = (_with_span(found.first), _with_span(found.any))
    means = (f"{found.reciprocal_rank:.2f}", f"{found.ndcg:.2f}")
    return [*hits, f"{found.k:,}", *means, f"{found.rows:,}"]


def _with_span(interval: Interval) -> str:
    return f"{percent(interval.value)} ({span(interval)})".removesuffix(f" ({DASH})")


def reading_notes(decision: Decision) -> Iterator[str]:
    """Yield how to read the split, and what answers without the question's words gain."""
    for split in splits_of(decision)[:1]:
        rows, documents = plural(split.rows, "row"), plural(split.documents, "document")
        yield (
            f"{clean(split.candidate)} answered {rows} with evidence in {documents}, each with "
            "every kind of passages. Intervals are by documents and repetitions."
        )
        yield (
            "Shown: the whole interval of a loss is above 0; else there may be none. Largest: % of "
            "resamples of the documents in which this loss is the largest."
        )
    for split in splits_of(decision):
        yield (
            f"The right passage over none changes the score of {clean(split.candidate)} by "
            f"{in_points(split.knowledge)}: the most that passages can bring it."
        )
        if (gain := split.shortened) is not None:
            sure = gain.low is not None and gain.low > 0
            yield (
                f"{clean(split.candidate)} leaves the words of the question out of its answers. "
                f"That changes its score with the right passage by {in_points(gain)}, which "
                f"{'its scores include' if sure else 'may be chance'}."
            )
