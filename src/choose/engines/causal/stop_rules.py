"""When a generated answer is complete; answers under way and done."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from itertools import chain, zip_longest
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from choose.engines.causal.chat_template import Prompt
from choose.types import Counts, Floats

if TYPE_CHECKING:
    # It loads torch, which a limit of tokens alone does not need.
    from choose.engines.causal.packed_attention import Parts

# Share of the pool's answers that a limit covers, how many times as long an answer may be, and how
# many tokens longer at most: a pass lasts as long as its longest answer, which may have no end.
COVERED, ROOM, MOST_ROOM = 0.99, 1.5, 64

# A greedy answer is in a loop once this many whole copies of a phrase end it, this many tokens
# together; half as many where no list can be: of 129 texts that had these none ended by itself, and
# lists may end after their most items. Of 5,000 right answers of eight sets none has 4 over 8.
LOOP_COPIES, LOOP_TOKENS = 8, 48

# Where few answers are under way, tokens are read that may follow, as each reads all weights: most
# of an answer, and of all. They followed its last ones, so many, earlier in the text.
MOST_DRAFTED, READ_AT_ONCE, ALIKE = 8, 32, 3

# An answer that was cut is taken to repeat itself from this many copies and characters on.
CUT_COPIES, CUT_CHARACTERS = 3, 24

MARKS_OF_END = ".!?。！？"  # noqa: RUF001
SENTENCE_END = re.compile(r"[.!?](?=\s)|[。！？\n]")  # noqa: RUF001

# Characters at which an answer may be complete: in a text never, it ends with the end token.
_MARKS = {"end": "", "line": "\n", "record": "}", "quote": '"\n', "list": "\n"}


@dataclass(frozen=True, slots=True)
class StopRule:
    """Where an answer ends, besides the token that closes it.

    Attributes:
        limit: most new tokens, the one that closes an answer included.
        until: ``end`` (nowhere else), ``line`` (before a newline), ``record`` (after the brace that
            closes the first JSON object), ``quote`` (before the quote that closes a JSON string
            that the prompt opens, or a newline), or ``list`` (where a JSON list of strings ends
            whose first string the prompt opens, or a newline).
        rival: a token that the prompt's last token is compared with.
        items: most strings of a list.
    """

    limit: int
    until: Literal["end", "line", "record", "quote", "list"] = "end"
    rival: int | None = None
    items: int = 0

    def cuts(self, tokens: Sequence[int]) -> bool:
        """Return whether an answer is as long as it may be, or in a loop."""
        copies = LOOP_COPIES // 2 if self.until in ("end", "line") else LOOP_COPIES
        return len(tokens) >= self.limit or period(tokens, copies, LOOP_TOKENS) > 0

    def may_end(self, token: str) -> bool:
        """Return whether an answer may be complete with this token's text."""
        return self.until == "list" or any(mark in token for mark in _MARKS[self.until])

    def may_begin(self, token: str) -> bool:
        """Return whether an answer may begin with this token's text: not with a newline.

        Many models open their answer with one, which must not end it.
        """
        return "\n" not in _MARKS[self.until] or not token.lstrip(" \t\r").startswith("\n")

    def end_of(self, text: str) -> int | None:
        """Return the characters of the answer that a text begins with, None while it is open."""
        if self.until == "line":
            found = text.find("\n", len(text) - len(text.lstrip()))
            return found if found >= 0 else None
        if self.until in ("record", "quote"):
            return _end_of_json(text, within=self.until == "quote")
        return list_items(text, self.items)[2] if self.until == "list" else None


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


def list_items(text: str, most: int) -> tuple[list[str], str, int | None]:
    """Return the strings that are closed, the open one, and where the list ends.

    `text` goes on where the first string is open. The list ends behind its string number `most`,
    before a newline in a string, or before anything but a comma and another string. It is None
    while it is open. Strings are as written, escapes included.
    """
    items: list[str] = []
    start, comma, escaped = 0, False, False
    for place, character in enumerate(text):
        if escaped:
            escaped = False
        elif start >= 0:
            escaped = character == "\\"
            if character == "\n":
                return items, text[start:place], place
            if character == '"':
                items.append(text[start:place])
                start, comma = -1, False
                if len(items) >= most:
                    return items, "", place + 1
        elif comma and character == '"':
            start = place + 1
        elif not comma and character == ",":
            comma = True
        elif character != " ":
            return items, "", place
    return items, text[start:] if start >= 0 else "", None


def limit_for(lengths: Sequence[int], room: float = MOST_ROOM) -> int:
    """Return the limit of new tokens for answers such as those of `lengths` tokens, end included.

    It is 1.5 times the longest of 99 % of them, or `room` more tokens if that is less.
    """
    ordered = sorted(lengths)
    longest = ordered[math.ceil(COVERED * len(ordered)) - 1] if ordered else 1
    return max(1, math.ceil(min(ROOM * longest, longest + room)))


def period(sequence: Sequence[int] | str, copies: int, least: int) -> int:
    """Return the length of the shortest phrase whose copies end a sequence, 0 without one.

    There must be so many whole copies, and at least so many tokens or characters of them.
    """
    length = len(sequence)
    for size in range(1, length // copies + 1):
        start = length - max(copies * size, least)
        if start < 0 or sequence[-1] != sequence[-1 - size]:
            continue
        if sequence[start + size :] == sequence[start : length - size]:
            return size
    return 0


def first_copy(text: str) -> str:
    """Return an answer that was cut up to the first copy of what it repeats at its end.

    The copy ends with a sentence, or else with a word.
    """
    size = period(text, CUT_COPIES, CUT_CHARACTERS)
    if not size:
        return text
    start = len(text) - size
    while start > 0 and text[start - 1] == text[start - 1 + size]:
        start -= 1
    stop = start + size
    kept = text[:stop].rstrip()
    if kept[-1:] in MARKS_OF_END or "\n" in text[len(kept) : stop]:
        return kept
    if end := SENTENCE_END.search(text, stop, stop + size):
        return text[: end.end()].rstrip()
    if len(kept) == stop:  # within a word
        kept += text[stop:].split(maxsplit=1)[0] if text[stop : stop + 1].strip() else ""
    return kept if kept == text else kept.rstrip(",;:-")


@dataclass(eq=False)
class TokenTexts:
    """The texts of single tokens, decoded once each."""

    tokenizer: Any
    known: dict[int, str] = field(default_factory=dict)

    def __getitem__(self, token: int) -> str:
        if token not in self.known:
            self.known[token] = self.decode([token])
        return self.known[token]

    def decode(self, tokens: Sequence[int]) -> str:
        return str(self.tokenizer.decode(tokens, clean_up_tokenization_spaces=False))


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """The answers to n prompts, with their cost.

    Attributes:
        texts: what the model wrote, up to where the stop rule ends it.
        cut: (n,) whether the limit of new tokens ended it, or that it repeated itself.
        logprobs: (n,) log-probability of all its tokens.
        rivals: (n,) log-probability of the rule's rival in the place of the prompt's last token,
            less that of the last token; 0 without a rival.
        tokens_in: (n,) tokens of the prompt.
        tokens_cached: (n,) the part of them that came from a shared part.
        tokens_out: (n,) new tokens, the closing one included.
        latency: (n,) seconds when it was computed, a pass divided by tokens.
        cached_seconds: what answers in memory or in the cache had taken, equal prompts once.
    """

    texts: tuple[str, ...]
    cut: tuple[bool, ...]
    logprobs: Floats
    rivals: Floats
    tokens_in: Counts
    tokens_cached: Counts
    tokens_out: Counts
    latency: Floats
    cached_seconds: float

    @property
    def confidence(self) -> Floats:
        """Return (n,) the geometric mean of the tokens' probabilities."""
        return np.exp(self.logprobs / np.maximum(self.tokens_out, 1))

    def part(self, some: slice) -> Written:
        """Return some of the answers, with all cached seconds."""
        each = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "cached_seconds"}
        return replace(self, **{name: value[some] for name, value in each.items()})


@dataclass(eq=False)
class Answer:
    """An answer under way; `visible` once it has a character that is no blank."""

    key: bytes
    parts: Parts
    rule: StopRule
    tokens: list[int] = field(default_factory=list)
    logprob: float = 0.0
    rival: float = 0.0
    seconds: float = 0.0
    visible: bool = False
    cut: bool = False

    @property
    def shared(self) -> Parts:
        return tuple(part for part in self.parts[:-1] if part)

    @property
    def length(self) -> int:
        return sum(len(part) for part in self.parts)

    @property
    def most(self) -> int:
        """Return the most tokens of the prompt with the answer."""
        return self.length + self.rule.limit

    @cached_property
    def _prompt(self) -> Counts:
        return np.fromiter(chain(*self.parts), dtype=np.int64)

    def guess(self, count: int) -> list[int]:
        """Return so many tokens that followed the last ones where these were before, if any."""
        text = np.concatenate([self._prompt, np.array(self.tokens, dtype=np.int64)])
        if len(text) <= ALIKE:
            return []
        copies = (sliding_window_view(text[:-1], ALIKE) == text[-ALIKE:]).all(axis=1).nonzero()[0]
        return np.resize(text[copies[-1] + ALIKE :], count).tolist() if len(copies) else []


def drafted(answers: Sequence[Answer]) -> list[list[int]]:
    """Return (n, k) the last token of each answer, and drafts of what follows it."""
    room = min(answer.rule.limit - len(answer.tokens) for answer in answers)
    k = min(room, MOST_DRAFTED, READ_AT_ONCE // len(answers))
    drafts = k > 1 and all(answer.visible for answer in answers)
    rows = [[a.tokens[-1], *(a.guess(k - 1) if drafts else ())] for a in answers]
    return [[*row] for row in zip(*zip_longest(*rows, fillvalue=0), strict=True)]


def prompt_key(prompt: Prompt, rule: StopRule) -> bytes:
    """Return a key of an answer: the prompt's tokens, their division, and the rule."""
    return prompt.digest(f"{rule.until} {rule.items} {rule.limit} {rule.rival}")


def in_order(answers: Sequence[Answer]) -> list[Answer]:
    """Return answers with those that share a part together, the shortest prompts first.

    Each of those under way attends to as many columns as the longest of them has.
    """
    longest: dict[Parts, int] = {}
    for answer in answers:
        group = answer.parts[1:2]
        longest[group] = max(longest.get(group, 0), answer.length)
    return sorted(
        answers, key=lambda a: (longest[a.parts[1:2]], a.parts[1:2], a.parts[1:-1], a.length)
    )
