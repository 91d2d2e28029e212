"""Disturb targets that are records, texts or documents, as people err: swapped, dropped, changed.

And exchange facts by others of the same type, as time does.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from choose.tasks.answering import NO_ANSWER
from choose.tasks.extraction import as_text, parse
from choose.tasks.multilabel import read_set, set_text
from choose.tasks.ranking import read_scores, relevance_text
from choose.tasks.values import UNSPACED, as_date

# A number that a person might mistype; part of a word, such as M8, it is a name.
_NUMBER = re.compile(r"(?<![\w.])\d+(?![\w])")

_DAY = re.compile(r"\d{4}-\d\d-\d\d")

# Draws a number in [0, 1) for a purpose, always the same for a row.
Draw = Callable[[str], float]


def swapped(target: str, others: Iterable[str], draw: Draw) -> str:
    """Return the first other target that differs."""
    return next((other for other in others if other != target), target)


def value_swapped(target: str, others: Iterable[str], draw: Draw) -> str:
    """Give one field the value that it has in another record."""
    record = parse(target)
    name = _one_of(sorted(record), draw("field"))
    return target if name is None else _with(record, name, _values(others, name, record[name]))


def value_dropped(target: str, others: Iterable[str], draw: Draw) -> str:
    """Leave out one field, or one item of a list of several."""
    record = parse(target)
    name = _one_of(sorted(record), draw("field"))
    if name is None:
        return target
    value = record.pop(name)
    if isinstance(value, list) and len(value) > 1:
        gone = int(draw("item") * len(value))
        record[name] = [one for place, one in enumerate(value) if place != gone]
    return as_text(record)


def value_invented(target: str, others: Iterable[str], draw: Draw) -> str:
    """Fill a field that the record lacks with the value of another record."""
    record, others = parse(target), list(others)
    absent = sorted({name for other in others for name in parse(other)} - record.keys())
    name = _one_of(absent, draw("field"))
    return target if name is None else _with(record, name, _values(others, name, None))


def number_changed(target: str, others: Iterable[str], draw: Draw) -> str:
    """Change one digit of one number of a text."""
    found = list(_NUMBER.finditer(target))
    if not found:
        return target
    match = found[int(draw("number") * len(found))]
    place = match.start() + int(draw("digit") * len(match[0]))
    digits = [d for d in "123456789" if d != target[place]]
    return target[:place] + digits[int(draw("new") * len(digits))] + target[place + 1 :]


def truncated(target: str, others: Iterable[str], draw: Draw) -> str:
    """Leave out words at the end, or at the beginning, of an answer of several."""
    words = target.split()
    if len(words) < 2 or target == NO_ANSWER:
        return target
    kept = 1 + int(draw("words") * (len(words) - 1))
    return " ".join(words[:kept] if draw("side") < 0.5 else words[-kept:])


def number_changed_in_record(target: str, others: Iterable[str], draw: Draw) -> str:
    """Change one digit of one number in a value of a record."""
    record = parse(target)
    name = _one_of(sorted(n for n, v in record.items() if _NUMBER.search(_shown(v))), draw("field"))
    if name is None:
        return target
    value = record[name]
    if isinstance(value, list):
        places = [place for place, one in enumerate(value) if _NUMBER.search(_shown(one))]
        place = places[int(draw("item") * len(places))]
        return as_text(
            {**record, name: [*value[:place], _changed(value[place], draw), *value[place + 1 :]]}
        )
    return as_text({**record, name: _changed(value, draw)})


def label_dropped(target: str, others: Iterable[str], draw: Draw) -> str:
    """Leave out one label."""
    labels = read_set(target)
    gone = int(draw("label") * len(labels))
    return set_text((*labels[:gone], *labels[gone + 1 :]))


def label_added(target: str, others: Iterable[str], draw: Draw) -> str:
    """Add a label of another row, so that frequent labels are added more often."""
    labels = read_set(target)
    for other in others:
        if new := [label for label in read_set(other) if label not in labels]:
            return set_text((*labels, new[int(draw("label") * len(new))]))
    return target


def label_dropped_or_added(target: str, others: Iterable[str], draw: Draw) -> str:
    """Leave out a label or add one, each as often; a row without labels gets one."""
    drops = draw("way") < 0.5 and target != "[]"
    return (label_dropped if drops else label_added)(target, others, draw)


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


def relevant_dropped(target: str, others: Iterable[str], draw: Draw) -> str:
    """Leave out one relevant document, as nobody may have looked at it; of a single one, all."""
    grades = dict(read_scores(target))
    id = _one_of(sorted(grades), draw("document"))
    return relevance_text({one: grade for one, grade in grades.items() if one != id})


def _changed(value: Any, draw: Draw) -> Any:
    """Return a value with another digit; a date gets another day of its month."""
    if isinstance(value, str) and _DAY.fullmatch(value):
        days = [day for day in range(1, 29) if day != int(value[-2:])]
        return f"{value[:-2]}{days[int(draw('new') * len(days))]:02d}"
    return type(value)(number_changed(_shown(value), (), draw))


def _shown(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def _one_of(names: Sequence[str], at: float) -> str | None:
    return names[int(at * len(names))] if names else None


def _values(others: Iterable[str], name: str, besides: Any) -> Iterable[Any]:
    """Yield the values of a field in other records, `besides` and absent ones left out."""
    for other in others:
        value = parse(other).get(name)
        if value is not None and value != besides:
            yield value


def _with(record: Mapping[str, Any], name: str, values: Iterable[Any]) -> str:
    """Return the record with the first of these values in a field, if there is one."""
    value = next(iter(values), None)
    return as_text(record if value is None else {**record, name: value})


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


# The end of a sentence, and marks that are no part of an answer.
_SENTENCES, _MARKS = re.compile(r"(?<=[.!?])[\"')\]]*\s+"), '.,;:!?()[]"\u201c\u201d'


def other_spans(text: str, answers: Sequence[str]) -> list[str]:
    """Return what a person could mark in a text in place of an answer, in the text's order.

    Runs of as many words of one sentence that share no word with an accepted answer, but for short
    ones. If some are of the answer's type, only these; a short word such as "of" neither begins nor
    ends one. None in scripts without spaces between words.
    """
    if UNSPACED.search(answers[0]):
        return []
    count, plain = len(answers[0].split()), [w for a in answers for w in _plain(a)]
    right = {w for w in plain if len(w) > 3 or w.isdigit()} or {*plain}
    found = []
    for sentence in _SENTENCES.split(text):
        words = sentence.split()
        for start in range(len(words) - count + 1):
            run = words[start : start + count]
            if right.isdisjoint(_plain(" ".join(run))) and _bounds(run, first=not start):
                found.append(" ".join(run).strip(_MARKS))
    same = [one for one in found if form(one) == form(answers[0])]
    return list(dict.fromkeys(same or found))


def _plain(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def _bounds(run: Sequence[str], first: bool) -> bool:
    """Return whether no short word is at an end; a capital marks a name but in the first word."""
    ends = [word.strip(_MARKS) for word in (run[0], run[-1])]
    names = [word[:1].isupper() for word in ends]
    names[0] &= not first
    names[1] &= not (first and len(run) == 1)
    return all(
        name or len(word) > 3 or any(map(str.isdigit, word))
        for name, word in zip(names, ends, strict=True)
    )


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

# The noise whose other targets are those of rows with evidence in the same document; of rankings,
# documents with the same title. And that whose are other words of the passage with the answer.
IN_DOCUMENT, IN_PASSAGE = "swapped-in-document", "wrong-span"

# By the names of `types.Scenario.noise`; the first is the usual one, the second comes nearest to
# how people err.
OF_RECORDS: Mapping[str, Disturbance] = {
    "symmetric": swapped,
    "value-dropped": value_dropped,
    "value-swapped": value_swapped,
    "value-invented": value_invented,
    "number-changed": number_changed_in_record,
}

OF_SETS: Mapping[str, Disturbance] = {
    "symmetric": label_dropped_or_added,
    "label-dropped": label_dropped,
    "label-added": label_added,
}

OF_ANSWERS: Mapping[str, Disturbance] = {
    "symmetric": swapped,
    "truncated": truncated,
    "number-changed": number_changed,
    IN_DOCUMENT: swapped,
    IN_PASSAGE: swapped,
}

OF_RANKINGS: Mapping[str, Disturbance] = {
    "symmetric": relevant_swapped,
    "relevant-dropped": relevant_dropped,
    IN_DOCUMENT: relevant_swapped,
}

OF_TEXTS: Mapping[str, Disturbance] = {"symmetric": swapped, "number-changed": number_changed}
