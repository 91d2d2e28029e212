import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from choose.tasks.extraction import Extraction, as_text, fields_of, in_text_order, parse
from choose.tasks.kinds import read_task
from choose.tasks.value_parsing import as_date, as_number, canonical

TASK = Extraction(
    fields={"name": "text", "people": "number", "day": "date", "items": "list"},
    descriptions={"day": "the day of arrival"},
)

values = st.one_of(st.text(max_size=12), st.integers(-99, 9_999), st.lists(st.text(min_size=1)))
records = st.dictionaries(st.sampled_from([*TASK.fields, "other"]), values)


def score(output: object, target: object) -> float:
    return TASK.score(json.dumps(output), [json.dumps(target)])["field-f1"]


@given(records)
def test_a_record_equals_itself_in_any_order_of_fields(record: dict[str, object]) -> None:
    backwards = dict(reversed(record.items()))
    assert score(record, backwards) == 1
    assert TASK.score(as_text(record), [as_text(backwards)])["exact-record"] == 1
    assert as_text(record) == as_text(backwards)
    assert parse(as_text(record)) == parse(json.dumps(record))


@given(records, records)
def test_scores_are_symmetric_and_between_0_and_1(one: dict[str, object], other: object) -> None:
    assert 0 <= score(one, other) <= 1
    assert score(one, other) == score(other, one)


def test_two_of_three_fields() -> None:
    target = {"name": "Ann Lee", "people": 4, "items": ["2 rolls", "3 boxes"]}
    output = {"name": "ann lee", "people": "4", "items": ["3 boxes", "2 rolls", "1 box"]}
    found = TASK.score(json.dumps(output), [json.dumps(target)])
    assert found["field-f1"] == pytest.approx(2 * 4 / (5 + 4))
    assert found["exact-record"] == 0
    assert TASK.counts(json.dumps(output), json.dumps(target))["items"] == (2, 3, 2)


def test_empty_against_empty_is_right_and_absent_is_null_is_empty() -> None:
    assert score({}, {}) == 1
    assert score({"name": None, "items": [], "day": ""}, {}) == 1
    assert score({"name": "x"}, {}) == score({}, {"name": "x"}) == 0
    assert TASK.score(None, ["{}"]) == dict.fromkeys(TASK.own, 0.0)


def test_the_best_of_several_right_records_counts() -> None:
    assert TASK.score('{"name": "b"}', ['{"name": "a"}', '{"name": "b"}'])["exact-record"] == 1


@pytest.mark.parametrize(
    ("kind", "one", "other", "equal"),
    [
        ("text", "308", "308 points", False),
        ("text", "The Crown", "crown", True),
        ("text", "the", "a", False),
        ("text", "1.5 million", "15 million", False),
        ("text", "10:45", "1045", False),
        ("text", "5\u201310", "5-10", True),
        ("text", "caf\u00e9", "cafe\u0301", True),
        ("text", "6 people.", "6 people", True),
        ("number", "$1,200.50", "1200.5", True),
        ("number", "\u22124", -4, True),
        ("number", "1.5", "15", False),
        ("number", "1,5", "15", False),
        ("number", "1e3", "1000", True),
        ("number", "NaN", "nan", True),
        ("date", "3/4/2025", "2025-04-03", True),
        ("date", "3 April 2025", "2025-04-03", True),
        ("date", "April", "2025-04-03", False),
        ("date", "tomorrow", "Tomorrow", True),
        ("list", 3, "3", True),
    ],
)
def test_values_that_mean_the_same_are_equal(kind, one, other, equal):
    assert (canonical(one, kind) == canonical(other, kind)) is equal


def test_dates_with_the_month_first() -> None:
    assert as_date("3/4/2025", day_first=False) == "2025-03-04"
    assert as_date("2025-04-03", day_first=True) == "2025-04-03"


@pytest.mark.parametrize("text", ["1e999999", "0" * 5_000 + "1e", "\u0661", "", "1-3", "1,2,3"])
def test_absurd_numbers_are_none(text: str) -> None:
    assert as_number(text) in (None, Decimal(1))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "not JSON"),
        ('{"a": "b', "not JSON: Unterminated string starting at character 7"),
        ("[1]", "no object"),
        ('{"a": NaN}', "NaN"),
        ('{"a": 1, "a": 2}', "twice"),
        ('{"a": {"b": 1}}', "neither a text"),
        ('{"a": [[1]]}', "neither a text"),
        ("[" * 100_000, "nested"),
        ('```json\n{"a": "b"}\n```', "not JSON"),
    ],
)
def test_malformed_answers_say_why(text: str, says: str) -> None:
    assert says in str(TASK.problem_with(text))


def test_types_are_those_of_the_values() -> None:
    rows = ['{"day": "2025-01-31", "n": 1, "t": "007"}', '{"n": 2.5, "l": ["x"], "t": "8"}']
    assert fields_of(rows) == {"n": "number", "t": "text", "day": "date", "l": "list"}
    assert fields_of(reversed(rows)) == fields_of(rows)


def test_fields_stand_in_the_order_in_which_a_text_has_their_values() -> None:
    target = as_text({"date": "tonight", "people": "4", "note": "unsaid", "items": ["Tea", "cake"]})
    ordered = in_text_order(target, "4 of us, with TEA and cake, for tonight")
    assert list(json.loads(ordered)) == ["people", "items", "date", "note"]
    assert json.loads(ordered) == json.loads(target)
    assert in_text_order("{}", "anything") == "{}"


def test_a_task_is_read_as_it_was_written() -> None:
    assert read_task(json.loads(json.dumps(TASK.facts()))) == TASK
