"""Passages by the words that they share with a question (BM25, Robertson et al. 1994)."""

from __future__ import annotations

import logging
import re
import sys
import unicodedata
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import groupby
from time import perf_counter

from choose.corpus import UNSPACED, Passage
from choose.models.retrieval.ranked_passages import PassageIndex, Ranked, best_places
from choose.progress import report_progress

# As in Lucene. On three sets (xquad_en, covid_qa, pubmedqa_l) hit@1 and hit@5 are as high as with
# bm25s's own 1.5 or higher, and higher without a stop list than with one.
K1, B = 1.2, 0.75

# Passages indexed, or questions searched, between two looks at the clock.
STEP = 256

_ASCII_WORD = re.compile(r"\w+", re.ASCII)


class BM25Index(PassageIndex):
    """A BM25 index of words of any script; passages without a word of the question are no hits."""

    def __init__(self, passages: Sequence[Passage]) -> None:
        import bm25s

        # It sets its own level to DEBUG, and any handler of the program would print its lines.
        logging.getLogger("bm25s").setLevel(logging.WARNING)
        start = perf_counter()
        self.passages = passages
        self.vocabulary: dict[str, int] = {}
        rows: list[list[int]] = []
        for passage in passages:
            words = words_of(passage.shown)
            rows.append([self.vocabulary.setdefault(w, len(self.vocabulary)) for w in words])
            if len(rows) % STEP == 0:
                report_progress(len(rows), len(passages), "indexing")
        self.scorer = bm25s.BM25(k1=K1, b=B)
        if self.vocabulary:  # it cannot index nothing
            corpus = rows, self.vocabulary
            self.scorer.index(corpus, create_empty_token=False, show_progress=False)
        self.seconds = perf_counter() - start

    def ranked(self, questions: Sequence[str], k: int) -> list[list[Ranked]]:
        """Return the passages of the highest scores above 0."""
        found: list[list[Ranked]] = []
        for question in questions:
            found.append(self._ranked(question, k))
            if len(found) % STEP == 0:
                report_progress(len(found), len(questions), "search")
        return found

    def _ranked(self, question: str, k: int) -> list[Ranked]:
        # Each word once, so that a long question takes no longer than the vocabulary.
        words = dict.fromkeys(words_of(question))
        known = [self.vocabulary[word] for word in words if word in self.vocabulary]
        return best_places(self.scorer.get_scores_from_ids(known), k, above=0.0) if known else []


def words_of(text: str) -> list[str]:
    """Return the words of a text without case; where a script has no spaces, pairs of characters.

    Those pairs are how Lucene indexes Chinese, Japanese and Korean.
    """
    plain = unicodedata.normalize("NFKC", text).casefold().replace("_", " ")
    if plain.isascii():
        return _ASCII_WORD.findall(plain)
    return [part for word in _runs().findall(plain) for part in _parts(word)]


def _parts(word: str) -> Iterator[str]:
    if word.isascii():
        yield word
        return
    for unspaced, run in groupby(word, key=_is_unspaced):
        part = "".join(run)
        if unspaced and len(part) > 1:
            yield from (part[n : n + 2] for n in range(len(part) - 1))
        else:
            yield part


@cache
def _is_unspaced(character: str) -> bool:
    return re.match(f"[{UNSPACED}]", character) is not None


@cache
def _letters() -> str:
    r"""Return a class of letters, digits and marks: `\w` splits words at vowel signs of Hindi."""
    marks = (c for c in map(chr, range(sys.maxunicode + 1)) if unicodedata.category(c)[0] == "M")
    return f"\\w{''.join(marks)}"


@cache
def _runs() -> re.Pattern[str]:
    return re.compile(f"[{_letters()}]+")


@cache
def word_pattern() -> re.Pattern[str]:
    """Return a pattern of words, numbers such as 1,200.5, and single marks.

    Where a script has no spaces, each character is a word.
    """
    inside = rf"(?![{UNSPACED}])[{_letters()}]"
    return re.compile(rf"[{UNSPACED}]|(?:{inside})+(?:[.,]\d+)*|[^\w\s]")
