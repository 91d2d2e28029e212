"""Which fits are made, in which order, and how long they will take."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from real_sets.candidates import KINDS
from real_sets.measure import Fit

SIZES = (100, 300, 1000)
SMALLEST, MIDDLE = SIZES[0], SIZES[1]
CHEAP_DRAWS, DRAWS = 5, 2

CHEAP = tuple(name for name, kind in KINDS.items() if kind.every_row)
LM_LORA = "lora on the LM"


# Rows asked of candidates with a model to tune or prompt, part by part, since a fit that is stopped
# leaves nothing. Clauses are four times as long as the texts of other sets, and their labels six
# times as many.
ROWS = (300, 800)
MOST = {"cuad_clauses": 400}

Cell = tuple[str, int, int, int]


def rounds(draws: int, parts: int) -> Iterator[list[Cell]]:
    """Yield (candidate, size, draw, part) round by round.

    All that is cheap, as often as dear ones are; every candidate at the middle size, all parts of
    the rows, since a study asks only rows that all its candidates can be asked; the other sizes;
    the same with the next draws; more draws of what is cheap; LoRA on the language model.
    """
    yield _cheap(range(draws))
    for draw in range(draws):
        for part in range(parts):
            # More draws of zero-shot prompting only calibrate anew while its answers are known.
            zero_shot = [] if draw else [("prompt", SMALLEST, n, part) for n in range(draws)]
            yield [*zero_shot, *_middle(draw, part)]
        for part in range(parts):
            yield _others(draw, part)
    yield _cheap(range(draws, CHEAP_DRAWS))
    yield [(LM_LORA, MIDDLE, draw, 0) for draw in range(draws)]


def _cheap(draws: range) -> list[Cell]:
    return [(name, size, draw, 0) for draw in draws for size in SIZES for name in CHEAP]


def _middle(draw: int, part: int) -> list[Cell]:
    cells = [("lora", MIDDLE), ("few-shot", SMALLEST), ("retrieval", MIDDLE)]
    return [(name, size, draw, part) for name, size in cells if _asked(name, part)]


def _others(draw: int, part: int) -> list[Cell]:
    sizes = [size for size in reversed(SIZES) if size != MIDDLE]
    names = [name for name in ("lora", "retrieval") if _asked(name, part)]
    return [(name, size, draw, part) for size in sizes for name in names]


def _asked(name: str, part: int) -> bool:
    return part == 0 or not KINDS[name].at_once


def plan(sets: Sequence[str], draws: int = DRAWS, rows: Sequence[int] = ROWS) -> list[Fit]:
    """Return all fits in their order."""
    return [
        Fit(set=name, candidate=candidate, size=size, draw=draw, part=part)
        for cells in rounds(draws, len(rows))
        for name in sets
        for candidate, size, draw, part in cells
    ]


def ends(name: str, rows: Sequence[int]) -> list[int]:
    """Return where each part of a set's asked rows ends."""
    return [min(last, MOST.get(name, last)) for last in rows]


def bounds(fit: Fit, rows: Sequence[int]) -> tuple[int, int]:
    """Return the first row that a fit is asked and the one after the last."""
    last = ends(fit.set, rows)
    if KINDS[fit.candidate].at_once:
        return 0, last[-1]
    return (last[fit.part - 1] if fit.part else 0), last[fit.part]
