"""Scores: each answer is known only by how good it is, from 0 to 1, as people or a judge say."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from choose.errors import DataError
from choose.outside_values import finite
from choose.tasks.metrics import SCORES, metrics_of
from choose.types import Example, Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores(Task):
    """A task of which scores of answers are known: an output is its score, from 0 to 1."""

    own: ClassVar[tuple[str, ...]] = metrics_of(SCORES)
    headline: str = own[0]
    kind: Literal["scores"] = "scores"

    def problem_with(self, output: str) -> str | None:
        return None if _number_in(output) is not None else "it is no number from 0 to 1"

    def own_scores(self, output: str, targets: Sequence[str]) -> dict[str, float]:
        return {"score": _number_in(output) or 0.0}


def _number_in(text: str) -> float | None:
    try:
        return finite(float(text), 0.0, 1.0)
    except ValueError:
        return None


def check_scores(pool: Sequence[Example], test: Sequence[Example] | None) -> None:
    raise DataError(
        "Scores can be compared and not learnt from. Use choose score --scores, or state another "
        "--kind."
    )
