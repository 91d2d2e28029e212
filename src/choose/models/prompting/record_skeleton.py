"""Records whose keys are given: a language model fills in each value, or leaves it out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from choose.models.causal.chat_template import Prompt
from choose.models.causal.generation import Generator
from choose.models.causal.written_answers import StopRule, Written, limit_for, list_items
from choose.models.prompting.prompts import single_line
from choose.tasks.extraction import as_text, parse
from choose.types import Answers, Counts, Floats, Status, Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """What a model fills into n records of k fields, with its cost.

    Attributes:
        values: (n, k) the value of each field, if it has one; a list of texts where the field has
            lists.
        doubts: (n, k) log-probability of null less that of the value.
        chances: (n, k) geometric mean of the probabilities of the value's tokens.
        tokens_in, tokens_cached, tokens_out, latency: (n,) sums over the fields.
    """

    values: tuple[tuple[Any, ...], ...]
    doubts: Floats
    chances: Floats
    tokens_in: Counts
    tokens_cached: Counts
    tokens_out: Counts
    latency: Floats
    cached_seconds: float

    def answers(self, records: Sequence[str], **facts: Any) -> Answers:
        """Return records as answers; they are as certain as their least certain value."""
        certain = self.chances.min(axis=1, initial=1.0)
        ok: Status = "ok"
        return Answers(
            outputs=tuple(records),
            status=tuple(ok for _ in records),
            confidence=certain,
            tokens_in=self.tokens_in,
            tokens_cached=self.tokens_cached,
            tokens_out=self.tokens_out,
            latency=self.latency,
            **facts,
        )


@dataclass(frozen=True, slots=True)
class Skeleton:
    """The keys of a record; each field is filled apart, so that the prompt is read once for all.

    The format is valid by construction. A field is null where null is more probable than the value
    by more than a threshold. After each value of a list the model closes the list or goes on,
    whichever is more probable.

    Attributes:
        limit: most tokens of a value, or of a list of values.
        thresholds: by field, in nats.
        lists: most values of each field that has lists.
    """

    generator: Generator
    limit: int
    thresholds: dict[str, float]
    lists: Mapping[str, int] = field(default_factory=dict)

    def fill(self, prompts: Sequence[Prompt]) -> Filled:
        """Return the value of every field, and how probable null is instead."""
        return self.filled(self.generator.write(*self.questions(prompts)))

    def questions(self, prompts: Sequence[Prompt]) -> tuple[list[Prompt], list[StopRule]]:
        """Return a prompt for each field of each prompt, and where its answer ends."""
        continuation = self.generator.template.continuation
        opening = [self._opening(name) for name in self]
        asked = [Prompt(p.prefix, (*p.rest, *key)) for p in prompts for key in opening]
        # The first token of null, in the place of the quote that opens a value.
        null = continuation(" null")[0]
        return asked, [self._rule(name, null) for name in self] * len(prompts)

    def filled(self, written: Written) -> Filled:
        """Return the values that were written to `questions`."""
        fields = len(self.thresholds)
        shape = (len(written.texts) // fields, fields)
        names = [*self] * shape[0]
        values = [self._value(*one) for one in zip(names, written.texts, strict=True)]
        return Filled(
            values=tuple(tuple(values[n * shape[1] : (n + 1) * shape[1]]) for n in range(shape[0])),
            doubts=(written.rivals - written.logprobs).reshape(shape),
            chances=written.confidence.reshape(shape),
            tokens_in=written.tokens_in.reshape(shape).sum(axis=1),
            tokens_cached=written.tokens_cached.reshape(shape).sum(axis=1),
            tokens_out=written.tokens_out.reshape(shape).sum(axis=1),
            latency=written.latency.reshape(shape).sum(axis=1),
            cached_seconds=written.cached_seconds,
        )

    def _rule(self, name: str, null: int) -> StopRule:
        if name in self.lists:
            return StopRule(self.limit, "list", null, self.lists[name])
        return StopRule(self.limit, "quote", null)

    def _value(self, name: str, text: str) -> Any:
        """Return the value that the model wrote, or its list of values.

        A value that the limit cuts counts where it is the first one.
        """
        if name not in self.lists:
            return _string(text)
        closed, open_, _ = list_items(text, self.lists[name])
        return [value for value in map(_string, closed or [open_]) if value]

    def _opening(self, name: str) -> tuple[int, ...]:
        """Return the tokens of a record up to the quote that opens the first value of a field."""
        continuation = self.generator.template.continuation
        key = "{" + json.dumps(name, ensure_ascii=False) + ":"
        return (*continuation(key), *continuation(' ["' if name in self.lists else ' "'))

    def longest_opening(self) -> int:
        """Return the most tokens that the keys add to a prompt."""
        return max(len(self._opening(name)) for name in self)

    def __iter__(self) -> Any:
        """Iterate over the names of the fields."""
        return iter(self.thresholds)

    def records(self, filled: Filled) -> list[str]:
        """Return the records, with null left out."""
        return [
            as_text(
                {
                    name: value
                    for name, value, doubt in zip(self, values, doubts, strict=True)
                    if doubt <= self.thresholds[name]
                }
            )
            for values, doubts in zip(filled.values, filled.doubts, strict=True)
        ]

    def choose_thresholds(self, task: Task, filled: Filled, targets: Mapping[int, str]) -> None:
        """Choose each field's threshold so that it is right in most labelled rows.

        `targets` are those of some rows, by their place in `filled`.

        It is right with the target's value, or without one where the target has none. A list counts
        by its score.
        """
        records = {place: parse(target) for place, target in targets.items()}
        for column, name in enumerate(self):
            kept, dropped = [], []
            for place, record in records.items():
                wanted = as_text({name: record.get(name)})
                kept.append(_right(task, as_text({name: filled.values[place][column]}), wanted))
                dropped.append(_right(task, "{}", wanted))
            doubts = filled.doubts[list(records), column]
            self.thresholds[name] = best_threshold(doubts, kept, dropped)


def most_values(types: Mapping[str, str], targets: Sequence[str]) -> dict[str, int]:
    """Return the most values of each field of lists, from records with such fields.

    As with tokens, it is 1.5 times the most values of 99 % of them.
    """
    lists = [name for name, kind in types.items() if kind == "list"]
    # Without a list they may be no records at all.
    records = [parse(target) for target in targets] if lists else []
    lengths = {
        name: [_length(record[name]) for record in records if name in record] for name in lists
    }
    return {name: limit_for(found) for name, found in lengths.items()}


def _length(value: Any) -> int:
    return len(value) if isinstance(value, list) else 1


def best_threshold(doubts: Floats, kept: Sequence[float], dropped: Sequence[float]) -> float:
    """Return the threshold with the most rows right: kept up to it, dropped above it.

    `kept` and `dropped` say how right each row is, in [0, 1].

    It lies midway between two doubts. If none should be kept it is the lowest number.
    """
    order = np.argsort(doubts, kind="stable")
    gains = np.array(kept, dtype=np.float64)[order] - np.array(dropped, dtype=np.float64)[order]
    totals = np.concatenate([[0.0], np.cumsum(gains)])
    ordered = doubts[order]
    # No threshold separates equal doubts.
    allowed = np.concatenate([[True], ordered[1:] > ordered[:-1], [True]])[: len(totals)]
    best = int(np.where(allowed, totals, -len(totals)).argmax())
    if best == 0:
        return float(ordered[0]) - 1.0 if len(ordered) else 0.0
    if best == len(ordered):
        return float(ordered[-1]) + 1.0
    return float(ordered[best - 1] + ordered[best]) / 2


def _right(task: Task, one: str, other: str) -> float:
    return task.score(one, [other])[task.metrics[0]]


def _string(text: str) -> str:
    """Return the value of a JSON string from what is between its quotes."""
    try:
        value = json.loads(f'"{text}"', strict=False)
    except ValueError:  # a stray backslash
        value = text
    return single_line(str(value))
