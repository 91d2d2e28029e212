"""Views: the question written differently, its answer unchanged."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from random import Random

from choose.data.contractions import contraction
from choose.data.pools import sample
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
_GAP = re.compile(r"(?<=\S) (?=\S)")
_OPENERS = ("Hi, ", "Hello, ", "So, ", "Okay, ", "Um, ", "Hi there, ", "Well, ")


def view(name: str, items: Sequence[Item], seed: int) -> list[Item]:
    """Return the items as a view shows them; each depends on its id, its text and the seed alone.

    Raises:
        StudyError: if there is no such view.
    """
    if name not in VIEWS:
        raise StudyError(
            f"No view {name!r}.{did_you_mean(name, VIEWS)} Allowed: {', '.join(VIEWS)}."
        )
    change = VIEWS[name]
    return [
        replace(item, text=change(item.text, Random(f"{name}-{seed}-{item.id}"))) for item in items
    ]


def sample_rows(
    ids: Sequence[str], targets: Mapping[str, str], limit: int, seed: int
) -> tuple[str, ...]:
    """Return the at most `limit` rows that views are asked of: stratified, in the given order."""
    return sample(ids, targets, limit, f"views-{seed}")


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


def casing(text: str, random: Random) -> str:
    """Write everything small or, one time in three, everything in capitals."""
    small, capitals = text.lower(), text.upper()
    changed = [t for t in (small, small, capitals) if t != text]
    return random.choice(changed) if changed else text


def spacing(text: str, random: Random) -> str:
    """Double one gap in ten or break the line there; a text without gaps is padded."""
    gaps = [m.start() for m in _GAP.finditer(text)]
    if not gaps:
        return random.choice((f" {text}", f"{text} ", f"  {text}"))
    chosen = set(random.sample(gaps, max(1, round(len(gaps) / 10))))
    return "".join(
        random.choice(("  ", "   ", "\n")) if i in chosen else letter
        for i, letter in enumerate(text)
    )


def filler(text: str, random: Random) -> str:
    """Open with a greeting or a filled pause that says nothing about the matter."""
    return random.choice(_OPENERS) + text


def _swaps(word: str) -> list[int]:
    # The first and the last letter stay: so written, words are still read without effort.
    return [i for i in range(1, len(word) - 2) if word[i] != word[i + 1]]


VIEWS: Mapping[str, Callable[[str, Random], str]] = {
    "clean": clean,
    "typos": typos,
    "casing": casing,
    "spacing": spacing,
    "filler": filler,
    "contraction": contraction,
}
