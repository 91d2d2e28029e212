"""Answering: the answer to a question is a few words; several may be accepted, or there is none.

A question without an answer has the target `NO_ANSWER`. A candidate abstains with the same words
or with an empty answer. An answer is one line.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, ClassVar, Literal

from choose.corpus import Corpus
from choose.errors import DataError, StudyError
from choose.schema.study_sections import TaskSection
from choose.tasks.metrics import metrics_of
from choose.tasks.ranking import Ranking
from choose.tasks.value_parsing import (
    as_date,
    as_number,
    canonical,
    json_in,
    occurs,
    scalar_text,
    squad_normal,
    type_name,
)
from choose.types import Example, Task

# The target of a question without an answer, and what a model is told to write there. It is a text
# like other targets, so that tables and stores hold it; in a cell it means the same.
NO_ANSWER = "no answer"

# Words of a brief answer. Token F1 was made for these, such as spans. Longer ones are texts, which
# can say the same in other words.
BRIEF = 20.0

# Names of columns that hold what is to be read for an answer.
PASSAGES = ("passage", "context", "paragraph", "passages", "contexts", "document", "article")

# A field is the passage if so large a share of the answers occurs in it, of so many rows.
STANDS, ROWS_READ = 0.5, 500


def passage_field(task: Task) -> str | None:
    """Return the field that holds what is read for an answer, if a task has one."""
    return task.passage if isinstance(task, Answering) else None


def corpus_of(task: Task) -> Corpus | None:
    """Return the documents that answers are read from, or that are ranked, if a task has any."""
    if not isinstance(task, Answering | Ranking) or not task.documents:
        return None
    if task.corpus is None:
        raise DataError("The documents of this task are missing. Run choose compare again.")
    return task.corpus


def with_corpus(task: Task, corpus: Corpus) -> Task:
    """Return a task whose answers are read from documents, or are documents."""
    if not isinstance(task, Answering | Ranking):
        raise no_questions(task.kind)
    if isinstance(task, Answering) and task.passage is not None:
        raise StudyError(
            f"The questions have a passage of their own in {task.passage!r}. Leave out "
            f"--documents, or {task.passage} of the fields."
        )
    return replace(task, corpus=corpus, documents=corpus.digest)


def no_questions(kind: str) -> StudyError:
    """Return the error for documents that are given to a task of another kind."""
    return StudyError(
        "--documents is for questions that are answered from documents, or to which documents are "
        f"ranked; this task is {kind}. Leave it out, or say --kind answering or --kind ranking."
    )


# The field in which a strategy that retrieves passages hands them to a model that reads.
READ = "passage"


def reading(task: Task) -> Task:
    """Return the task of answering from the passage in the field `READ` instead of documents."""
    assert isinstance(task, Answering)
    return replace(task, corpus=None, documents="", passage=READ)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answering(Task):
    """A task whose answers are short texts, with what to do in the user's words.

    `unanswerable`: some training rows have no answer, so that models are told what to write then.
    `passage` is the field that holds what is read. `documents` is the digest of `corpus`, if what
    is read has to be found first.
    """

    own: ClassVar[tuple[str, ...]] = metrics_of("answering")
    unanswerable: bool = False
    passage: str | None = None
    documents: str = ""
    corpus: Corpus | None = field(default=None, compare=False, repr=False)
    day_first: bool = True
    headline: str = own[0]
    kind: Literal["answering"] = "answering"

    def scored_by(self) -> tuple[Any, ...]:
        return (self.day_first,)

    def guidance(self) -> str:
        where, without = "", "the question has no answer"
        if self.passage:
            where, without = " of the passage", "the passage does not hold the answer"
        said = f"Answer briefly, with a few words{where} and nothing else."
        return f"{said} If {without}, write: {NO_ANSWER}" if self.unanswerable else said

    def own_scores(self, output: str, targets: Sequence[str]) -> dict[str, float]:
        # As the script of SQuAD 2.0: an answer of articles or marks only counts if it is alone.
        accepted = [text for text in targets if squad_normal(text)] or targets
        return {
            "token-f1": max(_either(output, text, token_f1) for text in accepted),
            "exact-match": max(_either(output, text, exact_match) for text in accepted),
            "value-match": max(_either(output, text, self._same_value) for text in targets),
        }

    def nearness(self, output: str | None, answers: Sequence[str]) -> float:
        """Return how much of one of some answers a candidate gives: 1 if its words occur there.

        Else it is the highest token F1, as of "17" for "17 days"; 0 where it abstains.
        """
        if output is None or abstains(output):
            return 0.0
        return 1.0 if occurs(answers, output) else max(token_f1(output, text) for text in answers)

    def _same_value(self, output: str, target: str) -> float:
        one, two = (_readings(text, self.day_first) for text in (output, target))
        return float(any(a == b is not None for a, b in zip(one, two, strict=True)))

    def stratum(self, target: str) -> str:
        return "none" if abstains(target) else str(len(target).bit_length())

    def copied(self, target: str) -> tuple[str, ...]:
        return () if abstains(target) else (target,)


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
    number = as_number(text)
    day = as_date(text, day_first) if number is None else None
    return canonical(text, "text"), number, day


def answer_cell(value: Any) -> tuple[str, ...]:
    """Return the accepted answers of a cell; none of a blank text, which is a mistake.

    A cell is a text, a list of texts or JSON of one, or an object with such a list under ``text``,
    as in SQuAD. Null, an empty list and `NO_ANSWER` are questions without an answer.
    """
    given = _texts(_parsed(value) if isinstance(value, str) else value)
    for one in given:
        if isinstance(one, list | dict | bytes):
            raise ValueError(f"the answer is {type_name(one)}")
    written = (" ".join((scalar_text(one) or "").split()) for one in given)
    texts = [NO_ANSWER if abstains(text) else text for text in written if text]
    # What is accepted besides "no answer" is the main answer.
    texts.sort(key=NO_ANSWER.__eq__)
    return tuple(dict.fromkeys(texts)) if given else (NO_ANSWER,)


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
    if value is None:
        return []
    if isinstance(value, list):
        return [text for one in value for text in (_texts(one) if is_squad(one) else [one])]
    return _texts(value["text"]) if is_squad(value) else [value]


def _parsed(text: str) -> Any:
    found = json_in(text, "[", "{")
    listed = isinstance(found, list) and all(isinstance(one, str) for one in found)
    return found if listed or is_squad(found) else text


def answering_from(
    pool: Sequence[Example], test: Sequence[Example], section: TaskSection
) -> Answering:
    return Answering(
        instruction=section.instruction,
        unanswerable=any(e.target == NO_ANSWER for e in pool),
        passage=passage_of(pool),
        day_first=section.day_first,
    )


def passage_of(rows: Sequence[Example]) -> str | None:
    """Return the field in which most answers occur, or else one that is called a passage."""
    some = [e for e in rows if not abstains(e.target)]
    some = some[:: max(1, len(some) // ROWS_READ)]
    names = dict.fromkeys(name for e in some for name in e.fields)
    shares = {name: sum(occurs(e.targets, e.fields.get(name, "")) for e in some) for name in names}
    best = max(shares, key=lambda name: shares[name], default=None)
    if best is not None and shares[best] >= STANDS * len(some):
        return best
    return next((name for name in names if name.lower() in PASSAGES), None)
