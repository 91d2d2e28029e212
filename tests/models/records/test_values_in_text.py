"""Values in texts: dates as people write them, and values that a model made up."""

from datetime import date

import pytest

from choose.models.records.values_in_text import (
    date_in,
    dropped_note,
    literal_fields,
    without_inventions,
)
from choose.tasks.extraction import Extraction, as_text
from choose.types import Answers, Example, Item

TUESDAY = date(2025, 1, 7)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("2025-01-14", "2025-01-14"),
        ("14/1", "2025-01-14"),
        ("14.1.25", "2025-01-14"),
        ("14 Jan", "2025-01-14"),
        ("14th of January", "2025-01-14"),
        ("January 14th, 2026", "2026-01-14"),
        ("by Tuesday 14 Jan", "2025-01-14"),
        ("5 Jan", "2026-01-05"),
        ("the 14th", "2025-01-14"),
        ("the 3rd", "2025-02-03"),
        ("today", "2025-01-07"),
        ("tomorrow", "2025-01-08"),
        ("Tuesday", "2025-01-14"),
        ("by Weds", "2025-01-08"),
        ("next Tuesday", "2025-01-14"),
        ("this Friday", "2025-01-10"),
        ("next Friday", "2025-01-17"),
        ("Friday week", "2025-01-17"),
        ("end of next week", "2025-01-17"),
        ("end of the week", "2025-01-10"),
        ("a week today", "2025-01-14"),
        ("in 3 days", "2025-01-10"),
        ("two weeks time", "2025-01-21"),
        ("31 Feb", None),
        ("99/99", None),
        ("March", None),
        ("asap", None),
        ("", None),
        ("4", None),
    ],
)
def test_a_day_is_read_as_a_person_means_it(text: str, meant: str | None) -> None:
    found = date_in(text, TUESDAY)
    assert (None if found is None else found.isoformat()) == meant


def test_without_a_reference_only_complete_dates_are_read() -> None:
    assert date_in("14 January 2025", None) == date(2025, 1, 14)
    assert date_in("14 January", None) is None
    assert date_in("tomorrow", None) is None


def test_the_month_first() -> None:
    assert date_in("3/4/2025", None, day_first=False) == date(2025, 3, 4)


def test_the_29th_of_february_is_in_no_common_year() -> None:
    assert date_in("29 Feb", date(2025, 1, 1)) is None


TASK = Extraction(fields={"name": "text", "day": "date", "size": "text", "tags": "list"})


def rows(count: int = 20) -> list[Example]:
    found = []
    for n in range(count):
        record = {"name": f"Ada{n}", "size": "small", "tags": [f"t{n}", "red"]}
        text = f"Ada{n} wants it in red, t{n}, on the {n + 1}th."
        found.append(Example(id=str(n), text=text, target=as_text(record)))
    return found


def test_fields_are_literal_if_their_right_values_stand_in_the_text() -> None:
    assert literal_fields(TASK, rows()) == ("name", "tags")
    assert literal_fields(TASK, rows(8)) == ("tags",)  # nine names are too few to tell
    wrong = [Example(id="x", text="no one", target=as_text({"name": "Bo"}))] * 2
    assert literal_fields(TASK, [*rows(), *wrong]) == ("tags",)
    assert literal_fields(TASK, []) == ()


def test_made_up_values_are_dropped_and_the_answer_is_kept_as_it_was() -> None:
    items = [Item(id="a", text="Ada wants red"), Item(id="b", text="Bo wants blue")]
    said = (
        as_text({"name": "Ada", "size": "large", "tags": ["red", "green"]}),
        as_text({"name": "Bo", "tags": ["blue"]}),
    )
    answers = Answers(outputs=said, status=("ok", "ok"))
    found = without_inventions(answers, items, TASK, ("name", "tags"))
    assert found.outputs == (as_text({"name": "Ada", "size": "large", "tags": ["red"]}), said[1])
    assert found.raw == (said[0], None)
    assert found.status == ("ok", "ok")
    assert without_inventions(answers, items, TASK, ()) is answers


def test_an_unusable_answer_stays_unusable() -> None:
    answers = Answers(outputs=(None,), status=("malformed",), raw=('{"name": "Cy"',))
    found = without_inventions(answers, [Item(id="a", text="Ada")], TASK, ("name",))
    assert (found.outputs, found.raw) == (answers.outputs, answers.raw)


def test_what_is_dropped_is_said() -> None:
    assert dropped_note(()) == ""
    assert "name, tags" in dropped_note(("name", "tags"))
