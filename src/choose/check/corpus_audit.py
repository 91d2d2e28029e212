"""The documents of a task: which repeat others, and which answers none holds."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from choose.corpus import WORDS, Corpus, Document
from choose.errors import quoted_list, rows_named
from choose.files import digest
from choose.formatting import normalised, plural
from choose.schema.check import Issue, Line, Step
from choose.schema.target_facts import CorpusFacts
from choose.tasks.evidence_spans import is_reworded
from choose.types import Example

# Characters of a longer document, which only repeats another to the letter: words take memory.
LONGEST = 1_000_000

NAMED, PAIRS = 3, 2  # that a line lists


@dataclass(frozen=True)
class CorpusAudit:
    """The documents, and the rows whose questions are answered from them; or they are `ranked`."""

    corpus: Corpus
    answered: Sequence[Example]
    ranked: bool = False

    @cached_property
    def needed(self) -> Counter[str]:
        """Return how many questions each document holds an answer of, if any, by its id."""
        return Counter({id: len(rows) for id, rows in self.asked.items()})

    @cached_property
    def asked(self) -> Mapping[str, set[str]]:
        """Return the ids of these questions by document."""
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
            unneeded=len(documents) - len(self.needed) if self.needed else None,
            without=len(self.without),
            reworded=len(self.reworded),
        )

    def lines(self) -> Iterator[Line]:
        """Yield what is found, a line each."""
        first, *others = self.document_lines()
        yield from (first, self._evidence(), *others)

    def document_lines(self) -> Iterator[Line]:
        """Yield what is found of the documents alone."""
        facts = self.facts
        dated = f"{facts.dated:,} have a date" if facts.dated else "none has a date"
        says = f"{plural(facts.documents, 'document')} with {facts.words:,} words, in "
        says += f"{plural(facts.passages, 'passage')} of at most {WORDS} words; {dated}."
        if facts.documents == 1:
            says += " Whatever is retrieved comes from this one."
        yield finding("Documents", facts.documents == 1, says)
        yield self._repeated()
        yield self._unneeded()

    def _evidence(self) -> Line:
        rows, facts = len(self.answered), self.facts
        standing = rows - facts.without - facts.reworded
        says = f"The answer occurs in a document for {standing:,} of {plural(rows, 'question')} "
        says += "that have one"
        if facts.reworded:
            named = rows_named(self.reworded, NAMED)
            says += f"; for {facts.reworded:,} it has other words than its document ({named})"
        if facts.without:
            named = rows_named(self.without, NAMED)
            says += f"; for {facts.without:,} no document is known ({named})"
        return finding("Evidence", facts.without > 0, f"{says}.")

    def _repeated(self) -> Line:
        if not self.repeated:
            return finding("Same documents", False, "No document repeats another.")
        pairs = "; ".join(quoted_list([d.id for d in same], 3) for same in self.repeated[:PAIRS])
        says = f"Documents with the text of another: {self.facts.repeated:,} ({pairs}). The one "
        return finding(
            "Same documents", True, says + "that evidence does not name counts as a miss."
        )

    def _unneeded(self) -> Line:
        free = [d.id for d in self.corpus.documents if d.id not in self.needed]
        if not self.needed:
            return Line(topic="Unneeded", status="unknown", says="No evidence names a document.")
        if not free:
            what = "is relevant to a question" if self.ranked else "holds an answer"
            return finding("Unneeded", False, f"Each document {what}.")
        says = f"Documents that no question here needs: {len(free):,} of {len(self.corpus):,} "
        says += f"({quoted_list(free, NAMED)}). They stay: retrieval has to tell them apart."
        return finding("Unneeded", False, says)

    def steps(self) -> Iterator[Step]:
        """Yield what costs score, with the share of the questions that are concerned."""
        rows = max(len(self.answered), 1)
        if self.without:
            yield Step(
                says=(
                    f"Find the documents of {plural(len(self.without), 'question')} whose answer "
                    f"occurs in none ({rows_named(self.without)}): add them; where one has the "
                    "answer in other words, accept these, too, or name it (data.evidence_column); "
                    "write [] where there is no answer."
                ),
                points=len(self.without) / rows,
                question="which questions no document answers",
            )
        if self.repeated:
            concerned = {d.id for same in self.repeated for d in same}
            yield Step(
                says=(
                    f"Remove documents with the text of another ({self.facts.repeated:,}): found "
                    "instead of the one that evidence names, they count as a miss."
                ),
                points=self._share(concerned),
            )

    def _share(self, documents: set[str]) -> float:
        """Return the share of the questions that one of some documents answers."""
        touched = {id for document in documents for id in self.asked.get(document, ())}
        return len(touched) / max(len(self.answered), 1)

    def issues(self) -> Iterator[Issue]:
        """Yield the rows that need a look."""
        kinds = (
            (self.without, "no document holds an accepted answer"),
            (self.reworded, "the answer has other words than the document"),
        )
        for id, says in ((id, says) for ids, says in kinds for id in ids):
            yield Issue(row=id, kind="not in documents", label="", says=says)


def finding(topic: str, looks: bool, says: str) -> Line:
    """Return a line of the audit, of a topic that needs a look or of one that does not."""
    return Line(topic=topic, status="look" if looks else "good", says=says)
