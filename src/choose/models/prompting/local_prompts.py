"""The prompts of a task for a causal language model in this process, within what it reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from choose.models.causal.chat_template import CHARACTERS_PER_TOKEN, Prompt
from choose.models.causal.loading import load_causal
from choose.models.prompting.label_lists import NO_LABEL, names_of
from choose.models.prompting.prompts import (
    PromptSettings,
    Turn,
    lines_of,
    opening_messages,
    single_line,
    turn_messages,
    wording_of,
)
from choose.tasks.multilabel import Multilabel
from choose.types import Example, Item, Task


class LocalPrompts:
    """Lays out prompts with a fixed set of demonstrations; cuts what does not fit the model.

    Attributes:
        reserve: tokens that are kept for the answer.
        rows, shown: the demonstrations that every prompt shows.
        left_out: demonstrations that did not fit the model's context.
        fitting: the fewest demonstrations that fitted; None if all did.
        cut_ids: rows whose text was cut to `max_tokens`.
        shortened_ids: rows whose text was cut further to fit the context.
    """

    def __init__(
        self, settings: PromptSettings, task: Task, shown: Sequence[Example], reserve: int
    ) -> None:
        self.settings, self.task, self.reserve = settings, task, reserve
        self.lm = load_causal(settings.model)
        self.wording = wording_of(task, settings.wording)
        self.opening = opening_messages(task, self.wording, self.lm.template.system)
        self.cut_ids: set[str] = set()
        self.shortened_ids: set[str] = set()
        self.left_out = 0
        self.fitting: int | None = None
        self.rows = list(shown)
        self.shown = [self._turn(example) for example in shown]
        while self.shown and self._length(self._prompt(self.shown, Turn(""), len(self.shown))) > (
            self.lm.context - settings.max_tokens
        ):
            self.shown.pop()
            self._leave_out(len(self.shown))

    def notes(self) -> Iterator[str]:
        """Yield what was cut or left out, as sentences."""
        if self.cut_ids:
            yield f"{len(self.cut_ids)} texts were cut to {self.settings.max_tokens} tokens."
        if self.shortened_ids:
            yield (
                f"{len(self.shortened_ids)} texts were cut to what the rest of their prompt leaves "
                f"of the {self.lm.context:,} tokens that the model reads."
            )
        if self.left_out:
            yield (
                f"{self.left_out} demonstrations did not fit the model and were left out; "
                f"{self.fitting} fitted where there was least room."
            )

    def _build(self, item: Item, rows: Sequence[Example]) -> Prompt:
        own = [self._turn(row) for row in rows]
        question = self._turn(item)
        prompt = self._prompt([*self.shown, *own], question, len(self.shown))
        while own and self._length(prompt) > self.lm.context:
            own.pop(0)  # the least similar row
            self._leave_out(len(self.shown) + len(own))
            prompt = self._prompt([*self.shown, *own], question, len(self.shown))
        room = len(self.lm.template.content(question.text))
        while (excess := self._length(prompt) - self.lm.context) > 0 and room > excess:
            room -= excess
            short, _ = self.lm.template.cut(question.text, room)
            prompt = self._prompt(self.shown, question._replace(text=short), len(self.shown))
            self.shortened_ids.add(item.id)
        return prompt

    def _turn(self, row: Example | Item) -> Turn:
        limit = self.settings.max_tokens
        # A token covers a few characters at most, so a longer text need not be tokenized whole.
        most, parts = limit * CHARACTERS_PER_TOKEN, []
        for part in (row.text, *row.fields.values()):
            whole = self._tidy(part)
            text, cut = self.lm.template.cut(whole[:most], limit)
            parts.append(text)
            if cut or len(whole) > most:
                self.cut_ids.add(row.id)
        answer = None if isinstance(row, Item) else self._target(row)
        return Turn(parts[0], answer, tuple(zip(row.fields, parts[1:], strict=True)))

    def _target(self, row: Example) -> str:
        if self.task.labels:
            return single_line(self.task.names[self.task.labels.index(row.target)])
        if isinstance(self.task, Multilabel):
            names = names_of(self.task, row.target)
            return ", ".join(single_line(name) for name in names) or NO_LABEL
        return self._tidy(row.target)

    def _tidy(self, text: str) -> str:
        """Return a text that cannot imitate the layout: blank lines part the turns of a base model.

        A chat's turns are parted by marks, so texts may have lines; labels are for short texts.
        """
        keeps_lines = self.lm.template.chat and not self.task.labels
        return lines_of(text) if keeps_lines else single_line(text)

    def _leave_out(self, fitting: int) -> None:
        self.left_out += 1
        self.fitting = fitting if self.fitting is None else min(self.fitting, fitting)

    def _prompt(self, turns: Sequence[Turn], question: Turn, shared: int) -> Prompt:
        chat = list(self.opening)
        for turn in (*turns, question):
            chat.extend(turn_messages(self.wording, turn))
        return self.lm.template.prompt(chat, len(self.opening) + 2 * shared)

    def _length(self, prompt: Prompt) -> int:
        return len(prompt.prefix) + len(prompt.rest) + self.reserve
