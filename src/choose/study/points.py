"""Places in the grid, before it is known what a strategy receives there."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum

from choose.types import STANDARD, Scenario

FIRST_PASS = "the first pass"


class Stage(IntEnum):
    """What runs when: what tells most comes first. Candidates that are not cheap are dear."""

    CHEAP = 0
    CHEAP_SEEDS = 1
    DEAR = 2
    CHEAP_GRID = 3
    CHEAP_SCENARIOS = 4
    DEAR_FOLDS = 5
    DEAR_INNER = 6
    REPETITIONS = 7
    DEAR_VIEWS = 8
    DEAR_NOISE = 9
    DEAR_SIZES = 10
    DEAR_SCENARIOS = 11


@dataclass(frozen=True, slots=True)
class Point:
    """One place for every fold.

    `folds` is how many folds, or parts of the scenario, there are to run; None is all of the
    data's division. `repeats` is how often an endpoint is asked the clean rows.
    """

    stage: Stage
    part: str
    variant: str = ""
    scenario: Scenario = STANDARD
    size: int | None = None
    repetition: int = 0
    views: tuple[str, ...] = ()
    folds: int | None = None
    repeats: int = 1

    def asking(self, rows: int) -> Point:
        """Return the same place with at most so many rows asked, folds together."""
        most = min(self.scenario.ask or rows, rows)
        return replace(self, scenario=replace(self.scenario, ask=most))
