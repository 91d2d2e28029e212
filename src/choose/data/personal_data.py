"""Detect personal data and secrets by patterns.

A match is a hint, not a proof; names and postal addresses have no pattern. Matches are not stored.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence

from choose.schema.check import Count
from choose.types import Example

# Every repetition is bounded, so that no text can make a search slow.
_EMAIL = re.compile(r"[\w.%+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}")

_DIGITS = re.compile(r"(?<![\w.])\+?\(?\d(?:[ ()./-]{0,2}\d){6,24}(?![\w])")

_IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b")

_KEY = re.compile(
    r"\bAKIA[0-9A-Z]{16}\b"
    r"|\bgh[pousr]_[A-Za-z0-9]{30,}"
    r"|\bsk-[A-Za-z0-9_-]{20,}"
    r"|\bsk_(?:live|test)_[A-Za-z0-9]{16,}"
    r"|\bxox[abprs]-[A-Za-z0-9-]{10,}"
    r"|\bAIza[0-9A-Za-z_-]{35}"
    r"|\beyJ[A-Za-z0-9_-]{10,600}\.eyJ[A-Za-z0-9_-]{10}"
    r"|-----BEGIN [A-Z ]{0,20}PRIVATE KEY-----"
)

_NETWORK = re.compile(
    r"4\d{15}|5[1-5]\d{14}|2[2-7]\d{14}|3[47]\d{13}|3[068]\d{12}|6(?:011|5\d\d|4[4-9]\d)\d{12}"
)

_DATE = re.compile(r"\d{4}[./-]\d{1,2}[./-]\d{1,2}|\d{1,2}[./-]\d{1,2}[./-]\d{2,4}")


def hints_by_row(rows: Sequence[Example]) -> list[tuple[str, str]]:
    """Return (id, kind) for every row and every kind of personal data that its input may hold."""
    return [(e.id, kind) for e in rows for kind, holds in KINDS.items() if holds(e.input)]


def hints_of(hints: Sequence[tuple[str, str]]) -> tuple[Count, ...]:
    """Count the rows of every kind, zeros included."""
    counts = Counter(kind for _, kind in hints)
    return tuple(Count(name=kind, rows=counts[kind]) for kind in KINDS)


def _email(text: str) -> bool:
    return "@" in text and _EMAIL.search(text) is not None


def _phone(text: str) -> bool:
    return any(_is_phone(match[0]) for match in _DIGITS.finditer(text))


def _is_phone(written: str) -> bool:
    """Return whether digits are a phone number: with a plus or in groups, and no date or card."""
    digits = re.sub(r"\D", "", written)
    if not 8 <= len(digits) <= 15 or _DATE.match(written) or _is_card(digits):
        return False
    # Longer ones without a plus are accounts and references.
    return written.startswith("+") or (len(digits) <= 12 and len(re.findall(r"\d+", written)) >= 3)


def _card(text: str) -> bool:
    return any(_is_card(re.sub(r"\D", "", match[0])) for match in _DIGITS.finditer(text))


def _is_card(digits: str) -> bool:
    """Return whether a card network issues such numbers and the check digit (Luhn) is right."""
    if not _NETWORK.fullmatch(digits) or len(set(digits)) < 2:
        return False
    doubled = [sum(divmod(2 * int(d), 10)) for d in digits[-2::-2]]
    return (sum(doubled) + sum(int(d) for d in digits[::-2])) % 10 == 0


def _iban(text: str) -> bool:
    return any(_is_iban(match[0].replace(" ", "")) for match in _IBAN.finditer(text))


def _is_iban(written: str) -> bool:
    """Return whether the check digits (ISO 7064, mod 97) are right."""
    if not 15 <= len(written) <= 34:
        return False
    return int("".join(str(int(c, 36)) for c in written[4:] + written[:4])) % 97 == 1


def _key(text: str) -> bool:
    return _KEY.search(text) is not None


KINDS: dict[str, Callable[[str], bool]] = {
    "e-mail address": _email,
    "phone number": _phone,
    "payment card number": _card,
    "bank account (IBAN)": _iban,
    "key or token": _key,
}
