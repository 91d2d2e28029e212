"""Edits of documents: places that become others, and where everything else is after that."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from choose.corpus import Corpus, Span, sentences_around
from choose.types import Example

# Documents whose words are counted, to tell rare words.
COUNTED = 2_000

# Characters of a document above which no fact of it is exchanged: every try reads all of it. Its
# words are not split either, since a list of them takes many times its size.
LONGEST = 1_000_000


@dataclass(frozen=True, slots=True)
class Change:
    """Characters of a document that become others."""

    start: int
    end: int
    new: str


# By document.
Changes = Mapping[str, Sequence[Change]]


@dataclass(frozen=True)
class Sentences:
    """In which documents some sentences occur, found in one pass over all documents.

    A document with a sentence has all of its words. Of each sentence the rarest one between its
    first and last is looked up, since those may be parts of words elsewhere; only documents with
    this word are searched.
    """

    corpus: Corpus
    found: dict[str, set[str]]

    @classmethod
    def around(cls, places: Iterable[Span], corpus: Corpus) -> Sentences:
        """Look up the sentences that hold some places."""
        sentences = set()
        for name, start, end in {*places}:
            if name in corpus.by_id:
                text = corpus.by_id[name].text
                begin, stop = sentences_around(text, start, end)
                sentences.add(text[begin:stop].strip())
        inner = {one: words for one in sentences if (words := one.split()[1:-1])}
        if not inner:
            return cls(corpus, {})
        rare, by_word = _frequency(corpus), defaultdict[str, list[str]](list)
        for sentence, words in inner.items():
            by_word[min(words, key=lambda word: (rare[word], -len(word), word))].append(sentence)
        found: dict[str, set[str]] = {one: set() for one in inner}
        for document in corpus.documents:
            if len(document.text) > LONGEST:
                for sentence in inner:
                    if sentence in document.text:
                        found[sentence].add(document.id)
                continue
            words = document.text.split()
            if by_word.keys().isdisjoint(words):
                continue
            for word in by_word.keys() & {*words}:
                for sentence in by_word[word]:
                    if sentence in document.text:
                        found[sentence].add(document.id)
        return cls(corpus, found)

    def elsewhere(self, sentence: str, own: str) -> bool:
        """Return whether another document has a sentence too."""
        sentence = sentence.strip()
        if sentence not in self.found:
            every = (d.id for d in self.corpus.documents if sentence in d.text)
            self.found[sentence] = {*islice(every, 2)}
        return bool(self.found[sentence] - {own})


def _frequency(corpus: Corpus) -> Counter[str]:
    """Count words in some of the documents, evenly spaced."""
    some = [d.text for d in corpus.documents if len(d.text) <= LONGEST]
    step = max(1, len(some) // COUNTED)
    return Counter(word for text in some[::step] for word in {*text.split()})


def places_of(answer: str, text: str) -> Iterator[tuple[int, int]]:
    """Yield the places of a text where an answer occurs as whole words or numbers."""
    if not answer.strip():
        return
    before = r"(?<![\w-])(?<!\d[.,:/])" if answer[0].isalnum() else r"(?<!\w)"
    after = r"(?![\w-])(?![.,:/]\d)" if answer[-1].isalnum() else r"(?!\w)"
    for match in re.finditer(f"{before}{re.escape(answer)}{after}", text):
        yield match.span()


def merged(places: Iterable[Change]) -> list[Change]:
    """Return places to take out, those that touch as one."""
    found: list[Change] = []
    for place in sorted(places, key=lambda p: (p.start, p.end)):
        if found and place.start <= found[-1].end:
            before = found.pop()
            place = Change(before.start, max(before.end, place.end), "")
        found.append(place)
    return found


def edited(text: str, changes: Iterable[Change]) -> str:
    """Return a text after changes that do not overlap."""
    for change in sorted(changes, key=lambda c: -c.start):
        text = text[: change.start] + change.new + text[change.end :]
    return text


def moved(start: int, end: int, changes: Iterable[Change]) -> tuple[int, int]:
    """Return where characters are after some changes; of one that they cut, all is theirs."""
    first, last = start, end
    for change in changes:
        longer = len(change.new) - (change.end - change.start)
        if change.end <= start:
            first += longer
        elif change.start < start:
            first -= start - change.start
        if change.end <= end:
            last += longer
        elif change.start < end:
            last += change.end - end + longer
    return first, max(first, last)


def applied(corpus: Corpus, changes: Changes) -> Corpus:
    """Return documents after their changes, without those of which nothing is left."""
    texts = {name: edited(corpus.by_id[name].text, own) for name, own in changes.items()}
    documents = (replace(d, text=texts[d.id]) if d.id in texts else d for d in corpus.documents)
    return Corpus(tuple(d for d in documents if d.text.strip() or d.id not in changes))


def rows_after(
    rows: Iterable[Example], changes: Changes, targets: Mapping[str, str]
) -> dict[str, Example]:
    """Return the rows whose documents changed, with new targets and places of their evidence."""
    found = {}
    for row in rows:
        if any(span.document in changes for span in row.evidence):
            spans = (
                Span(s.document, *moved(s.start, s.end, changes.get(s.document, ())))
                for s in row.evidence
            )
            row = replace(row, evidence=tuple(s for s in spans if s.start < s.end))
            if row.id in targets:
                row = replace(row, target=targets[row.id], accepted=())
            found[row.id] = row
    return found
