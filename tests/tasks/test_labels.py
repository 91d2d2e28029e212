from dataclasses import replace

import pytest

from choose.errors import DataError, StudyError
from choose.tasks.labels import check_targets, readable, task_from
from choose.types import Example

# U3: U+2010 to U+2015 and the minus sign.
DASHES = [chr(code) for code in (*range(0x2010, 0x2016), 0x2212)]


def labelled(*labels: str) -> list[Example]:
    return [Example(id=str(i), text="t", target=label) for i, label in enumerate(labels)]


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("card_arrival", "card arrival"),
        ("cardArrival", "card arrival"),
        ("CardArrival", "card arrival"),
        ("card-arrival", "card arrival"),
        ("Refund_not_showing_up", "Refund not showing up"),
        ("reverted_card_payment?", "reverted card payment?"),
        ("HTTPError", "HTTP error"),
        ("Non-Transferable License", "Non-Transferable License"),
        ("URGENT", "URGENT"),
        ("1", "1"),
        ("-1", "-1"),
        ("__", "__"),
        ("größe_l", "größe l"),
    ],
)
def test_labels_are_made_readable(label: str, name: str) -> None:
    assert readable(label) == name


def test_labels_stand_in_a_fixed_order_whatever_the_order_of_rows() -> None:
    task = task_from(labelled("b", "10", "a", "2", "b", "a2", "a10"))
    assert task.labels == ("2", "10", "a", "a2", "a10", "b")
    assert task == task_from(labelled("a10", "a2", "2", "a", "10", "b"))


def test_names_descriptions_and_instruction_are_taken_over() -> None:
    task = task_from(labelled("0", "1"), {"0": "no"}, {"1": "It is so."}, "Decide.")
    assert task.names == ("no", "1")
    assert task.descriptions == {"1": "It is so."}
    assert task.instruction == "Decide."


@pytest.mark.parametrize(
    ("labels", "names", "says"),
    [
        (("card_arrival", "cardArrival"), {}, "'card_arrival'"),
        (("Billing", "billing"), {}, "'Billing' and 'billing'"),
        (("a", "b"), {"a": "b"}, "the same name"),
        *(((f"x{dash}y", "x-y"), {"x-y": "x-y"}, "look-alike") for dash in DASHES),
        (("refund", "b"), {"refnud": "x"}, "Did you mean 'refund'?"),
        (("a", "b"), {"a": " "}, "is empty"),
    ],
)
def test_names_that_cannot_be_used(labels, names, says):
    with pytest.raises(StudyError) as caught:
        task_from(labelled(*labels), names)
    assert says in str(caught.value)


def test_a_collision_is_settled_by_a_name() -> None:
    task = task_from(labelled("Billing", "billing"), {"Billing": "billing department"})
    assert task.names == ("billing department", "billing")


def test_a_description_for_an_unknown_label_is_refused() -> None:
    with pytest.raises(StudyError, match=r"\[task.descriptions\].*The labels are 'a', 'b'"):
        task_from(labelled("a", "b"), descriptions={"c": "x"})


@pytest.mark.parametrize(
    "twin",
    [
        "cafe\u0301",
        "caf\u00e9\u200b",
        "\u202ecaf\u00e9",
        "caf\u00e9\U000e0041",
        "\uff43\uff41\uff46\u00e9",
        "\u0441\u0430f\u00e9",
        "CAF\u00c9",
        "c\u03b1f\u00e9",
        "caf\u00e9\ufe0f",
    ],
)
def test_labels_that_look_the_same_are_one_label(twin: str) -> None:
    """L1: Unicode form, invisible characters, width and look-alikes, as case and blanks are."""
    with pytest.raises(StudyError, match="same name") as error:
        task_from(labelled("caf\u00e9", twin))
    assert "\n" not in str(error.value)
    task_from(labelled("caf\u00e9", twin), {twin: "another"})


def test_labels_of_another_script_stay_apart() -> None:
    labels = (
        "\u0442\u043e\u043a",
        "tok",
        "0",
        "O",
        "1",
        "I",
        "a-b-c",
        "\U0001f44d",
        "\u65e5\u672c",
    )
    assert len(task_from(labelled(*labels)).labels) == len(labels)


@pytest.mark.parametrize("label", ["\x07", "\u200b", "\U000e0041\u2060", "\u3164"])
def test_a_label_that_shows_nothing_is_refused(label: str) -> None:
    """L1."""
    with pytest.raises(StudyError, match="invisible"):
        task_from(labelled("a", label))


def test_labels_of_thousands_of_digits_are_ordered_by_value() -> None:
    """C2: the value was computed."""
    long = "9" * 5_000
    assert task_from(labelled(long, "1" + long, "2", "010", "9")).labels == (
        "2", "9", "010", long, "1" + long,
    )  # fmt: skip


def test_long_ids_are_not_taken_for_one_number() -> None:
    rows = labelled(*["1" * 400, "2" * 400, "12345678901234567", "12345678901234568"] * 3)
    check_targets([replace(row, id=str(i)) for i, row in enumerate(rows)], None)
    with pytest.raises(DataError, match="same number"):
        check_targets(labelled(*["1", "1.0"] * 6), None)
