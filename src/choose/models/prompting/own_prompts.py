"""A prompt of the user's own: a text with places, or a chat."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from choose.files import read_text

# Where the row and the labels (or fields) of the task go.
TEXT, LABELS = "{text}", "{labels}"

# A name in single or double braces.
_PLACE = re.compile(r"\{\{\s*(\w+)\s*\}\}|\{(\w+)\}")

_ROLES = ("system", "user", "assistant")

# Characters of a file that is still read as a prompt.
LONGEST = 200_000

WHERE = f"Write {TEXT} where the row belongs, and {LABELS} where the labels belong"

Message = tuple[str, str]


@dataclass(frozen=True, slots=True)
class OwnPrompt:
    """Messages (role, content); the last one is the user's and holds `TEXT` once."""

    messages: tuple[Message, ...]

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
        return json.dumps(
            [{"role": role, "content": content} for role, content in self.messages],
            ensure_ascii=False,
        )

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


def _messages(text: str) -> Iterator[Message]:
    if not text.startswith(("[", "{")) or (found := _json(text)) is None:
        yield ("user", text)
    elif isinstance(found, list):
        yield from _chat(found)
    elif "messages" in found:
        yield from _chat(found["messages"])
    else:
        raise ValueError('it is JSON, but no chat: [{"role": "user", "content": "… {text}"}]')


def _json(text: str) -> Any:
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, list | dict) else None


def _chat(turns: Any) -> Iterator[Message]:
    for turn in turns if isinstance(turns, list) else [turns]:
        role, content = (
            (turn.get("role"), turn.get("content")) if isinstance(turn, dict) else (None, None)
        )
        if role not in _ROLES or not isinstance(content, str):
            raise ValueError(
                f'a message of a chat is not {{"role": "{"|".join(_ROLES)}", "content": …}}'
            )
        yield role, content
