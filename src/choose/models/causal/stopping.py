"""When a generated answer is complete."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

# Share of the pool's answers that a limit covers, and how much longer an answer may be than they.
COVERED, ROOM = 0.99, 1.5

# Characters at which an answer may be complete: in a text never, it ends with the end token.
_MARKS = {"end": "", "line": "\n", "record": "}", "quote": '"\n'}


@dataclass(frozen=True, slots=True)
class StopRule:
    """Where an answer ends, besides the token that closes it.

    Attributes:
        limit: most new tokens, the one that closes an answer included.
        until: ``end`` (nowhere else), ``line`` (before a newline), ``record`` (after the brace that
            closes the first JSON object), or ``quote`` (before the quote that closes a JSON string
            that the prompt opens, or a newline).
    """

    limit: int
    until: Literal["end", "line", "record", "quote"] = "end"

    def may_end(self, token: str) -> bool:
        """Return whether an answer may be complete with this token's text."""
        return any(mark in token for mark in _MARKS[self.until])

    def may_begin(self, token: str) -> bool:
        """Return whether an answer may begin with this token's text: not with a newline.

        Many models open their answer with one, which must not end it.
        """
        return "\n" not in _MARKS[self.until] or not token.lstrip(" \t\r").startswith("\n")

    def end_of(self, text: str) -> int | None:
        """Return the characters of the answer that a text begins with, None while it is open."""
        if self.until == "line":
            visible = len(text) - len(text.lstrip())
            found = text.find("\n", visible)
            return found if found >= 0 else None
        if self.until in ("record", "quote"):
            return _end_of_json(text, within=self.until == "quote")
        return None


def _end_of_json(text: str, within: bool) -> int | None:
    """Return where the first object ends, or, `within` a string, where that string does."""
    depth, quoted, escaped = 0, within, False
    for place, character in enumerate(text):
        if escaped:
            escaped = False
        elif quoted:
            escaped = character == "\\"
            if within and character in _MARKS["quote"]:
                return place
            quoted = character != '"'
        elif character == '"':
            quoted = depth > 0
        elif character in "{}":
            depth += 1 if character == "{" else -1
            if depth <= 0 and character == "}":
                return place + 1
    return None


def limit_for(lengths: Sequence[int]) -> int:
    """Return the limit of new tokens for answers such as those of `lengths` tokens, end included.

    It is 1.5 times the longest of 99 % of them.
    """
    ordered = sorted(lengths)
    longest = ordered[math.ceil(COVERED * len(ordered)) - 1] if ordered else 1
    return max(1, math.ceil(ROOM * longest))


@dataclass(eq=False)
class TokenTexts:
    """The texts of single tokens, decoded once each."""

    tokenizer: Any
    known: dict[int, str] = field(default_factory=dict)

    def __getitem__(self, token: int) -> str:
        """Return the text of a token."""
        if token not in self.known:
            self.known[token] = self.decode([token])
        return self.known[token]

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of some tokens as the model wrote it, marks included."""
        return str(self.tokenizer.decode(tokens, clean_up_tokenization_spaces=False))
