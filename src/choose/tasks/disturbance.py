"""Disturb targets that are records or texts, as people err: swapped, dropped, invented, changed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from choose.tasks.answering import NO_ANSWER
from choose.tasks.extraction import as_text, parse

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


Disturbance = Callable[[str, Iterable[str], Draw], str]

# By the names of `types.Scenario.noise`; the first is the usual one, the second comes nearest to
# how people err.
OF_RECORDS: Mapping[str, Disturbance] = {
    "symmetric": swapped,
    "value-dropped": value_dropped,
    "value-swapped": value_swapped,
    "value-invented": value_invented,
    "number-changed": number_changed_in_record,
}

OF_ANSWERS: Mapping[str, Disturbance] = {
    "symmetric": swapped,
    "truncated": truncated,
    "number-changed": number_changed,
}

OF_TEXTS: Mapping[str, Disturbance] = {"symmetric": swapped, "number-changed": number_changed}
