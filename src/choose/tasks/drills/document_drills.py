"""Changes of documents after training: facts that are exchanged, and evidence that is taken out.

Which rows are drawn, and what their facts become, depends on the rows, their documents and the seed
alone, so that every candidate meets the same changes. Answers in scripts without spaces between
words are left as they are.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from choose.corpus import (
    ARRIVED,
    IMPLIED,
    MISSING,
    UPDATED,
    Corpus,
    Document,
    DrillKind,
    Span,
    sentences_around,
)
from choose.files import digest
from choose.tasks.answering import Answering, abstains
from choose.tasks.drills.document_edits import (
    LONGEST,
    Change,
    Sentences,
    applied,
    edited,
    merged,
    moved,
    places_of,
    rows_after,
)
from choose.tasks.target_noise import form, renumbered
from choose.tasks.values import occurs, squad_normal
from choose.types import Dataset, Example

# Share of the test rows that a drill changes; at least so many if there are, and at most.
SHARE, LEAST, MOST = 0.2, 50, 100

# Numbers, and answers of other rows, that are tried in place of one.
NUMBERS, DONORS = 20, 200

# Longer answers without a number are left: they are half a sentence, which another cannot replace.
MOST_WORDS = 3


@dataclass(frozen=True, kw_only=True)
class Drill:
    """Documents that changed after training, and the test rows that this concerns.

    Attributes:
        kind: `UPDATED`, `MISSING` or `ARRIVED`.
        corpus: the documents after the change.
        before: those before new ones arrived; None where candidates were trained with all.
        ids: of the rows to ask, sorted.
        facts: how many places of the documents changed, or how many documents arrived.
        rows: all rows with evidence in documents that changed, by id, with its places after that;
            where their fact was exchanged, the new one is their target.
    """

    kind: DrillKind
    corpus: Corpus
    ids: tuple[str, ...]
    facts: int
    rows: Mapping[str, Example] = field(default_factory=dict)
    before: Corpus | None = None

    @cached_property
    def view(self) -> str:
        """Return the name of its view, another one for other changes or rows."""
        before = [self.before.digest] if self.before is not None else []
        return f"{self.kind}-{digest([self.corpus.digest, list(self.ids), *before])[:12]}"

    @property
    def arrived(self) -> frozenset[str]:
        """Return the documents that were not there before."""
        before = self.before.by_id if self.before is not None else self.corpus.by_id
        return frozenset(self.corpus.by_id.keys() - before.keys())


def drills_of(dataset: Dataset, seed: int = 0) -> tuple[Drill, ...]:
    """Return the drills of a dataset with documents: none where they were not read or none fits.

    They are cached with the documents, since every trial of a candidate that reads needs them.
    """
    task = dataset.task
    if not isinstance(task, Answering) or task.corpus is None:
        return ()
    cache: dict[object, tuple[Drill, ...]] = task.corpus.__dict__.setdefault("_drills", {})
    if (key := (dataset.fingerprint, seed)) not in cache:
        rows, asked = list(dataset.examples.values()), dataset.asked
        every = [make(rows, task.corpus, asked, seed) for make in (updated, missing, arriving)]
        cache[key] = tuple(drill for drill in every if drill is not None)
    return cache[key]


def drill_of(dataset: Dataset, kind: DrillKind) -> Drill | None:
    """Return the drill of a kind, if it fits the dataset."""
    return next((drill for drill in drills_of(dataset) if drill.kind == kind), None)


def updated(
    rows: Sequence[Example], corpus: Corpus, asked: Iterable[str], seed: int
) -> Drill | None:
    """Exchange facts in documents by others of the same type; None where no exchange is clear.

    A fact is exchanged if the answer occurs once in its document, as whole words, and no other
    document has its sentence. The new one occurs nowhere else in the document. Questions that share
    the place of an answer all get its new one.

    Args:
        rows: all rows; answers of some are drawn for others.
        corpus: their documents.
        asked: ids of the test rows.
        seed: another one draws other rows and facts.
    """
    ids = answerable(rows, asked, corpus)
    exchange = Exchange(rows, corpus, seed, ids)
    for row in in_random_order([row for row in rows if row.id in ids], f"{UPDATED} {seed}"):
        if len(exchange.targets.keys() & ids) >= _wanted(ids):
            break
        exchange.try_row(row)
    if not (changed := exchange.targets.keys() & ids):
        return None
    return Drill(
        kind=UPDATED,
        corpus=applied(corpus, exchange.changes),
        ids=tuple(sorted(changed)),
        facts=sum(map(len, exchange.changes.values())),
        rows=rows_after(rows, exchange.changes, exchange.targets),
    )


def missing(
    rows: Sequence[Example], corpus: Corpus, asked: Iterable[str], seed: int
) -> Drill | None:
    """Take the sentences with the evidence of some rows out of the documents; None if none can be.

    No accepted answer is left in the documents of the evidence, and no other document has a
    sentence that was taken out. A document of which nothing is left is no document any more.
    """
    ids, removed = answerable(rows, asked, corpus), defaultdict[str, list[Change]](list)
    evidence = (span for row in rows if row.id in ids for span in row.evidence)
    sentences, taken = Sentences.around(evidence, corpus), list[Example]()
    for row in in_random_order([row for row in rows if row.id in ids], f"{MISSING} {seed}"):
        if len(taken) >= _wanted(ids):
            break
        cuts = _cuts(row, corpus, sentences)
        for name, places in cuts.items():
            removed[name] = merged([*removed[name], *places])
        taken += [row] if cuts else []
    after = applied(corpus, removed)
    gone = [row.id for row in taken if not _left(row, after)]
    if not gone or not after.documents:
        return None
    return Drill(
        kind=MISSING,
        corpus=after,
        ids=tuple(sorted(gone)),
        facts=sum(map(len, removed.values())),
        rows=rows_after(rows, removed, {}),
    )


def arriving(
    rows: Sequence[Example], corpus: Corpus, asked: Iterable[str], seed: int
) -> Drill | None:
    """Withhold some documents until after training; None where too few would be left.

    Rows with evidence in these and no other documents are asked. At most half of the documents
    with evidence are withheld.
    """
    ids = answerable(rows, asked)
    own = {row.id: {s.document for s in row.evidence} & corpus.by_id.keys() for row in rows}
    by_document: dict[str, list[str]] = defaultdict(list)
    for id in sorted(ids):
        for name in own[id]:
            by_document[name].append(id)
    known = {name for names in own.values() for name in names}
    withheld, chosen = set[str](), set[str]()
    for name in sorted(by_document, key=lambda name: (digest([ARRIVED, seed, name]), name)):
        if len(chosen) >= _wanted(ids) or 2 * (len(withheld) + 1) > len(known):
            break
        withheld.add(name)
        chosen |= {id for id in by_document[name] if own[id] <= withheld}
    if not chosen:
        return None
    return Drill(
        kind=ARRIVED,
        corpus=corpus,
        before=Corpus(tuple(d for d in corpus.documents if d.id not in withheld)),
        ids=tuple(sorted(chosen)),
        facts=len(withheld),
    )


def answerable(
    rows: Sequence[Example], asked: Iterable[str], edited: Corpus | None = None
) -> set[str]:
    """Return the ids of test rows that documents answer; none too long, if these are edited."""
    long = {d.id for d in edited.documents if len(d.text) > LONGEST} if edited else set[str]()
    return {*asked} & {
        row.id
        for row in rows
        if row.evidence
        and not abstains(row.target)
        and long.isdisjoint(span.document for span in row.evidence)
    }


def _wanted(ids: set[str]) -> int:
    """Return how many of some rows to change."""
    return min(MOST, max(round(SHARE * len(ids)), min(len(ids), LEAST)))


def in_random_order(rows: Sequence[Example], draw: str) -> list[Example]:
    """Return rows in an order that the draw and their ids decide."""
    return sorted(rows, key=lambda row: (digest([draw, row.id]), row.id))


class Exchange:
    """The facts that were exchanged so far: `changes` by document, new `targets` by row.

    `rows` are those with an answer and evidence, by the document of its first place.
    """

    def __init__(
        self, rows: Sequence[Example], corpus: Corpus, seed: int, ids: Collection[str]
    ) -> None:
        self.corpus, self.seed = corpus, seed
        answered = [row for row in rows if not abstains(row.target)]
        self.donors = [row.target for row in in_random_order(answered, f"donor {seed}")]
        self.rows: dict[str, list[Example]] = defaultdict(list)
        for row in answered:
            if row.evidence:
                self.rows[row.evidence[0].document].append(row)
        self.changes: dict[str, list[Change]] = defaultdict(list)
        self.targets: dict[str, str] = {}
        self.old: dict[str, list[str]] = defaultdict(list)
        self.places: dict[str, Span | None] = {}
        places = (self._place(row) for row in rows if row.id in ids)
        self.sentences = Sentences.around((p for p in places if p is not None), corpus)

    def try_row(self, row: Example) -> None:
        """Exchange the fact of a row, if it can be."""
        span = self._place(row)
        if span is None or row.id in self.targets or not self._alone(span):
            return
        document = self.corpus.by_id[span.document]
        others = [other for other in self.rows[document.id] if other.id != row.id]
        sharing = [row, *(other for other in others if self._place(other) == span)]
        for new in self._values(row):
            if self._fits(document, span, new, sharing):
                self.changes[document.id].append(Change(span.start, span.end, new))
                self.targets |= {one.id: new for one in sharing}
                self.old[document.id] += [text for one in sharing for text in one.targets]
                return

    def _place(self, row: Example) -> Span | None:
        """Return where the answer of a row occurs, if it occurs once, where the evidence is."""
        if row.id not in self.places:
            self.places[row.id] = self._found(row)
        return self.places[row.id]

    def _found(self, row: Example) -> Span | None:
        if any(text.casefold() in IMPLIED for text in row.targets):
            return None
        [name, *others] = {span.document for span in row.evidence}
        document = self.corpus.by_id.get(name)
        if others or document is None or occurs(row.targets, f"{row.text} {document.title}"):
            return None
        found = [Span(name, *place) for place in places_of(row.target, document.text)]
        held = len(found) == 1 and any(found[0].overlaps(span) for span in row.evidence)
        return found[0] if held else None

    def _alone(self, span: Span) -> bool:
        """Return whether no other document has the sentence of a place."""
        text = self.corpus.by_id[span.document].text
        begin, end = sentences_around(text, span.start, span.end)
        return not self.sentences.elsewhere(text[begin:end], span.document)

    def _values(self, row: Example) -> Iterator[str]:
        """Yield what may take the place of a row's answer, of the same type."""
        draw, kind = random.Random(f"{UPDATED} {self.seed} {row.id}"), form(row.target)
        if kind == "number":
            numbers = (renumbered(row.target, draw) for _ in range(NUMBERS))
            yield from (new for new in numbers if new is not None)
            return
        words, own = len(row.target.split()), {*squad_normal(row.target).split()}
        start = draw.randrange(len(self.donors))
        for new in (*self.donors[start:], *self.donors[:start])[:DONORS]:
            near = abs(len(new.split()) - words) <= 1 and max(words, len(new.split())) <= MOST_WORDS
            if near and form(new) == kind and not own & {*squad_normal(new).split()}:
                yield new

    def _fits(self, document: Document, span: Span, new: str, sharing: Sequence[Example]) -> bool:
        """Return whether a document is clear after one more change: old facts gone, new ones once.

        Nor does the new fact occur in the title or in a question.
        """
        others = self.changes[document.id]
        if any(c.start < span.end and span.start < c.end for c in others):
            return False
        asked = " ".join([document.title, *(row.text for row in sharing)])
        before = [text for row in sharing for text in row.targets]
        if occurs([new], f"{document.text} {asked}") or occurs(before, new):
            return False
        changes = [*others, Change(span.start, span.end, new)]
        text = edited(document.text, changes)
        return not occurs([*self.old[document.id], *before], text) and all(
            [*places_of(change.new, text)] == [moved(change.start, change.end, changes)]
            for change in changes
        )


def _cuts(row: Example, corpus: Corpus, sentences: Sentences) -> dict[str, list[Change]]:
    """Return the sentences with a row's evidence by document; none if its answer would be left."""
    found: dict[str, list[Change]] = {}
    for span in row.evidence:
        document = corpus.by_id.get(span.document)
        if document is None:
            return {}
        begin, end = sentences_around(document.text, span.start, span.end)
        if sentences.elsewhere(document.text[begin:end], document.id):
            return {}
        found[document.id] = merged([*found.get(document.id, ()), Change(begin, end, "")])
    texts = (edited(corpus.by_id[name].text, cuts) for name, cuts in found.items())
    return {} if any(occurs(row.targets, text) for text in texts) else found


def _left(row: Example, corpus: Corpus) -> bool:
    """Return whether an accepted answer occurs in a document of a row's evidence."""
    names = {span.document for span in row.evidence} & corpus.by_id.keys()
    return any(occurs(row.targets, corpus.by_id[name].text) for name in names)
