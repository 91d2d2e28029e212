"""What the judge must reach, and where it does not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from choose.judge.decision.rows_needed import EVEN, LIKELY
from known_worlds.tally import Share, Tally

FALSE_WINNER = 0.05
COVERED = 0.93
HIGH_RIGHT, MEDIUM_RIGHT = 0.95, 0.80
HIGH_GIVEN, ABSTAINED = 0.60, 0.30
NEEDLESS_OF_HIGHEST = 0.5
EXCESS, REGRET = 0.003, 0.003

# A verdict of any kind is right at least this often, and a band of wrong labels holds their share.
KIND_RIGHT, NOISE_COVERED = 0.75, 0.90

# Chances that are named may be off by so much.
SLACK = 0.05


def missed(worlds: Mapping[str, Tally], overall: Tally) -> tuple[str, ...]:
    """Return the targets that were not met, one sentence each."""
    return (*_by_world(worlds), *_overall(overall))


def _by_world(worlds: Mapping[str, Tally]) -> Iterator[str]:
    for name, found in worlds.items():
        value = found.false_winner.value
        if value is not None and value > FALSE_WINNER:
            yield _said(f"{name}: false winners", found.false_winner, "at most", FALSE_WINNER)
        for what, covered in (
            ("differences", found.coverage),
            ("accuracies", found.coverage_of_accuracy),
        ):
            if covered.value is not None and covered.value < COVERED:
                yield _said(f"{name}: coverage of {what}", covered, "at least", COVERED)
        high = found.right_by_confidence["high"]
        # Where it is given seldom, chance alone would miss the target.
        if high.high is not None and high.high < HIGH_RIGHT:
            yield _said(f"{name}: right where confidence is high", high, "at least", HIGH_RIGHT)


def _overall(found: Tally) -> Iterator[str]:
    for level, goal in (("high", HIGH_RIGHT), ("medium", MEDIUM_RIGHT)):
        right = found.right_by_confidence[level]
        if right.value is not None and right.value < goal:
            yield _said(f"right where confidence is {level}", right, "at least", goal)
    if (found.high_given_of_all.value or 0.0) < HIGH_GIVEN:
        given = found.high_given_of_all
        yield _said("high given at twice the detectable gap", given, "at least", HIGH_GIVEN)
    for kind, right in found.right_by_kind.items():
        if right.high is not None and right.high < KIND_RIGHT:
            yield _said(f"right where it says {kind}", right, "at least", KIND_RIGHT)
    if found.noise_covered.high is not None and found.noise_covered.high < NOISE_COVERED:
        covered = found.noise_covered
        yield _said("coverage of the share of wrong labels", covered, "at least", NOISE_COVERED)
    if (found.abstained.value or 0.0) > ABSTAINED:
        yield _said("abstained at twice the detectable gap", found.abstained, "at most", 0.3)
    for what, came, said in (("an even", found.even, EVEN), ("a likely", found.likely, LIKELY)):
        if came.low is None or came.high is None:
            continue
        if came.high < said - SLACK or came.low > said + SLACK:
            yield _said(f"told apart by rows of {what} chance", came, "about", said)
    yield from _meanwhile(found)


def _meanwhile(found: Tally) -> Iterator[str]:
    mine, naive = found.meanwhile, found.highest
    if _value(mine.needless) >= NEEDLESS_OF_HIGHEST * _value(naive.needless):
        goal = NEEDLESS_OF_HIGHEST * _value(naive.needless)
        yield _said("needless cost of use_meanwhile", mine.needless, "less than", goal)
    if _value(mine.excess) > EXCESS:
        yield _said("excess regret of use_meanwhile", mine.excess, "at most", EXCESS)
    if _value(mine.regret) > _value(naive.regret) + REGRET:
        goal = _value(naive.regret) + REGRET
        yield _said("raw regret of use_meanwhile", mine.regret, "at most", goal)


def _value(found: Share) -> float:
    return found.value or 0.0


def _said(what: str, found: Share, how: str, goal: float) -> str:
    return f"{what}: {found.text(digits=2)} %, asked {how} {100 * goal:.2f} %"
