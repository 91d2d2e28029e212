"""Hints of personal data in rows that are about to leave the machine; counts, never the data."""

from __future__ import annotations

import re
from collections.abc import Iterable

_PATTERNS = {
    "e-mail address": re.compile(r"[\w.+-]+@[\w-]+\.[\w.-]*\w"),
    "phone number": re.compile(
        r"(?<![\w.,-])(?:\+|00)?\(?\d{1,4}\)?(?:[ ./-]?\(?\d{2,4}\)?){2,4}(?![\w,-]|\.\d)"
    ),
    "key or token": re.compile(
        r"\b(?:sk|pk|ghp|gho|xox[abp]|AKIA|hf|glpat)[-_]?[A-Za-z0-9_-]{16,}"
        r"|\beyJ[\w-]{10,}\.[\w-]{10,}|\b[0-9a-f]{32,}\b|-----BEGIN"
    ),
    "card or account number": re.compile(
        r"(?<!\d)(?:\d{4}[ -]?){3}\d{1,7}(?!\d)|\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}"
    ),
}


def personal_hints(texts: Iterable[str]) -> dict[str, int]:
    """Return for each kind in how many texts something looks like it; kinds without any are out.

    Patterns see forms and no meaning: names and addresses are not found, and a long order number
    can pass for a phone number.
    """
    counts = dict.fromkeys(_PATTERNS, 0)
    for text in texts:
        for kind, pattern in _PATTERNS.items():
            found = [m[0] for m in pattern.finditer(text)]
            counts[kind] += any(_plausible(kind, hit) for hit in found)
    return {kind: count for kind, count in counts.items() if count}


def _plausible(kind: str, hit: str) -> bool:
    digits = sum(c.isdigit() for c in hit)
    if kind != "phone number":
        return True
    # Bare numbers are amounts and years more often than not; telephones have 8 to 15 digits.
    return 8 <= digits <= 15 and (hit[0] in "+0(" or any(c in hit for c in " -./"))
