"""Relevant documents of questions: how many there are, and which are relevant to many."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from choose.check.corpus_audit import CorpusAudit
from choose.corpus import Corpus
from choose.errors import quoted, quoted_list
from choose.formatting import per_100, plural
from choose.schema.check import Line, Step
from choose.schema.target_facts import RelevanceFacts
from choose.tasks.ranking import DEPTH, read_scores, spans_of_relevant
from choose.types import Example

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
        """Return the record of all this."""
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
        """Yield what is found, a line each."""
        facts, rows = self.facts, len(self.rows)
        says = f"{facts.mean:.1f} relevant documents a question on average, {facts.most} at most; "
        says += f"{facts.single:,} of {plural(rows, 'question')} have a single one."
        if facts.graded:
            says += f" {plural(facts.graded, 'question')} with grades other than 1."
        if facts.over:
            says += f" {plural(facts.over, 'question')} have more than the {DEPTH} that count."
        yield _line("Relevance", facts.over > 0, says)
        yield self._common()
        yield from self.corpus.document_lines()

    def _common(self) -> Line:
        common, rows = self.facts.common, len(self.rows)
        if not common:
            return _line("Common documents", False, "No document is relevant to many questions.")
        named = "; ".join(f"{quoted(id)} to {per_100(n / rows)} %" for id, n in common[:NAMED])
        says = f"{plural(len(common), 'document')} relevant to many questions ({named}): a ranking "
        says += "that ignores the question scores with these."
        return _line("Common documents", common[0][1] > 2 * COMMON * rows, says)

    def steps(self) -> Iterator[Step]:
        """Yield what costs score, with the share of the questions that are concerned."""
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


def _line(topic: str, looks: bool, says: str) -> Line:
    return Line(topic=topic, status="look" if looks else "good", says=says)
