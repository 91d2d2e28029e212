"""Baselines without a language model for records: empty, gazetteer and pattern."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, ClassVar

from choose.models.records.dates_in_text import date_in
from choose.models.records.values_in_text import aligned, places, squashed_value, words_of, written
from choose.models.saving import read_fitted, task_facts, write_fitted
from choose.tasks.answering import NO_ANSWER, Briefly
from choose.tasks.extraction import as_text, parse
from choose.tasks.kinds import read_task
from choose.tasks.values import as_number, canonical
from choose.types import Example, Item, Task
from choose_strategies.texts import TextBaseline


class Empty(TextBaseline):
    """Answer every item with an empty record, or that a question has no answer."""

    title: ClassVar[str] = "always nothing"
    good_for: ClassVar[str] = "the score that any other candidate must beat"
    needs: ClassVar[str] = "nothing"
    takes: ClassVar[str] = "no time"
    kinds: ClassVar[tuple[str, ...]] = ("extraction", "answering")
    learns: ClassVar[bool] = False
    constant: ClassVar[bool] = True
    reference: ClassVar[bool] = True

    def refuses(self, task: Task) -> str | None:
        """Return that every question has an answer, or None."""
        answered = isinstance(task, Briefly) and not task.unanswerable
        return "every question has an answer." if answered else None

    def fit(self, task: Task, examples: Sequence[Example]) -> None:
        """Learn the form of nothing, and nothing else."""
        self.nothing = NO_ANSWER if isinstance(task, Briefly) else "{}"

    def answer(self, item: Item) -> str:
        """Return a record without values, or that there is no answer."""
        return self.nothing

    def save(self, folder: Path) -> None:
        """Write the form of nothing."""
        write_fitted(folder, self, {"nothing": self.nothing})

    def load(self, folder: Path) -> None:
        """Restore the form of nothing; exports of earlier versions were of records."""
        facts, _ = read_fitted(folder, self)
        self.nothing = str(facts.get("nothing", "{}"))


class Gazetteer(TextBaseline):
    """Fill a field with a value of the pool that occurs in the text."""

    title: ClassVar[str] = "known values found in the text"
    good_for: ClassVar[str] = "fields with few values, such as products or places"
    needs: ClassVar[str] = "labelled rows"
    takes: ClassVar[str] = "seconds to train, milliseconds an answer"
    kinds: ClassVar[tuple[str, ...]] = ("extraction",)

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
        """Return the known values in the text, long ones first; one for a field that is no list."""
        words = words_of(item.text)
        runs = places(words, self.longest).keys() & self.by_run.keys()
        spans = aligned(words, [pair for run in sorted(runs) for pair in self.by_run[run]])
        return record_of(
            self.task,
            ((s.field, written(item.text, words, s), float(s.last - s.first)) for s in spans),
        )

    def save(self, folder: Path) -> None:
        """Write the values."""
        write_fitted(folder, self, {"task": task_facts(self.task), "known": self.known})

    def load(self, folder: Path) -> None:
        """Restore the values."""
        facts, _ = read_fitted(folder, self)
        self.task = read_task(facts["task"])
        self._keep([(str(name), str(value)) for name, value in facts["known"]])

    def _keep(self, known: list[tuple[str, str]]) -> None:
        self.known = known
        self.by_run: dict[str, list[tuple[str, str]]] = defaultdict(list)
        for pair in known:
            self.by_run[squashed_value(pair[1])].append(pair)
        self.longest = max(map(len, self.by_run), default=0)


def values_of(target: str) -> list[tuple[str, str]]:
    """Return the (field, value) pairs of a record as texts."""
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
    takes: ClassVar[str] = "seconds to train, milliseconds an answer"
    kinds: ClassVar[tuple[str, ...]] = ("extraction",)

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
        """Return what the chosen patterns find."""
        found = []
        for name, (pattern, which) in self.chosen.items():
            matches = _taken(_matches(pattern, item.text), which)
            found += [(name, resolved(self.task, item, name, m), 1.0) for m in matches]
        return record_of(self.task, found)

    def save(self, folder: Path) -> None:
        """Write the chosen patterns by name."""
        write_fitted(folder, self, {"task": task_facts(self.task), "chosen": self.chosen})

    def load(self, folder: Path) -> None:
        """Restore the chosen patterns."""
        facts, _ = read_fitted(folder, self)
        self.task = read_task(facts["task"])
        self.chosen = {name: (pattern, which) for name, (pattern, which) in facts["chosen"].items()}
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
    right = sum((a & b).total() for a, b in zip(found, wanted, strict=True))
    return (
        2 * right / max(1, sum(a.total() + b.total() for a, b in zip(found, wanted, strict=True)))
    )
