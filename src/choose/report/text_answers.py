"""What every form of a report says of answers that are texts: figures, errors, differences."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from difflib import SequenceMatcher
from functools import partial
from typing import Any, NamedTuple

from choose.formatting import DASH, clean, in_points, listed, percent
from choose.report.decision_text import chosen, words_in
from choose.report.exchanged_facts_text import (
    drill_note,
    drill_table,
)
from choose.report.reading_text import TextTable, reading_notes, reading_tables
from choose.report.words import after_changes
from choose.schema.decision import Decision
from choose.schema.score_names import NAMES
from choose.schema.scorecard import Scorecard


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
    yield from _other_orders(decision)
    for card in decision.scorecards:
        fix = card.text.dropped if card.text is not None else None
        if fix is not None and fix.low is not None and fix.low > 0:
            yield (
                f"{clean(card.candidate)} gains {in_points(fix)} if values that do not occur in "
                "the input are dropped; that needs no training."
            )


def _other_orders(decision: Decision) -> Iterator[str]:
    """Yield the metrics by which another candidate scores higher than the chosen one."""
    cards = {card.candidate: card for card in decision.scorecards if card.text is not None}
    pick = cards.get(chosen(decision.verdict))
    if pick is None or pick.text is None:
        return
    for metric, own in pick.text.metrics.items():
        alike = [card for card in cards.values() if card.rows == pick.rows]
        scores = {c.candidate: c.text.metrics[metric].value for c in alike if c.text is not None}
        best = max(scores, key=lambda name: scores[name])
        if scores[best] > own.value:
            yield (
                f"By {NAMES.get(metric, clean(metric))}, {clean(best)} scores higher than "
                f"{clean(pick.candidate)} ({percent(scores[best])} against {percent(own.value)}): "
                "the order of candidates depends on the metric."
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
    """Return an answer in parts (`differing_words`); a ranking, which tells its ranks, in one."""
    return [(said, "same")] if words_in(decision).ranks else [*differing_words(right, said)]


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
    standing = {s.candidate: s for s in decision.standings}
    heads = ["candidate", *(head.replace("\n", " ") for head, _ in figures)]
    rows = [
        [
            clean(card.candidate),
            *(figure(card) for _, figure in figures),
            percent(standing[card.candidate].better) if card.candidate in standing else DASH,
            percent(standing[card.candidate].worse) if card.candidate in standing else DASH,
        ]
        for card in decision.scorecards
        if card.text is not None
    ]
    return [*heads, "% rows better", "% rows worse"], rows


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
    name = chosen(decision.verdict)
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
