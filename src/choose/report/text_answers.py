"""What every form of a report says of answers that are texts: figures, errors, differences."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from functools import partial
from typing import Any, NamedTuple

from choose.corpus import LOOKED
from choose.errors import rows_named
from choose.formatting import (
    DASH,
    clean,
    difference,
    gain,
    in_percent,
    in_points,
    listed,
    measured,
    percent,
    plural,
    span,
)
from choose.report.decision_text import score_head, words_in
from choose.report.words import after_changes
from choose.schema.base import Interval, above_0
from choose.schema.decision import Decision
from choose.schema.diagnosis import (
    DocumentDrill,
    GapName,
    LossSplit,
    Retrieved,
    best_first,
)
from choose.schema.scorecard import NAMES, Scorecard

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
    return best_first(decision.loss_splits, decision.pick)


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


def drill_table(drill: DocumentDrill) -> TextTable:
    """Return what candidates answer after facts in the documents changed."""
    rows = [
        [
            clean(outcome.candidate),
            percent(outcome.clean.value),
            with_span(outcome.updated),
            with_span(outcome.stale),
        ]
        for outcome in drill.outcomes
    ]
    heads = ["candidate", "score before", "score after", "% old fact"]
    return TextTable("Facts that change in the documents", heads, rows)


def drill_note(drill: DocumentDrill) -> str:
    """Return what the table of changed facts means."""
    return (
        f"{plural(drill.facts, 'fact')} of the documents were exchanged after training; "
        f"{plural(drill.rows, 'row')} on {plural(drill.documents, 'document')} (95 % CI). "
        "Candidates that read no documents answer as before."
    )


def tables_on_reading(decision: Decision) -> list[TextTable]:
    """Return every table on candidates that read documents."""
    drill = decision.document_drill
    return [*reading_tables(decision), *([drill_table(drill)] if drill else [])]


def notes_on_reading(decision: Decision) -> list[str]:
    """Return every sentence on these tables."""
    drill = decision.document_drill
    return [
        *reading_notes(decision),
        *((after_changes(drill), drill_note(drill)) if drill else ()),
    ]


class PartWords(NamedTuple):
    """What the parts of an answer are called: values of fields, or labels of a set."""

    field: str
    value: str
    checked: str


FIELD_WORDS = PartWords(
    "field",
    "value",
    "that two or more independent candidates give instead, and that occur in the input",
)
LABEL_WORDS = PartWords(
    "label",
    "label",
    "that two or more independent candidates would add (instead) or leave out (given)",
)

Figure = Callable[[Scorecard], str]


def part_words(decision: Decision) -> PartWords:
    """Return what the parts of this study's answers are called."""
    texts = (card.text for card in decision.scorecards)
    sets = any(text is not None and text.macro_f1 is not None for text in texts)
    return LABEL_WORDS if sets else FIELD_WORDS


def metric_heads(decision: Decision) -> Iterator[tuple[str, Figure]]:
    """Yield the figures beside the score of texts that some candidate has, with their heads."""
    known = [card.text for card in decision.scorecards if card.text is not None]
    for metric in dict.fromkeys(name for text in known for name in text.metrics):
        yield f"%\n{NAMES.get(metric, clean(metric))}", partial(_other_metric, metric)
    if any(text.micro_f1 is not None for text in known):
        yield "micro\nF1", lambda card: percent(card.text.micro_f1 if card.text else None)
    if any(text.macro_f1 is not None for text in known):
        yield "macro\nF1", lambda card: percent(card.text.macro_f1 if card.text else None)
    if any(text.abstentions is not None for text in known):
        for head, figure in ABSTENTIONS.items():
            yield head, partial(_abstention, figure)
    yield "%\nusable", lambda card: percent(card.format_valid)
    sets = part_words(decision) is LABEL_WORDS
    if not sets and any(text.length is not None for text in known):
        yield "length\nratio", lambda card: _ratio(card.text.length if card.text else None)


# How a candidate deals with rows without an answer, by the head of its column.
ABSTENTIONS = {
    "%\nanswered": "answered",
    "% score\nof these": "score",
    "% false\nanswers": "false_answers",
    "% with-\nheld": "needless",
}


def _abstention(figure: str, card: Scorecard) -> str:
    found = card.text.abstentions if card.text is not None else None
    return percent(None if found is None else getattr(found, figure))


def _other_metric(metric: str, card: Scorecard) -> str:
    found = card.text.metrics.get(metric) if card.text is not None else None
    return percent(found.value if found is not None else None)


def _ratio(value: float | None) -> str:
    return DASH if value is None else f"{value:.2f}"


def with_inputs(decision: Decision, texts: Mapping[str, str]) -> Decision:
    """Return a decision whose rows side by side have their inputs, where these are stored."""
    rows = decision.side_by_side
    shown = tuple(row.model_copy(update={"text": texts.get(row.id)}) for row in rows)
    return decision.model_copy(update={"side_by_side": shown})


def text_notes(decision: Decision) -> Iterator[str]:
    """Yield the format gap of each candidate, and what dropping invented values gains it."""
    for card in decision.scorecards:
        if card.text is not None and card.text.format_gap is not None:
            yield (
                f"{clean(card.candidate)} would gain {in_points(card.text.format_gap)} if its "
                "unusable answers were repaired (the format gap)."
            )
    if any(card.text is not None and card.text.abstentions for card in decision.scorecards):
        yield (
            "Some rows have no answer. Answered: rows on which a candidate gave one. False "
            "answers: of the rows without one. Withheld: of the rows with one, those on which it "
            "said that there is none."
        )
    for card in decision.scorecards:
        fix = card.text.dropped if card.text is not None else None
        if fix is not None and fix.low is not None and fix.low > 0:
            yield (
                f"{clean(card.candidate)} gains {in_points(fix)} if values that do not occur in "
                "the input are dropped; that needs no training."
            )


def differing_words(right: str, said: str) -> Iterator[tuple[str, str]]:
    """Yield the parts of an answer with what they are: ``same``, ``added``, or ``missing`` in it.

    Words and the signs between them are compared, so that a record is compared value by value.
    """
    a, b = (re.findall(r"\w+|\s+|[^\w\s]", text) for text in (right, said))
    for kind, i, j, k, m in SequenceMatcher(a=a, b=b, autojunk=False).get_opcodes():
        if kind in ("delete", "replace"):
            yield "".join(a[i:j]), "missing"
        if kind in ("insert", "replace"):
            yield "".join(b[k:m]), "added"
        if kind == "equal":
            yield "".join(b[k:m]), "same"


def answer_parts(decision: Decision, right: str, said: str) -> list[tuple[str, str]]:
    """Return an answer in parts (`differing_words`).

    In one part if little is the same, and for rankings, which tell their ranks.
    """
    if words_in(decision).ranks:
        return [(said, "same")]
    parts = [*differing_words(right, said)]
    same = sum(len(part) for part, kind in parts if kind == "same")
    return parts if 2 * same >= max(len(right), len(said)) else [(said, "same")]


def side_rows(decision: Decision) -> list[dict[str, Any]]:
    """Return the rows side by side as plain values, each answer in `answer_parts`."""
    return [
        {
            "id": clean(row.id),
            "text": None if row.text is None else clean(row.text),
            "target": clean(row.target),
            "accepted": [clean(text) for text in row.accepted],
            "answers": [
                {
                    "candidate": clean(answer.candidate),
                    "score": f"{answer.score:.2f}",
                    "raw": None if answer.raw is None else clean(answer.raw),
                    "parts": []
                    if answer.output is None
                    else answer_parts(decision, clean(row.target), clean(answer.output)),
                }
                for answer in row.answers
            ],
        }
        for row in decision.side_by_side
    ]


def suspect_rows(decision: Decision) -> list[list[str]]:
    """Return the suspect right values as rows of a table."""
    found = decision.suspect_values.suspects if decision.suspect_values is not None else ()
    return [
        [
            clean(suspect.id),
            clean(suspect.field),
            DASH if suspect.given is None else clean(suspect.given),
            DASH if suspect.suggested is None else clean(suspect.suggested),
            listed([clean(name) for name in suspect.candidates]),
        ]
        for suspect in found
    ]


def field_rows(card: Scorecard | None) -> list[list[str]]:
    """Return precision and recall by field of a candidate as rows of a table."""
    found = card.text.fields if card is not None and card.text is not None else ()
    return [
        [clean(f.field), f"{f.support:,}", percent(f.precision), percent(f.recall)] for f in found
    ]


def other_metrics_table(decision: Decision) -> TextTable:
    """Return the figures beside the score as a table."""
    return TextTable("Other metrics", *other_metrics_rows(decision))


def other_metrics_rows(decision: Decision) -> tuple[list[str], list[list[str]]]:
    """Return the heads and the rows of the figures beside the score."""
    figures = list(metric_heads(decision))
    heads = ["candidate", *(head.replace("\n", " ") for head, _ in figures)]
    rows = [
        [
            clean(card.candidate),
            *(figure(card) for _, figure in figures),
        ]
        for card in decision.scorecards
        if card.text is not None
    ]
    return heads, rows


def text_sections(decision: Decision) -> dict[str, Any]:
    """Return the sections on answers that are texts; those on reading alone for labels."""
    drill = decision.document_drill
    reading = {
        "reading_tables": list(reading_tables(decision)),
        "reading_notes": list(reading_notes(decision)),
        "drill_table": drill and drill_table(drill),
        "drill_says": drill and after_changes(drill),
        "drill_note": drill and drill_note(drill),
    }
    if decision.dataset.labels:
        return reading
    name = decision.pick
    pick = next((card for card in decision.scorecards if card.candidate == name), None)
    heads, rows = other_metrics_rows(decision)
    return {
        **reading,
        "side_by_side": side_rows(decision),
        "suspect_rows": suspect_rows(decision),
        "field_rows": field_rows(pick),
        "part": part_words(decision),
        "other_heads": heads,
        "other_rows": rows,
        "text_notes": list(text_notes(decision)),
        "pick": pick,
    }
