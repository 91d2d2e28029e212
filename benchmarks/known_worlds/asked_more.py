"""Whether the test rows that a verdict asks for settle what it says they settle."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from choose.api.study_evidence import rule_of
from choose.judge.verdict import judge
from choose.schema.costs import Move
from choose.schema.decision import Decision
from known_worlds.setting import Setting
from known_worlds.simulate import evidence

# More test rows than this take too long to simulate.
MOST_ROWS = 10_000


@dataclass(frozen=True, slots=True)
class AskedMore:
    """What came of asking more rows; None where the verdict names no such number.

    Attributes:
        even: whether the rows of an even chance tell the two apart that the verdict names.
        likely: whether those of a chance of four in five do.
        recommends: whether the verdict on the latter recommends something, all rivals considered.
        skipped: numbers of rows that are named and too large to be simulated.
    """

    even: bool | None = None
    likely: bool | None = None
    recommends: bool | None = None
    skipped: int = 0


NOBODY = AskedMore()


def ask_more(found: Decision, setting: Setting, rng: np.random.Generator) -> AskedMore:
    """Make the study again with as many more rows as its verdict asks for; fits and rows are new.

    Not where prices set another margin for each pair.
    """
    move = next((move for move in found.moves if move.action == "ask more rows"), None)
    if move is None or setting.costs:
        return NOBODY
    even = _again(setting, move.labels_low, rng)
    # Where no number would do with four chances in five, the move names the even one alone.
    surer = move.labels if move.labels != move.labels_low else None
    likely = _again(setting, surer, rng)
    named = [more for more in (move.labels_low, surer) if more is not None]
    return AskedMore(
        skipped=sum(setting.rows + more > MOST_ROWS for more in named),
        even=_told_apart(even, found, move, setting) if even else None,
        likely=_told_apart(likely, found, move, setting) if likely else None,
        recommends=likely.verdict.recommended is not None if likely else None,
    )


def _again(setting: Setting, more: int | None, rng: np.random.Generator) -> Decision | None:
    if more is None or setting.rows + more > MOST_ROWS:
        return None
    larger = replace(setting, rows=setting.rows + more)
    return judge(evidence(larger, rng), rule_of(setting.study))


def _told_apart(again: Decision, found: Decision, move: Move, setting: Setting) -> bool:
    """Return whether the dearer of two is shown to gain, or shown not to gain the margin."""
    names = [c.name for c in setting.contestants]
    assert move.candidate is not None
    a, b = sorted((move.candidate, found.verdict.use_meanwhile), key=names.index)
    pair = next(
        p for p in again.pairs if {p.a, p.b} == {a, b} and "best of its kind" not in p.method
    )
    gain = pair.difference
    assert gain.low is not None
    assert gain.high is not None
    ends = (gain.low, gain.high) if pair.a == b else (-gain.high, -gain.low)
    value = gain.value if pair.a == b else -gain.value
    return (ends[0] > 0 and value >= setting.margin) or ends[1] < setting.margin
