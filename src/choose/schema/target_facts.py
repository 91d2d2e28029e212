"""What the targets of a labelled set hold, and the documents that they are about: for `check`."""

from __future__ import annotations

from choose.schema.base import Record


class CorpusFacts(Record):
    """The documents that questions are answered from.

    Attributes:
        passages: of at most 100 words, whole sentences of one document.
        dated: documents with a date.
        repeated: documents with the text of an earlier one.
        copies: the ids of documents that have one text, for each such text.
        without: questions with an answer that no document is known to hold.
        reworded: questions whose document holds the answer in other words.
    """

    documents: int
    passages: int
    words: int
    dated: int
    repeated: int
    copies: tuple[tuple[str, ...], ...] = ()
    without: int
    reworded: int


class AnswerFacts(Record):
    """What the answers to the questions of a labelled set hold, as counts of rows.

    Attributes:
        unanswerable: without an answer; `few_unanswerable` says that these are some, but too few.
        several: with several accepted answers.
        passage: the field that holds what is read for an answer, or null.
        absent: of which no accepted answer occurs in the passage; null without one.
        in_question: whose answer occurs in the question.
        corpus: the documents that answers are in; null where there are none.
    """

    unanswerable: int
    few_unanswerable: bool
    several: int
    passage: str | None
    absent: int | None
    in_question: int
    corpus: CorpusFacts | None = None


class RelevanceFacts(Record):
    """What the relevant documents of questions are, where documents are ranked.

    Attributes:
        mean: relevant documents of a question on average; `most` at most.
        single: questions with a single one; `over` with more than the ranks that count.
        graded: questions with a grade other than 1.
        corpus: the documents.
    """

    mean: float
    most: int
    single: int
    over: int
    graded: int
    corpus: CorpusFacts


class SetFacts(Record):
    """What sets of labels hold.

    Attributes:
        counts: the rows with each label, the most frequent first.
        mean: labels of a row on average; `most` at most.
        always: pairs of labels of which the first is never without the second.
    """

    counts: tuple[tuple[str, int], ...]
    mean: float
    most: int
    always: tuple[tuple[str, str], ...]
