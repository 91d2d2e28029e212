"""Perturb texts without changing their label: typos."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from random import Random

from choose.data.stratify import stratified_sample
from choose.errors import StudyError, did_you_mean
from choose.types import Item

# Swapping two letters of these gives another word; the rest carry a meaning by themselves.
_KEPT = re.compile(
    "angel|angle|brat|calm|casual|causal|clam|cannot|could|cloud|dairy|diary|form|from|marital"
    "|martial|never|none|nothing|quiet|quite|sacred|scared|silver|sliver|tired|trail|trial|tried"
    "|united|unless|untied|until|without",
    re.IGNORECASE,
)

_WORD = re.compile(r"(?<![\w@#/.'-])[^\W\d_]{4,}(?![\w@/'-]|\.\w|:/)")


# The first private-use character, and the most parts of a text that such characters replace.
FIRST_SIGN, MOST_KEPT = 0xE000, 500


def view(
    name: str, items: Sequence[Item], seed: int, copied: Mapping[str, Sequence[str]] | None = None
) -> list[Item]:
    """Return the items under a view; each depends on its id, its text and the seed alone.

    `copied` are, by id, texts that a right answer copies from the input: where a view changes
    letters, these stay as they are, or it would change what is right.

    Raises:
        StudyError: if there is no such view.
    """
    if name not in VIEWS:
        raise StudyError(
            f"No view {name!r}.{did_you_mean(name, VIEWS)} Allowed: {', '.join(VIEWS)}."
        )
    change = VIEWS[name]
    kept = copied or {}
    return [
        replace(
            item,
            text=_around(
                kept.get(item.id, ()), item.text, change, Random(f"{name}-{seed}-{item.id}")
            ),
        )
        for item in items
    ]


def _around(
    kept: Sequence[str], text: str, change: Callable[[str, Random], str], random: Random
) -> str:
    """Change a text except for some of its parts, which are replaced by signs without a meaning."""
    if not kept or any(FIRST_SIGN <= ord(c) < FIRST_SIGN + MOST_KEPT for c in text):
        return change(text, random)
    parts = sorted({*kept} - {""}, key=lambda part: (-len(part), part))[:MOST_KEPT]
    signs = [chr(FIRST_SIGN + place) for place in range(len(parts))]
    for part, sign in zip(parts, signs, strict=True):
        text = text.replace(part, sign)
    changed = change(text, random)
    for part, sign in zip(parts, signs, strict=True):
        changed = changed.replace(sign, part)
    return changed


def sample_rows(
    ids: Sequence[str], targets: Mapping[str, str], limit: int, seed: int
) -> tuple[str, ...]:
    """Return at most `limit` rows to evaluate under views: stratified, in the given order."""
    return stratified_sample(ids, targets, limit, f"views-{seed}")


def clean(text: str, random: Random) -> str:
    """Leave the text as it is."""
    return text


def typos(text: str, random: Random) -> str:
    """Swap two inner letters in one word of ten, at least one; names, links and codes stay."""
    words = [m for m in _WORD.finditer(text) if not _KEPT.fullmatch(m[0]) and _swaps(m[0])]
    chosen = random.sample(words, min(len(words), max(1, round(len(words) / 10))))
    letters = list(text)
    for match in chosen:
        i = match.start() + random.choice(_swaps(match[0]))
        letters[i], letters[i + 1] = letters[i + 1], letters[i]
    return "".join(letters)


def _swaps(word: str) -> list[int]:
    # The first and the last letter stay: so written, words are still read without effort.
    return [i for i in range(1, len(word) - 2) if word[i] != word[i + 1]]


VIEWS: Mapping[str, Callable[[str, Random], str]] = {
    "clean": clean,
    "typos": typos,
}
