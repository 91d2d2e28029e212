"""What every form of a report says of candidates that read documents: what is lost, to what."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from choose.corpus import LOOKED
from choose.errors import rows_named
from choose.formatting import (
    DASH,
    clean,
    difference,
    gain,
    in_percent,
    in_points,
    measured,
    percent,
    plural,
    span,
)
from choose.report.decision_text import chosen, score_head
from choose.schema.base import Interval, above_0
from choose.schema.decision import Decision
from choose.schema.reading_documents import (
    GapName,
    LossSplit,
    Retrieved,
    best_first,
)

# The gaps in the order in which they lead from what is reached to every answer right.
GAPS: dict[GapName, str] = {
    "retrieval": "retrieval",
    "distraction": "other passages",
    "reading": "reading",
}


# What stands in place of a loss that is no figure.
NO_FIX, ONE_PASSAGE = "0.0, answers unchanged", "not measured"


class LossStep(NamedTuple):
    """A score, or a loss between two of them, from `start` to `end`; `said` instead of figures.

    `shown` is whether the whole interval of a loss lies above 0; None for scores, and for a loss
    without an interval.
    """

    name: str
    start: float
    end: float
    interval: Interval | None = None
    largest: float | None = None
    said: str = ""

    @property
    def is_loss(self) -> bool:
        """Return whether it is a loss and no score."""
        return self.name.startswith("+ ")

    @property
    def shown(self) -> bool | None:
        """Return whether the whole interval of a loss is above 0."""
        low = self.interval.low if self.interval is not None and self.is_loss else None
        return None if low is None else low > 0


def loss_steps(split: LossSplit) -> list[LossStep]:
    """Return what is written, reached and reachable, and each loss on top of what is below it.

    The format comes before what is reached, as it is won back already; labels in doubt come after
    the ceiling. Both are left out where they are not known.
    """
    reached, steps = split.retrieved.value, list[LossStep]()
    if (form := split.format) is not None:
        before = split.as_written.value if split.as_written is not None else reached
        if split.as_written is not None:
            steps.append(LossStep("as written", 0.0, before, split.as_written))
        said = NO_FIX if split.as_written is None else ""
        steps.append(LossStep("+ format", before, reached, form.loss, form.largest, said))
    steps.append(LossStep("reached", 0.0, reached, split.retrieved))
    at = reached
    for name in GAPS:
        if not any(gap.name == name for gap in split.gaps):
            steps.append(LossStep(f"+ {GAPS[name]}", at, at, said=ONE_PASSAGE))
            continue
        gap = split.gap(name)
        loss = gap.loss
        if name == "reading" and split.to_ceiling is not None:
            loss = split.to_ceiling
        steps.append(LossStep(f"+ {GAPS[name]}", at, at + loss.value, loss, gap.largest))
        at += loss.value
    if split.to_ceiling is not None and (top := split.ceiling) is not None:
        steps.append(LossStep("ceiling", 0.0, top.value, top))
        steps.append(LossStep("+ labels in doubt", top.value, 1.0, _rest(top)))
    return [*steps, LossStep("all right", 0.0, 1.0)]


def _rest(share: Interval) -> Interval:
    """Return what a share lacks to 1."""
    low, high = (None if end is None else 1 - end for end in (share.high, share.low))
    return share.model_copy(update={"value": 1 - share.value, "low": low, "high": high})


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
        heads = [f"{name} (95 % CI)" for name in ("format", *GAPS.values())]
        heads = ["candidate", *heads, "largest"]
        rows = [_gap_row(split) for split in splits]
        yield TextTable("Points that each candidate loses", heads, rows)
    if splits:
        heads = ["candidate", "no passage", "as retrieved", "right passage", "right and others"]
        heads += ["rows", "documents"]
        rows = [_condition_row(split) for split in splits]
        yield TextTable(f"Scores by what is read ({score}, 95 % CI)", heads, rows)
    found = [(split.candidate, split.found) for split in splits if split.found is not None]
    if found:
        heads = ["candidate", "hit@1 (95 % CI)", "hit@k (95 % CI)", "k", "% ranked too low"]
        heads += [f"% not in first {LOOKED}", "MRR", "nDCG", "rows"]
        rows = [[clean(name), *_found_row(one)] for name, one in found]
        yield TextTable("Evidence among the passages that were retrieved", heads, rows)


def _step_rows(split: LossSplit) -> list[list[str]]:
    return [
        [
            step.name,
            step.said
            or (difference if step.is_loss else with_span)(step.interval or Interval(value=1.0)),
            DASH if step.said else percent(step.largest, 0),
            DASH if step.shown is None else "yes" if step.shown else "no",
        ]
        for step in loss_steps(split)
    ]


def _gap_row(split: LossSplit) -> list[str]:
    first = split.gaps[0]
    return [
        clean(split.candidate),
        DASH if split.format is None else difference(split.format.loss),
        *(difference(next((g.loss for g in split.gaps if g.name == name), None)) for name in GAPS),
        f"{GAPS[first.name]} {percent(first.largest, 0)} %",
    ]


def _condition_row(split: LossSplit) -> list[str]:
    scores = (split.nothing, split.retrieved, split.gold, split.among_others)
    return [
        clean(split.candidate),
        *(DASH if score is None else with_span(score) for score in scores),
        f"{split.rows:,}",
        f"{split.documents:,}",
    ]


def _found_row(found: Retrieved) -> list[str]:
    hits = (with_span(found.first), with_span(found.any))
    misses = [DASH if m is None else with_span(m) for m in (found.ranked_low, found.not_found)]
    means = (f"{found.reciprocal_rank:.2f}", f"{found.ndcg:.2f}")
    return [*hits, f"{found.k:,}", *misses, *means, f"{found.rows:,}"]


def with_span(interval: Interval) -> str:
    """Return a score in percent with its interval."""
    return f"{percent(interval.value)} ({span(interval)})".removesuffix(f" ({DASH})")


def reading_notes(decision: Decision) -> Iterator[str]:
    """Yield how to read the split, what would help, and rows without evidence."""
    splits = splits_of(decision)
    for split in splits[:1]:
        rows, documents = plural(split.rows, "row"), plural(split.documents, "document")
        yield (
            f"{clean(split.candidate)} answered {rows} with evidence in {documents}, each with "
            "every kind of passages. Shown: the whole interval of a loss, by documents and "
            "repetitions, is above 0. Largest: % of resamples of the documents in which it is."
        )
        if split.to_ceiling is not None:
            yield (
                "Ceiling: the rows whose label independent candidates do not doubt, which is what "
                "a perfect reader reaches for certain."
            )
    for split in splits:
        if (more := split.shortened) is not None:
            sure = "its scores include" if above_0(more) else "may be chance"
            yield (
                f"{clean(split.candidate)} leaves the words of the question out of its answers. "
                f"That changes its score with the right passage by {in_points(more)}, which {sure}."
            )
    for split in splits[:1]:
        yield from _what_helps(split)
    if unanswered := decision.without_evidence:
        known = plural(len(unanswered), "question")
        yield f"No document is known to hold the answers to {known}: {_listed(unanswered)}."
    for split in splits[:1]:
        if split.found is not None and (missed := split.found.missed):
            of = f"{len(missed):,} of {plural(split.found.rows, 'row')}"
            yield f"{clean(split.candidate)} read no evidence of {of}: {_listed(missed)}."


def _what_helps(split: LossSplit) -> Iterator[str]:
    """Yield what retrieval and reading would each gain alone, and the best other reader."""
    if (reading := split.reading_alone) is not None and (found := split.found) is not None:
        retrieval, rows = split.gap("retrieval").loss.value, plural(found.rows, "row")
        yield (
            f"Alone, perfect retrieval gains {clean(split.candidate)} {measured(retrieval)}; a "
            f"perfect reader of what it reads about {measured(reading)}, since that holds the "
            f"evidence of {in_percent(found.any.value)} of {rows}; all that is lost is "
            f"{measured(1 - split.retrieved.value)}."
        )
    if split.best_reader is not None and split.reader_gain is not None:
        told = gain(clean(split.best_reader), clean(split.candidate), split.reader_gain)
        yield f"Best of the other candidates with the right passage, on common rows: {told}."


# Ids of rows in a sentence.
LISTED = 20


def _listed(ids: Sequence[str]) -> str:
    more = " (all are in decision.json)" if len(ids) > LISTED else ""
    return f"{clean(rows_named(ids, LISTED))}{more}"
