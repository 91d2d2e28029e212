"""A fitted adapter that writes answers: its prompts, its training run, and its generation.

A prompt has the same tokens in training as where answers are generated, and the answer's tokens
follow it as a model would write them: encoded apart, and closed by the token that ends an answer.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Literal

from choose.engines.causal.chat_template import CHARACTERS_PER_TOKEN, ChatTemplate, Message, Prompt
from choose.engines.causal.generation import Generator
from choose.engines.causal.loading import load_generator
from choose.engines.causal.stop_rules import StopRule, limit_for
from choose.engines.lora.answer_tuning import (
    EARLY_STOPPING_MIN_ROWS,
    AnsweringModel,
    AnswerRow,
    AnswerRun,
    answer_schedule,
    merge_adapter,
)
from choose.errors import StrategyError
from choose.models.prompting.local_prompter import SEAMS
from choose.models.prompting.local_writer import answers_of
from choose.models.prompting.prompts import field_types, lay_out_question
from choose.models.records.values_in_text import literal_fields, without_inventions
from choose.tasks.answering import READ, Answering
from choose.tasks.extraction import in_text_order
from choose.tasks.kinds import read_task
from choose.types import Answers, Example, Item, Task

# The instruction where the task has none.
INSTRUCTION, ASKED = "Read the text and write the answer.", "Answer the question."

# New tokens of an answer where no row of a pool says how long one is.
MOST_NEW = 64

# Tokens of a text for each that a classifier reads: what decides a label stands early, but any
# part of a text can be part of an answer.
TEXT_FACTOR = 8


def instruction(task: Task) -> str:
    """Return what precedes any text: the task in the user's words, and what its parts mean."""
    if isinstance(task, Answering):
        return f"{(task.instruction or ASKED).strip()}\n{task.guidance()}"
    described = [f"- {name}: {text}" for name, text in task.descriptions.items()]
    return "\n".join([(task.instruction or INSTRUCTION).strip(), *described])


def _end(task: Task) -> Literal["end", "line", "record"]:
    if isinstance(task, Answering):
        return "line"
    return "record" if field_types(task) else "end"


def _clean(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")  # no tokenizer takes lone surrogates


class AnswerPrompts:
    """Lays out the rows of a task for one model.

    Attributes:
        opening: the tokens that all prompts begin with.
        limit: most tokens of a row's text.
        longest: most tokens of a prompt.
        cut_ids: rows whose text was cut.
    """

    def __init__(self, template: ChatTemplate, task: Task, limit: int, longest: int) -> None:
        self.template, self.limit, self.longest = template, limit, longest
        self._records = bool(field_types(task))
        role = "system" if template.system else "user"
        self._opening: list[Message] = [(role, instruction(task))]
        if not template.system:
            self._opening.append(("assistant", "Understood."))
        self.opening = self._laid_out(Item(id="", text="")).prefix
        self.cut_ids: set[str] = set()

    def prompt(self, item: Item) -> Prompt:
        """Return what the model reads before it writes the answer to an item.

        A text is cut to `limit` tokens, and further where fields and scaffold leave less room.
        """
        whole = _clean(item.text)
        text, cut = self.template.cut(whole[: self.limit * CHARACTERS_PER_TOKEN], self.limit)
        prompt = self._laid_out(Item(id=item.id, text=text, fields=item.fields))
        room = self.limit
        while (excess := sum(map(len, prompt)) - self.longest) > 0 and room > 0:
            room = max(0, min(room, len(self.template.content(text))) - excess)
            text, cut = self.template.cut(text, room)[0], True
            prompt = self._laid_out(Item(id=item.id, text=text, fields=item.fields))
        if cut or len(whole) > self.limit * CHARACTERS_PER_TOKEN:
            self.cut_ids.add(item.id)
        return prompt

    def room(self, item: Item) -> int:
        text = self.beginning(item.text[: self.limit * CHARACTERS_PER_TOKEN], self.limit)
        used = self._laid_out(Item(id="", text=text, fields={**item.fields, READ: ""}))
        return max(0, self.longest - sum(map(len, used)) - SEAMS)

    def tokens(self, text: str) -> int:
        return len(self.template.content(_clean(text)))

    def beginning(self, text: str, limit: int) -> str:
        return self.template.cut(_clean(text), limit)[0]

    def answer(self, target: str) -> tuple[int, ...]:
        return (*self.template.content(_clean(target)), self.template.end)

    def rows(self, examples: Sequence[Example], most: int) -> list[AnswerRow]:
        """Return the rows that are learnt; an answer of over `most` tokens is cut, not closed."""
        return [
            AnswerRow(self.prompt(example.item()).rest, self.learnt(example)[:most])
            for example in examples
        ]

    def learnt(self, example: Example) -> tuple[int, ...]:
        """Return the tokens of a row's answer; fields of a record stand as the text has them."""
        target = example.target
        return self.answer(in_text_order(target, example.text) if self._records else target)

    def _laid_out(self, item: Item) -> Prompt:
        fields = {name: _clean(value) for name, value in item.fields.items()}
        messages = [*self._opening, ("user", lay_out_question(item.text, fields))]
        return self.template.prompt(messages, len(self._opening))


class AnswerWriter:
    """Writes the answers of a task with an adapted causal LM.

    Attributes:
        rule: where an answer ends; its limit comes from the answers of the pool.
        literal: fields of records whose values are dropped where the text does not hold them.
    """

    def __init__(
        self, model: AnsweringModel, task: Task, spec: str, limit: int, rule: StopRule | None = None
    ) -> None:
        self.model, self.task, self._spec = model, task, spec
        context = model.base.max_tokens
        self.literal: tuple[str, ...] = ()
        self.rule = rule or StopRule(min(MOST_NEW, context // 2))
        self.prompts = AnswerPrompts(model.template, task, limit, context - self.rule.limit)

    def training_run(
        self,
        examples: Sequence[Example],
        rate: float,
        epochs: float | None,
        seed: int,
        least: int = EARLY_STOPPING_MIN_ROWS,
    ) -> AnswerRun | None:
        """Return a run that is ready to train, or None without a row to learn from.

        Raises:
            StrategyError: if the instruction leaves too little room for texts.
        """
        if not examples:
            return None
        answers = [self.prompts.learnt(example) for example in examples]
        # At least half of what the model reads is left to the prompt.
        most = min(limit_for([len(a) for a in answers]), self.model.base.max_tokens // 2)
        self.rule = StopRule(max(2, most), _end(self.task))
        self.prompts.longest = self.model.base.max_tokens - self.rule.limit
        if len(self.prompts.opening) > self.prompts.longest // 2:
            raise StrategyError(
                f"The instruction has {len(self.prompts.opening):,} tokens, and {self._spec!r} "
                f"reads {self.model.base.max_tokens:,} with the text and its answer. Shorten it."
            )
        self.literal = literal_fields(self.task, examples)
        rows = self.prompts.rows(examples, self.rule.limit)
        schedule = answer_schedule(len(rows), rate, epochs, least)
        return AnswerRun(self.model, self.prompts.opening, rows, schedule, seed)

    @cached_property
    def generator(self) -> Generator:
        """Return the generator with the adapter merged into its weights; after training."""
        plain = load_generator(self._spec)
        return Generator(
            merge_adapter(self.model.adapter, plain.model), plain.template, plain.packed
        )

    def predict(self, items: Sequence[Item]) -> Answers:
        written = self.generator.write([self.prompts.prompt(item) for item in items], self.rule)
        return without_inventions(answers_of(self.task, written), items, self.task, self.literal)

    def facts(self) -> dict[str, Any]:
        return {
            "task": self.task.facts(),
            "literal": self.literal,
            "most_new": self.rule.limit,
            "until": self.rule.until,
            "opening": self.prompts.opening,
        }


def writer_from(
    model: AnsweringModel, spec: str, limit: int, facts: Mapping[str, Any]
) -> AnswerWriter:
    """Return the writer that `AnswerWriter.facts` described.

    Raises:
        ValueError: if how answers end, or the task, is unknown.
        StrategyError: if the base's prompts have other tokens now.
    """
    rule = StopRule(int(facts["most_new"]), facts["until"])
    if rule.limit < 1 or rule.until not in ("end", "line", "record"):
        raise ValueError("how the adapter's answers end is unknown")
    writer = AnswerWriter(model, read_task(facts["task"]), spec, limit, rule)
    writer.literal = tuple(map(str, facts["literal"]))
    if [*writer.prompts.opening] != facts["opening"]:
        raise StrategyError("The adapter was trained on other prompts. Export it again.")
    return writer
