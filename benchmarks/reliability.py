"""How often a stated chance is right: by tenths, with log loss and Brier score.

Beside them stand those of the rule "the highest score, always sure".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import log
from statistics import fmean, median

from choose.judge.decision.chance import Word, word_of
from choose.schema.decision import LIKELY, SURE, Decision

# A tenth is judged from so many decisions on, by this much; false "sure" of all, in any world.
ENOUGH, NEAR, FALSE_SURE = 100, 0.05, 0.02

# Chances are cut off here, as the rule that is always sure would lose without bound.
CERTAIN = 0.99

TENTHS = (*(i / 10 for i in range(10)), SURE, CERTAIN)


@dataclass(frozen=True, slots=True)
class Stated:
    """The chance that a verdict states, whether its family is right, and the highest score's."""

    chance: float
    right: bool
    highest: bool


def chance_of(found: Decision) -> float:
    """Return the chance that a decision states of the family that it names."""
    return found.verdict.chance.get(found.family, 0.0)


def word_for(found: Decision) -> Word:
    """Return what a decision calls its choice."""
    return word_of(chance_of(found))


def log_loss(pairs: Sequence[tuple[float, bool]]) -> float:
    """Return the mean log loss of (chance, right), chances cut at 0.01 and 0.99."""
    cut = ((min(max(chance, 1 - CERTAIN), CERTAIN), right) for chance, right in pairs)
    return fmean(-log(chance if right else 1 - chance) for chance, right in cut)


def brier(pairs: Sequence[tuple[float, bool]]) -> float:
    """Return the mean squared error of (chance, right)."""
    return fmean((chance - right) ** 2 for chance, right in pairs)


def lines(stated: Sequence[Stated]) -> Iterator[str]:
    """Yield the table and the scores."""
    yield f"{'stated chance':16}{'decisions':>10}{'mean':>8}{'right':>8}"
    for low, part in _parts(stated):
        mean, right = fmean(s.chance for s in part), fmean(s.right for s in part)
        yield f"{f'from {low:.2f}':16}{len(part):10,}{mean:8.3f}{right:8.3f}"
    mine = [(s.chance, s.right) for s in stated]
    naive = [(1.0, s.highest) for s in stated]
    yield (
        f"mean stated {fmean(s.chance for s in stated):.3f}, right "
        f"{fmean(s.right for s in stated):.3f}, median stated "
        f"{median(s.chance for s in stated):.3f}, false sure {100 * false_sure(stated):.2f} %"
    )
    for name, pairs in (("choose", mine), ("highest score, always sure", naive)):
        yield (
            f"{name:28}right {fmean(r for _, r in pairs):.3f}, log loss {log_loss(pairs):.3f}, "
            f"Brier {brier(pairs):.3f}"
        )


def false_sure(stated: Sequence[Stated]) -> float:
    """Return the share of all verdicts that are sure and wrong."""
    return fmean(s.chance >= SURE and not s.right for s in stated)


def missed(stated: Sequence[Stated], *, modest: bool = False) -> Iterator[str]:
    """Yield a sentence for each tenth that is off: to either side, or only too high if `modest`."""
    for low, part in _parts(stated):
        mean, right = fmean(s.chance for s in part), fmean(s.right for s in part)
        off = mean - right if modest else abs(mean - right)
        if len(part) >= ENOUGH and off > NEAR:
            yield f"chances from {low:.2f}: stated {mean:.3f}, right {right:.3f} of {len(part):,}"


def _parts(stated: Sequence[Stated]) -> Iterator[tuple[float, list[Stated]]]:
    for low, high in zip(TENTHS, (*TENTHS[1:], 2.0), strict=True):
        if part := [s for s in stated if low <= s.chance < high]:
            yield low, part


__all__ = ["LIKELY", "SURE", "Stated", "brier", "chance_of", "lines", "log_loss", "missed"]
