"""Targets that refer to documents or a passage: answers to questions, relevant documents."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from choose.corpus import Corpus, Document
from choose.files import digest
from choose.formatting import normalised
from choose.schema.check import Issue
from choose.schema.target_facts import AnswerFacts, CorpusFacts, RelevanceFacts
from choose.tasks.answering import abstains, corpus_of, passage_field
from choose.tasks.evidence_spans import is_reworded
from choose.tasks.ranking import DEPTH, read_scores
from choose.tasks.values import occurs
from choose.types import Example, Task

# Fewer questions without an answer than this teach no model when to give none, and measure little.
FEWEST = 10

# Characters of a longer document, which only repeats another to the letter: words take memory.
LONGEST = 1_000_000


@dataclass(frozen=True)
class CorpusAudit:
    """The documents, and the rows whose questions are answered from them, or rank them."""

    corpus: Corpus
    answered: Sequence[Example]

    @cached_property
    def asked(self) -> Mapping[str, set[str]]:
        """Return by document the ids of the questions whose answer it holds."""
        found: dict[str, set[str]] = defaultdict(set)
        for row in self.answered:
            for span in row.evidence:
                found[span.document].add(row.id)
        return found

    @cached_property
    def without(self) -> list[str]:
        """Return the ids of rows that have an answer and no document that holds it."""
        return [e.id for e in self.answered if not e.evidence]

    @cached_property
    def reworded(self) -> list[str]:
        """Return the ids of rows whose documents hold the answer in other words."""
        return [e.id for e in self.answered if is_reworded(e, self.corpus)]

    @cached_property
    def repeated(self) -> list[list[Document]]:
        """Return the documents that have one text, but for case and punctuation."""
        same: dict[str, list[Document]] = defaultdict(list)
        for document in self.corpus.documents:
            whole = document.text
            same[digest(whole if len(whole) > LONGEST else normalised(whole))].append(document)
        return [found for found in same.values() if len(found) > 1]

    @cached_property
    def facts(self) -> CorpusFacts:
        """Return the record of all this."""
        documents = self.corpus.documents
        return CorpusFacts(
            documents=len(documents),
            passages=len(self.corpus.passages()),
            words=sum(len(p.text.split()) for p in self.corpus.passages()),
            dated=sum(d.timestamp is not None for d in documents),
            repeated=sum(len(same) - 1 for same in self.repeated),
            copies=tuple(tuple(d.id for d in same) for same in self.repeated),
            without=len(self.without),
            reworded=len(self.reworded),
        )

    def share_of_repeated(self) -> float:
        """Return the share of the questions that a repeated document answers."""
        concerned = {d.id for same in self.repeated for d in same}
        touched = {id for document in concerned for id in self.asked.get(document, ())}
        return len(touched) / max(len(self.answered), 1)

    def issues(self) -> Iterator[Issue]:
        """Yield the rows that need a look."""
        yield from (Issue(row=id, kind="not in documents") for id in self.without)
        yield from (Issue(row=id, kind="reworded") for id in self.reworded)


@dataclass(frozen=True)
class AnswerAudit:
    """The answers of all rows, in the order of the file."""

    task: Task
    rows: Sequence[Example]

    @cached_property
    def answered(self) -> list[Example]:
        """Return the rows that have an answer."""
        return [e for e in self.rows if not abstains(e.target)]

    @cached_property
    def absent(self) -> list[str]:
        """Return the ids of rows of which no accepted answer occurs in their passage."""
        name = passage_field(self.task)
        if name is None:
            return []
        return [e.id for e in self.answered if not occurs(e.targets, e.fields.get(name, ""))]

    @cached_property
    def asked(self) -> list[str]:
        """Return the ids of rows whose answer occurs in their question."""
        return [e.id for e in self.answered if occurs([e.target], e.text)]

    @cached_property
    def corpus(self) -> CorpusAudit | None:
        """Return the audit of the documents that answers are in; None where there are none."""
        corpus = corpus_of(self.task)
        return None if corpus is None else CorpusAudit(corpus, self.answered)

    @cached_property
    def facts(self) -> AnswerFacts:
        """Return the findings as a record."""
        passage = passage_field(self.task)
        none = len(self.rows) - len(self.answered)
        return AnswerFacts(
            unanswerable=none,
            few_unanswerable=0 < none < FEWEST,
            several=sum(len(e.targets) > 1 for e in self.rows),
            passage=passage,
            absent=None if passage is None else len(self.absent),
            in_question=len(self.asked),
            corpus=None if self.corpus is None else self.corpus.facts,
        )

    def issues(self) -> Iterator[Issue]:
        """Yield the rows that need a look."""
        if self.corpus is not None:
            yield from self.corpus.issues()
        yield from (Issue(row=id, kind="not in passage") for id in self.absent)
        yield from (Issue(row=id, kind="in question") for id in self.asked)


def relevance_of(rows: Sequence[Example], corpus: CorpusFacts) -> RelevanceFacts:
    """Describe the relevant documents of rows."""
    counts = [len(read_scores(e.target)) for e in rows]
    return RelevanceFacts(
        mean=sum(counts) / len(counts),
        most=max(counts),
        single=sum(count == 1 for count in counts),
        over=sum(count > DEPTH for count in counts),
        graded=sum(bool(set(read_scores(e.target).values()) - {1}) for e in rows),
        corpus=corpus,
    )
