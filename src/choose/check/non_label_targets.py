"""Measure targets that are no labels: fields, values, contradictions, answers and documents."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from choose.corpus import Corpus
from choose.data.duplicates import TextIndex
from choose.files import digest
from choose.formatting import normalised
from choose.schema.check import (
    FEW,
    CorpusFacts,
    FieldFacts,
    Issue,
    TargetFacts,
)
from choose.tasks.answering import Answering, abstains, corpus_of, passage_field
from choose.tasks.evidence_spans import is_reworded
from choose.tasks.kinds import KINDS
from choose.tasks.multilabel import Multilabel
from choose.tasks.ranking import Ranking, spans_of_relevant
from choose.tasks.value_parsing import occurs
from choose.types import Dataset, Example

# Characters of a longer document, which only repeats another to the letter: words take memory.
LONGEST = 1_000_000

# Two targets are unlike below this score of one against the other.
UNLIKE = 0.5

# Pairs of rows that are compared.
PAIRS = 20_000

# A field whose values occur in the text in so large a share of the rows is taken from there, and
# another value is suspect.
TAKEN = 0.95

# A field that fewer rows, or a smaller share of the rows, have is nearly always empty.
RARE = 0.01


@dataclass(frozen=True)
class Targets:
    """The rows to learn from, the test rows if there is a file of them, and what both hold."""

    dataset: Dataset
    pool: Sequence[Example]
    test: Sequence[Example] | None
    index: TextIndex
    unspaced: bool

    @cached_property
    def rows(self) -> list[Example]:
        return [*self.pool, *(self.test or ())]

    @cached_property
    def records(self) -> dict[str, Mapping[str, Any]]:
        """Return the record of each row by id; none where targets have no fields."""
        read = KINDS[self.dataset.task.kind].record
        return {} if read is None else {e.id: read(e.target) for e in self.rows}

    @cached_property
    def absent(self) -> dict[str, list[str]]:
        """Return by field the ids of rows in which a value of it does not occur."""
        found: dict[str, list[str]] = defaultdict(list)
        edge = "" if self.unspaced else " "
        for e in self.rows:
            text = f" {normalised(e.input)} "
            for name, value in self.records.get(e.id, {}).items():
                values = value if isinstance(value, list) else [value]
                if not all(f"{edge}{normalised(str(one))}{edge}" in text for one in values):
                    found[name].append(e.id)
        return found

    @cached_property
    def fields(self) -> tuple[FieldFacts, ...]:
        filled = Counter(name for record in self.records.values() for name in record)
        stated: Mapping[str, str] = self.dataset.task.facts().get("fields", {})
        found = [
            FieldFacts(
                name=name,
                type=stated.get(name, "text"),
                filled=rows,
                in_text=1 - len(self.absent.get(name, ())) / rows,
            )
            for name, rows in filled.items()
        ]
        return tuple(sorted(found, key=lambda field: (-field.filled, field.name)))

    @cached_property
    def invented(self) -> dict[str, set[str]]:
        """Return by field the ids of rows with a value that is not in the text, where most are."""
        taken = {f.name for f in self.fields if TAKEN <= (f.in_text or 0.0) < 1}
        return {name: set(ids) for name, ids in self.absent.items() if name in taken}

    def _unlike(self) -> Iterator[Issue]:
        """Yield rows that are asked nearly the same and whose targets are unlike.

        Records of inputs that differ in a word may differ in a value: only their fields count.
        """
        for a, b in self._alike():
            if (score := self._agreement(a, b)) < UNLIKE:
                yield Issue(row=a, kind="unlike target", other=b, detail=f"{score:.2f}")

    def _agreement(self, a: str, b: str) -> float:
        task, row, other = self.dataset.task, self._by_id[a], self._by_id[b]
        if self.records and self.index.text_of[a] != self.index.text_of[b]:
            one, two = self.records[a].keys(), self.records[b].keys()
            return 2 * len(one & two) / (len(one) + len(two)) if one or two else 1.0
        return max(task.score(t, other.targets)[task.metrics[0]] for t in row.targets)

    @cached_property
    def _by_id(self) -> dict[str, Example]:
        return {e.id: e for e in self.rows}

    def _alike(self) -> Iterator[tuple[str, str]]:
        """Yield pairs of rows with the same or nearly the same input, up to `PAIRS`.

        Another value of a further field, such as the day, makes another input.
        """
        same: dict[int, list[str]] = defaultdict(list)
        for e in self.rows:
            same[self.index.text_of[e.id]].append(e.id)
        left = PAIRS
        for ids in same.values():
            yield from ((ids[0], id) for id in ids[1 : max(left, 0) + 1])
            left -= len(ids) - 1
        for a, b in self.index.pairs[: max(left, 0)].tolist():
            if a in same and b in same and self._fields_of(same[a]) == self._fields_of(same[b]):
                yield same[a][0], same[b][0]

    def _fields_of(self, ids: Sequence[str]) -> list[str]:
        return [normalised(value) for value in self._by_id[ids[0]].fields.values()]

    @cached_property
    def answered(self) -> list[Example]:
        """Return the rows that have an answer; of rankings, with whole documents as evidence."""
        task = self.dataset.task
        if isinstance(task, Answering):
            return [e for e in self.rows if not abstains(e.target)]
        if isinstance(task, Ranking) and (corpus := task.corpus) is not None:
            return [replace(e, evidence=spans_of_relevant(e.target, corpus)) for e in self.rows]
        return self.rows

    @cached_property
    def facts(self) -> TargetFacts:
        task, corpus = self.dataset.task, corpus_of(self.dataset.task)
        parted = bool(self.records) or isinstance(task, Multilabel)
        filled = sum(bool(task.classes(e.target)) for e in self.rows)
        taught = {name for e in self.pool for name in task.classes(e.target)}
        named = dict.fromkeys(name for e in self.test or () for name in task.classes(e.target))
        least = max(FEW, RARE * len(self.rows))
        return TargetFacts(
            rows=len(self.rows),
            empty=len(self.rows) - filled if parted else None,
            fields=self.fields,
            rare=tuple(f.name for f in self.fields if f.filled < least),
            unseen=tuple(name for name in named if name not in taught),
            labels=self._labels() if isinstance(task, Multilabel) else (),
            unanswerable=None
            if not isinstance(task, Answering)
            else len(self.rows) - len(self.answered),
            passage=passage_field(task),
            corpus=None if corpus is None else _about(corpus, self.answered),
        )

    def _labels(self) -> tuple[tuple[str, int], ...]:
        rows = Counter(label for e in self.rows for label in self.dataset.task.classes(e.target))
        return tuple(sorted(rows.items(), key=lambda count: (-count[1], count[0])))

    def issues(self) -> Iterator[Issue]:
        yield from self._unlike()
        for e in self.rows:
            names = (name for name, ids in self.invented.items() if e.id in ids)
            yield from (Issue(row=e.id, kind="not in text", label=name) for name in names)
        task = self.dataset.task
        if not isinstance(task, Answering):
            return
        if (corpus := corpus_of(task)) is not None:
            rows = self.answered
            yield from (Issue(row=e.id, kind="not in documents") for e in rows if not e.evidence)
            reworded = (e for e in rows if is_reworded(e, corpus))
            yield from (Issue(row=e.id, kind="reworded") for e in reworded)
        if (passage := task.passage) is not None:
            for e in self.answered:
                if not occurs(e.targets, e.fields.get(passage, "")):
                    yield Issue(row=e.id, kind="not in passage")


def _about(corpus: Corpus, answered: Sequence[Example]) -> CorpusFacts:
    same: dict[str, list[str]] = defaultdict(list)
    for document in corpus.documents:
        whole = document.text
        key = digest(whole if len(whole) > LONGEST else normalised(whole))
        same[key].append(document.id)
    copies = tuple(id for ids in same.values() for id in ids[1:])
    twins = {id for ids in same.values() if len(ids) > 1 for id in ids}
    return CorpusFacts(
        documents=len(corpus.documents),
        passages=len(corpus.passages()),
        words=sum(len(p.text.split()) for p in corpus.passages()),
        dated=sum(d.timestamp is not None for d in corpus.documents),
        touched=sum(any(s.document in twins for s in e.evidence) for e in answered),
        copies=copies,
    )
