"""The parts of a decision on answers that are texts: figures beside the score, errors, rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from choose.schema.base import Interval, Record

# A field is literal if so large a share of its right values, of so many, occur in their inputs.
LITERAL, FEWEST = 0.95, 10


def literal_among(rows: Iterable[Mapping[tuple[str, str], tuple[str, bool]]]) -> tuple[str, ...]:
    """Return the fields whose right values nearly always occur in their inputs.

    Args:
        rows: the values of each row by field and form of comparison: as written, and whether the
            input has it.
    """
    found, stand = Counter[str](), Counter[str]()
    for row in rows:
        for (field, _), (_, stands) in row.items():
            found[field] += 1
            stand[field] += stands
    named = (field for field, count in found.items() if count >= FEWEST)
    return tuple(sorted(field for field in named if stand[field] >= LITERAL * found[field]))


class FieldRecord(Record):
    """Precision, recall and expected values of one field, or one label of sets, of a candidate.

    They are over all repetitions; `support` is by repetition.
    """

    field: str
    precision: float | None
    recall: float | None
    support: int


class Abstentions(Record):
    """How a candidate deals with rows that have no answer, as shares over all its repetitions.

    Unusable answers count neither as given nor as withheld.

    Attributes:
        answered: rows on which it gave an answer.
        score: mean score of the answers it gave, false ones included; null if it gave none.
        false_answers: of the rows without an answer, those on which it gave one.
        needless: of the rows with an answer, those on which it said that there is none.
    """

    answered: float
    score: float | None
    false_answers: float | None
    needless: float | None


class TextFigures(Record):
    """What is beside the score of answers that are texts; null where it does not exist.

    Attributes:
        metrics: the other metrics of the task, by name.
        micro_f1: of all values or labels of all rows together, for records and sets of labels.
        macro_f1: the mean of the labels' F1, for sets; labels count that are right or given once.
        format_gap: what the score would gain if unusable answers were repaired.
        dropped: what field F1 gains if values that do not occur in the input are dropped, in
            fields whose right values nearly always do: a fix that needs no training, and which
            models of this machine have had.
        length: characters of the answers over those of the right ones.
        fields: of records, or the labels of sets; those with most right values first.
        abstentions: where some rows have no answer.
    """

    metrics: Mapping[str, Interval] = {}
    micro_f1: float | None = None
    macro_f1: float | None = None
    format_gap: Interval | None = None
    dropped: Interval | None = None
    length: float | None = None
    fields: tuple[FieldRecord, ...] = ()
    abstentions: Abstentions | None = None


class SuspectValue(Record):
    """A right value that two or more independent candidates contradict with another one.

    The value that they give instead occurs in the input; `given` is null where the record has no
    value in this field. Of sets of labels `field` is the label: `given` is null where the set lacks
    it and should have it, `suggested` is null where the set has it and should not.
    """

    id: str
    field: str
    given: str | None
    suggested: str | None
    candidates: tuple[str, ...]


class SuspectValues(Record):
    """Right values of records, or labels of sets, that independent candidates contradict alike.

    Attributes:
        suspected: those of the whole set; `suspects` lists the most agreed.
        literal: fields whose right values nearly always occur in the input.
    """

    suspected: int = 0
    suspects: tuple[SuspectValue, ...] = ()
    literal: tuple[str, ...] = ()


class GivenAnswer(Record):
    """The answer of a candidate to a row, null where it is unusable; `raw` is what it wrote.

    `raw` is null where that is the answer itself.
    """

    candidate: str
    output: str | None
    score: float
    raw: str | None = None


class ComparedRow(Record):
    """A test row with its right answer and the first answers of some candidates.

    `accepted` are further right answers. `text` is null in the record; a report puts the stored
    input in.
    """

    id: str
    target: str
    answers: tuple[GivenAnswer, ...]
    accepted: tuple[str, ...] = ()
    text: str | None = None
