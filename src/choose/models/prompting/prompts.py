"""Prompts as chat messages: wordings, demonstrations, prompts of the user's own."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from choose.errors import StrategyError, did_you_mean
from choose.files import read_text
from choose.tasks.answering import NO_ANSWER, Answering
from choose.tasks.extraction import as_text, parse
from choose.tasks.multilabel import Multilabel, judged_set, names_of
from choose.tasks.value_parsing import json_in
from choose.types import Status, Task

if TYPE_CHECKING:
    from choose.models.endpoints.handshake import Capabilities, Message

# Where the row and the labels (or fields) of the task go.
TEXT, LABELS = "{text}", "{labels}"

# A name in single or double braces.
_PLACE = re.compile(r"\{\{\s*(\w+)\s*\}\}|\{(\w+)\}")

_ROLES = ("system", "user", "assistant")

# Characters of a file that is still read as a prompt.
LONGEST = 200_000

WHERE = f"Write {TEXT} where the row belongs, and {LABELS} where the labels belong"


@dataclass(frozen=True, slots=True)
class OwnPrompt:
    """Messages (role, content); the last one is the user's and holds `TEXT` once."""

    messages: tuple[tuple[str, str], ...]

    @classmethod
    def read(cls, text: str) -> OwnPrompt:
        """Read a text with places, or a chat as JSON.

        Any other single place than `LABELS` is the row's, such as ``{{message}}``.

        Raises:
            ValueError: saying what is wrong and what to write.
        """
        messages = [*_messages(text.strip())]
        found = (match for _, content in messages for match in _PLACE.finditer(content))
        places = {*map(_name, found)} - {LABELS}
        unknown = sorted(places - {TEXT})
        if TEXT in places and unknown:
            raise ValueError(f"nothing fills {', '.join(unknown)}: only {TEXT} and {LABELS} are")
        if len(places) != 1:
            what = f"{', '.join(unknown)} are several places" if places else "it has no place"
            raise ValueError(f"{what} for the text. {WHERE}")
        filled = [
            (role, _PLACE.sub(lambda m: LABELS if _name(m) == LABELS else TEXT, content))
            for role, content in messages
        ]
        # A system turn alone is a question as well.
        if len(filled) == 1:
            filled = [("user", filled[0][1])]
        *before, (role, last) = filled
        if role != "user" or last.count(TEXT) != 1 or any(TEXT in content for _, content in before):
            raise ValueError(f"the text must be in the last message, the user's, once. {WHERE}")
        return cls(tuple(filled))

    def dump(self) -> str:
        """Return it as JSON, which `read` reads."""
        turns = [{"role": role, "content": content} for role, content in self.messages]
        return json.dumps(turns, ensure_ascii=False)

    @property
    def instruction(self) -> str:
        return self.messages[0][1]

    def rewritten(self, instruction: str) -> OwnPrompt:
        """Return it with another first message; places that this one lacks are added below it."""
        role, old = self.messages[0]
        known = {LABELS} if TEXT not in old else {TEXT, LABELS}
        new = _PLACE.sub(
            lambda match: place if (place := _name(match)) in known else place.strip("{}"),
            instruction,
        )
        for place in (LABELS, TEXT):
            if place in old and place not in new:
                new = f"{new}\n\n{place}"
        return OwnPrompt.read(OwnPrompt(((role, new), *self.messages[1:])).dump())


def read_prompt(file: str) -> str:
    """Return the prompt in a file as `OwnPrompt.dump` writes it.

    Raises:
        ValueError: naming the file, and what is wrong.
    """
    try:
        return OwnPrompt.read(read_text(Path(file), LONGEST)).dump()
    except FileNotFoundError:
        raise ValueError(f"there is no file {file!r}") from None
    except (OSError, ValueError) as error:
        raise ValueError(f"{file!r} holds no prompt: {error}") from error


def _name(match: re.Match[str]) -> str:
    return f"{{{match[1] or match[2]}}}"


def _messages(text: str) -> Iterator[tuple[str, str]]:
    found = json_in(text, "[", "{")
    if isinstance(found, str):
        yield ("user", text)
    elif isinstance(found, list):
        yield from _chat(found)
    elif "messages" in found:
        yield from _chat(found["messages"])
    else:
        raise ValueError('it is JSON, but no chat: [{"role": "user", "content": "… {text}"}]')


def _chat(turns: Any) -> Iterator[tuple[str, str]]:
    for turn in turns if isinstance(turns, list) else [turns]:
        known = turn if isinstance(turn, dict) else {}
        role, content = known.get("role"), known.get("content")
        if role not in _ROLES or not isinstance(content, str):
            raise ValueError(
                f'a message of a chat is not {{"role": "{"|".join(_ROLES)}", "content": …}}'
            )
        yield role, content


# Whitespace, line ends of all kinds, and control characters.
_GAPS = re.compile(r"[\s\x00-\x1f\x7f-\x9f]+")


class Turn(NamedTuple):
    """A text, with its answer if it is a demonstration; `fields` are (name, value) pairs."""

    text: str
    label: str | None = None
    fields: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Wording:
    """How a task is worded: the instruction, the line before the labels, and around each text.

    `own` are the messages before any text of a prompt of the user's, which replace the first two.
    """

    opening: str
    listing: str = ""
    before: str = ""
    after: str = ""
    own: tuple[tuple[str, str], ...] | None = None


WORDINGS: Mapping[str, Wording] = {
    "labels": Wording(
        "Classify the text.",
        "Answer with exactly one of these labels and nothing else:",
        before="Text: ",
        after="\nLabel:",
    ),
    "categories": Wording(
        "You sort short texts into categories.",
        "The categories are:",
        after="\n\nWhich category is it?",
    ),
    "bare": Wording("Read each message and reply with its label.", "Possible labels:"),
}

# The same for tasks whose answers are records, texts, and answers to questions.
RECORD_WORDINGS: Mapping[str, Wording] = {
    "labels": Wording(
        "Read the text into a record.",
        "Answer with one JSON object on one line and nothing else. Leave out what the text "
        "does not say. The fields are:",
        before="Text: ",
        after="\nRecord:",
    ),
    "categories": Wording(
        "You fill in forms from short texts.",
        "Write the form as a JSON object, without the fields that stay empty. It has:",
        after="\n\nWhat is the form as JSON?",
    ),
    "bare": Wording(
        "Read each message and reply with its record as a JSON object.", "Possible fields:"
    ),
}
TEXT_WORDINGS: Mapping[str, Wording] = {
    "labels": Wording(
        "Write the answer that belongs to the text.", before="Text: ", after="\nAnswer:"
    ),
    "categories": Wording("You turn one text into another.", after="\n\nWhat is the other text?"),
    "bare": Wording("Read each message and reply."),
}
QUESTION_WORDINGS: Mapping[str, Wording] = {
    "labels": Wording("Answer the question.", before="Question: ", after="\nAnswer:"),
    "categories": Wording("You answer questions.", after="\n\nWhat is the answer?"),
    "bare": Wording("Read each question and reply with its answer."),
}

# What a model answers where no label applies.
NO_LABEL = "none"

# The same for sets of labels, without what comes before the labels: that is the first text for a
# model in this process, whose likely labels are read off, the second for one that writes a list.
SET_WORDINGS: Mapping[str, Wording] = {
    "labels": Wording(
        "Name every label that applies to the text.", before="Text: ", after="\nLabels:"
    ),
    "categories": Wording("You tag short texts.", after="\n\nWhich tags does it get?"),
    "bare": Wording("Read each message and reply with its labels."),
}
LISTINGS = (
    f"Answer with the labels that apply, separated by commas, or {NO_LABEL}. The labels are:",
    "Answer with a JSON list of the labels that apply, [] if none does, and nothing else. The "
    "labels are:",
)


def field_types(task: Task) -> dict[str, str]:
    return dict(task.facts().get("fields", {}))


def wording_of(task: Task, name: str, as_json: bool = False, template: str = "") -> Wording:
    """Return a wording in the form for the task's answers; sets of labels may be JSON lists.

    A `template`, as `OwnPrompt.dump` writes it, is taken as it is.
    """
    if template:
        listed = _listed(task).removesuffix(".")
        *before, (_, last) = OwnPrompt.read(template).messages
        start, _, end = (part.replace(LABELS, listed) for part in last.partition(TEXT))
        own = tuple((role, content.replace(LABELS, listed)) for role, content in before)
        return Wording("", before=start, after=end, own=own)
    if task.labels:
        return WORDINGS[name]
    if isinstance(task, Multilabel):
        return replace(SET_WORDINGS[name], listing=LISTINGS[as_json])
    if isinstance(task, Answering):
        return QUESTION_WORDINGS[name]
    return (RECORD_WORDINGS if field_types(task) else TEXT_WORDINGS)[name]


def instruction(task: Task, wording: Wording, listed: str = "") -> str:
    """Return what precedes any text: the instruction, and labels, fields or form of answers."""
    opening = (task.instruction or wording.opening).strip()
    if isinstance(task, Answering):
        return f"{opening}\n{task.guidance()}"
    return f"{opening}\n{wording.listing} {listed or _listed(task)}" if wording.listing else opening


def _listed(task: Task) -> str:
    """Return the labels or the fields; a line each where they have descriptions or types."""
    described, types = task.descriptions, field_types(task)
    labels, names = task.labels, task.names
    if isinstance(task, Multilabel):
        labels, names = task.choices, task.choice_names
    if not (types or described):
        return ", ".join(single_line(name) for name in names) + "."
    lines = [
        *zip(labels, map(single_line, names), strict=True),
        *((name, f"{single_line(name)} ({_TYPES.get(k, k)})") for name, k in types.items()),
    ]
    return "".join(
        f"\n- {line}" + (f": {single_line(described[key])}" if described.get(key) else "")
        for key, line in lines
    )


# What follows an instruction that the user gives.
_UNDERSTOOD = ("assistant", "Understood.")

# How the type of a field is put to a model.
_TYPES = {"date": "date, as 2025-01-31", "list": "list of texts"}


def lines_of(text: str) -> str:
    """Return a text with its line breaks, but without blank lines and control characters."""
    return "\n".join(filter(None, map(single_line, text.splitlines())))


def single_line(text: str) -> str:
    """Return a text on one line without control characters or broken surrogates.

    So data cannot imitate the layout of a prompt, such as line ends and blank lines.
    """
    whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return _GAPS.sub(" ", whole).strip()


def numeric_labels(task: Task) -> str | None:
    """Return why a language model cannot use this task's labels, or None."""
    names = task.choice_names if isinstance(task, Multilabel) else task.names
    numeric = [name for name in names if re.fullmatch(r"[-+]?[\d.,\s]+%?", name)]
    if not numeric:
        return None
    shown = ", ".join(repr(name) for name in numeric[:3])
    return (
        f"Labels that are bare numbers ({shown}) mean nothing to a language model. Give them names "
        f'under [task.names] in the study file, for example {numeric[0]} = "what it means".'
    )


def opening_messages(task: Task, wording: Wording, system: bool) -> list[tuple[str, str]]:
    """Return the (role, content) pairs that come before any text.

    Without `system`, for templates that reject that role, the user gives the instruction.
    """
    if wording.own is not None:
        turns: list[tuple[str, str]] = []
        for role, content in wording.own:
            taken = role == "system" and not system
            turns += [("user", content), _UNDERSTOOD] if taken else [(role, content)]
        return turns
    text = instruction(task, wording)
    return [("system", text)] if system else [("user", text), _UNDERSTOOD]


def turn_messages(wording: Wording, turn: Turn) -> list[tuple[str, str]]:
    """Return a text, and its answer if it is a demonstration, as (role, content) pairs.

    Texts and answers are as `single_line` or `lines_of` leave them.
    """
    before = "".join(f"{single_line(name)}: {value}\n" for name, value in turn.fields)
    question = ("user", f"{before}{wording.before}{turn.text}{wording.after}")
    return [question] if turn.label is None else [question, ("assistant", turn.label)]


def prompt_preview(task: Task, wording: Wording, examples: str = "") -> str:
    """Return the prompt with placeholders; `examples` describes the demonstrations.

    For templates without a system role, the user gives the first part.
    """
    turns = list(opening_messages(task, wording, system=True))
    if examples:
        turns += turn_messages(
            wording, Turn("<a labelled row>", "<its label>" if task.labels else "<its answer>")
        )
        turns.append(("…", f"<{examples}>"))
    turns += turn_messages(wording, Turn("<the row to answer>"))
    return "\n\n".join(f"[{role}]\n{content}" for role, content in turns)


def chat_messages(
    task: Task, wording: Wording, accepts: Capabilities, turns: Sequence[Turn]
) -> list[Message]:
    """Lay out a prompt: the instruction and labels, the demonstrations, the test row last.

    Providers cache the prefix that requests share, so what differs comes at the end.
    """
    pairs = opening_messages(task, wording, accepts.system)
    for turn in turns:
        question, *answer = turn_messages(wording, turn)
        pairs.append(question)
        pairs += [("assistant", _as_answered(task, content, accepts)) for _, content in answer]
    return [{"role": role, "content": content} for role, content in pairs]


def lay_out_question(text: str, fields: Mapping[str, str]) -> str:
    """Return what is asked about a row: its further fields, a line each, and its text."""
    lines = [f"{name}: {value}" for name, value in fields.items()]
    return "\n".join([*lines, *([""] if lines else []), text])


def service_messages(system: str, accepts: Capabilities, turn: Turn) -> list[Message]:
    """Return a text unchanged, after the service's own system prompt, if any, and its fields."""
    text = lay_out_question(turn.text, {single_line(name): value for name, value in turn.fields})
    first = [{"role": "system", "content": system}] if system and accepts.system else []
    before = f"{system}\n\n" if system and not first else ""
    return [*first, {"role": "user", "content": before + text}]


def _as_answered(task: Task, answer: str, accepts: Capabilities) -> str:
    if isinstance(task, Multilabel):
        names = [single_line(name) for name in names_of(task, answer)]
        return json.dumps({"labels": names} if accepts.schema else names, ensure_ascii=False)
    if not accepts.schema:
        return answer
    if task.labels:
        return json.dumps({"label": answer}, ensure_ascii=False)
    record = parse(answer)
    return json.dumps({name: record.get(name) for name in field_types(task)}, ensure_ascii=False)


def judged_answer(task: Task, text: str, cut: bool) -> tuple[str | None, Status]:
    """Return what a model wrote as an answer of a task without labels, or None, with the status.

    Nothing is repaired: a record must be JSON and nothing else. A brief answer ends with its line,
    or is taken whole where it is too long; an empty one says that there is none, if the model was
    told that there may be none.
    """
    answer = text.strip()
    if isinstance(task, Answering):
        answer = " ".join(answer.partition("\n")[0].split())
        answer = answer or (NO_ANSWER if task.unanswerable and not cut else "")
        cut = cut and not answer
    if cut:
        return None, "cut"
    if not answer:
        return None, "empty"
    if isinstance(task, Multilabel):
        return judged_set(task, answer)
    if task.problem_with(answer) is not None:
        return None, "malformed"
    return as_text(parse(answer)) if field_types(task) else answer, "ok"


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptSettings:
    """The hyperparameters that prompting strategies share; a `template` replaces the wording."""

    model: str
    wording: str
    calibrate: bool
    max_tokens: int
    template: str = ""

    def __post_init__(self) -> None:
        if self.wording not in WORDINGS:
            raise StrategyError(
                f"There is no wording {self.wording!r}.{did_you_mean(self.wording, WORDINGS)} "
                f"The wordings are {', '.join(WORDINGS)}."
            )


def as_own(task: Task, wording: Wording) -> OwnPrompt:
    """Return a wording of the usual prompt as one with places for the row and the labels."""
    told = instruction(task, wording, LABELS)
    return OwnPrompt((("system", told), ("user", f"{wording.before}{TEXT}{wording.after}")))
