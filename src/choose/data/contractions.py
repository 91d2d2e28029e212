"""English contractions, written out or drawn together where that is safe."""

from __future__ import annotations

import re
from collections.abc import Callable
from random import Random

_NEGATED = "are|could|did|do|does|had|has|have|is|must|need|should|was|were|would"
_STARTS = "how|here|that|there|what|when|where|who"

# Possessives and 'd are left alone: what they stand for cannot be told from the word.
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
    """Write contractions out or, where there are none, draw words together; else change nothing."""
    if _LONG.search(text):
        return _LONG.sub(_keeping_capitals(_written_out), text)
    return _SHORT.sub(_keeping_capitals(_drawn_together), text)


def _written_out(match: re.Match[str]) -> str:
    if match["not"]:
        return f"{match['not']} not"
    if match["can"]:
        return "cannot" if match["can"].lower() == "can" else "will not"
    if match["who"]:
        return f"{match['who']} am"
    if match["are"]:
        return f"{match['are']} are"
    return f"{match['verb']} {'have' if match['end'].lower() == 've' else 'will'}"


def _drawn_together(match: re.Match[str]) -> str:
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
        found, new = match[0], change(match)
        if len(found) > 3 and found.isupper():
            return new.upper()
        return found[0] + new[1:]

    return changed
