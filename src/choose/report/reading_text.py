"""What every form of a report says of candidates that read documents: what is lost, to what."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from choose.errors import rows_named
from choose.formatting import DASH, clean, difference, in_points, percent, plural, span
from choose.report.decision_text import PERSONAL, chosen, score_head
from choose.report.screen_text import shorten
from choose.schema.base import Interval
from choose.schema.decision import Decision
from choose.schema.reading_documents import (
    GapName,
    LossSplit,
    ReadingError,
    ReadingExample,
    ReadingStep,
    Retrieved,
    best_first,
)
from choose.schema.text_scores import GivenAnswer

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
            else with_span(step.interval or Interval(value=1.0)),
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
        *map(with_span, scores),
        f"{split.rows:,}",
        f"{split.documents:,}",
    ]


def _found_row(found: Retrieved) -> list[str]:
    hits = (with_span(found.first), with_span(found.any))
    means = (f"{found.reciprocal_rank:.2f}", f"{found.ndcg:.2f}")
    return [*hits, f"{found.k:,}", *means, f"{found.rows:,}"]


def with_span(interval: Interval) -> str:
    """Return a score in percent with its interval."""
    return f"{percent(interval.value)} ({span(interval)})".removesuffix(f" ({DASH})")


def reading_notes(decision: Decision) -> Iterator[str]:
    """Yield how to read the split, what answers without the question's words gain, and rows.

    These are the questions that no document answers, and those whose evidence was not found.
    """
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
    if unanswered := decision.without_evidence:
        known = plural(len(unanswered), "question")
        yield f"No document is known to hold the answers to {known}: {_listed(unanswered)}."
    for split in splits_of(decision)[:1]:
        if split.found is not None and (missed := split.found.missed):
            of = f"{len(missed):,} of {plural(split.found.rows, 'row')}"
            yield f"{clean(split.candidate)} read no evidence of {of}: {_listed(missed)}."


def _listed(ids: Sequence[str]) -> str:
    more = " (all are in decision.json)" if len(ids) > LISTED else ""
    return f"{clean(rows_named(ids, LISTED))}{more}"


# What the reasons for which a candidate that reads is wrong mean.
REASONS: dict[ReadingStep, str] = {
    "label suspect": "several candidates give another answer",
    "corpus gap": "the answer occurs in no document",
    "retrieval miss": "its evidence was not read",
    "dropped": "its evidence was cut from the prompt",
    "distraction": "right with the right passage alone",
    "format": "unusable, or a part of it is right",
    "needless abstention": "it says that there is no answer",
    "false answer": "an answer where there is none",
    "ungrounded": "its words are not in the evidence",
    "skill": "none of these; the evidence was read",
    "right by prior": "no error: right without the evidence",
}

# Ids of rows in a sentence, and characters of a text in a row of examples.
LISTED = 20
LONGEST = 300


class WrongRow(NamedTuple):
    """A row that a candidate gets wrong: why, and names with texts for a person to read."""

    id: str
    error: str
    parts: list[tuple[str, str]]


def error_table(decision: Decision) -> TextTable | None:
    """Return why the best candidate that reads is wrong; None where that is not known."""
    found = decision.reading_errors
    if found is None:
        return None
    heads = ["reason", "rows", "% of wrong", "meaning"]
    rows = [_error_row(error) for error in found.errors]
    return TextTable("Wrong answers by the first reason", heads, rows, clean(found.candidate))


def _error_row(error: ReadingError) -> list[str]:
    prior = error.name == "right by prior"
    count = DASH if error.count is None else f"{error.count:,}"
    return [error.name, count, DASH if prior else percent(error.share), REASONS[error.name]]


def error_notes(decision: Decision) -> Iterator[str]:
    """Yield how many rows are wrong, and what the shares rest on."""
    found = decision.reading_errors
    if found is None:
        return
    yield (
        f"{clean(found.candidate)} scores less than a half on {found.wrong:,} of "
        f"{plural(found.rows, 'test row')}."
    )
    if found.untold:
        yield (
            f"{plural(found.untold, 'wrong row')} whose evidence was read had no answer under "
            "controls; shares take them to be like the others."
        )


def wrong_rows(decision: Decision) -> list[WrongRow]:
    """Return the wrong rows of the record for a person to read; those with personal data bare."""
    found = decision.reading_errors
    return [_wrong_row(decision, row) for row in found.examples] if found is not None else []


def _wrong_row(decision: Decision, row: ReadingExample) -> WrongRow:
    parts = []
    if row.id in decision.personal:
        parts.append(("question", PERSONAL))
    elif row.text is not None:
        parts.append(("question", _cut(row.text)))
    parts.append(("read", ", ".join(map(clean, row.shown)) or "nothing"))
    if row.id not in decision.personal:
        parts += [("passage", _cut(text)) for text in row.passages or ()]
    parts.append(("occurs in", ", ".join(map(clean, row.evidence)) or "no document"))
    if row.target is not None and row.id not in decision.personal:
        parts.append(("right", _cut(row.target)))
        parts += [(clean(answer.candidate), _said(answer)) for answer in row.answers]
    return WrongRow(clean(row.id), row.error, [(name, _cut(text)) for name, text in parts])


def _said(answer: GivenAnswer) -> str:
    if answer.output is None:
        return f"no usable answer: {_cut(answer.raw)}" if answer.raw else "no usable answer"
    return f"{_cut(answer.output)} ({answer.score:.2f})"


def _cut(text: str) -> str:
    return shorten(clean(text), LONGEST)


def example_table(decision: Decision) -> TextTable | None:
    """Return the wrong rows as a table, without their questions; None without any."""
    rows = [
        [row.id, row.error, "; ".join(f"{n}: {t}" for n, t in row.parts if n != "question")]
        for row in wrong_rows(decision)
    ]
    return (
        TextTable("Rows with wrong answers", ["row", "reason", "details"], rows) if rows else None
    )
