"""Prompts as tokens: the wording, the chat's layout, and text that cannot break out of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

from choose.types import Task

# Blanks, line ends of all kinds, and control characters.
_GAPS = re.compile(r"[\s\x00-\x1f\x7f-\x9f]+")


class Turn(NamedTuple):
    """A question, with its answer where it is a demonstration."""

    text: str
    label: str | None = None


@dataclass(frozen=True, slots=True)
class Wording:
    """How a task is put to a model.

    `opening` says what is asked and `listing` introduces the labels; `before` and `after` stand
    around each text.
    """

    opening: str
    listing: str
    before: str = ""
    after: str = ""


WORDINGS: Mapping[str, Wording] = MappingProxyType(
    {
        "labels": Wording(
            opening="Classify the text.",
            listing="Answer with exactly one of these labels and nothing else:",
            before="Text: ",
            after="\nLabel:",
        ),
        "categories": Wording(
            opening="You sort short texts into categories.",
            listing="The categories are:",
            before="",
            after="\n\nWhich category is it?",
        ),
        "bare": Wording(
            opening="Read each message and reply with its label.",
            listing="Possible labels:",
        ),
    }
)


def instruction(task: Task, wording: Wording) -> str:
    """Return what the model is told before any text: the task and its labels."""
    opening = task.instruction or wording.opening
    return f"{opening.strip()}\n{wording.listing} {_listed(task)}"


def _listed(task: Task) -> str:
    if not task.descriptions:
        return ", ".join(tidy(name) for name in task.names) + "."
    lines = []
    for label, name in zip(task.labels, task.names, strict=True):
        described = task.descriptions.get(label)
        lines.append(f"\n- {tidy(name)}" + (f": {tidy(described)}" if described else ""))
    return "".join(lines)


def tidy(text: str) -> str:
    """Return a text on one line without control characters or broken surrogates.

    What a model reads as layout (line ends, blank lines) cannot come from data then.
    """
    whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return _GAPS.sub(" ", whole).strip()


def numbers_only(task: Task) -> str | None:
    """Return why a language model cannot read this task's labels, or None."""
    bare = [name for name in task.names if re.fullmatch(r"[-+]?[\d.,\s]+%?", name)]
    if not bare:
        return None
    shown = ", ".join(repr(name) for name in bare[:3])
    return (
        f"Labels that are bare numbers ({shown}) mean nothing to a language model. Give them names "
        f'under [task.names] in the study file, for example {bare[0]} = "what it stands for".'
    )


def opening(task: Task, wording: Wording, system: bool) -> list[tuple[str, str]]:
    """Return the (role, content) pairs that come before any text.

    Without `system`, for templates that refuse that role, the user says it and is heard.
    """
    told = instruction(task, wording)
    return [("system", told)] if system else [("user", told), ("assistant", "Understood.")]


def exchange(wording: Wording, turn: Turn) -> list[tuple[str, str]]:
    """Return a question, and its answer where it is a demonstration, as (role, content) pairs."""
    asked = ("user", f"{wording.before}{tidy(turn.text)}{wording.after}")
    return [asked] if turn.label is None else [asked, ("assistant", tidy(turn.label))]


def as_sent(task: Task, wording: Wording, examples: str = "") -> str:
    """Return what a model reads, for a person: `examples` says which labelled rows come between.

    What differs from question to question stands in angle brackets. Templates without a system
    role have the first part said by the user.
    """
    turns = list(opening(task, wording, system=True))
    if examples:
        turns += exchange(wording, Turn("<a labelled row>", "<its label>"))
        turns.append(("…", f"<{examples}>"))
    turns += exchange(wording, Turn("<the row that is asked>"))
    return "\n\n".join(f"[{role}]\n{content}" for role, content in turns)
