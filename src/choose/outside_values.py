"""The boundary for numbers and settings from outside: flags, TOML, environment, servers.

NaN, infinity, overflow and absurd sizes never pass: `finite` and `count` return None for them,
`number`, `whole` and `check_values` refuse them with the name of the key.
"""

import re
from collections.abc import Iterable, Mapping
from datetime import date, time
from math import isfinite
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationInfo, field_validator

from choose.errors import ChooseError, StudyError

# The largest figure that anything here measures: larger ones are mistakes or attacks.
LARGEST = 1e12

# The smallest above zero, and the largest integer of hyperparameters and request bodies, where a
# seed may take 64 bits.
SMALLEST, INTEGER = 1e-12, 2**64

# Most levels of lists and tables in settings, and most characters of a text in them.
DEPTH, LETTERS = 20, 100_000

_LONE = re.compile("[\ud800-\udfff]")

# More characters than any number needs.
_LONGEST = 40


def finite(value: Any, low: float = -LARGEST, high: float = LARGEST) -> float | None:
    """Return a number, or the number that a text spells, if it lies between the bounds; else None.

    Never raises. Booleans are no numbers.
    """
    if isinstance(value, str) and (len(value) > _LONGEST or "_" in value):
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if isfinite(number) and low <= number <= high else None


def count(value: Any, high: int = 1 << 40) -> int | None:
    """Return a whole number from 0 to `high`, given as an integer; else None."""
    whole = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= high
    return int(value) if whole else None


def share(value: object) -> object:
    """Return a share of 1 for a text in per cent, such as ``90%``; anything else as it is.

    Raises:
        ValueError: for a number above 1, or what is none, saying what to write.
    """
    if isinstance(value, str):
        text = value.strip()
        percent = finite(text.removesuffix("%").strip(), 0.0, 100.0)
        if text.endswith("%") and percent is not None:
            return percent / 100
        if finite(text) is None:
            raise ValueError("write a share such as 0.85, or 85%")
    figure = finite(value, 0.0)
    if figure is not None and figure > 1:
        meant = f"write {figure / 100:g} or {figure:g}%"
        allowed = "it must be between 0 and 1, or 0% and 100%"
        raise ValueError(f"it is a share of 1: {meant}" if figure <= 100 else allowed)
    return value


_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}


def seconds(value: object) -> object:
    """Return the seconds of ``90s``, ``10m`` or ``2h``; a number alone is seconds."""
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*([smh]?)", value.strip().lower())
    amount = finite(match[1], 0.0, 1e9) if match else None
    if match is None or amount is None:
        raise ValueError("write a time like 90s, 10m or 2h")
    return amount * _UNITS[match[2]]


# Answers a month for one in each unit.
_PER_MONTH = {"day": 365.2425 / 12, "week": 365.2425 / 84, "month": 1.0, "year": 1 / 12}


def per_month(value: object) -> object:
    """Return the answers a month of ``200000/month`` or ``5,000/day``; a number is one already."""
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"([\d,_]*\d(?:\.\d+)?)(?:\s*/\s*(day|week|month|year))?", value.strip())
    amount = finite(re.sub("[,_]", "", match[1])) if match else None
    if match is None or amount is None:
        raise ValueError("write the answers you need: 200000/month")
    return amount * _PER_MONTH[match[2] or "month"]


def several(value: object) -> object:
    """Return a text's parts between commas, or a number, as a list; anything else as it is."""
    if isinstance(value, str):
        return [part.strip() for part in value.strip("[]").split(",") if part.strip()]
    return [value] if isinstance(value, int | float) and not isinstance(value, bool) else value


One = TypeVar("One")

# A list in settings, which may be written as one value or with commas.
Several = Annotated[tuple[One, ...], BeforeValidator(several)]


def number(
    value: object,
    key: str,
    low: float = -LARGEST,
    high: float = LARGEST,
    error: type[ChooseError] = StudyError,
) -> float:
    """Return a number between `low` and `high`, both included; `key` names it in messages."""
    figure = finite(value, low, high)
    if figure is None or 0 < abs(figure) < SMALLEST:
        raise error(f"{key} is {shown(value)}; it must be a number from {low:g} to {high:g}.")
    return figure


def whole(
    value: object, key: str, low: int, high: int, error: type[ChooseError] = StudyError
) -> int:
    """Return a whole number between `low` and `high`, both included; `key` names it in messages."""
    figure = finite(value, low, high)
    if figure is None or not figure.is_integer():
        raise error(f"{key} is {shown(value)}; it must be a whole number from {low:,} to {high:,}.")
    return int(figure)


def check_values(value: object, key: str, free: bool = False, depth: int = 0) -> None:
    """Refuse what no setting may hold, at any depth; `key` is where it occurs, such as ``[grid]``.

    The value is of TOML, JSON or flags, `depth` levels down. One that is passed on as it is
    (hyperparameters, request bodies) is `free`: integers may take 64 bits, and dates, which neither
    takes, are refused.
    """
    if depth > DEPTH:
        raise StudyError(f"{key} is nested more than {DEPTH} levels deep. Write it flat.")
    if isinstance(value, Mapping):
        for name, inner in value.items():
            path = f"{key}.{shown_key(name)}" if key else shown_key(name)
            check_values(name, path, free, depth + 1)
            check_values(inner, path, free or name in ("params", "extra_body"), depth + 1)
    elif isinstance(value, list | tuple):
        for place, inner in enumerate(value):
            check_values(inner, f"{key}.{place}", free, depth + 1)
    else:
        _check_scalar(value, key, free)


def _check_scalar(value: object, key: str, free: bool) -> None:
    if isinstance(value, str):
        if len(value) > LETTERS:
            raise StudyError(f"{key} has {len(value):,} characters; at most {LETTERS:,} are read.")
        check_text(value, key)
    elif isinstance(value, int | float):
        most = INTEGER if free and isinstance(value, int) else LARGEST
        if not abs(value) <= most or 0 < abs(value) < SMALLEST:
            raise StudyError(f"{key} is {shown(value)}. Write a usual number, or leave it out.")
    elif value is not None and (free or not isinstance(value, date | time)):
        raise StudyError(
            f"{key} is {shown(value)}. Allowed: text, numbers, true, false, lists and tables of "
            "these; write a date as text in quotes."
        )


def check_text(text: str, what: str, error: type[ChooseError] = StudyError) -> str:
    """Return a text that UTF-8 can hold."""
    if not text.isascii() and _LONE.search(text):
        raise error(f"{what} {shown(text)} is not UTF-8. Rename it, or write it in UTF-8.")
    return text


def shown(value: object) -> str:
    """Quote a value for a message: short, on one line, printable."""
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 100:
        return f"a number of about {value.bit_length() * 3 // 10:,} digits"
    text = repr(value[:60]) if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else f"{text[:59]}…"


def shown_key(name: object) -> str:
    """Return the name of a key for a message: short and printable."""
    text = str(name)
    return text if text.isprintable() and len(text) <= 60 else shown(text)


class Settings(BaseModel):
    """Base of settings from outside: frozen, no unknown keys, no true or false as a number."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, protected_namespaces=()
    )

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_values(cls, value: Any, info: ValidationInfo) -> Any:
        annotation = str(cls.model_fields[info.field_name or ""].annotation)
        inner = value.values() if isinstance(value, Mapping) else value
        values = inner if isinstance(inner, Iterable) and not isinstance(inner, str) else (inner,)
        numeric = re.search(r"\b(?:int|float)\b", annotation) and "bool" not in annotation
        if numeric and any(isinstance(v, bool) for v in values):
            raise ValueError("true and false are allowed for switches only")
        return value


def plain_reason(error: Mapping[str, Any]) -> str:
    """Return the reason of an error of pydantic as a part of a sentence."""
    if error["type"] == "float_parsing":
        figure = finite(str(error["input"]).strip(" $€£%"))
        return "write a number" if figure is None else f"write {figure:g}, without a sign"
    reason = str(error["msg"]).removeprefix("Value error, ")
    return reason[:1].lower() + reason[1:] if reason.startswith("Input ") else reason
