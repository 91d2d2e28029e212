"""Prompts as tokens: the wording, the chat's layout, and text that cannot break out of it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from choose.errors import StrategyError, did_you_mean
from choose.models.endpoints.requests import Accepts, Message
from choose.types import Answers, Example, Item, Task

if TYPE_CHECKING:
    pass


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


def messages_for(
    task: Task, wording: Wording, accepts: Accepts, turns: Sequence[Turn]
) -> list[Message]:
    """Lay out a prompt: what is asked and the labels, the demonstrations, the question last.

    Providers cache the beginning that requests share, so what differs stands at the end.
    """
    pairs = opening(task, wording, accepts.system)
    for turn in turns:
        asked, *answered = exchange(wording, turn)
        pairs.append(asked)
        pairs += [("assistant", _as_answered(content, accepts)) for _, content in answered]
    return [{"role": role, "content": content} for role, content in pairs]


def plain_messages(system: str, accepts: Accepts, text: str) -> list[Message]:
    """Put a text as it is, after the service's own system prompt where it has one."""
    told = [{"role": "system", "content": system}] if system and accepts.system else []
    before = f"{system}\n\n" if system and not told else ""
    return [*told, {"role": "user", "content": before + text}]


def _as_answered(name: str, accepts: Accepts) -> str:
    return json.dumps({"label": name}, ensure_ascii=False) if accepts.schema else name


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """How a model is asked: which one, in which wording, calibrated or not."""

    model: str
    wording: str
    calibrate: bool
    max_tokens: int

    def __post_init__(self) -> None:
        """Refuse settings that do not exist."""
        if self.wording not in WORDINGS:
            raise StrategyError(
                f"There is no wording {self.wording!r}.{did_you_mean(self.wording, WORDINGS)} "
                f"The wordings are {', '.join(WORDINGS)}."
            )
        if self.max_tokens < 1:
            raise StrategyError(f"max_tokens is {self.max_tokens}; it must be at least 1.")


class Asks(Protocol):
    """A task before a model, with the demonstrations that every question shows.

    Attributes:
        calibrates: whether labelled rows can be used to calibrate its scores.
    """

    calibrates: bool

    def calibrate(
        self, examples: Sequence[Example], demonstrations: Sequence[Sequence[Example]] = ()
    ) -> None:
        """Estimate and freeze the calibration on labelled rows, asked like any other."""

    def answer(
        self, items: Sequence[Item], demonstrations: Sequence[Sequence[Example]] = (), **facts: Any
    ) -> Answers:
        """Answer the items, each with its own demonstrations, if any, in the order shown."""

    def facts(self) -> dict[str, Any]:
        """Return how it was computed since it was made."""

    def state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return what an export needs to answer alike, or say why there can be none."""
