"""Values that a model made up are dropped in fields whose values stand in the text."""

from choose.models.records.literal_values import dropped_note, literal_fields, without_inventions
from choose.tasks.extraction import Extraction, as_text
from choose.types import Answers, Example, Item

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
