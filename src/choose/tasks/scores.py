"""Scores: each answer is known only by how good it is, from 0 to 1, as people or a judge say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from choose.errors import DataError
from choose.tasks.graded_task import GradedTask, common_settings
from choose.types import Example
from choose.untrusted import finite

SCORES = "scores"

# The one score of an answer.
OWN = ("score",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores(GradedTask):
    """A task of which scores of answers are known, and not the answers: an output is its score."""

    own: ClassVar[tuple[str, ...]] = OWN
    headline: str = OWN[0]
    kind: Literal["scores"] = "scores"

    def problem_with(self, output: str) -> str | None:
        """Return that an output is no score, or None."""
        return None if number_in(output) is not None else "it is no number from 0 to 1"

    def own_scores(self, output: str | None, targets: Sequence[str]) -> dict[str, float]:
        """Return the score that an output is; 0 where there is none."""
        return {OWN[0]: number_in(output or "") or 0.0}

    def lenient(self, raw: str) -> None:
        """Return None: a score is a number or not."""

    def stratum(self, target: str) -> str:
        """Return the target, which is the same for every row."""
        return target


def number_in(text: str) -> float | None:
    """Return the number from 0 to 1 that a text is, or None."""
    try:
        return finite(float(text), 0.0, 1.0)
    except ValueError:
        return None


def read_scores(facts: Mapping[str, Any]) -> Scores:
    """Return the task that `Scores.facts` described."""
    return Scores(**common_settings(facts, OWN))


def score_cells(values: Sequence[Any], rows: Sequence[int], column: str) -> list[tuple[str, ...]]:
    """Return the best score for every row."""
    return [("1",) for _ in values]


def check_scores(pool: Sequence[Example], test: Sequence[Example] | None) -> None:
    """Refuse to learn from scores.

    Raises:
        DataError: always.
    """
    raise DataError(
        "Scores can be compared and not learnt from. Use choose score --scores, or state another "
        "--kind."
    )
