from __future__ import annotations

import pytest

from choose.data.task import readable, task_from
from choose.errors import StudyError
from choose.types import Example


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
        (("refund", "b"), {"refnud": "x"}, "Did you mean 'refund'?"),
        (("a", "b"), {"a": " "}, "is empty"),
    ],
)
def test_names_that_cannot_be_used(
    labels: tuple[str, ...], names: dict[str, str], says: str
) -> None:
    with pytest.raises(StudyError) as caught:
        task_from(labelled(*labels), names)
    assert says in str(caught.value)


def test_a_collision_is_settled_by_a_name() -> None:
    task = task_from(labelled("Billing", "billing"), {"Billing": "billing department"})
    assert task.names == ("billing department", "billing")


def test_a_description_for_an_unknown_label_is_refused() -> None:
    with pytest.raises(StudyError, match=r"\[task.descriptions\].*The labels are 'a', 'b'"):
        task_from(labelled("a", "b"), descriptions={"c": "x"})
