"""Perturb texts without changing their label: typos, casing, spacing, fillers, contractions."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from random import Random

from choose.data.stratify import stratified_sample
from choose.errors import StudyError, did_you_mean
from choose.types import Item

_NEGATED = "are|could|did|do|does|had|has|have|is|must|need|should|was|were|would"

_STARTS = "how|here|that|there|what|when|where|who"

# Possessives and 'd are left alone, because the word alone does not say what they abbreviate.
_LONG = re.compile(
    rf"\b(?P<not>{_NEGATED})n['\u2019]t\b|\b(?P<can>can|wo)[n]?['\u2019]t\b"
    r"|\b(?P<who>i)['\u2019]m\b|\b(?P<are>we|you|they)['\u2019]re\b"
    r"|\b(?P<verb>i|we|you|they)['\u2019](?P<end>ve|ll)\b",
    re.IGNORECASE,
)

_SHORT = re.compile(
    rf"\b(?P<not>{_NEGATED}) not\b|\b(?P<can>cannot|will not)\b"
    r"|\b(?P<am>i) am(?= \w)|\b(?P<are>we|you|they) are(?= \w)"
    rf"|\b(?P<is>it|{_STARTS}) is(?= \w)(?! (?:it|he|she)\b)"
    r"|\b(?P<verb>i|we|you|they) (?:(?P<end>have)(?= (?:\w+ed|been|got|lost|just|already|never)\b)"
    r"|(?P<will>will)(?= \w))",
    re.IGNORECASE,
)


def contraction(text: str, random: Random) -> str:
    """Expand contractions or, where there are none, contract words."""
    if _LONG.search(text):
        return _LONG.sub(_keeping_capitals(_expanded), text)
    return _SHORT.sub(_keeping_capitals(_contracted), text)


def _expanded(match: re.Match[str]) -> str:
    if match["not"]:
        return f"{match['not']} not"
    if match["can"]:
        return "cannot" if match["can"].lower() == "can" else "will not"
    if match["who"]:
        return f"{match['who']} am"
    if match["are"]:
        return f"{match['are']} are"
    return f"{match['verb']} {'have' if match['end'].lower() == 've' else 'will'}"


def _contracted(match: re.Match[str]) -> str:
    if match["not"]:
        return f"{match['not']}n't"
    if match["can"]:
        return "can't" if match["can"].lower() == "cannot" else "won't"
    if match["am"]:
        return f"{match['am']}'m"
    if match["are"]:
        return f"{match['are']}'re"
    if match["is"]:
        return f"{match['is']}'s"
    return f"{match['verb']}'{'ve' if match['end'] else 'll'}"


def _keeping_capitals(change: Callable[[re.Match[str]], str]) -> Callable[[re.Match[str]], str]:
    def changed(match: re.Match[str]) -> str:
        old, new = match[0], change(match)
        if len(old) > 3 and old.isupper():
            return new.upper()
        return old[0] + new[1:]

    return changed


# Swapping two letters of these gives another word; the rest carry a meaning by themselves.
_KEPT = re.compile(
    "angel|angle|brat|calm|casual|causal|clam|cannot|could|cloud|dairy|diary|form|from|marital"
    "|martial|never|none|nothing|quiet|quite|sacred|scared|silver|sliver|tired|trail|trial|tried"
    "|united|unless|untied|until|without",
    re.IGNORECASE,
)

_WORD = re.compile(r"(?<![\w@#/.'-])[^\W\d_]{4,}(?![\w@/'-]|\.\w|:/)")

_GAP = re.compile(r"(?<=\S) (?=\S)")

# The first private-use character, and the most parts of a text that such characters replace.
FIRST_SIGN, MOST_KEPT = 0xE000, 500

_OPENERS = ("Hi, ", "Hello, ", "So, ", "Okay, ", "Um, ", "Hi there, ", "Well, ")


def view(
    name: str, items: Sequence[Item], seed: int, copied: Mapping[str, Sequence[str]] | None = None
) -> list[Item]:
    """Return the items under a view; each depends on its id, its text and the seed alone.

    `copied` are, by id, texts that a right answer copies from the input: where a view changes
    letters or gaps, these stay as they are, or it would change what is right.

    Raises:
        StudyError: if there is no such view.
    """
    if name not in VIEWS:
        raise StudyError(
            f"No view {name!r}.{did_you_mean(name, VIEWS)} Allowed: {', '.join(VIEWS)}."
        )
    change = VIEWS[name]
    kept = {} if name in ("casing", "filler") else copied or {}
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
    """Start with a greeting or a filled pause."""
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
