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


# Rows asked of candidates with a model to tune or prompt. Clauses are four times as long as the
# texts of other sets, and their labels six times as many.
ROWS = 800
FEWER = {"cuad_clauses": 400}

Cell = tuple[str, int, int]


def rounds(draws: int = DRAWS) -> Iterator[list[Cell]]:
    """Yield (candidate, size, draw) round by round; after each, all candidates stand side by side.

    All that is cheap, as often as dear ones are; every candidate at the middle size, then at the
    others; the middle size again with the next draw; more draws of what is cheap; LoRA on the
    language model; the other sizes of later draws.
    """
    yield _cheap(range(draws))
    # More draws of zero-shot prompting only calibrate anew while its answers are known.
    zero_shot = [("prompt", SMALLEST, draw) for draw in range(draws)]
    yield [*zero_shot, *_middle(0)]
    yield _others(0)
    for draw in range(1, draws):
        yield _middle(draw)
    yield _cheap(range(draws, CHEAP_DRAWS))
    yield [(LM_LORA, MIDDLE, 0)]
    for draw in range(1, draws):
        yield _others(draw)
        yield [(LM_LORA, MIDDLE, draw)]


def _cheap(draws: range) -> list[Cell]:
    return [(name, size, draw) for draw in draws for size in SIZES for name in CHEAP]


def _middle(draw: int) -> list[Cell]:
    return [
        ("lora", MIDDLE, draw),
        ("few-shot", SMALLEST, draw),
        ("retrieval", MIDDLE, draw),
    ]


def _others(draw: int) -> list[Cell]:
    sizes = [size for size in reversed(SIZES) if size != MIDDLE]
    return [(name, size, draw) for size in sizes for name in ("lora", "retrieval")]


def rows_of(name: str, most: int) -> int:
    """Return how many rows of a set are asked of dear candidates."""
    return min(most, FEWER.get(name, most))


def plan(sets: Sequence[str], draws: int = DRAWS) -> list[Fit]:
    """Return all fits in their order."""
    return [
        Fit(set=name, candidate=candidate, size=size, draw=draw)
        for part in rounds(draws)
        for name in sets
        for candidate, size, draw in part
    ]
