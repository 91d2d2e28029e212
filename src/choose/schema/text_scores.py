"""The parts of a decision on answers that are texts: figures beside the score, errors, rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from pydantic import Field

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


class ValueErrors(Record):
    """One kind of wrong values of records: how many, their share, and the field with most."""

    name: str
    count: int
    share: float
    field: str | None = None


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


class AnswerErrors(Record):
    """The out-of-fold errors of one candidate whose answers have parts, before any fine-tuning.

    Parts are the values of records, or the labels of sets.

    Attributes:
        candidate: whose errors they are.
        rows: the rows it answered.
        wrong: the rows with a wrong value or an unusable answer.
        kinds: of wrong values, most frequent first: ``malformed`` (all values of an unusable
            answer), ``suspect target``, ``missing``, ``spurious``, ``wrong value``, ``wrong
            field`` and ``not normalised``.
        suspected: suspect values of the whole set; `suspects` lists the most agreed.
        literal: fields whose right values nearly always occur in the input.
    """

    candidate: str
    rows: int
    wrong: int
    kinds: tuple[ValueErrors, ...] = ()
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


class Rating(Record):
    """What a person or a model thinks of an answer to a row, from 0 (worst) to 1 (best).

    `answer` is the digest of row and answer (`choose.files.answer_key`).
    """

    row: str
    answer: str
    rater: str
    value: float = Field(ge=0, le=1)


class Preference(Record):
    """Which of two answers to a row a person prefers: 1 the first, -1 the second, 0 neither."""

    row: str
    first: str
    second: str
    rater: str
    value: float = Field(ge=-1, le=1)


class PeopleRatings(Record):
    """Ratings by people as a store holds them; `scale` is the worst and the best rating."""

    scale: tuple[float, float]
    ratings: tuple[Rating, ...] = ()
    preferences: tuple[Preference, ...] = ()


class ModelRatings(Record):
    """Ratings by a model behind an endpoint as a store holds them.

    Attributes:
        model: the model and the server.
        prompt: digest of what it was told.
        unusable: answers to which it gave no rating.
        unasked: answers that the spending limit left out.
    """

    model: str
    prompt: str
    ratings: tuple[Rating, ...] = ()
    unusable: int = 0
    unasked: int = 0


# The name of a model that rates answers, among the metrics.
JUDGE = "judge"


class MetricAgreement(Record):
    """How far a metric agrees with people on the difference between two candidates.

    Attributes:
        metric: its name; ``judge`` is the model that rates.
        rated: its own difference, on the rows with ratings that differ.
        correlation: of its differences with those of people, over these rows; null where one of
            them does not vary.
        calibrated: the difference by people over all rows, made surer by the metric (PPI++).
        weight: of the metric in that, from 0 to 1.
        effective: how many rated rows alone would be as sure.
    """

    metric: str
    rated: Interval
    correlation: Interval | None = None
    calibrated: Interval
    weight: float
    effective: float


class RatedPair(Record):
    """Two candidates by people's ratings, a minus b; differences from -1 to 1.

    Attributes:
        rows: rated rows on which their answers differ, `twice` of them by two people or more.
        equal: share of all rows on which the two give the same answer, which count as 0.
        preferred: whether people said which answer is better, instead of rating each.
        people: by the ratings alone.
        metrics: the headline metric first.
        together: correlation of one person's differences with those of the others, over the rows
            that several rated; null where it cannot be known.
        p: chance of a difference by people this large where there is none; `p_holm` adjusted for
            all pairs, null where too few rows are rated.
    """

    a: str
    b: str
    rows: int
    twice: int
    raters: int
    equal: float
    preferred: bool
    people: Interval
    metrics: tuple[MetricAgreement, ...] = ()
    together: Interval | None = None
    p: float | None = None
    p_holm: float | None = None


class RatingFigures(Record):
    """What people's ratings say, and whether metrics agree with them.

    Attributes:
        scale: the worst and the best rating.
        answers: rated answers.
        unknown: ratings of answers that the study does not have any more.
        same: share of the answers with several ratings on which two raters agree; null without.
        means: by candidate, the mean rating from 0 to 1 of its rated answers.
        pairs: the candidate to use against others, the deciding one first.
        judge: the model that rates; null without one.
        judged: its mean rating by candidate.
        unusable: answers to which the model gave no rating.
    """

    scale: tuple[float, float]
    raters: tuple[str, ...] = ()
    answers: int = 0
    unknown: int = 0
    same: float | None = None
    means: Mapping[str, float] = {}
    pairs: tuple[RatedPair, ...] = ()
    judge: str | None = None
    judged: Mapping[str, float] = {}
    unusable: int = 0
