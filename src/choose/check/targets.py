"""Measure targets that are no labels: fields, values, copies, contradictions, lengths."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from choose.corpus import Corpus, Document
from choose.data.duplicates import TextIndex
from choose.files import digest
from choose.formatting import normalised
from choose.schema.check import (
    FEW,
    AnswerFacts,
    CorpusFacts,
    FieldFacts,
    Issue,
    RelevanceFacts,
    SetFacts,
    TargetFacts,
    Unlike,
)
from choose.tasks.answering import Briefly, abstains, corpus_of, passage_field
from choose.tasks.evidence_spans import is_reworded
from choose.tasks.kinds import KINDS
from choose.tasks.multilabel import Multilabel
from choose.tasks.ranking import DEPTH, Ranking, read_scores, spans_of_relevant
from choose.tasks.values import occurs, type_name
from choose.types import Dataset, Example, Task

# Fewer questions without an answer than this teach no model when to give none, and measure little.
FEWEST = 10

# Characters of a longer document, which only repeats another to the letter: words take memory.
LONGEST = 1_000_000


@dataclass(frozen=True)
class CorpusAudit:
    """The documents, and the rows whose questions are answered from them, or rank them."""

    corpus: Corpus
    answered: Sequence[Example]

    @cached_property
    def asked(self) -> Mapping[str, set[str]]:
        """Return by document the ids of the questions whose answer it holds."""
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
        documents = self.corpus.documents
        return CorpusFacts(
            documents=len(documents),
            passages=len(self.corpus.passages()),
            words=sum(len(p.text.split()) for p in self.corpus.passages()),
            dated=sum(d.timestamp is not None for d in documents),
            repeated=sum(len(same) - 1 for same in self.repeated),
            copies=tuple(tuple(d.id for d in same) for same in self.repeated),
            without=len(self.without),
            reworded=len(self.reworded),
        )

    def share_of_repeated(self) -> float:
        """Return the share of the questions that a repeated document answers."""
        concerned = {d.id for same in self.repeated for d in same}
        touched = {id for document in concerned for id in self.asked.get(document, ())}
        return len(touched) / max(len(self.answered), 1)

    def issues(self) -> Iterator[Issue]:
        yield from (Issue(row=id, kind="not in documents") for id in self.without)
        yield from (Issue(row=id, kind="reworded") for id in self.reworded)


@dataclass(frozen=True)
class AnswerAudit:
    """The answers of all rows, in the order of the file."""

    task: Task
    rows: Sequence[Example]

    @cached_property
    def answered(self) -> list[Example]:
        return [e for e in self.rows if not abstains(e.target)]

    @cached_property
    def absent(self) -> list[str]:
        """Return the ids of rows of which no accepted answer occurs in their passage."""
        name = passage_field(self.task)
        if name is None:
            return []
        return [e.id for e in self.answered if not occurs(e.targets, e.fields.get(name, ""))]

    @cached_property
    def asked(self) -> list[str]:
        """Return the ids of rows whose answer occurs in their question."""
        return [e.id for e in self.answered if occurs([e.target], e.text)]

    @cached_property
    def corpus(self) -> CorpusAudit | None:
        corpus = corpus_of(self.task)
        return None if corpus is None else CorpusAudit(corpus, self.answered)

    @cached_property
    def facts(self) -> AnswerFacts:
        passage = passage_field(self.task)
        none = len(self.rows) - len(self.answered)
        return AnswerFacts(
            unanswerable=none,
            few_unanswerable=0 < none < FEWEST,
            several=sum(len(e.targets) > 1 for e in self.rows),
            passage=passage,
            absent=None if passage is None else len(self.absent),
            in_question=len(self.asked),
            corpus=None if self.corpus is None else self.corpus.facts,
        )

    def issues(self) -> Iterator[Issue]:
        if self.corpus is not None:
            yield from self.corpus.issues()
        yield from (Issue(row=id, kind="not in passage") for id in self.absent)
        yield from (Issue(row=id, kind="in question") for id in self.asked)


def relevance_of(rows: Sequence[Example], corpus: CorpusFacts) -> RelevanceFacts:
    counts = [len(read_scores(e.target)) for e in rows]
    return RelevanceFacts(
        mean=sum(counts) / len(counts),
        most=max(counts),
        single=sum(count == 1 for count in counts),
        over=sum(count > DEPTH for count in counts),
        graded=sum(bool(set(read_scores(e.target).values()) - {1}) for e in rows),
        corpus=corpus,
    )


# Two targets are unlike below this score of one against the other.
UNLIKE = 0.5

# Pairs of rows that are compared.
PAIRS = 20_000

# A field whose values occur in the text in so large a share of the rows is taken from there, and
# another value is suspect; below the other share it is written in a form of its own.
TAKEN, OWN_FORM = 0.95, 0.6

# A type of a field that fewer than this share of its rows have is a slip.
SLIP = 0.1

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
        for e in self.rows:
            text = f" {normalised(e.input)} "
            for name, value in self.records.get(e.id, {}).items():
                values = value if isinstance(value, list) else [value]
                if not all(self._stands(one, text) for one in values):
                    found[name].append(e.id)
        return found

    def _stands(self, value: Any, text: str) -> bool:
        words = normalised(str(value))
        return words in text if self.unspaced else f" {words} " in text

    @cached_property
    def fields(self) -> tuple[FieldFacts, ...]:
        """Describe each field, the most frequent first."""
        types: dict[str, Counter[str]] = defaultdict(Counter)
        for record in self.records.values():
            for name, value in record.items():
                types[name][type_name(value)] += 1
        stated: Mapping[str, str] = self.dataset.task.facts().get("fields", {})
        found = [
            FieldFacts(
                name=name,
                type=stated.get(name, "text"),
                filled=(rows := kinds.total()),
                in_text=1 - len(self.absent.get(name, ())) / rows,
                types=tuple(sorted(kinds.items(), key=lambda kind: (-kind[1], kind[0]))),
            )
            for name, kinds in types.items()
        ]
        return tuple(sorted(found, key=lambda field: (-field.filled, field.name)))

    @cached_property
    def slips(self) -> dict[str, list[str]]:
        """Return by field the ids of rows whose value is of a type that few rows have."""
        found: dict[str, list[str]] = {}
        for field in self.fields:
            usual, most = field.types[0]
            if len(field.types) > 1 and field.filled - most <= max(1, SLIP * field.filled):
                found[field.name] = [
                    id
                    for id, record in self.records.items()
                    if field.name in record and type_name(record[field.name]) != usual
                ]
        return found

    @cached_property
    def invented(self) -> dict[str, list[str]]:
        """Return by field the ids of rows with a value that is not in the text, where most are."""
        taken = {f.name for f in self.fields if TAKEN <= (f.in_text or 0.0) < 1}
        return {name: ids for name, ids in self.absent.items() if name in taken}

    @cached_property
    def suspects(self) -> list[str]:
        """Return the ids of the rows of `invented`, in the order of the file."""
        named = {id for ids in self.invented.values() for id in ids}
        return [e.id for e in self.rows if e.id in named]

    @cached_property
    def copied(self) -> list[str]:
        """Return the ids of rows whose target is their text."""
        if self.records or self.sets is not None or self.relevance is not None:
            return []
        return [e.id for e in self.rows if normalised(e.text) == normalised(e.target)]

    @cached_property
    def unlike(self) -> tuple[Unlike, ...]:
        """Return the rows that are asked nearly the same and whose targets are unlike.

        Records of inputs that differ in a word may differ in a value: only their fields count.
        """
        found = []
        for a, b in self._alike():
            score = self._agreement(a, b)
            if score < UNLIKE:
                found.append(Unlike(row=a, other=b, score=score))
        return tuple(found)

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
    def answers(self) -> AnswerAudit | None:
        """Return the audit of answers to questions; None for other targets."""
        task = self.dataset.task
        return AnswerAudit(task, self.rows) if isinstance(task, Briefly) else None

    @cached_property
    def corpus_audit(self) -> CorpusAudit | None:
        """Return the audit of the documents that hold answers or are ranked; None without any."""
        if self.answers is not None:
            return self.answers.corpus
        task = self.dataset.task
        if not isinstance(task, Ranking) or task.corpus is None:
            return None
        corpus = task.corpus
        rows = [replace(e, evidence=spans_of_relevant(e.target, corpus)) for e in self.rows]
        return CorpusAudit(corpus, rows)

    @property
    def corpus(self) -> CorpusFacts | None:
        return None if self.corpus_audit is None else self.corpus_audit.facts

    @cached_property
    def relevance(self) -> RelevanceFacts | None:
        """Describe the relevant documents; None for other targets."""
        if self.answers is not None or self.corpus is None:
            return None
        return relevance_of(self.rows, self.corpus)

    @property
    def rare_labels(self) -> list[str]:
        """Return the labels of sets that too few rows have."""
        return [label for label, n in self.sets.counts if n < FEW] if self.sets else []

    @property
    def _rare(self) -> list[FieldFacts]:
        """Return the fields that hardly any row has."""
        return [f for f in self.fields if f.filled < max(FEW, RARE * len(self.rows))]

    @cached_property
    def sets(self) -> SetFacts | None:
        """Return what sets of labels hold; None for other targets."""
        task = self.dataset.task
        if not isinstance(task, Multilabel):
            return None
        found = [task.classes(e.target) for e in self.rows]
        rows = Counter(label for own in found for label in own)
        return SetFacts(
            counts=tuple(sorted(rows.items(), key=lambda count: (-count[1], count[0]))),
            mean=rows.total() / len(found),
            most=max(map(len, found)),
        )

    @cached_property
    def facts(self) -> TargetFacts:
        parted = self.records or self.sets is not None or self.relevance is not None
        texts, classes = not parted, self.dataset.task.classes
        answered = self.rows if self.answers is None else self.answers.answered
        whole = texts or self.relevance is not None
        filled = sum(whole or bool(classes(e.target)) for e in answered)
        taught = {name for e in self.pool for name in classes(e.target)}
        named = dict.fromkeys(name for e in self.test or () for name in classes(e.target))
        return TargetFacts(
            rows=len(self.rows),
            empty=None if whole else len(self.rows) - filled,
            copied=len(self.copied),
            fields=self.fields,
            rare=tuple(f.name for f in self._rare),
            own_form=tuple(
                f.name
                for f in self.fields
                if f not in self._rare and f.in_text is not None and f.in_text < OWN_FORM
            ),
            invented=tuple(self.invented),
            suspects=tuple(self.suspects),
            slips={name: tuple(ids) for name, ids in self.slips.items()},
            unseen=tuple(name for name in named if name not in taught),
            unlike=self.unlike,
            answers=None if self.answers is None else self.answers.facts,
            sets=self.sets,
            relevance=self.relevance,
        )

    def issues(self) -> Iterator[Issue]:
        for pair in self.unlike:
            score = f"{pair.score:.2f}"
            yield Issue(row=pair.row, kind="unlike target", other=pair.other, detail=score)
        for name, ids in self.slips.items():
            for id in ids:
                kind = type_name(self.records[id][name])
                yield Issue(row=id, kind="mixed type", label=name, detail=kind)
        for name, ids in self.invented.items():
            for id in ids:
                yield Issue(row=id, kind="not in text", label=name)
        if self.answers is not None:
            yield from self.answers.issues()
        for id in self.copied:
            yield Issue(row=id, kind="copied")
