"""Answers that are records or texts, written by a causal language model in this process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from choose.models.causal.chat_template import Prompt
from choose.models.causal.loading import load_causal, load_generator
from choose.models.causal.written_answers import StopRule, Written, any_loops, first_copy, limit_for
from choose.models.hardware.timed_steps import threads_in_use
from choose.models.prompting.local_prompter import LocalPrompts
from choose.models.prompting.prompts import PromptSettings, field_types, judged_answer, lines_of
from choose.models.prompting.record_skeleton import Skeleton, most_values
from choose.models.records.values_in_text import (
    dropped_note,
    literal_fields,
    without_inventions,
)
from choose.models.saving import row_facts, rows_from, task_facts
from choose.tasks.answering import Briefly
from choose.tasks.kinds import read_task
from choose.tasks.writing import Writing
from choose.types import Answers, Example, Item, Task

# The form of records is chosen on as many training rows as have so many tokens: 64 of a sentence
# with a few fields, fewer of long texts or after demonstrations of their own; never fewer rows than
# the second figure. Reading and writing them is most of a fit.
CALIBRATION_TOKENS, LEAST_ROWS = 6_144, 12

# Rows on which the end of texts is chosen: each is written as a whole.
ENDING_ROWS = 12


class LocalWriter(LocalPrompts):
    """Writes the answers of a task with a local model and a fixed set of demonstrations.

    Attributes:
        limit: most new tokens of an answer, from the targets of the pool.
        lists: most values of each field of lists, from the targets of the pool.
        skeleton: fills the values of records whose keys are given; None if the model writes all.
        literal: fields of records whose values are dropped where the text does not hold them.
        loops: whether answers end, unfinished, where they repeat a phrase without end.
        first_copy: whether such texts are finished after the first copy.
        note: what was chosen and why, as a sentence.
        cached_seconds: what cached answers took when they were written.
    """

    calibrates = True

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
        names = field_types(task)
        keys = self._skeleton(dict.fromkeys(names, 0.0)).longest_opening() if names else 0
        super().__init__(settings, task, shown, limit + keys)
        self.skeleton: Skeleton | None = None
        self.literal: tuple[str, ...] = ()
        self.loops = self.first_copy = False
        self.note = f"Answers have {limit} tokens at most."
        self.cached_seconds = 0.0

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
        targets = [lines_of(example.target) for example in pool]
        tokens = contents.ids(targets)
        limit = limit_for([len(ids) + 1 for ids in tokens])
        lists = most_values(field_types(task), [example.target for example in pool])
        writer = cls(settings, task, shown, limit, lists)
        writer.loops = not any_loops(tokens)
        if settings.calibrate:
            writer.literal = literal_fields(task, pool)
        return writer

    def state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the task, the demonstrations that every question shows, and what was chosen."""
        thresholds = None if self.skeleton is None else dict(self.skeleton.thresholds)
        return {
            "task": task_facts(self.task),
            "shown": row_facts(self.rows),
            "limit": self.limit,
            "lists": self.lists,
            "literal": self.literal,
            "loops": self.loops,
            "first_copy": self.first_copy,
            "note": self.note,
            "thresholds": thresholds,
        }, {}

    @classmethod
    def from_state(cls, settings: PromptSettings, facts: Mapping[str, Any]) -> LocalWriter:
        """Rebuild a writer from what `state` returned."""
        shown = rows_from(facts["shown"])
        lists = {str(name): int(most) for name, most in facts["lists"].items()}
        writer = cls(settings, read_task(facts["task"]), shown, int(facts["limit"]), lists)
        writer.note = str(facts["note"])
        writer.literal = tuple(map(str, facts.get("literal", ())))
        # Exports from before these existed wrote every answer to its end.
        writer.loops = bool(facts.get("loops", False))
        writer.first_copy = bool(facts.get("first_copy", False))
        if facts["thresholds"] is not None:
            thresholds = {str(name): float(x) for name, x in facts["thresholds"].items()}
            writer.skeleton = writer._skeleton(thresholds)
        return writer

    def calibrate(
        self, examples: Sequence[Example], demonstrations: Sequence[Sequence[Example]] = ()
    ) -> None:
        """Choose the form of answers on labelled rows, unless the settings forbid it.

        Records are written as a whole or into a skeleton of keys. Texts that repeat a phrase
        without end are unfinished, or end after its first copy.
        """
        if not (self.settings.calibrate and examples):
            return
        if field_types(self.task):
            self._choose_form(examples, demonstrations)
        elif isinstance(self.task, Writing):
            rows = examples[:ENDING_ROWS]
            prompts = self._prompts([row.item() for row in rows], demonstrations[:ENDING_ROWS])
            written = self.generator.write(prompts, self._rule())
            self.cached_seconds += written.cached_seconds
            self.first_copy, note = first_copy_helps(self.task, written, rows)
            self.note = " ".join(filter(None, [self.note, note]))

    def _choose_form(
        self, examples: Sequence[Example], demonstrations: Sequence[Sequence[Example]]
    ) -> None:
        skeleton = self._skeleton(dict.fromkeys(field_types(self.task), 0.0))
        own = demonstrations or [()] * len(examples)
        prompts = self._prompts([example.item() for example in examples], own)
        count = _affordable(prompts, skeleton)
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
        means = [
            float(np.mean([self._score(outputs[place], row) for place, row in enumerate(examples)]))
            for outputs in (free.outputs, guided.outputs)
        ]
        if means[1] > means[0]:
            skeleton.choose_thresholds(self.task, filled, targets)
            self.skeleton = skeleton
        way = "filled into given keys" if self.skeleton else "written as a whole"
        self.note += (
            f" Records are {way}: {self.task.metrics[0]} on {len(examples)} training rows "
            f"{means[1]:.2f} with given keys, {means[0]:.2f} without."
        )

    def answer(
        self, items: Sequence[Item], demonstrations: Sequence[Sequence[Example]] = (), **facts: Any
    ) -> Answers:
        """Answer each item, after its own demonstrations, if any, in the order given."""
        prompts = self._prompts(items, demonstrations)
        if self.skeleton is not None:
            filled = self.skeleton.fill(prompts)
            self.cached_seconds += filled.cached_seconds
            return self._kept(filled.answers(self.skeleton.records(filled), **facts), items)
        written = self.generator.write(prompts, self._rule())
        self.cached_seconds += written.cached_seconds
        return self._kept(answers_of(self.task, written, self.first_copy, **facts), items)

    def facts(self) -> dict[str, Any]:
        """Return threads, number type, notes and cached seconds since this writer was made."""
        return {
            "threads": threads_in_use(),
            "dtype": str(self.lm.model.dtype).removeprefix("torch."),
            "notes": [
                self.note,
                *filter(None, [dropped_note(self.literal)]),
                *self.notes(),
                *self.generator.notes(),
            ],
            "cached_seconds": self.cached_seconds,
        }

    def _kept(self, answers: Answers, rows: Sequence[Example | Item]) -> Answers:
        items = [row if isinstance(row, Item) else row.item() for row in rows]
        return without_inventions(answers, items, self.task, self.literal)

    def _prompts(self, items: Sequence[Item], demonstrations: Sequence[Sequence[Example]]) -> Any:
        own = demonstrations or [()] * len(items)
        return [self._build(item, rows) for item, rows in zip(items, own, strict=True)]

    def _skeleton(self, thresholds: dict[str, float]) -> Skeleton:
        return Skeleton(self.generator, self.limit, thresholds, self.lists)

    def _rule(self) -> StopRule:
        if field_types(self.task):
            return StopRule(self.limit, "record", loops=self.loops)
        # A base model's turns are separated by blank lines, and its demonstrations have one line.
        line = isinstance(self.task, Briefly) or not self.lm.template.chat
        return StopRule(self.limit, "line" if line else "end", loops=self.loops)

    def _score(self, output: str | None, example: Example) -> float:
        return self.task.score(output, example.targets)[self.task.metrics[0]]


def _affordable(prompts: Sequence[Prompt], skeleton: Skeleton) -> int:
    """Return how many rows to calibrate on: as many as their tokens allow, and a few at least."""
    keys = sum(len(asked.rest) for asked in skeleton.questions([Prompt((), ())])[0])
    tokens = np.cumsum([len(prompt.rest) + keys for prompt in prompts])
    return min(len(prompts), max(LEAST_ROWS, int((tokens <= CALIBRATION_TOKENS).sum())))


def answers_of(task: Task, written: Written, ends: bool = False, **facts: Any) -> Answers:
    """Return generated texts as answers to a task without labels, with what they cost.

    Of a text that was cut while it repeated itself, the first copy is the answer if `ends`.
    """
    pairs = [*zip(written.texts, written.cut, strict=True)]
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
        tokens_in=written.tokens_in,
        tokens_cached=written.tokens_cached,
        tokens_out=written.tokens_out,
        latency=written.latency,
        **facts,
    )


def first_copy_helps(task: Task, written: Written, rows: Sequence[Example]) -> tuple[bool, str]:
    """Return whether labelled rows score more if texts end after the first copy of a repetition.

    The second value says so, as a sentence; it is empty where no text repeats itself without end.
    """
    usual, ended = (answers_of(task, written, ends).outputs for ends in (False, True))
    changed = sum(a != b for a, b in zip(usual, ended, strict=True))
    if not changed:
        return False, ""
    metric = task.metrics[0]
    means = [
        float(np.mean([task.score(o, r.targets)[metric] for o, r in zip(some, rows, strict=True)]))
        for some in (usual, ended)
    ]
    helps = means[1] > means[0]
    way = "end after its first copy" if helps else "are unfinished"
    return helps, (
        f"Texts that repeat a phrase without end {way}: {changed} of {len(rows)} training rows do, "
        f"{metric} is {means[1]:.2f} if they end there and {means[0]:.2f} if not."
    )
