"""Places in the grid, before it is known what a strategy receives there."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from choose.types import STANDARD, Scenario


class Stage(IntEnum):
    """What runs when: what tells most comes first. Candidates that are not cheap are dear."""

    CHEAP = 0
    DEAR = 1
    CHEAP_GRID = 2
    CHEAP_SCENARIOS = 3
    DEAR_FOLDS = 4
    DEAR_INNER = 5
    REPETITIONS = 6
    DEAR_VIEWS = 7
    DEAR_NOISE = 8
    DEAR_SIZES = 9
    DEAR_SCENARIOS = 10


@dataclass(frozen=True, slots=True)
class Point:
    """One place for every fold.

    `folds` is how many folds, or parts of the scenario, there are to run; None is all of the
    data's division.
    """

    stage: Stage
    part: str
    variant: str = ""
    scenario: Scenario = STANDARD
    size: int | None = None
    repetition: int = 0
    views: tuple[str, ...] = ()
    folds: int | None = None
