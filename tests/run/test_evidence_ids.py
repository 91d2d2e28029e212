"""A strategy that reads documents must say which places it read, or its trial fails clearly."""

from collections.abc import Sequence
from typing import Any, ClassVar

import pytest

from choose.errors import StrategyError
from choose.run.predict_test_rows import predict
from choose.tasks.answering import Answering
from choose.types import Answers, Item


class Reads:
    reads: ClassVar[bool] = True

    def __init__(self, *ids: str) -> None:
        self.ids = ids

    def predict(self, items: Sequence[Item]) -> Answers:
        count = len(items)
        return Answers(outputs=("a",) * count, status=("ok",) * count, evidence=(self.ids,) * count)


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
