"""A word tagger that fills records, without a language model."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from choose.models.records.dates_in_text import date_in, part_of_date
from choose.models.records.tagger import Tagger
from choose.models.records.values_in_text import (
    Rewriting,
    Span,
    Word,
    aligned,
    is_written_as,
    words_of,
    written,
)
from choose.models.saving import read_fitted, task_facts, write_fitted
from choose.models.tfidf_logistic import LogisticHead, TfidfFeatures
from choose.tasks.extraction import parse
from choose.tasks.kinds import read_task
from choose.types import Answers, Example, Item, Task
from choose_strategies.records import record_of, reference_of, resolved, values_of
from choose_strategies.texts import TextBaseline, statuses, whole

# A field of which fewer values occur in the texts is predicted from the whole text.
IN_TEXT = 0.2

# Values of such a field at most.
CLASSES = 30

# An input field is a feature of words if it has so few values for each row.
REPEATED = 0.1


class FieldTagger(TextBaseline):
    """Tag the words of each value by a conditional random field: the `tfidf` of extraction."""

    title: ClassVar[str] = "word tagger"
    good_for: ClassVar[str] = "values that occur in the text, known or new"
    needs: ClassVar[str] = "labelled rows; no model"
    takes: ClassVar[str] = "seconds to train, milliseconds an answer"
    kinds: ClassVar[tuple[str, ...]] = ("extraction",)
    revision: ClassVar[int] = 2
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {"regularised": {"C": 1.0}}
    limits: ClassVar[Mapping[str, tuple[float, float]]] = {"C": (1e-6, 1e6)}

    def __init__(self, *, seed: int, C: float = 10.0) -> None:
        self.seed, self.C = seed, C

    def fit(self, task: Task, examples: Sequence[Example]) -> None:
        """Learn where values occur, how they are written, and fields that occur nowhere."""
        self.task = task
        texts = [words_of(example.text) for example in examples]
        values = [values_of(example.target) for example in examples]
        rows = list(zip(examples, texts, values, strict=True))
        spans = [_spans_of(task, *row) for row in rows]
        here = Counter(span.field for row in spans for span in row)
        all_values = Counter(name for row in values for name, _ in row)
        nowhere = {name for name, count in all_values.items() if here[name] < IN_TEXT * count}
        spans = [[span for span in row if span.field not in nowhere] for row in spans]
        self.rewriting = Rewriting.learnt(list(_written_pairs(rows, spans)))
        self.tagger = Tagger(self.C)
        self.shown = _repeated_fields(examples)
        self.tagger.fit(texts, [self._context(example.fields) for example in examples], spans)
        self.classes: dict[str, LogisticHead] = {}
        self._fit_classes(examples, nowhere)

    def predict(self, items: Sequence[Item]) -> Answers:
        """Answer with the values of the tagged words, and of the fields that occur nowhere."""
        texts = [words_of(item.text) for item in items]
        spans = self.tagger.predict(texts, [self._context(item.fields) for item in items])
        elsewhere = self._predict_classes(items)
        outputs = []
        for item, words, row, others in zip(items, texts, spans, elsewhere, strict=True):
            found = [
                (s.field, resolved(self.task, item, s.field, written(item.text, words, s)), s)
                for s in row
            ]
            values = [(name, self.rewriting(name, text), s.probability) for name, text, s in found]
            outputs.append(record_of(self.task, [*values, *others]))
        return Answers(outputs=tuple(outputs), status=statuses("ok", outputs))

    def save(self, folder: Path) -> None:
        """Write tags, weights and forms; no row of the pool."""
        facts, arrays = self.tagger.state()
        facts = {"tagger": facts, "task": task_facts(self.task), "form": vars(self.rewriting)}
        facts["shown"] = self.shown
        if self.classes:
            texts, idf = self.features.state()
            facts, arrays = {**facts, **texts}, {**arrays, **idf}
        facts["classes"] = {}
        for name, head in self.classes.items():
            facts["classes"][name], weights = head.state()
            arrays |= {f"{key} of {name}": value for key, value in weights.items()}
        write_fitted(folder, self, facts, arrays)

    def load(self, folder: Path) -> None:
        """Restore the fitted strategy that was saved."""
        facts, arrays = read_fitted(folder, self)
        self.task = read_task(facts["task"])
        self.rewriting, self.shown = Rewriting(**facts["form"]), list(facts["shown"])
        self.tagger = Tagger.restored(facts["tagger"], arrays)
        self.classes = {}
        if facts["classes"]:
            self.features = TfidfFeatures.restored(facts, arrays)
        for name, head in facts["classes"].items():
            own = {
                key: arrays[f"{key} of {name}"]
                for key in ("weights", "bias")
                if f"{key} of {name}" in arrays
            }
            self.classes[name] = LogisticHead.restored(head, own)

    def _context(self, fields: Mapping[str, str]) -> list[str]:
        """Return the short, repeated input fields as features of every word of their row."""
        shown = [(name, fields[name]) for name in self.shown if name in fields]
        return [f"{name}={value.casefold()}" for name, value in shown if len(value) <= 40]

    def _fit_classes(self, examples: Sequence[Example], names: Iterable[str]) -> None:
        """Fit a classifier of the whole text for each field whose few values occur nowhere."""
        records = [parse(example.target) for example in examples]
        wanted = {}
        for name in sorted(names):
            own = [_one(record.get(name)) for record in records]
            if 1 < len(set(own)) <= CLASSES:
                wanted[name] = own
        if not wanted:
            return
        self.features = TfidfFeatures("words", "characters")
        matrix = self.features.fit([whole(example) for example in examples])
        for name, own in wanted.items():
            self.classes[name] = LogisticHead(10.0)
            self.classes[name].fit(matrix, own)

    def _predict_classes(self, items: Sequence[Item]) -> list[list[tuple[str, str, float]]]:
        found: list[list[tuple[str, str, float]]] = [[] for _ in items]
        if not self.classes or not items:
            return found
        matrix = self.features([whole(item) for item in items])
        for name, head in self.classes.items():
            best = head.probabilities(matrix).argmax(axis=1)
            for row, place in zip(found, best, strict=True):
                if head.seen[place]:
                    row.append((name, head.seen[place], 1.0))
        return found


def _one(value: Any) -> str:
    return "" if value is None or isinstance(value, list) else str(value)


def _repeated_fields(examples: Sequence[Example]) -> list[str]:
    """Return the input fields whose values repeat: a date or an id says nothing of other rows."""
    values: dict[str, set[str]] = defaultdict(set)
    for example in examples:
        for name, value in example.fields.items():
            values[name].add(value)
    return sorted(name for name, own in values.items() if len(own) <= REPEATED * len(examples))


def _spans_of(
    task: Task, row: Example, words: Sequence[Word], values: Sequence[tuple[str, str]]
) -> list[Span]:
    """Return the words of a row's values; dates are found by what they mean."""
    types = task.facts()["fields"]
    spans = aligned(words, [pair for pair in values if types.get(pair[0]) != "date"])
    taken = {n for span in spans for n in range(span.first, span.last)}
    for name, value in values:
        if types.get(name) == "date":
            place = _date_place(task, row, words, value)
            if place is not None and not taken & set(range(*place)):
                spans.append(Span(name, *place))
    return spans


def _date_place(
    task: Task, row: Example, words: Sequence[Word], value: str
) -> tuple[int, int] | None:
    """Return the shortest run of up to six words that means a date."""
    reference, day_first = reference_of(row.fields), bool(task.facts()["day_first"])
    dated = [part_of_date(word.text) for word in words]
    for length in range(1, min(6, len(words)) + 1):
        for first in range(len(words) - length + 1):
            if any(dated[first : first + length]):
                text = row.text[words[first].start : words[first + length - 1].end]
                found = date_in(text, reference, day_first)
                if found is not None and found.isoformat() == value:
                    return first, first + length
    return None


def _written_pairs(
    rows: Sequence[tuple[Example, Sequence[Word], Sequence[tuple[str, str]]]],
    spans: Sequence[Sequence[Span]],
) -> Iterable[tuple[str, str, str]]:
    """Yield (field, as written in the text, value) of the values that occur there."""
    for (example, words, values), row in zip(rows, spans, strict=True):
        for span in row:
            text = written(example.text, words, span)
            for name, value in values:
                if name == span.field and is_written_as(text, value):
                    yield name, text, value
                    break
