"""The documents of a task: which repeat or contradict others, and which answers none holds."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from choose.corpus import WORDS, Corpus, Document
from choose.data.duplicates import similar_pairs
from choose.errors import quoted, quoted_list, rows_named
from choose.files import digest
from choose.formatting import normalised, plural
from choose.schema.check import Issue, Line, Step
from choose.schema.target_facts import CorpusFacts, Differing, Versions
from choose.tasks.evidence_spans import is_reworded
from choose.types import Example

# The cosine from which two documents are nearly the same. Versions of one document, which have its
# name with another date or number, may differ more: they share this part of the shorter's words.
NEAR, SHARED = 0.8, 0.4

# Documents, and their characters in all, that are compared with one another; those that questions
# need come first.
COMPARED, CHARACTERS = 10_000, 20_000_000

# Characters of a longer document, which only repeats another to the letter: words take memory.
LONGEST = 1_000_000

NAMED, PAIRS = 3, 2  # that a line lists

# Numbers of a text, and what tells versions apart in a name: v2, 2025, 2025-10, 5.1.
_NUMBER = re.compile(r"\d+(?:[.,:/]\d+)*")
_MARK = re.compile(r"\b(?:v|version|rev)?[ _.-]?\d+(?:[._-]\d+)*\b", re.IGNORECASE)
_LETTER = re.compile(r"[^\W\d_]{2}")


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
    def compared(self) -> list[Document]:
        """Return the documents, one of each text, that are compared with one another."""
        again = {d.id for same in self.repeated for d in same[1:]}
        every = [d for d in self.corpus.documents if d.id not in again and len(d.text) <= LONGEST]
        every.sort(key=lambda d: d.id not in self.needed)
        left, found = CHARACTERS, []
        for document in every[:COMPARED]:
            left -= len(document.text)
            if left < 0:
                break
            found.append(document)
        return found

    @cached_property
    def near(self) -> list[tuple[Document, Document]]:
        """Return the pairs of documents that are nearly the same, but for those of a series.

        Of these, as of the pages of a catalogue, each answers a question that the other does not.
        """
        near = similar_pairs([normalised(d.text) for d in self.compared], NEAR)
        pairs = ((self.compared[a], self.compared[b]) for a, b in near.tolist())
        return [pair for pair in pairs if not self._both_needed(*pair)]

    @cached_property
    def versions(self) -> tuple[Versions, ...]:
        """Return the pairs of similar documents with different numbers, the most needed first.

        They are nearly the same, or have one name but for a date or number.
        """
        pairs = {frozenset((a.id, b.id)): (a, b) for a, b in self.near}
        for a, b in _same_name(self.corpus.documents):
            if not self._both_needed(a, b):
                pairs.setdefault(frozenset((a.id, b.id)), (a, b))
        found = [_as_versions(a, b) for a, b in pairs.values() if _numbers(a) != _numbers(b)]
        return tuple(sorted(found, key=lambda v: -self.needed[v.document] - self.needed[v.other]))

    @cached_property
    def differing(self) -> tuple[Differing, ...]:
        """Return the pairs that are nearly the same, with the same numbers and other words."""
        near = {d.id: d for pair in self.near for d in pair}
        words = {id: dict.fromkeys(normalised(d.text).split()) for id, d in near.items()}
        found = []
        for a, b in self.near:
            one, two = words[a.id], words[b.id]
            only = [next((w for w in x if w not in y), "") for x, y in ((one, two), (two, one))]
            if all(only) and _numbers(a) == _numbers(b):
                found.append(Differing(document=a.id, other=b.id, words=(only[0], only[1])))
        return tuple(sorted(found, key=lambda v: -self.needed[v.document] - self.needed[v.other]))

    def _both_needed(self, a: Document, b: Document) -> bool:
        one, two = (self.asked.get(d.id, set()) for d in (a, b))
        return bool(one - two and two - one)

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
            versions=self.versions,
            differing=self.differing,
            compared=len(self.compared),
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
        yield self._versions()
        if self.differing:
            yield self._differing()
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

    def _versions(self) -> Line:
        total, compared = len(self.corpus.documents), len(self.compared)
        part = ""
        if compared < total - self.facts.repeated:
            part = f" Texts of {compared:,} documents were compared."
        if not self.versions:
            return finding(
                "Versions", False, f"No two similar documents have different numbers.{part}"
            )
        says = f"Similar documents with different numbers: {plural(len(self.versions), 'pair')} "
        stale = [v.older for v in self.versions if v.older is not None]
        says += f"({_pairs(self.versions)})."
        if stale:
            unique = list(dict.fromkeys(stale))
            says += f" By date or name, the older: {quoted_list(unique, NAMED)}."
        return finding("Versions", True, says + part)

    def _differing(self) -> Line:
        pairs = plural(len(self.differing), "pair")
        says = f"Nearly the same documents with other words: {pairs} ({_pairs(self.differing)}). "
        one, two = map(quoted, self.differing[0].words)
        says += f"They may contradict each other: the first has {one} and {two}."
        return finding("Near-duplicates", True, says)

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
        if self.versions:
            concerned = {id for v in self.versions for id in (v.document, v.other)}
            harm = "found instead, it counts as a miss"
            harm = harm if self.ranked else "a candidate that reads it answers wrongly"
            yield Step(
                says=(
                    f"Remove the outdated one of {plural(len(self.versions), 'pair')} of similar "
                    f"documents with different numbers ({_pairs(self.versions)}), if one is: "
                    f"{harm}."
                ),
                points=self._share(concerned),
            )
        if self.differing:
            pairs = f"{plural(len(self.differing), 'pair')} of nearly the same documents with other"
            says = f"Decide which is right of {pairs} words ({_pairs(self.differing)}), if one is."
            concerned = {id for v in self.differing for id in (v.document, v.other)}
            yield Step(says=says, points=self._share(concerned))
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


def _same_name(documents: Sequence[Document]) -> Iterator[tuple[Document, Document]]:
    """Yield documents, the older first, that are called the same but for a date or number."""
    called: dict[tuple[str, str], list[Document]] = defaultdict(list)
    for document in documents:
        for what in ("title", "id"):
            if base := _name(document, what)[0]:
                called[what, base].append(document)
    for (what, _), same in called.items():
        same.sort(key=lambda d: _order(d, what))
        for a, b in pairwise(same):
            if _order(a, what) != _order(b, what) and _shared(a, b) >= SHARED:
                yield a, b


def _order(document: Document, what: str) -> tuple[str, list[int]]:
    """Return when a document is from: its date, then the numbers in its title or id."""
    at = document.timestamp.isoformat() if document.timestamp else ""
    return at, _name(document, what)[1]


def _name(document: Document, what: str) -> tuple[str, list[int]]:
    """Return a title or id without its numbers, empty if it has no word, and these numbers."""
    name = document.title if what == "title" else document.id
    base = " ".join(_MARK.sub(" ", name).casefold().split())
    numbers = [int(n) for mark in _MARK.findall(name) for n in re.findall(r"\d{1,18}", mark)]
    return base if _LETTER.search(base) else "", numbers


def _shared(a: Document, b: Document) -> float:
    """Return the share of the shorter document's words that the other has, too."""
    if max(len(a.text), len(b.text)) > LONGEST:
        return 0.0
    one, two = (set(normalised(d.text).split()) for d in (a, b))
    return len(one & two) / max(min(len(one), len(two)), 1)


def _numbers(document: Document) -> set[str]:
    return set(_NUMBER.findall(document.text))


def _as_versions(a: Document, b: Document) -> Versions:
    """Return a pair with the older one: by date, or by the number in a name that both have."""
    older = None
    if a.timestamp and b.timestamp:
        if a.timestamp != b.timestamp:
            older = a if a.timestamp < b.timestamp else b
    else:
        for what in ("title", "id"):
            (one, first), (two, second) = _name(a, what), _name(b, what)
            if older is None and one == two != "" and first != second:
                older = a if first < second else b
    return Versions(document=a.id, other=b.id, older=older.id if older else None)


def _pairs(versions: Sequence[Versions | Differing]) -> str:
    named = [f"{quoted(v.document)} and {quoted(v.other)}" for v in versions[:PAIRS]]
    more = len(versions) - len(named)
    return "; ".join(named) + (f" and {more:,} more" if more else "")


def finding(topic: str, looks: bool, says: str) -> Line:
    """Return a line of the audit, of a topic that needs a look or of one that does not."""
    return Line(topic=topic, status="look" if looks else "good", says=says)
