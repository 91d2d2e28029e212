"""Answering: the answer to a question is a few words; several may be accepted, or there is none.

A question without an answer has the target `NO_ANSWER`. A candidate abstains with the same words
or with an empty answer. An answer is one line.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, Protocol, get_args, runtime_checkable

from choose.errors import DataError, StudyError, quoted
from choose.files import digest
from choose.schema.sections import TaskSection
from choose.tasks.user_metric import UserMetric, read_metric
from choose.tasks.values import (
    as_date,
    as_number,
    canonical,
    scalar_text,
    squad_normal,
    stands,
    type_name,
)
from choose.types import Example, Task

# The target of a question without an answer, and what a model is told to write there. It is a text
# like other targets, so that tables and stores hold it; in a cell it means the same.
NO_ANSWER = "no answer"

Metric = Literal["token-f1", "exact-match", "value-match"]

# The scores of every answer, the usual headline first.
OWN: tuple[Metric, ...] = get_args(Metric)

# Names of columns that hold what is to be read for an answer.
PASSAGES = ("passage", "context", "paragraph", "passages", "contexts", "document", "article")

# A field is the passage if so large a share of the answers stands in it, of so many rows.
STANDS, ROWS_READ = 0.5, 500


@runtime_checkable
class Briefly(Protocol):
    """A task whose answers are a few words on one line; some questions may have none."""

    unanswerable: bool
    passage: str | None

    def guidance(self) -> str:
        """Return what a model is told of the form of answers."""

    def abstains(self, output: str) -> bool:
        """Return whether an answer says that there is none."""


def passage_field(task: Task) -> str | None:
    """Return the field that holds what is read for an answer, if a task has one."""
    return task.passage if isinstance(task, Briefly) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answering:
    """A task whose answers are short texts, with what to do in the user's words.

    `unanswerable`: some training rows have no answer, so that models are told what to write then.
    `passage` is the field that holds what is read. `headline` counts, or `metric`, a user's own.
    """

    instruction: str | None = None
    unanswerable: bool = False
    passage: str | None = None
    day_first: bool = True
    headline: Metric = OWN[0]
    metric: UserMetric | None = None
    kind: Literal["answering"] = "answering"

    @property
    def labels(self) -> tuple[str, ...]:
        """Return no labels: answers are texts."""
        return ()

    @property
    def names(self) -> tuple[str, ...]:
        """Return no names of labels."""
        return ()

    @property
    def descriptions(self) -> Mapping[str, str]:
        """Return no descriptions: answers have no parts."""
        return {}

    @property
    def metrics(self) -> tuple[str, ...]:
        """Return the scores of an answer, the headline metric first."""
        own = (self.headline, *(name for name in OWN if name != self.headline))
        return (*(self.metric.scores if self.metric else ()), *own)

    @property
    def digest(self) -> str:
        """Return the digest of everything that a strategy can see of the task."""
        return digest([self.kind, self.facts()])

    @property
    def scoring(self) -> str:
        """Return the digest of the rule by which an answer is scored."""
        own = [self.metric.facts()] if self.metric else []
        return digest([self.kind, *self.metrics, self.day_first, *own])

    def guidance(self) -> str:
        """Return what a model is told of the form of answers."""
        where = " of the passage" if self.passage else ""
        said = f"Answer briefly, with a few words{where} and nothing else."
        if not self.unanswerable:
            return said
        if self.passage:
            return f"{said} If the passage does not hold the answer, write: {NO_ANSWER}"
        return f"{said} If the question has no answer, write: {NO_ANSWER}"

    def abstains(self, output: str) -> bool:
        """Return whether an answer is empty or says that there is none."""
        return abstains(output)

    def problem_with(self, output: str) -> str | None:
        """Return that an output is empty, or None."""
        return None if output.strip() else "it is empty"

    def score(self, output: str | None, targets: Sequence[str]) -> dict[str, float]:
        """Return each score of an answer, against the accepted answer that it comes nearest to."""
        if output is None:
            return dict.fromkeys(self.metrics, 0.0)
        # As the script of SQuAD 2.0: an answer of articles or marks only counts if it is alone.
        accepted = [text for text in targets if squad_normal(text)] or targets
        own = {
            "token-f1": max(_either(output, text, token_f1) for text in accepted),
            "exact-match": max(_either(output, text, exact_match) for text in accepted),
            "value-match": max(_either(output, text, self._same_value) for text in targets),
        }
        return own if self.metric is None else {**self.metric.score(output, targets), **own}

    def _same_value(self, output: str, target: str) -> float:
        one, two = (_readings(text, self.day_first) for text in (output, target))
        return float(any(a == b is not None for a, b in zip(one, two, strict=True)))

    def lenient(self, raw: str) -> str | None:
        """Return an unusable answer, such as one that was cut, as it stands."""
        return one_line(raw) or None

    def stratum(self, target: str) -> str:
        """Return the length of an answer as a power of two, for stratified divisions."""
        return "none" if abstains(target) else str(len(target).bit_length())

    def classes(self, target: str) -> tuple[str, ...]:
        """Return nothing: texts have no classes."""
        return ()

    def copied(self, target: str) -> tuple[str, ...]:
        """Return the answer itself, which may stand in what is read."""
        return () if abstains(target) else (target,)

    def facts(self) -> dict[str, Any]:
        """Return the task as plain values for JSON."""
        return {
            "instruction": self.instruction,
            "unanswerable": self.unanswerable,
            "passage": self.passage,
            "day_first": self.day_first,
            "headline": self.headline,
            **({"metric": self.metric.facts()} if self.metric else {}),
        }


def read_answering(facts: Mapping[str, Any]) -> Answering:
    """Return the task that `Answering.facts` described.

    Raises:
        ValueError: if its headline metric is unknown.
    """
    if facts["headline"] not in OWN:
        raise ValueError(f"its metric {str(facts['headline'])[:80]!r} is unknown")
    return Answering(
        instruction=facts["instruction"],
        unanswerable=bool(facts["unanswerable"]),
        passage=facts["passage"],
        day_first=bool(facts["day_first"]),
        headline=facts["headline"],
        metric=read_metric(facts.get("metric")),
    )


def abstains(text: str) -> bool:
    """Return whether a text is empty, or `NO_ANSWER` but for case and punctuation."""
    return not text.strip() or squad_normal(text) == NO_ANSWER


def _either(output: str, target: str, score: Any) -> float:
    """Return a score of an answer; where one side says that there is none, the other must too.

    As in the script of SQuAD 2.0, an answer of articles or marks only is as good as none.
    """
    if abstains(target):
        return float(abstains(output) or not squad_normal(output))
    return 0.0 if abstains(output) else float(score(output, target))


def token_f1(output: str, target: str) -> float:
    """Return the F1 of the words of two texts, as the evaluation script of SQuAD 2.0."""
    said, right = squad_normal(output).split(), squad_normal(target).split()
    if not said or not right:
        return float(said == right)
    same = (Counter(right) & Counter(said)).total()
    if same == 0:
        return 0.0
    precision, recall = same / len(said), same / len(right)
    return 2 * precision * recall / (precision + recall)


def exact_match(output: str, target: str) -> float:
    """Return whether two texts are equal, as the evaluation script of SQuAD 2.0 compares them."""
    return float(squad_normal(output) == squad_normal(target))


@lru_cache(maxsize=100_000)
def _readings(text: str, day_first: bool) -> tuple[str, Any, str | None]:
    """Return a text without case, marks and articles, as a number, and as a date."""
    number = as_number(text)
    day = as_date(text, day_first) if number is None else None
    return canonical(text, "text"), number, day


def one_line(text: str) -> str:
    """Return the first line of a text that is not blank."""
    return " ".join(text.strip().partition("\n")[0].split())


def answer_cells(values: Sequence[Any], rows: Sequence[int], column: str) -> list[tuple[str, ...]]:
    """Return the accepted answers of each cell; none of a blank text, which is a mistake.

    A cell is a text, a list of texts or JSON of one, or an object with such a list under ``text``,
    as in SQuAD. Null, an empty list and `NO_ANSWER` are questions without an answer.

    Raises:
        DataError: naming the row and the column of a cell that holds something else.
    """
    found = []
    for row, value in zip(rows, values, strict=True):
        given = _texts(_parsed(value) if isinstance(value, str) else value)
        wrong = [one for one in given if isinstance(one, list | dict | bytes)]
        if wrong:
            what = "bytes" if isinstance(wrong[0], bytes) else type_name(wrong[0])
            raise DataError(
                f"Row {row}, column {column!r}: the answer is {what}. Each must be a text, a list "
                'of accepted texts such as ["1912", "in 1912"], or [] where there is no answer.'
            )
        written = (" ".join((scalar_text(one) or "").split()) for one in given)
        texts = [NO_ANSWER if abstains(text) else text for text in written if text]
        # What is accepted besides "no answer" is the main answer.
        texts.sort(key=NO_ANSWER.__eq__)
        found.append(tuple(dict.fromkeys(texts)) if given else (NO_ANSWER,))
    return found


def is_squad(value: Any) -> bool:
    """Return whether a value holds texts with their places, as SQuAD's answers do."""
    if isinstance(value, list):
        return bool(value) and all(is_squad(one) for one in value)
    return (
        isinstance(value, Mapping)
        and isinstance(value.get("text"), list | str)
        and value.keys() <= {"text", "answer_start", "answer_end"}
    )


def _texts(value: Any) -> list[Any]:
    """Return the answers in a cell, of objects with their texts; none of null."""
    if value is None:
        return []
    if isinstance(value, list):
        return [text for one in value for text in (_texts(one) if is_squad(one) else [one])]
    return _texts(value["text"]) if is_squad(value) else [value]


def _parsed(text: str) -> Any:
    """Return what a cell holds that is JSON of texts, or of SQuAD's answers; else the text."""
    if not text.lstrip().startswith(("[", "{")):
        return text
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return text
    listed = isinstance(found, list) and all(isinstance(one, str) for one in found)
    return found if listed or is_squad(found) else text


def check_answers(pool: Sequence[Example], test: Sequence[Example] | None) -> None:
    """Refuse answers that are all the same.

    Raises:
        DataError: saying so.
    """
    if len({e.targets for e in pool}) == 1:
        raise DataError(
            f"All {len(pool):,} questions have the same answer {quoted(pool[0].target)}: there is "
            "nothing to answer. Name the right column with --label-column."
        )


def answering_from(
    pool: Sequence[Example], test: Sequence[Example], section: TaskSection
) -> Answering:
    """Return the task of a pool; the study file may give it an instruction.

    Raises:
        StudyError: if the study file has names, fields or descriptions.
    """
    for key in ("names", "fields", "descriptions"):
        if getattr(section, key):
            raise StudyError(f"[task.{key}] is not for answers to questions. Leave it out.")
    return Answering(
        instruction=section.instruction,
        unanswerable=any(e.target == NO_ANSWER for e in pool),
        passage=passage_of(pool),
        day_first=section.day_first,
    )


def passage_of(rows: Sequence[Example]) -> str | None:
    """Return the field in which most answers stand, or else one that is called a passage."""
    some = [e for e in rows if not abstains(e.target)]
    some = some[:: max(1, len(some) // ROWS_READ)]
    names = dict.fromkeys(name for e in some for name in e.fields)
    shares = {name: sum(stands(e.targets, e.fields.get(name, "")) for e in some) for name in names}
    best = max(shares, key=lambda name: shares[name], default=None)
    if best is not None and shares[best] >= STANDS * len(some):
        return best
    return next((name for name in names if name.lower() in PASSAGES), None)
