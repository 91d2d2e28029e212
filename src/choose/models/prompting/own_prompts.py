"""A prompt of the user's own: a text with places, a chat, or what promptfoo or DSPy wrote."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from choose.files import read_text

# Where the row and the labels (or fields) of the task go.
TEXT, LABELS = "{text}", "{labels}"

# A name in braces: Python's and promptfoo's places alike.
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
        """Read a text with places; a chat as JSON; or what promptfoo or DSPy wrote.

        Any other single place than `LABELS` is the row's, as ``{{message}}`` of promptfoo.

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
        text = read_text(Path(file), LONGEST)
        is_yaml = Path(file).suffix.lower() in (".yaml", ".yml")
        return OwnPrompt.read(_from_yaml(text) if is_yaml else text).dump()
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
    elif (predictor := _dspy(found)) is not None:
        yield from _dspy_messages(predictor)
    elif "prompts" in found or "results" in found:
        yield from _messages(_promptfoo(found))
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


def _from_yaml(text: str) -> str:
    import yaml  # comes with huggingface_hub

    try:
        found = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError("it is no YAML") from error
    return _promptfoo(found if isinstance(found, dict) else {})


def _promptfoo(found: Mapping[str, Any]) -> str:
    """Return the one prompt of a file of results, or of a configuration."""
    results = found.get("results")
    prompts = (results if isinstance(results, dict) else found).get("prompts")
    each = (
        one.get("raw", one.get("id")) if isinstance(one, dict) else one
        for one in (prompts if isinstance(prompts, list) else [prompts])
    )
    raw = [*dict.fromkeys(one.strip() for one in each if isinstance(one, str))]
    if len(raw) != 1:
        raise ValueError(f"it holds {len(raw)} prompts of promptfoo. Save one in a file")
    if raw[0].startswith("file:"):
        raise ValueError(f"the prompt of promptfoo is {raw[0]}: name that file with --prompt")
    return raw[0]


def _dspy(found: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the one predictor of a program that DSPy saved as JSON."""
    if isinstance(found.get("signature"), dict):
        return found
    inner = [one for one in found.values() if isinstance(one, dict) and "signature" in one]
    if len(inner) > 1:
        raise ValueError(f"it is a DSPy program of {len(inner)} predictors, and one is read")
    return inner[0] if inner else None


def _dspy_messages(predictor: Mapping[str, Any]) -> Iterator[Message]:
    """Yield the instructions with the labels, the demonstrations, and the place of the text."""
    signature = predictor["signature"]
    told = str(signature.get("instructions", "")).strip()
    yield "system", told if LABELS in told else f"{told}\n\nAnswer with one of: {LABELS}"
    for shown in predictor.get("demos") or ():
        values = [str(v) for k, v in shown.items() if k != "augmented" and k != "reasoning"]
        if len(values) > 1:
            yield "user", _literal(values[0])
            yield "assistant", _literal(values[-1])
    yield "user", TEXT


def _literal(text: str) -> str:
    """Return a text in which nothing looks like a place."""
    return _PLACE.sub(lambda match: match[0].strip("{}"), text)
