"""Extraction: the answer is a record, a JSON object of fields with texts, numbers, dates or lists.

An absent field, null, an empty text and an empty list are the same. Targets and answers are texts:
JSON with sorted keys, so that equal records are equal texts.
"""

import json
from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import lru_cache
from typing import Any, ClassVar, Literal

from choose.errors import DataError, quoted
from choose.formatting import normalised
from choose.schema.study_sections import FieldType, TaskSection
from choose.tasks.base import check_differ, check_named
from choose.tasks.metrics import metrics_of
from choose.tasks.value_parsing import canonical, distinct_keys, json_in, type_name, type_of
from choose.types import Example, Item, Task

Record = Mapping[str, Any]

# Characters of JSON that are read of one answer.
LONGEST = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Extraction(Task):
    """The fields of a record with their types, in a fixed order; `descriptions` are by field.

    `day_first` says how 3/4/2025 is read.
    """

    own: ClassVar[tuple[str, ...]] = metrics_of("extraction")
    fields: Mapping[str, FieldType]
    day_first: bool = True
    headline: str = own[0]
    kind: Literal["extraction"] = "extraction"

    def scored_by(self) -> tuple[Any, ...]:
        return dict(self.fields), self.day_first

    def problem_with(self, output: str) -> str | None:
        try:
            parse(output)
        except ValueError as error:
            return str(error)
        return None

    def own_scores(self, output: str, targets: Sequence[str]) -> dict[str, float]:
        answered = self.pairs(parse(output))
        expected = [self.pairs(parse(target)) for target in targets]
        exact = float(answered in expected)
        f1 = [
            2 * (answered & one).total() / (answered.total() + one.total() or 1) for one in expected
        ]
        return {"field-f1": exact or max(f1), "exact-record": exact}

    def parts(self, text: str) -> dict[str, Any]:
        return parse(text)

    def counts(self, output: str | None, target: str) -> dict[str, tuple[int, int, int]]:
        answered = self.pairs({} if output is None else parse(output))
        expected = self.pairs(parse(target))
        right, given, wanted = (
            Counter(name for name, _ in pairs.elements())
            for pairs in (answered & expected, answered, expected)
        )
        names = sorted({*given, *wanted})
        return {name: (right[name], given[name], wanted[name]) for name in names}

    def pairs(self, record: Record) -> Counter[tuple[str, str]]:
        """Return the (field, canonical value) pairs of a record; a list has one for each value."""
        return Counter(
            (name, self._canonical(name, one))
            for name, value in record.items()
            for one in (value if isinstance(value, list) else [value])
        )

    def values(self, output: str, item: Item) -> dict[tuple[str, str], tuple[str, bool]]:
        """Return the values by field and canonical form: as written, and if the input has them."""
        said = f" {normalised(' '.join((item.text, *item.fields.values())))} "
        found = {}
        for name, value in parse(output).items():
            for one in value if isinstance(value, list) else [value]:
                stands = f" {normalised(str(one))} " in said
                found[name, self._canonical(name, one)] = (str(one), stands)
        return found

    def without(self, output: str, drop: Container[tuple[str, str]]) -> str:
        """Return a record without the values of these fields and canonical forms."""
        kept: dict[str, Any] = {}
        for name, value in parse(output).items():
            if isinstance(value, list):
                kept[name] = [v for v in value if (name, self._canonical(name, v)) not in drop]
            elif (name, self._canonical(name, value)) not in drop:
                kept[name] = value
        return as_text(kept)

    def _canonical(self, name: str, value: Any) -> str:
        return canonical(value, self.fields.get(name, "text"), self.day_first)

    def stratum(self, target: str) -> str:
        return " ".join(_filled_fields(target)) or "nothing"

    def classes(self, target: str) -> tuple[str, ...]:
        return _filled_fields(target)

    def copied(self, target: str) -> tuple[str, ...]:
        values = [v if isinstance(v, list) else [v] for v in parse(target).values()]
        return tuple(str(one) for value in values for one in value)


def fields_of(targets: Iterable[str]) -> dict[str, FieldType]:
    """Return the fields that occur in some records with their types, in order of frequency.

    Fields that are as frequent are in the order of their names, so that rows in another order
    make the same task.
    """
    values: dict[str, list[Any]] = {}
    for target in targets:
        for name, value in parse(target).items():
            values.setdefault(name, []).append(value)
    ordered = sorted(values, key=lambda name: (-len(values[name]), name))
    return {name: type_of(values[name]) for name in ordered}


def parse(text: str) -> dict[str, Any]:
    """Return the record in a text, strictly: one JSON object with flat values, empty ones left out.

    Raises:
        ValueError: saying what is wrong.
    """
    if len(text) > LONGEST:
        raise ValueError(f"it has more than {LONGEST:,} characters")
    try:
        found = json.loads(text, object_pairs_hook=distinct_keys, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("its JSON is nested too deeply") from None
    except json.JSONDecodeError as error:
        what = error.msg.removesuffix(" at")
        raise ValueError(f"it is not JSON: {what} at character {error.pos + 1}") from None
    if not isinstance(found, dict):
        raise ValueError("it is JSON, but no object")
    return {name: value for name, value in found.items() if _filled(name, value)}


def as_text(record: Record) -> str:
    """Return the text that represents a record: JSON with sorted keys, empty values left out.

    Raises:
        ValueError: if a value is neither text, number nor a list of these.
    """
    filled = {name: value for name, value in record.items() if _filled(name, value)}
    return json.dumps(filled, sort_keys=True, ensure_ascii=False, allow_nan=False)


def in_text_order(target: str, text: str) -> str:
    """Return a record with its fields in the order in which a text has their values.

    A model that reads from left to right writes such a record more easily. Values that the text
    does not have come last.
    """
    record, said = parse(target), text.casefold()

    def place(name: str) -> tuple[bool, int]:
        values = record[name] if isinstance(record[name], list) else [record[name]]
        places = [said.find(str(value).casefold()) for value in values]
        found = [place for place in places if place >= 0]
        return not found, min(found, default=0)

    ordered = sorted(sorted(record), key=place)
    return json.dumps({name: record[name] for name in ordered}, ensure_ascii=False)


@lru_cache(maxsize=100_000)
def _filled_fields(target: str) -> tuple[str, ...]:
    return tuple(sorted(parse(target)))


def _filled(name: str, value: Any) -> bool:
    """Return whether a field has a value.

    Raises:
        ValueError: if the value is an object, or a list of lists or objects.
    """
    for one in value if isinstance(value, list) else [value]:
        if isinstance(one, list | dict) or (isinstance(value, list) and one in (None, "")):
            raise ValueError(f"its field {name!r} is neither a text, a number nor a list of these")
    return value is not None and value != "" and value != []


def _refuse(constant: str) -> Any:
    raise ValueError(f"it holds {constant}, which is no JSON")


# With more fields than this, the names of fields are values.
MOST_FIELDS = 300


def record_cell(value: Any) -> tuple[str, ...]:
    """Return the right records of a cell as texts; none of an empty cell.

    A cell is an object or JSON of one; a list of objects holds several right answers.
    """
    if value is None or (isinstance(value, str) and not value.strip()):
        return ()
    given = json_in(value, "[") if isinstance(value, str) else value
    try:
        return tuple(dict.fromkeys(map(_record, given if isinstance(given, list) else [given])))
    except ValueError as error:
        raise ValueError(f"the target is no record: {error}") from error


def _record(value: Any) -> str:
    """Return the text that represents a record.

    Raises:
        ValueError: saying why it is none.
    """
    if isinstance(value, str) and value.lstrip().startswith(("{", "```", "[")):
        return as_text(parse(value))
    if not isinstance(value, Mapping):
        raise ValueError(f"it is {type_name(value)}, not an object")
    return as_text({str(name): _plain(one) for name, one in value.items()})


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, bytes):
        raise ValueError("a field of it holds bytes")
    return value


def check_records(pool: Sequence[Example], test: Sequence[Example] | None) -> None:
    check_differ(pool, "rows have the same record", "extract")
    names = {name for e in [*pool, *(test or ())] for target in e.targets for name in parse(target)}
    if len(names) > MOST_FIELDS:
        raise DataError(
            f"The records name {len(names):,} different fields, such as "
            f"{quoted(min(names))}; at most {MOST_FIELDS} are allowed. If these names are values, "
            'write them as values: {"name": ..., "value": ...}.'
        )


def extraction_from(
    pool: Sequence[Example], test: Sequence[Example], section: TaskSection
) -> Extraction:
    found = fields_of(target for e in pool for target in e.targets)
    known = sorted({*found, *fields_of(target for e in test for target in e.targets)})
    check_named("fields", section.fields, known, "field")
    check_named("descriptions", section.descriptions, known, "field")
    return Extraction(
        fields={**found, **section.fields},
        descriptions=dict(section.descriptions),
        instruction=section.instruction,
        day_first=section.day_first,
    )
