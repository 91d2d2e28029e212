"""What must be reached on the real sets, and where it is not."""

from __future__ import annotations

from collections.abc import Iterator

from replays.grading import JUDGE
from replays.tally import Mean, Tally

EXCESS, REGRET = 0.003, 0.003
NEEDLESS_OF_HIGHEST = 0.5


def missed(found: Tally) -> Iterator[str]:
    """Yield the targets that were not met, one sentence each."""
    mine, naive = found.rules[JUDGE], found.rules["highest score"]
    if _value(mine.excess) > EXCESS:
        yield _said("excess regret", mine.excess, "at most", EXCESS)
    if _value(mine.regret) > _value(naive.regret) + REGRET:
        yield _said("raw regret", mine.regret, "at most", _value(naive.regret) + REGRET)
    goal = NEEDLESS_OF_HIGHEST * _value(naive.needless)
    if _value(mine.needless) >= goal:
        yield _said("needless cost", mine.needless, "less than", goal)


def _value(found: Mean) -> float:
    return found.value or 0.0


def _said(what: str, found: Mean, how: str, goal: float) -> str:
    return f"{what} of what is used: {found.text(digits=2)}, asked {how} {100 * goal:.2f}"
