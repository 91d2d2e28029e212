"""Answers that are records or texts, written by a causal language model in this process."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any

import numpy as np

from choose.engines.causal.chat_template import Prompt
from choose.engines.causal.generation import Generator
from choose.engines.causal.loading import load_causal, load_generator
from choose.engines.causal.stop_rules import StopRule, Written, first_copy, limit_for, list_items
from choose.models.prompting.local_prompter import LocalPrompts
from choose.models.prompting.prompts import (
    PromptSettings,
    field_types,
    judged_answer,
    lines_of,
    single_line,
)
from choose.models.records.values_in_text import dropped_note, literal_fields, without_inventions
from choose.progress import decided_in_time, seconds_to_aim
from choose.tasks.answering import Answering
from choose.tasks.extraction import as_text, parse
from choose.tasks.writing import Writing
from choose.types import Answers, Example, Floats, Item, Task

# What answers cost, as `Written` and `Answers` call it.
COSTS = ("tokens_in", "tokens_cached", "tokens_out", "latency")


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """What a model fills into n records of k fields.

    Attributes:
        values: (n, k) the value of each field, if it has one; a list of texts where the field has
            lists.
        doubts: (n, k) log-probability of null less that of the value.
        written: the n * k values as they were generated.
    """

    values: tuple[tuple[Any, ...], ...]
    doubts: Floats
    written: Written

    def answers(self, records: Sequence[str], **facts: Any) -> Answers:
        """Return records as answers; they are as certain as their least certain value."""
        shape = self.doubts.shape
        costs = {name: getattr(self.written, name).reshape(shape).sum(axis=1) for name in COSTS}
        return Answers(
            outputs=tuple(records),
            status=tuple("ok" for _ in records),
            confidence=self.written.confidence.reshape(shape).min(axis=1, initial=1.0),
            **costs,
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

    def questions(self, prompts: Sequence[Prompt]) -> tuple[list[Prompt], list[StopRule]]:
        continuation = self.generator.template.continuation
        opening = [self.opening(name) for name in self]
        asked = [Prompt(p.prefix, (*p.rest, *key)) for p in prompts for key in opening]
        # The first token of null, in the place of the quote that opens a value.
        null = continuation(" null")[0]
        return asked, [self._rule(name, null) for name in self] * len(prompts)

    def filled(self, written: Written) -> Filled:
        """Return the values that were written to `questions`."""
        fields = len(self.thresholds)
        shape = (len(written.texts) // fields, fields)
        values = [self._value(*one) for one in zip([*self] * shape[0], written.texts, strict=True)]
        return Filled(
            values=tuple(tuple(values[n * shape[1] : (n + 1) * shape[1]]) for n in range(shape[0])),
            doubts=(written.rivals - written.logprobs).reshape(shape),
            written=written,
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

    def opening(self, name: str) -> tuple[int, ...]:
        """Return the tokens of a record up to the quote that opens the first value of a field."""
        continuation = self.generator.template.continuation
        key = "{" + json.dumps(name, ensure_ascii=False) + ":"
        return (*continuation(key), *continuation(' ["' if name in self.lists else ' "'))

    def __iter__(self) -> Any:
        return iter(self.thresholds)

    def records(self, filled: Filled) -> list[str]:
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
    given = {name: [record[name] for record in records if name in record] for name in lists}
    return {
        name: limit_for([len(value) if isinstance(value, list) else 1 for value in values], inf)
        for name, values in given.items()
    }


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
    try:
        value = json.loads(f'"{text}"', strict=False)
    except ValueError:  # a stray backslash
        value = text
    return single_line(str(value))


# The form of records is chosen on as many training rows as have so many tokens: 64 of a sentence
# with a few fields, fewer of long texts or after demonstrations of their own; never fewer rows than
# the second figure. Reading and writing them is most of a fit.
CALIBRATION_TOKENS, LEAST_ROWS = 6_144, 12

# Seconds of the answers to a row, in both forms, that are assumed where a fit should end soon, and
# what is noted of one that should have ended.
SECONDS_A_ROW = 2.0
UNTRIED = " Records are filled into given keys: there was no time to try them whole."


class LocalWriter(LocalPrompts):
    """Writes the answers of a task with a local model and a fixed set of demonstrations.

    Attributes:
        limit: most new tokens of an answer, from the targets of the pool.
        lists: most values of each field of lists, from the targets of the pool.
        skeleton: fills the values of records whose keys are given; None if the model writes all.
        literal: fields of records whose values are dropped where the text does not hold them.
    """

    def __init__(
        self,
        settings: PromptSettings,
        task: Task,
        shown: Sequence[Example],
        limit: int,
        lists: Mapping[str, int],
    ) -> None:
        self.generator, self.limit = load_generator(settings.model), limit
        self.lists = dict(lists)
        skeleton = self._skeleton(dict.fromkeys(field_types(task), 0.0))
        keys = max((len(skeleton.opening(name)) for name in skeleton), default=0)
        super().__init__(settings, task, shown, limit + keys)
        self.skeleton: Skeleton | None = None
        self.literal: tuple[str, ...] = ()
        self.note = f"Answers have {limit} tokens at most."

    @classmethod
    def for_pool(
        cls,
        settings: PromptSettings,
        task: Task,
        shown: Sequence[Example],
        pool: Sequence[Example],
    ) -> LocalWriter:
        """Return a writer whose limit of new tokens covers the targets of the pool."""
        contents = load_causal(settings.model).template.contents
        tokens = contents.ids([lines_of(example.target) for example in pool])
        limit = limit_for([len(ids) + 1 for ids in tokens])
        lists = most_values(field_types(task), [example.target for example in pool])
        writer = cls(settings, task, shown, limit, lists)
        if settings.calibrate:
            writer.literal = literal_fields(task, pool)
        return writer

    def state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        thresholds = None if self.skeleton is None else self.skeleton.thresholds
        own = {"limit": self.limit, "lists": self.lists, "literal": self.literal}
        return {**super().state()[0], **own, "thresholds": thresholds}, {}

    def restore(self, facts: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:
        super().restore(facts, arrays)
        self.literal = tuple(map(str, facts["literal"]))
        if facts["thresholds"] is not None:
            thresholds = {str(name): float(x) for name, x in facts["thresholds"].items()}
            self.skeleton = self._skeleton(thresholds)

    def calibrate(
        self, examples: Sequence[Example], demonstrations: Sequence[Sequence[Example]] = ()
    ) -> None:
        """Choose whether records are written as a whole or into given keys, on labelled rows."""
        if not (self.settings.calibrate and examples and field_types(self.task)):
            return
        skeleton = self._skeleton(dict.fromkeys(field_types(self.task), 0.0))
        own = demonstrations or [()] * len(examples)
        prompts = self._prompts([example.item() for example in examples], own)
        if not (count := min(_affordable(prompts, skeleton), rows_in_time())):
            self.skeleton, self.note = skeleton, self.note + UNTRIED
            return
        examples, prompts = examples[:count], prompts[:count]
        asked, rules = skeleton.questions(prompts)
        # In one call, since both forms begin with the same prompts, which are then read once.
        written = self.generator.write([*prompts, *asked], [self._rule()] * count + rules)
        self.cached_seconds += written.cached_seconds
        free = self._kept(answers_of(self.task, written.part(slice(count))), examples)
        filled = skeleton.filled(written.part(slice(count, None)))
        targets = {place: example.target for place, example in enumerate(examples)}
        given: dict[int, str] = {}
        for half in (0, 1):  # each half of the rows is answered with thresholds of the other one
            some = {place: t for place, t in targets.items() if place % 2 != half}
            skeleton.choose_thresholds(self.task, filled, some)
            records = skeleton.records(filled)
            given |= {place: records[place] for place in targets if place % 2 == half}
        guided = self._kept(filled.answers([given[place] for place in targets]), examples)
        metric = self.task.metrics[0]
        means = []
        for outputs in (free.outputs, guided.outputs):
            pairs = zip(outputs, examples, strict=True)
            means.append(np.mean([self.task.score(o, e.targets)[metric] for o, e in pairs]))
        if means[1] >= means[0]:  # every record is valid then
            skeleton.choose_thresholds(self.task, filled, targets)
            self.skeleton = skeleton
        way = "filled into given keys" if self.skeleton else "written as a whole"
        self.note += (
            f" Records are {way}: {metric} on {len(examples)} training rows "
            f"{means[1]:.2f} with given keys, {means[0]:.2f} without."
        )

    def answer(
        self, items: Sequence[Item], demonstrations: Sequence[Sequence[Example]] = (), **facts: Any
    ) -> Answers:
        prompts = self._prompts(items, demonstrations)
        if self.skeleton is not None:
            written = self.generator.write(*self.skeleton.questions(prompts))
            self.cached_seconds += written.cached_seconds
            filled = self.skeleton.filled(written)
            return self._kept(filled.answers(self.skeleton.records(filled), **facts), items)
        written = self.generator.write(prompts, self._rule())
        self.cached_seconds += written.cached_seconds
        return self._kept(answers_of(self.task, written, **facts), items)

    @property
    def engine(self) -> Generator:
        return self.generator

    def notes(self) -> Iterator[str]:
        yield from filter(None, [dropped_note(self.literal)])
        yield from super().notes()

    def _kept(self, answers: Answers, rows: Sequence[Example | Item]) -> Answers:
        items = [row if isinstance(row, Item) else row.item() for row in rows]
        return without_inventions(answers, items, self.task, self.literal)

    def _skeleton(self, thresholds: dict[str, float]) -> Skeleton:
        return Skeleton(self.generator, self.limit, thresholds, self.lists)

    def _rule(self) -> StopRule:
        if field_types(self.task):
            return StopRule(self.limit, "record")
        # A base model's turns are separated by blank lines, and its demonstrations have one line.
        line = isinstance(self.task, Answering) or not self.lm.template.chat
        return StopRule(self.limit, "line" if line else "end")


def rows_in_time() -> int:
    """Return how many rows a fit that should end soon may answer: none, or two at least."""
    rows = max(2, min(1_000, seconds_to_aim() / SECONDS_A_ROW)) if seconds_to_aim() else 0
    return int(decided_in_time("rows to choose a form on", rows, 1_000))


def _affordable(prompts: Sequence[Prompt], skeleton: Skeleton) -> int:
    """Return how many rows to calibrate on: as many as their tokens allow, and a few at least."""
    keys = sum(len(asked.rest) for asked in skeleton.questions([Prompt((), ())])[0])
    tokens = np.cumsum([len(prompt.rest) + keys for prompt in prompts])
    return min(len(prompts), max(LEAST_ROWS, int((tokens <= CALIBRATION_TOKENS).sum())))


def answers_of(task: Task, written: Written, **facts: Any) -> Answers:
    """Return generated texts as answers to a task without labels, with what they cost.

    A text that was cut while it repeated itself ends after the first copy.
    """
    pairs, ends = [*zip(written.texts, written.cut, strict=True)], isinstance(task, Writing)
    kept = [first_copy(text) if ends and cut else text for text, cut in pairs]
    judged = [
        judged_answer(task, short, cut and short == text)
        for short, (text, cut) in zip(kept, pairs, strict=True)
    ]
    return Answers(
        outputs=tuple(output for output, _ in judged),
        status=tuple(status for _, status in judged),
        raw=tuple(
            None if status == "ok" and short == text else text
            for short, text, (_, status) in zip(kept, written.texts, judged, strict=True)
        ),
        confidence=written.confidence,
        **{name: getattr(written, name) for name in COSTS},
        **facts,
    )
