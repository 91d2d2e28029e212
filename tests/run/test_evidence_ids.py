"""A strategy that reads documents must say which places it read, or its trial fails clearly."""

from collections.abc import Sequence
from typing import Any, ClassVar

import pytest

from choose.corpus import Span
from choose.errors import StrategyError
from choose.run.predict_test_rows import predict, predict_until
from choose.store.store import answers_from, answers_table
from choose.tasks.answering import Answering
from choose.types import Answers, Dataset, Example, Fold, Item


class Reads:
    reads: ClassVar[bool] = True

    def __init__(self, *ids: str, further: tuple[str, ...] = ()) -> None:
        self.ids, self.further = ids, further

    def predict(self, items: Sequence[Item]) -> Answers:
        count = len(items)
        ids, further = (self.ids,) * count, (self.further,) * count
        return Answers(
            outputs=("a",) * count, status=("ok",) * count, evidence=ids, further=further
        )


def answered(*ids: str) -> Answers:
    strategy: Any = Reads(*ids)
    return predict(strategy, [Item(id="1", text="What?")], Answering())


def test_places_are_taken() -> None:
    assert answered("a.md:0-10", "b:c:5-9").evidence == (("a.md:0-10", "b:c:5-9"),)
    assert answered().evidence == ((),)


@pytest.mark.parametrize("id", ["row 7", "a.md", "a:1", "a:x-y", ""])
def test_other_ids_fail_with_what_is_wrong(id: str) -> None:
    with pytest.raises(StrategyError, match="is no place in a document"):
        answered("a.md:0-10", id)


def test_of_what_was_found_below_a_run_keeps_the_evidence() -> None:
    row = Example(id="1", text="What?", target="a", evidence=(Span("a", 5, 9), Span("b", 0, 2)))
    data = Dataset(
        name="d",
        task=Answering(),
        examples={"1": row},
        folds=(Fold(pool=(), questions=("1",)),),
        division="held-out",
    )
    strategy: Any = Reads("a:0-5", further=("a:5-6", "a:9-12", "c:0-9", "b:1-4"))
    _, answers = predict_until(strategy, [row.item()], data)
    assert answers.evidence == (("a:0-5",),)
    assert answers.further == (("a:5-6", "b:1-4"),)
    table = answers_table(answers, ("1",))
    assert answers_from(table)[0].further == answers.further
    assert answers_from(table.drop("further"))[0].further is None
    with pytest.raises(StrategyError, match="is no place in a document"):
        predict(strategy.__class__("a:0-5", further=("row 7",)), [row.item()], Answering())
