"""Values that a model made up: in fields whose right values stand in the text, they are dropped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from choose.schema.texts import literal_among
from choose.tasks.extraction import Extraction
from choose.types import Answers, Example, Item, Task


def literal_fields(task: Task, rows: Iterable[Example]) -> tuple[str, ...]:
    """Return the fields of records whose right values nearly always stand in their rows."""
    if not isinstance(task, Extraction):
        return ()
    return literal_among(task.values(row.target, row.item()) for row in rows)


def without_inventions(
    answers: Answers, items: Sequence[Item], task: Task, fields: Sequence[str]
) -> Answers:
    """Return answers without values of some fields that their rows do not hold.

    `raw` keeps an answer that was changed as it was.
    """
    if not fields or not isinstance(task, Extraction):
        return answers
    outputs, raw = list(answers.outputs), list(answers.raw or (None,) * len(answers))
    for place, (output, item) in enumerate(zip(answers.outputs, items, strict=True)):
        if output is None:
            continue
        values = task.values(output, item)
        drop = {key for key, (_, stands) in values.items() if key[0] in fields and not stands}
        if drop:
            outputs[place], raw[place] = task.without(output, drop), raw[place] or output
    return replace(answers, outputs=tuple(outputs), raw=tuple(raw))


def dropped_note(fields: Sequence[str]) -> str:
    """Say which values are dropped, as a sentence; empty where none are."""
    return f"Values of {', '.join(fields)} that the text does not hold are dropped." * bool(fields)
