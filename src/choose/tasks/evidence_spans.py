"""Where the answers of questions occur in documents, and which questions share a document."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property, reduce
from math import log

import numpy as np
import numpy.typing as npt

from choose.corpus import Corpus, Span
from choose.tasks.answering import abstains
from choose.tasks.ranking import Place
from choose.tasks.value_parsing import UNSPACED
from choose.types import Example

# Places of a question's answers that are kept; brief ones, such as "two", occur in many.
MOST = 20

# Characters of a document from which its folded text is kept.
_LONG = 100_000

_WORD = re.compile(r"\w+")

# Sigma has two lower forms, and I with a dot becomes two characters; blanks are one and the same.
_FOLD = str.maketrans(
    {"\u0130": "i", "\u03a3": "\u03c3", "\u03c2": "\u03c3"}
    | {c: " " for c in map(chr, range(0x3001)) if c.isspace()}
)


def folded(text: str) -> str:
    """Return a text without case, each character in its place, and blanks as spaces."""
    return text.translate(_FOLD).lower()


class AnswerPlaces:
    """Finds the places of answers in documents: whole words, whatever their case.

    Words of the documents are looked up in an index of those that occur in the questions and in
    their answers, so that 100,000 passages are read once.
    """

    def __init__(self, corpus: Corpus, questions: Sequence[Example]) -> None:
        self._documents = corpus.documents
        self._place_of = {d.id: place for place, d in enumerate(corpus.documents)}
        self._folded: dict[int, str] = {}
        texts = (text for e in questions for text in (e.text, *e.targets))
        self._needed = {word for text in texts for word in _WORD.findall(folded(text))}

    @cached_property
    def _holders(self) -> dict[str, npt.NDArray[np.int64]]:
        found: dict[str, list[int]] = defaultdict(list)
        for place in range(len(self._documents)):
            words = (match[0] for match in _WORD.finditer(self._text(place)))
            for word in self._needed.intersection(words):
                found[word].append(place)
        return {word: np.array(places) for word, places in found.items()}

    def _text(self, place: int) -> str:
        if place in self._folded:
            return self._folded[place]
        text = folded(self._documents[place].text)
        if len(text) > _LONG:
            self._folded[place] = text
        return text

    def of(self, question: Example, document: str | None = None) -> tuple[Span, ...]:
        """Return where accepted answers occur, in all documents or in one, at most `MOST` places.

        Documents that have more of the question's words, by rarity, come first. Of answers that
        overlap, the longer is kept.
        """
        answers = [answer for t in question.targets if (answer := " ".join(folded(t).split()))]
        answers = [] if abstains(question.target) else answers
        if document is not None:
            places = [self._place_of[document]]
        else:
            places = self._likely(question, answers)
        found: list[Span] = []
        for place in places:
            id, text = self._documents[place].id, self._text(place)
            found += (Span(id, *ends) for ends in _outermost(_occurrences(text, answers)))
            if len(found) >= MOST:
                break
        return tuple(found[:MOST])

    def _likely(self, question: Example, answers: Iterable[str]) -> list[int]:
        holders = [self._holding(answer) for answer in answers]
        if not holders:
            return []
        places = reduce(np.union1d, holders)
        if len(places) < 2:
            return [int(place) for place in places]
        weights = np.zeros(len(self._documents))
        for word in set(_WORD.findall(folded(question.text))):
            if (known := self._holders.get(word)) is not None:
                weights[known] += log(1 + len(self._documents) / len(known))
        return [int(place) for place in places[np.argsort(-weights[places], kind="stable")]]

    def _holding(self, answer: str) -> npt.NDArray[np.int64]:
        words = _WORD.findall(answer)
        if UNSPACED.search(answer) or not words:  # its words are parts of longer runs of letters
            return np.arange(len(self._documents))
        none = np.empty(0, dtype=np.int64)
        holders = sorted((self._holders.get(word, none) for word in words), key=len)
        return reduce(lambda a, b: np.intersect1d(a, b, assume_unique=True), holders)


def _occurrences(text: str, answers: Iterable[str]) -> Iterator[tuple[int, int]]:
    for answer in answers:
        exact = [*_exact(text, answer)]
        yield from exact
        if not exact and " " in answer:  # several blanks may be between its words
            spaced = re.compile(" +".join(map(re.escape, answer.split())))
            yield from (m.span() for m in spaced.finditer(text) if _whole(text, answer, *m.span()))


def _exact(text: str, answer: str) -> Iterator[tuple[int, int]]:
    start, left = text.find(answer), MOST
    while start >= 0 and left:
        end = start + len(answer)
        whole = _whole(text, answer, start, end)
        if whole:
            left -= 1
            yield start, end
        start = text.find(answer, end if whole else start + 1)


def _whole(text: str, answer: str, start: int, end: int) -> bool:
    if UNSPACED.search(answer):
        return True
    before = _WORD.match(answer[0]) and start > 0 and _WORD.match(text[start - 1])
    after = _WORD.match(answer[-1]) and end < len(text) and _WORD.match(text[end])
    return not before and not after


def _outermost(places: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    kept: list[tuple[int, int]] = []
    for start, end in sorted(set(places), key=lambda place: (place[0], -place[1])):
        if not kept or start >= kept[-1][1]:
            kept.append((start, end))
    return kept


def spans_of(
    question: Example, named: Sequence[Place], corpus: Corpus, places: AnswerPlaces
) -> tuple[Span, ...]:
    """Return the evidence that a cell names; a question without an answer has none.

    Of a document, it is where an accepted answer occurs, or else the whole.
    """
    if abstains(question.target):
        return ()
    found: list[Span] = []
    for place in named:
        if place.start is not None and place.end is not None:
            found.append(Span(place.document, place.start, place.end))
            continue
        own = places.of(question, place.document)
        found += own or [Span(place.document, 0, len(corpus.by_id[place.document].text))]
    return tuple(dict.fromkeys(found))


def evidence_of_another(row: Example, corpus: Corpus) -> tuple[Span, ...]:
    """Return the evidence of a row whose answer was replaced by another one.

    It is where this occurs in the passages that held the evidence, near it if it does there, or
    else these passages: where the replaced answer stands would give that away.
    """
    if abstains(row.target):
        return ()
    passages = [passage.span for passage in corpus.overlapping(row.evidence)][:MOST]
    answers = [" ".join(folded(answer).split()) for answer in row.targets]
    found = [
        Span(place.document, place.start + start, place.start + end)
        for place in passages
        for start, end in _outermost(
            _occurrences(
                folded(corpus.by_id[place.document].text[place.start : place.end]), answers
            )
        )
    ]
    near = [one for one in found if any(one.overlaps(span) for span in row.evidence)]
    return tuple((near or found or passages)[:MOST])


def is_reworded(question: Example, corpus: Corpus) -> bool:
    """Return whether a question's evidence is whole documents in which no answer was found."""
    texts = [corpus.by_id[span.document].text for span in question.evidence]
    whole = [(0, len(text)) for text in texts]
    if not texts or whole != [(span.start, span.end) for span in question.evidence]:
        return False
    answers = {" ".join(folded(answer).split()) for answer in question.targets}
    return answers.isdisjoint(" ".join(folded(text).split()) for text in texts)
