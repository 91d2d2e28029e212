"""Targets that refer to documents or a passage: answers to questions, and relevant documents."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from choose.check.corpus_audit import CorpusAudit, finding
from choose.corpus import Corpus
from choose.errors import quoted, quoted_list, rows_named
from choose.formatting import per_100, plural
from choose.schema.check import Issue, Line, Step
from choose.schema.target_facts import AnswerFacts, RelevanceFacts
from choose.tasks.answering import abstains, corpus_of, passage_field
from choose.tasks.ranking import DEPTH, read_scores, spans_of_relevant
from choose.tasks.values import occurs
from choose.types import Example, Task

# Words from which an answer is long: token F1 is for brief ones.
LONG = 30

# Above these shares of the rows a line has the status "look": of long answers, and of answers that
# occur in their question, as those to "A or B?" do.
SEVERAL_LONG, IN_QUESTION = 0.02, 0.1

# Fewer questions without an answer than this teach no model when to give none, and measure little.
FEWEST = 10


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
    def long(self) -> list[str]:
        """Return the ids of rows with a long answer."""
        return [e.id for e in self.answered if len(e.target.split()) > LONG]

    @cached_property
    def corpus(self) -> CorpusAudit | None:
        """Return the audit of the documents that answers are in; None where there are none."""
        corpus = corpus_of(self.task)
        return None if corpus is None else CorpusAudit(corpus, self.answered)

    @cached_property
    def facts(self) -> AnswerFacts:
        """Return the findings as a record."""
        passage = passage_field(self.task)
        return AnswerFacts(
            unanswerable=len(self.rows) - len(self.answered),
            several=sum(len(e.targets) > 1 for e in self.rows),
            passage=passage,
            absent=None if passage is None else len(self.absent),
            in_question=len(self.asked),
            long=len(self.long),
            corpus=None if self.corpus is None else self.corpus.facts,
        )

    def lines(self) -> Iterator[Line]:
        """Yield a line for each finding."""
        yield self._answers()
        yield from [self._passage()] if self.corpus is None else self.corpus.lines()
        count, rows = len(self.asked), len(self.rows)
        if count:
            says = f"Answers that occur in their question: {count:,} of {rows:,}"
            looks = count > IN_QUESTION * rows
            yield finding("In the question", looks, f"{says} ({rows_named(self.asked)}).")
        if self.long:
            says = f"Answers of over {LONG} words: {len(self.long):,} of {rows:,}"
            looks = len(self.long) > SEVERAL_LONG * rows
            yield finding("Long answers", looks, f"{says} ({rows_named(self.long)}).")

    def _answers(self) -> Line:
        facts, rows = self.facts, len(self.rows)
        none = facts.unanswerable
        says = f"Questions with several accepted answers: {facts.several:,} of {rows:,}; with "
        says += f"none: {none:,}."
        if none:
            says += f" Always answering nothing gets {per_100(none / rows)} % right."
        few = 0 < none < FEWEST
        if few:
            says += " They are too few to learn from, or to measure false answers on."
        return finding("Answers", few or 2 * none > rows, says)

    def _passage(self) -> Line:
        name = passage_field(self.task)
        if name is None:
            says = "No passage: questions are answered from what a model knows or was taught."
            return finding(
                "Passage", False, f"{says} --set fields=COLUMN shows one with each question."
            )
        rows, absent = max(len(self.answered), 1), len(self.absent)
        says = f"The answer occurs in {quoted(name)} in {per_100(1 - absent / rows)} % of the rows"
        if not absent:
            return finding("Passage", False, f"{says} that have one.")
        return finding("Passage", True, f"{says} that have one; not in {rows_named(self.absent)}.")

    def steps(self) -> Iterator[Step]:
        """Yield steps for rows that cost score, with the share of such rows."""
        rows, name = len(self.rows), passage_field(self.task)
        if self.corpus is not None:
            yield from self.corpus.steps()
        if self.absent and name is not None:
            yield Step(
                says=(
                    f"Review the answers that do not occur in {quoted(name)} "
                    f"({len(self.absent):,}: {rows_named(self.absent)}): write them as it does, "
                    "accept its words too (a list), or write [] where it holds no answer."
                ),
                points=len(self.absent) / rows,
                question="which answers are wrong",
            )
        if len(self.long) > SEVERAL_LONG * rows:
            other = "" if self.corpus is not None else ", or state --kind writing"
            yield Step(
                says=(
                    f"Shorten the answers of over {LONG} words ({len(self.long):,}: "
                    f"{rows_named(self.long)}) to what is asked{other}: token F1 is for brief "
                    "answers."
                ),
                points=len(self.long) / rows,
            )
        if len(self.asked) > IN_QUESTION * rows:
            yield Step(
                says=(
                    f"Look at the answers that occur in their question ({len(self.asked):,}: "
                    f"{rows_named(self.asked)}): unless these ask for one of two, a candidate "
                    "that repeats the question scores on them."
                ),
                points=len(self.asked) / rows,
            )

    def issues(self) -> Iterator[Issue]:
        """Yield the rows that need a look."""
        if self.corpus is not None:
            yield from self.corpus.issues()
        for id in self.absent:
            says = "no accepted answer occurs in the passage"
            yield Issue(row=id, kind="not in passage", label="", says=says)
        for id in self.long:
            yield Issue(row=id, kind="long answer", label="", says=f"over {LONG} words")
        for id in self.asked:
            says = "the answer occurs in the question"
            yield Issue(row=id, kind="in question", label="", says=says)


# A document is common if it is relevant to so large a share of the questions, and to so many; a
# line names a few.
COMMON, LEAST, NAMED = 0.05, 5, 3


@dataclass(frozen=True)
class RelevanceAudit:
    """The relevant documents of all rows, in the order of the file."""

    documents: Corpus
    rows: Sequence[Example]

    @cached_property
    def corpus(self) -> CorpusAudit:
        """Return the audit of the documents, with the relevant ones as those that rows need."""
        rows = [replace(e, evidence=spans_of_relevant(e.target, self.documents)) for e in self.rows]
        return CorpusAudit(self.documents, rows, ranked=True)

    @cached_property
    def facts(self) -> RelevanceFacts:
        """Return the findings as a record."""
        counts = [len(read_scores(e.target)) for e in self.rows]
        graded = [e for e in self.rows if set(read_scores(e.target).values()) - {1}]
        relevant = Counter(id for e in self.rows for id in read_scores(e.target))
        least = max(LEAST, COMMON * len(self.rows))
        return RelevanceFacts(
            mean=sum(counts) / len(counts),
            most=max(counts),
            single=sum(count == 1 for count in counts),
            over=sum(count > DEPTH for count in counts),
            graded=len(graded),
            common=tuple((id, n) for id, n in relevant.most_common() if n >= least),
            corpus=self.corpus.facts,
        )

    def lines(self) -> Iterator[Line]:
        """Yield a line for each finding."""
        facts, rows = self.facts, len(self.rows)
        says = f"{facts.mean:.1f} relevant documents a question on average, {facts.most} at most; "
        says += f"{facts.single:,} of {plural(rows, 'question')} have a single one."
        if facts.graded:
            says += f" {plural(facts.graded, 'question')} with grades other than 1."
        if facts.over:
            says += f" {plural(facts.over, 'question')} have more than the {DEPTH} that count."
        yield finding("Relevance", facts.over > 0, says)
        yield self._common()
        yield from self.corpus.document_lines()

    def _common(self) -> Line:
        common, rows = self.facts.common, len(self.rows)
        if not common:
            return finding("Common documents", False, "No document is relevant to many questions.")
        named = "; ".join(f"{quoted(id)} to {per_100(n / rows)} %" for id, n in common[:NAMED])
        says = f"{plural(len(common), 'document')} relevant to many questions ({named}): a ranking "
        says += "that ignores the question scores with these."
        return finding("Common documents", common[0][1] > 2 * COMMON * rows, says)

    def steps(self) -> Iterator[Step]:
        """Yield steps for questions that cost score, with the share of such questions."""
        yield from self.corpus.steps()
        common, rows = self.facts.common, len(self.rows)
        if common and common[0][1] > 2 * COMMON * rows:
            named = quoted_list([id for id, _ in common], NAMED)
            yield Step(
                says=(
                    f"Look at documents that are relevant to many questions ({named}): divide "
                    "those about many things, or name the part that a question is about."
                ),
                points=common[0][1] / rows,
            )
