"""What a model writes of a task: descriptions of labels and fields, the instruction, a prompt.

They are written from labelled rows, once a search (Zhou et al. 2023, arXiv 2211.01910, let a model
write instructions so). Whether they help is measured like everything else that is tried.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from choose.models.prompting.base_strategy import prompter_for
from choose.models.prompting.own_prompts import LABELS, OwnPrompt
from choose.models.prompting.prompts import PromptSettings, field_types, single_line
from choose.models.prompting.search_budget import SearchBudget
from choose.tasks.extraction import as_text, parse
from choose.tasks.multilabel import Multilabel
from choose.tasks.writing import Writing
from choose.types import Example, Item, Task

# Rows that are shown of each label or field, and rows of others beside them.
OWN_ROWS, OTHER_ROWS = 5, 4

# Characters of a row that are shown, and of what is written that is kept.
ROW_LENGTH, KEPT_LENGTH = 240, 240

# Tokens of the longest text that is shown, and words that a description may have.
PAGE_TOKENS, WORDS = 2_048, 40

_LABEL = (
    "Read the label and the texts. In one short sentence say which texts the label is for, and "
    "what sets them apart from the others. Write this sentence and nothing else."
)
_FIELD = (
    "Read the texts with the values that were read from them. In one short sentence say what the "
    "field holds and how it is written. Write this sentence and nothing else."
)
_ANSWER = (
    "Each text below was answered as somebody had been told to. Write what they had been told, in "
    "one or two sentences, and nothing else."
)

_PROMPT = (
    "Below are a prompt for a language model and texts that the model answered wrongly with it. "
    f"Write a better prompt: keep what is right, add what the errors show in general, and keep "
    f"{LABELS} where the possible answers belong. Write the prompt and nothing else."
)

# Words of a prompt that is rewritten, at most.
PROMPT_WORDS = 250


def rewritten(
    task: Task,
    prompt: OwnPrompt,
    errors: Sequence[tuple[Example, str | None]],
    settings: PromptSettings,
    budget: SearchBudget,
) -> OwnPrompt:
    """Return a prompt as the model rewrites it from rows that were answered wrongly.

    Raises:
        SearchStopped: if the question would exceed a limit.
        ValueError: if what it writes is no prompt.
    """

    def answers(row: Example) -> str:
        told = single_line(given.get(row.id) or "nothing")[:ROW_LENGTH]
        return f"\n  answered: {told}\n  right: {single_line(row.target)[:ROW_LENGTH]}"

    given = {row.id: output for row, output in errors}
    lines = _listed([row for row, _ in errors], answers)
    page = "\n".join(["The prompt:", prompt.instruction, "The errors:", *lines])
    (text,) = _raw(_PROMPT, [page], settings, budget, PROMPT_WORDS)
    return prompt.rewritten(text.strip().strip("`").strip())


def writes(task: Task) -> int:
    """Return how many descriptions a task has, each of which takes a question."""
    return len(_named(task)) or 1


def described(
    task: Task, rows: Sequence[Example], settings: PromptSettings, budget: SearchBudget
) -> Task:
    """Return a task with what the prompted model writes of it; what it cannot write stays.

    Labels and fields that no row has are left as they are.

    Raises:
        SearchStopped: if the questions would exceed a limit.
    """
    every, changed = _named(task), dict[str, Any]()
    if not every:
        page = "\n".join(_listed(rows[:OWN_ROWS], _answer))
        (written,) = _written(_ANSWER, [page], settings, budget)
        changed = {"instruction": written} if written else {}
    else:
        page_of, told = (_field_page, _FIELD) if field_types(task) else (_label_page, _LABEL)
        held = {
            one
            for row in rows
            for one in (parse(row.target) if field_types(task) else task.classes(row.target))
        }
        names = {one: name for one, name in every.items() if one in held}
        pages = [page_of(task, rows, one, name) for one, name in names.items()]
        found = dict(zip(names, _written(told, pages, settings, budget), strict=True))
        kept = {name: text for name, text in found.items() if text}
        changed = {"descriptions": {**task.descriptions, **kept}}
    again: Any = task
    return replace(again, **changed)


def _named(task: Task) -> dict[str, str]:
    """Return the readable name of each label or field; empty where answers are texts."""
    if isinstance(task, Multilabel):
        return dict(zip(task.choices, task.choice_names, strict=True))
    return dict(zip(task.labels, task.names, strict=True)) or {f: f for f in field_types(task)}


def _written(
    instruction: str, pages: Sequence[str], settings: PromptSettings, budget: SearchBudget
) -> list[str | None]:
    """Return what the model writes of each page, on one line."""
    return [_short(text) for text in _raw(instruction, pages, settings, budget, WORDS)]


def _raw(
    instruction: str,
    pages: Sequence[str],
    settings: PromptSettings,
    budget: SearchBudget,
    words: int,
) -> list[str]:
    """Return what the model writes of each page, as it is."""
    # The limit of new tokens follows from the length of what is expected.
    sample = Example(id="length", text="", target="word " * words)
    prompter = prompter_for(
        replace(settings, wording="bare", template="", calibrate=False, max_tokens=PAGE_TOKENS),
        Writing(instruction=instruction),
        [sample],
    )
    items = [Item(id=f"page {number}", text=page) for number, page in enumerate(pages)]
    parts = budget.answers(prompter, items)
    budget.cached_seconds += float(prompter.facts()["cached_seconds"])
    raw = [o or r for a in parts for o, r in zip(a.outputs, a.raw or a.outputs, strict=True)]
    return [text or "" for text in raw]


def _short(text: str) -> str | None:
    """Return a text on one line, without quotes around it, cut at the end of a sentence."""
    line = single_line(text).strip("\"'“”` ")
    if len(line) > KEPT_LENGTH:
        line = line[:KEPT_LENGTH]
        ends = [line.rfind(mark) for mark in (". ", "! ", "? ")]
        line = line[: max(ends) + 1] if max(ends) > 0 else line.rsplit(" ", 1)[0]
    return line or None


def _label_page(task: Task, rows: Sequence[Example], label: str, name: str) -> str:
    own = [row for row in rows if label in task.classes(row.target)]
    others = [row for row in rows if label not in task.classes(row.target)]
    lines = [f"Label: {single_line(name)}", "Texts with this label:", *_listed(own[:OWN_ROWS])]
    return "\n".join([*lines, "Other texts:", *_listed(others[:OTHER_ROWS])])


def _field_page(task: Task, rows: Sequence[Example], name: str, shown: str) -> str:
    filled = [row for row in rows if name in parse(row.target)][: OWN_ROWS + OTHER_ROWS]

    def value(row: Example) -> str:
        return f" -> {as_text({name: parse(row.target)[name]})[:ROW_LENGTH]}"

    return "\n".join([f"Field: {single_line(shown)}", *_listed(filled, value)])


def _answer(row: Example) -> str:
    return f" -> {single_line(row.target)[:ROW_LENGTH]}"


def _listed(
    rows: Sequence[Example], after: Callable[[Example], str] = lambda row: ""
) -> Iterator[str]:
    for row in rows:
        fields = "".join(f"{single_line(n)}: {single_line(v)}. " for n, v in row.fields.items())
        yield f"- {(fields + single_line(row.text))[:ROW_LENGTH]}{after(row)}"
