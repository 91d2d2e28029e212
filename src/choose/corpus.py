"""Documents, the passages that they are cut into, and the spans that hold an answer."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain, islice, takewhile
from typing import Any, Final, NamedTuple, Self

from choose.files import digest_rows

# Words of a passage; the encoder reads about 128 word pieces.
WORDS = 100

# The controls of a model that reads: what it is given to read in place of what it retrieves. They
# are views of the test rows that have evidence: nothing, the passage with the evidence, and this
# one before others that were retrieved.
NOTHING, GOLD, AMONG_OTHERS = "no-passage", "gold-passage", "gold-and-others"
CONDITIONS = (NOTHING, GOLD, AMONG_OTHERS)

# The drill: facts in documents that change after training. Its view is named by this, a dash and a
# digest of the change.
UPDATED: Final = "updated-documents"

# Answers that documents imply rather than state.
IMPLIED: Final = frozenset({"yes", "no", "none", "true", "false"})


def is_drill(view: str) -> bool:
    """Return whether a view asks rows after their documents changed; it is not scored as others."""
    return view.startswith(f"{UPDATED}-")


class Span(NamedTuple):
    """The characters from `start` to before `end` of a document."""

    document: str
    start: int
    end: int

    @property
    def id(self) -> str:
        """Return the span as a text that `span_of` reads again."""
        return f"{self.document}:{self.start}-{self.end}"

    def overlaps(self, other: Self) -> bool:
        return self.document == other.document and self.start < other.end and other.start < self.end


def span_of(id: str) -> Span:
    """Return the span that `Span.id` wrote.

    Raises:
        ValueError: if it is no such text.
    """
    document, _, place = id.rpartition(":")
    start, _, end = place.partition("-")
    return Span(document, int(start), int(end))


def holds(passage: str, evidence: Iterable[Span]) -> bool:
    """Return whether a passage, by its id, shares a character with some evidence.

    Raises:
        ValueError: if it is no id of a passage.
    """
    place = span_of(passage)
    return any(place.overlaps(span) for span in evidence)


# Passages that count for a reciprocal rank.
DEPTH: Final = 10


def reciprocal_rank(shown: Sequence[Span], evidence: Sequence[Span]) -> float:
    """Return 1 / the rank of the first passage that shares a character with evidence.

    It is 0 if none of the first `DEPTH` passages does.
    """
    for rank, one in enumerate(shown[:DEPTH], 1):
        if any(one.overlaps(span) for span in evidence):
            return 1 / rank
    return 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A text that answers may be read from."""

    id: str
    text: str
    title: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """A part of a document that is retrieved and read whole, under the document's title."""

    span: Span
    text: str
    title: str = ""

    @property
    def id(self) -> str:
        return self.span.id

    @property
    def shown(self) -> str:
        """Return what is indexed and read: the title, if any, and the text."""
        return f"{self.title}: {self.text}" if self.title else self.text

    def shortened(self, text: str) -> Self:
        """Return its beginning, as a model reads it: with fewer blanks than the document."""
        marks = islice(re.finditer(r"\S", self.text), len("".join(text.split())))
        end = self.span.start + max((mark.end() for mark in marks), default=0)
        return replace(self, span=self.span._replace(end=end), text=text)


@dataclass(frozen=True)
class Corpus:
    """The documents of a task, in a fixed order, with unique ids."""

    documents: tuple[Document, ...]

    def __len__(self) -> int:
        return len(self.documents)

    @cached_property
    def digest(self) -> str:
        # Stored studies have a date in it, of which these documents have none.
        return digest_rows([(d.id, d.title, d.text, "None") for d in self.documents])

    @cached_property
    def by_id(self) -> Mapping[str, Document]:
        return {document.id: document for document in self.documents}

    def passages(self, words: int = WORDS) -> Sequence[Passage]:
        """Return all documents cut into passages of at most so many words, cached.

        A passage is made of whole sentences, or, of a longer sentence, of words. It is never of
        two documents.
        """
        return self._cut(words)[0]

    def overlapping(self, spans: Iterable[Span], words: int = WORDS) -> list[Passage]:
        """Return the passages that share a character with one of some spans, in their order."""
        by_document = self._cut(words)[1]
        found = {
            passage.id: passage
            for span in spans
            for passage in by_document.get(span.document, ())
            if passage.span.overlaps(span)
        }
        return list(found.values())

    def _cut(self, words: int) -> tuple[list[Passage], dict[str, list[Passage]]]:
        cache: dict[int, Any] = self.__dict__.setdefault("_passages", {})
        if words not in cache:
            by_document = {d.id: list(_passages(d, words)) for d in self.documents}
            cache[words] = [one for some in by_document.values() for one in some], by_document
        found: tuple[list[Passage], dict[str, list[Passage]]] = cache[words]
        return found


# Characters before a place in which the end of a sentence is looked for first.
_AROUND = 1_000


def sentences_around(text: str, start: int, end: int) -> tuple[int, int]:
    """Return where the sentences that hold some characters of a text begin and end."""
    begin, before = -1, _AROUND
    while begin < 0:  # a place in a book needs no look at all of it
        first = max(start - before, 0)
        ends = (match.end() for match in _END.finditer(text, first))
        begin = max(takewhile(lambda stop: stop <= start, ends), default=-1 if first else 0)
        before *= 8
    after = (match.end() for match in _END.finditer(text, begin))
    return begin, next((stop for stop in after if stop >= end), len(text))


def _passages(document: Document, words: int) -> Iterator[Passage]:
    for start, end in _packed(document.text, words):
        text = document.text[start:end]
        yield Passage(span=Span(document.id, start, end), text=text, title=document.title)


# The end of a sentence, of a line, or of an ideographic sentence. Possessive, and of white space
# only from its beginning: megabytes of blanks or quotes take no longer than words.
_END = re.compile(r"(?<=[.!?])[\"')\]]*+\s+|(?<=[\u3002\uff01\uff1f])|(?<!\s)[^\S\n]*+\n\s*+")

# Letters of scripts that put no space between words: Thai, Lao, Burmese, Khmer, kana and Han.
UNSPACED: Final = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\U00020000-\U000323af"
)

# Two of these letters count as a word, as many as one has on average in Chinese, with the marks
# behind them. What is longer counts as several words elsewhere: a picture written in letters.
_WORD = re.compile(rf"[{UNSPACED}]{{1,2}}[^\w\s]{{0,8}}|[^\s{UNSPACED}]{{1,200}}")


def _packed(text: str, words: int) -> Iterator[tuple[int, int]]:
    start = end = -1
    count = 0
    for first, last, length in _sentences(text, words):
        if start >= 0 and count + length > words:
            yield start, end
            start, count = -1, 0
        start, end, count = (first if start < 0 else start), last, count + length
    if start >= 0:
        yield start, end


def _sentences(text: str, most: int) -> Iterator[tuple[int, int, int]]:
    """Yield place and words of each sentence; a longer one is cut between words."""
    begin = 0
    for stop in chain((match.end() for match in _END.finditer(text)), (len(text),)):
        words = _WORD.finditer(text, begin, stop)
        while part := list(islice(words, most)):
            yield part[0].start(), part[-1].end(), len(part)
        begin = stop
