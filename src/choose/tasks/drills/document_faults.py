"""Errors in documents at stated rates: some are gone, have a rival beside them, or were scanned.

Documents with the evidence of test rows get them, the same ones for every kind of error, and those
of a lower rate at a higher one too. Right answers stay what they were.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import MINYEAR, datetime, timedelta
from functools import cached_property
from itertools import islice
from typing import get_args

from choose.corpus import FAULTY, Corpus, Document, Fault, sentences_around
from choose.files import digest
from choose.tasks.answering import corpus_of
from choose.tasks.drills.document_drills import Exchange, answerable, in_random_order
from choose.tasks.drills.document_edits import Change, edited, merged, places_of
from choose.types import Dataset, Example

FAULTS: tuple[Fault, ...] = get_args(Fault)

# Shares of the documents, the test rows that are asked, and the documents beyond which no error is
# made: each kind and rate takes an index of its own.
RATES, ROWS, MOST_DOCUMENTS = (0.1, 0.2), 100, 20_000

# The share of words with a slip in a text that was read by a scanner; poor prints have about that.
MISREAD = 0.15

# How much older an older version is.
OLDER = timedelta(days=365)

# What scanners take for what.
_LOOKS_LIKE = {
    "rn": "m",
    "cl": "d",
    "vv": "w",
    "ri": "n",
    "m": "rn",
    "d": "cl",
    "w": "vv",
    "h": "b",
    "e": "c",
    "l": "1",
    "i": "l",
    "o": "0",
    "s": "5",
    "I": "l",
    "O": "0",
    "S": "5",
    "B": "8",
    "0": "O",
    "1": "l",
    "5": "S",
    "8": "B",
}
_ALIKE = re.compile("|".join(map(re.escape, _LOOKS_LIKE)))

# Places of an answer in a document; with more it is a word that any sentence may have.
_PLACES = 20


@dataclass(frozen=True, kw_only=True)
class FaultyDocuments:
    """Documents some of which have an error, and the test rows to ask.

    Attributes:
        fault: the kind of error.
        rate: the share of documents with evidence of these rows that should have it.
        corpus: the documents with the errors.
        ids: of the rows to ask, sorted.
        documents: how many documents have it.
        known: how many documents hold evidence of these rows.
        older: the fact of an older version, by row, where there is one.
    """

    fault: Fault
    rate: float
    corpus: Corpus
    ids: tuple[str, ...]
    documents: int
    known: int
    older: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def view(self) -> str:
        """Return the name of its view, another one for other errors or rows."""
        return f"{FAULTY}-{digest([self.corpus.digest, list(self.ids)])[:12]}"


def faults_of(dataset: Dataset, seed: int = 0) -> tuple[FaultyDocuments, ...]:
    """Return the errors of a dataset with documents by kind and rate; none where it has too many.

    They are cached with the documents.
    """
    corpus = corpus_of(dataset.task)
    if corpus is None or len(corpus) > MOST_DOCUMENTS:
        return ()
    cache: dict[object, tuple[FaultyDocuments, ...]] = corpus.__dict__.setdefault("_faults", {})
    if (key := (dataset.fingerprint, seed)) not in cache:
        faulty = _Faulty(list(dataset.examples.values()), corpus, dataset.asked, seed)
        cache[key] = tuple(found for fault in FAULTS for found in faulty.at_rates(fault))
    return cache[key]


def most_of_each(faults: Sequence[FaultyDocuments]) -> tuple[FaultyDocuments, ...]:
    """Return each kind of error at the highest rate that some documents allow."""
    return tuple({one.fault: one for one in sorted(faults, key=lambda one: one.rate)}.values())


class _Faulty:
    """The documents of one dataset, in the order in which they get errors."""

    def __init__(
        self, rows: Sequence[Example], corpus: Corpus, asked: Sequence[str], seed: int
    ) -> None:
        ids = answerable(rows, asked, corpus)
        ordered = in_random_order([row for row in rows if row.id in ids], f"{FAULTY} {seed}")
        self.rows, self.corpus, self.seed = ordered[:ROWS], corpus, seed
        self.ids = tuple(sorted(row.id for row in self.rows))
        known = {s.document for row in self.rows for s in row.evidence} & corpus.by_id.keys()
        self.known = sorted(known, key=lambda name: (digest([FAULTY, seed, name]), name))
        self.exchange = Exchange(rows, corpus, seed, set(self.ids))

    def at_rates(self, fault: Fault) -> Iterator[FaultyDocuments]:
        """Yield an error at every rate that changes more documents than the one before."""
        most = max(1, round(max(RATES) * len(self.known)))
        makes = {
            "gone": lambda document: (),
            "older-version": self._older,
            "copy-without-answers": self._copy,
            "scanned": self._scanned,
        }
        possible = ((name, makes[fault](self.corpus.by_id[name])) for name in self.known)
        changed = dict(islice((one for one in possible if one[1] is not None), most))
        before = 0
        for rate in RATES:
            few = dict(islice(changed.items(), max(1, round(rate * len(self.known)))))
            if len(few) > before and (corpus := self._with(few)).documents:
                before = len(few)
                yield FaultyDocuments(
                    fault=fault,
                    rate=rate,
                    corpus=corpus,
                    ids=self.ids,
                    documents=len(few),
                    known=len(self.known),
                    older=self._facts(few) if fault == "older-version" else {},
                )

    def _with(self, changed: Mapping[str, Sequence[Document] | None]) -> Corpus:
        """Return the documents, some of them replaced by none or others."""
        every: list[Document] = []
        for document in self.corpus.documents:
            every += changed.get(document.id) or (() if document.id in changed else (document,))
        return Corpus(tuple(every))

    def _facts(self, names: Mapping[str, object]) -> dict[str, str]:
        """Return the facts of older versions by row."""
        new = self.exchange.targets
        return {
            row.id: new[row.id]
            for row in self.rows
            if row.id in new and row.evidence[0].document in names
        }

    def _older(self, document: Document) -> Sequence[Document] | None:
        """Return a document with an older version of it, in which facts are other ones."""
        for row in self.exchange.rows[document.id]:
            self.exchange.try_row(row)
        changes = self.exchange.changes.get(document.id)
        if not changes:
            return None
        when = document.timestamp
        older = replace(
            document,
            id=self._free(f"{document.id} (older)"),
            text=edited(document.text, changes),
            timestamp=_earlier(when),
        )
        return self._beside(document, older)

    def _copy(self, document: Document) -> Sequence[Document] | None:
        """Return a document with a copy of it that lacks the sentences with its answers."""
        places = []
        for row in self.rows:
            own = [s[1:] for s in row.evidence if s.document == document.id]
            for text in row.targets if own else ():
                own += islice(places_of(text, document.text), _PLACES)
            places += [sentences_around(document.text, start, end) for start, end in own]
        cuts = merged(Change(start, end, "") for start, end in places)
        left = edited(document.text, cuts)
        if not left.strip() or left == document.text:
            return None
        copy = replace(document, id=self._free(f"{document.id} (copy)"), text=left)
        return self._beside(document, copy)

    def _scanned(self, document: Document) -> Sequence[Document] | None:
        """Return a document as a scanner may read it."""
        text = misread(document.text, random.Random(f"{FAULTY} {self.seed} {document.id}"))
        return None if text == document.text else (replace(document, text=text),)

    def _beside(self, document: Document, rival: Document) -> Sequence[Document]:
        """Return both in an order that is drawn: of equal passages, the first one is found."""
        first = int(digest([FAULTY, "first", self.seed, document.id])[:8], 16) % 2
        return (rival, document) if first else (document, rival)

    def _free(self, name: str) -> str:
        """Return a name that no document has."""
        while name in self.corpus.by_id:
            name += "'"
        return name


def _earlier(when: datetime | None) -> datetime | None:
    """Return a date a year before, or none before the first year of the calendar."""
    return None if when is None or when.year <= MINYEAR + 1 else when - OLDER


def misread(text: str, draw: random.Random) -> str:
    """Return a text in which some words have letters that look like others."""

    def slipped(match: re.Match[str]) -> str:
        word = match[0]
        alike = list(_ALIKE.finditer(word)) if draw.random() < MISREAD else []
        if not alike:
            return word
        slip = draw.choice(alike)
        return word[: slip.start()] + _LOOKS_LIKE[slip[0]] + word[slip.end() :]

    return re.sub(r"\S+", slipped, text)
