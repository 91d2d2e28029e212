"""Disturb targets that are sets, records, texts or rankings, as people err.

And exchange facts by others of the same type, as time does.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable, Sequence

from choose.tasks.multilabel import read_set, set_text
from choose.tasks.ranking import read_scores, relevance_text
from choose.tasks.values import as_date

# Draws a number in [0, 1) for a purpose, always the same for a row.
Draw = Callable[[str], float]


def swapped(target: str, others: Iterable[str], draw: Draw) -> str:
    """Return the first other target that differs."""
    return next((other for other in others if other != target), target)


def label_dropped_or_added(target: str, others: Iterable[str], draw: Draw) -> str:
    """Leave out a label or add one of another row, each as often; a row without labels gets one."""
    labels = read_set(target)
    if labels and draw("way") < 0.5:
        gone = int(draw("label") * len(labels))
        return set_text((*labels[:gone], *labels[gone + 1 :]))
    for other in others:
        if new := [label for label in read_set(other) if label not in labels]:
            return set_text((*labels, new[int(draw("label") * len(new))]))
    return target


def relevant_swapped(target: str, others: Iterable[str], draw: Draw) -> str:
    """Put a document that is relevant to another question in the place of a relevant one."""
    grades = dict(read_scores(target))
    id = _one_of(sorted(grades), draw("document"))
    if id is None:
        return target
    for other in others:
        if new := [one for one in read_scores(other) if one not in grades]:
            grades[new[int(draw("new") * len(new))]] = grades.pop(id)
            break
    return relevance_text(grades)


def _one_of(names: Sequence[str], at: float) -> str | None:
    return names[int(at * len(names))] if names else None


# A number with its decimals or thousands, the parts of a time or a version, or an ordinal; or a
# small count in letters.
_FIGURE = re.compile(
    r"(?P<rank>\d+)(?:st|nd|rd|th)\b|\d+(?:[.,:]\d+)*|"
    r"\b(?:two|three|four|five|six|seven|eight|nine|ten|eleven|twelve)\b",
    re.IGNORECASE,
)

_COUNTS = ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven")

_MONTH = re.compile(r"\b(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\b", re.IGNORECASE)

# Words of names that are not capitalised.
_SMALL = frozenset(
    {"a", "and", "at", "de", "du", "for", "in", "la", "of", "on", "the", "to", "von"}
)


def form(text: str) -> str:
    """Return the type of an answer: with numbers, a name, or another phrase."""
    if _FIGURE.search(text):
        return "number"
    capital = [word[:1].isupper() for word in text.split() if word.casefold() not in _SMALL]
    return "name" if capital and all(capital) else "phrase"


def renumbered(text: str, draw: random.Random) -> str | None:
    """Return a text with other numbers, years by 1 to 9 and others by 10 to 50 %; None without any.

    A date stays a date, a time a time, and a number is written as before.
    """
    month = _MONTH.search(text) is not None
    # Without a name of a month or a whole year it may be a version, such as 5.1.2.
    day = as_date(text) if month or re.search(r"\d{4}", text) else None

    def other(match: re.Match[str]) -> str:
        written = match[0]
        if match["rank"]:
            return _ordinal(_of_a_month(match["rank"], draw) or _near(int(match["rank"]), draw))
        if not written[0].isdigit():
            return _count(written, draw)
        if re.fullmatch(r"1\d{3}|20\d\d", written):
            return str(int(written) + draw.choice((-1, 1)) * draw.randint(1, 9))
        if day is not None and not month:
            return written  # 2025-03-01 gets another year
        if month and (new := _of_a_month(written, draw)):
            return str(new).zfill(len(written))
        return _scaled(written, draw)

    new = _FIGURE.sub(other, text)
    return None if new == text or (day is not None and as_date(new) is None) else new


def _of_a_month(written: str, draw: random.Random) -> int | None:
    """Return a day that every month has, in place of one."""
    return draw.randint(1, 28) if written.isdigit() and 1 <= int(written) <= 31 else None


def _ordinal(value: int) -> str:
    teens = 10 <= value % 100 <= 20
    return f"{value}{'th' if teens else {1: 'st', 2: 'nd', 3: 'rd'}.get(value % 10, 'th')}"


def _count(written: str, draw: random.Random) -> str:
    """Return another count, capitalised alike."""
    new = draw.choice([word for word in _COUNTS if word != written.lower()])
    return new.capitalize() if written[:1].isupper() else new


def _scaled(written: str, draw: random.Random) -> str:
    """Return a number that is 10 to 50 % higher or lower, of a version its end, of a time hours."""
    parts = re.split(r"([.,:])", written)
    if parts[1:2] == [":"]:
        return f"{(int(parts[0]) + draw.randint(1, 5)) % 24:0{len(parts[0])}}:{''.join(parts[2:])}"
    grouped = "." not in written and "," in written and all(len(p) == 3 for p in parts[2::2])
    if grouped:
        return f"{_near(int(''.join(parts[::2])), draw):,}"
    if len(parts) == 3:  # a decimal mark
        new = str(_near(int(parts[0] + parts[2]), draw)).zfill(len(parts[0] + parts[2]))
        return f"{new[: -len(parts[2])]}{parts[1]}{new[-len(parts[2]) :]}"
    new = str(_near(int(parts[-1]), draw)).zfill(len(parts[-1]))
    return "".join([*parts[:-1], new])


def _near(value: int, draw: random.Random) -> int:
    """Return another whole number, 10 to 50 % away; a lower one only with as many digits."""
    step = max(1, round(value * draw.uniform(0.1, 0.5)))
    lower = value - step
    same = lower > 0 and len(str(lower)) == len(str(value))
    return lower if same and draw.random() < 0.5 else value + step


Disturbance = Callable[[str, Iterable[str], Draw], str]
