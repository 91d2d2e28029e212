"""Baselines without a language model for records: empty, gazetteer, pattern and tagger."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, ClassVar

from choose.models.records.tagger import Tagger
from choose.models.records.values_in_text import (
    Rewriting,
    Span,
    Word,
    aligned,
    date_in,
    is_written_as,
    part_of_date,
    places,
    squashed_value,
    words_of,
    written,
)
from choose.models.saving import Learnt, read_fitted, write_fitted
from choose.models.tfidf_and_logistic import LogisticHead, SetHead, TfidfFeatures, head_from
from choose.tasks.answering import NO_ANSWER, Answering
from choose.tasks.extraction import as_text, parse
from choose.tasks.kinds import read_task
from choose.tasks.value_parsing import as_number, canonical
from choose.types import Answers, Example, Item, Task
from choose_strategies.texts import TextBaseline, text_answers, whole


class Empty(TextBaseline):
    """Answer every item with an empty record, or that a question has no answer."""

    title: ClassVar[str] = "always nothing"
    good_for: ClassVar[str] = "the score that any other candidate must beat"
    needs: ClassVar[str] = "nothing"
    kinds: ClassVar[tuple[str, ...]] = ("extraction", "answering")
    learns: ClassVar[bool] = False
    constant: ClassVar[bool] = True
    floor: ClassVar[bool] = True
    learnt: ClassVar[Learnt] = {"nothing": str}

    def refuses(self, task: Task) -> str | None:
        answered = isinstance(task, Answering) and not task.unanswerable
        return "every question has an answer." if answered else None

    def fit(self, task: Task, examples: Sequence[Example]) -> None:
        self.nothing = NO_ANSWER if isinstance(task, Answering) else "{}"

    def answer(self, item: Item) -> str:
        return self.nothing


class Gazetteer(TextBaseline):
    """Fill a field with a value of the pool that occurs in the text."""

    title: ClassVar[str] = "known values found in the text"
    good_for: ClassVar[str] = "fields with few values, such as products or places"
    needs: ClassVar[str] = "labelled rows"
    kinds: ClassVar[tuple[str, ...]] = ("extraction",)
    learnt: ClassVar[Learnt] = {"task": read_task, "known": list}

    def fit(self, task: Task, examples: Sequence[Example]) -> None:
        """Keep the values that fill their field in at least half of the texts that hold them.

        A value such as "2", which is in many texts but seldom the value, is left out.
        """
        self.task = task
        values = [values_of(example.target) for example in examples]
        by_run: dict[str, set[tuple[str, str]]] = defaultdict(set)
        for pair in {pair for row in values for pair in row}:
            by_run[squashed_value(pair[1])].add(pair)
        by_run.pop("", None)
        longest = max(map(len, by_run), default=0)
        found: Counter[tuple[str, str]] = Counter()
        right: Counter[tuple[str, str]] = Counter()
        for example, own in zip(examples, values, strict=True):
            runs = places(words_of(example.text), longest)
            here = {pair for run in runs.keys() & by_run.keys() for pair in by_run[run]}
            found.update(here)
            right.update(here & set(own))
        self._keep(sorted(pair for pair in found if 2 * right[pair] >= found[pair]))

    def answer(self, item: Item) -> str:
        words = words_of(item.text)
        runs = places(words, self.longest).keys() & self.by_run.keys()
        spans = aligned(words, [pair for run in sorted(runs) for pair in self.by_run[run]])
        return record_of(
            self.task,
            ((s.field, written(item.text, words, s), float(s.last - s.first)) for s in spans),
        )

    def load(self, folder: Path) -> None:
        super().load(folder)
        self._keep([(str(name), str(value)) for name, value in self.known])

    def _keep(self, known: list[tuple[str, str]]) -> None:
        self.known = known
        self.by_run: dict[str, list[tuple[str, str]]] = defaultdict(list)
        for pair in known:
            self.by_run[squashed_value(pair[1])].append(pair)
        self.longest = max(map(len, self.by_run), default=0)


def values_of(target: str) -> list[tuple[str, str]]:
    return [
        (name, str(one))
        for name, value in parse(target).items()
        for one in (value if isinstance(value, list) else [value])
    ]


def record_of(task: Task, found: Iterable[tuple[str, str, float]]) -> str:
    """Return the record of (field, written, weight): all for a list, the heaviest for others."""
    types = task.facts()["fields"]
    values: dict[str, list[tuple[float, str]]] = defaultdict(list)
    for name, value, weight in found:
        values[name].append((weight, value))
    record: dict[str, Any] = {}
    for name, weighed in values.items():
        if types.get(name) == "list":
            record[name] = list(dict.fromkeys(value for _, value in weighed))
        else:
            record[name] = _typed(max(weighed, key=lambda pair: pair[0])[1], types.get(name))
    return as_text(record)


def _typed(written: str, kind: str | None) -> Any:
    number = as_number(written) if kind == "number" else None
    if number is None:
        return written
    return int(number) if number == int(number) else float(number)


def reference_of(fields: Mapping[str, str]) -> date | None:
    """Return the day in the first input field that holds one, for dates such as "tomorrow"."""
    for value in fields.values():
        try:
            return date.fromisoformat(value[:10])
        except ValueError:
            continue
    return None


def resolved(task: Task, row: Item | Example, name: str, written: str) -> str:
    """Return a date that a text means where its field is of dates; other texts as they are."""
    facts = task.facts()
    if facts["fields"].get(name) != "date":
        return written
    found = date_in(written, reference_of(row.fields), bool(facts["day_first"]))
    return written if found is None else found.isoformat()


# What can be found without knowing the words: marks of values, by name.
PATTERNS: Mapping[str, str] = {
    "e-mail": r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+",
    "link": r"https?://\S+|www\.\S+",
    "amount": (
        r"(?:[$\u20ac\u00a3]\s?\d[\d,]*(?:\.\d+)?"
        r"|\d[\d,]*(?:\.\d+)?\s?(?:USD|EUR|GBP|euros?|dollars?|pounds?))"
    ),
    "ISO date": r"\d{4}-\d{2}-\d{2}",
    "numeric date": r"\d{1,2}[/.]\d{1,2}(?:[/.]\d{2,4})?",
    "named date": (
        r"\d{1,2}(?:st|nd|rd|th)?(?: of)? (?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*"
        r"(?: \d{4})?|(?:january|february|march|april|may|june|july|august|september|october"
        r"|november|december) \d{1,2}(?:st|nd|rd|th)?(?:,? \d{4})?"
    ),
    "day": r"(?:today|tonight|tomorrow|(?:next |this )?(?:mon|tues|wednes|thurs|fri|satur|sun)day)",
    "time": r"\d{1,2}[:.]\d{2}\s?(?:[ap]\.?m\b\.?)?|\d{1,2}\s?[ap]\.?m\b\.?|noon|midnight",
    "code": r"(?=[\w/-]*\d)(?=[\w/-]*[A-Za-z])[A-Za-z0-9]+(?:[/-][A-Za-z0-9]+)*",
    "long number": r"\d{4,}",
    "number": r"\d+(?:[.,]\d+)*",
    "postcode": r"[A-Z]{1,2}\d[A-Z\d]? ?\d[A-Z]{2}",
}


class Pattern(TextBaseline):
    """Fill a field with what looks like its values: a date, a number, an e-mail, an amount."""

    title: ClassVar[str] = "patterns of dates, numbers and codes"
    good_for: ClassVar[str] = "fields whose values have a form of their own"
    needs: ClassVar[str] = "labelled rows, to choose a pattern for each field"
    kinds: ClassVar[tuple[str, ...]] = ("extraction",)
    learnt: ClassVar[Learnt] = {"task": read_task, "chosen": dict}

    def fit(self, task: Task, examples: Sequence[Example]) -> None:
        """Choose for each field the pattern, first, last or all, with the best F1 on the pool.

        A field for which none is right more often than not gets none.
        """
        self.task = task
        types, days = task.facts()["fields"], bool(task.facts()["day_first"])
        matches = {name: [_matches(name, e.text) for e in examples] for name in PATTERNS}
        self.chosen: dict[str, tuple[str, str]] = {}
        for name, kind in types.items():
            wanted = [_own(parse(e.target).get(name), kind, days) for e in examples]
            scores = {
                (pattern, which): _pattern_f1(
                    [
                        _own(
                            [resolved(task, e, name, m) for m in _taken(found, which)],
                            kind,
                            days,
                        )
                        for e, found in zip(examples, rows, strict=True)
                    ],
                    wanted,
                )
                for pattern, rows in matches.items()
                for which in (("all",) if kind == "list" else ("first", "last"))
            }
            best = max(scores, key=lambda key: scores[key])
            if scores[best] > 0.5:
                self.chosen[name] = best

    def answer(self, item: Item) -> str:
        found = []
        for name, (pattern, which) in self.chosen.items():
            matches = _taken(_matches(pattern, item.text), which)
            found += [(name, resolved(self.task, item, name, m), 1.0) for m in matches]
        return record_of(self.task, found)

    def load(self, folder: Path) -> None:
        super().load(folder)
        if not {pattern for pattern, _ in self.chosen.values()} <= PATTERNS.keys():
            raise ValueError("a pattern is unknown")


def _matches(pattern: str, text: str) -> list[str]:
    expression = rf"(?<![\w@]){PATTERNS[pattern]}(?!\w)"
    return [m[0] for m in re.finditer(expression, text[:20_000], re.IGNORECASE)]


def _taken(found: Sequence[str], which: str) -> Sequence[str]:
    return found if which == "all" else found[-1:] if which == "last" else found[:1]


def _own(value: Any, kind: str, day_first: bool) -> Counter[str]:
    values = value if isinstance(value, list) else [] if value is None else [value]
    return Counter(canonical(one, kind, day_first) for one in values)  # type: ignore[arg-type]


def _pattern_f1(found: Sequence[Counter[str]], wanted: Sequence[Counter[str]]) -> float:
    pairs = [*zip(found, wanted, strict=True)]
    right = sum((a & b).total() for a, b in pairs)
    return 2 * right / max(1, sum(a.total() + b.total() for a, b in pairs))


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
    kinds: ClassVar[tuple[str, ...]] = ("extraction",)
    revision: ClassVar[int] = 3
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
        self.classes: dict[str, LogisticHead | SetHead] = {}
        self._fit_classes(examples, nowhere)

    def predict(self, items: Sequence[Item]) -> Answers:
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
        return text_answers(outputs)

    def save(self, folder: Path) -> None:
        """Write tags, weights and forms; no row of the pool."""
        facts, arrays = self.tagger.state()
        facts = {"tagger": facts, "task": self.task.facts(), "form": vars(self.rewriting)}
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
        facts, arrays = read_fitted(folder, self)
        self.task = read_task(facts["task"])
        self.rewriting, self.shown = Rewriting(**facts["form"]), list(facts["shown"])
        self.tagger = Tagger.restored(facts["tagger"], arrays)
        self.classes = {}
        if facts["classes"]:
            self.features = TfidfFeatures.restored(facts, arrays)
        for name, head in facts["classes"].items():
            self.classes[name] = head_from(head, {"weights": arrays[f"weights of {name}"]})

    def _context(self, fields: Mapping[str, str]) -> list[str]:
        """Return the short, repeated input fields as features of every word of their row."""
        shown = [(name, fields[name]) for name in self.shown if name in fields]
        return [f"{name}={value.casefold()}" for name, value in shown if len(value) <= 40]

    def _fit_classes(self, examples: Sequence[Example], names: Iterable[str]) -> None:
        records = [parse(example.target) for example in examples]
        wanted = {}
        for name in sorted(names):
            values = [record.get(name) for record in records]
            own = ["" if v is None or isinstance(v, list) else str(v) for v in values]
            if 1 < len(set(own)) <= CLASSES:
                wanted[name] = own
        if not wanted:
            return
        self.features = TfidfFeatures("words", "characters")
        matrix = self.features.fit([whole(example) for example in examples])
        for name, own in wanted.items():
            self.classes[name] = LogisticHead(sorted({*own}), 10.0)
            self.classes[name].fit(matrix, own)

    def _predict_classes(self, items: Sequence[Item]) -> list[list[tuple[str, str, float]]]:
        found: list[list[tuple[str, str, float]]] = [[] for _ in items]
        if not self.classes or not items:
            return found
        matrix = self.features([whole(item) for item in items])
        for name, head in self.classes.items():
            for row, value in zip(found, head.answers(matrix).outputs, strict=True):
                if value:
                    row.append((name, value, 1.0))
        return found


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
    for (example, words, values), row in zip(rows, spans, strict=True):
        for span in row:
            text = written(example.text, words, span)
            for name, value in values:
                if name == span.field and is_written_as(text, value):
                    yield name, text, value
                    break
