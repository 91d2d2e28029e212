"""Means over many replayed studies, the targets they must reach, and the report."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import sqrt
from statistics import fmean, stdev
from typing import Any

import numpy as np
from scipy.stats import t

import reliability
from reliability import Stated
from replay.answers import Answered
from replay.grading import JUDGE, RULES, Choice, Grade

EXCESS, REGRET = 0.003, 0.003

# Decisions that are open where twice as many unseen rows are clear, as a share of all.
OPEN_THOUGH_CLEAR = 0.10

NEEDLESS_OF_HIGHEST = 1.0

# Where the highest score costs nothing needlessly, the judge may not either.
TINY = 1e-9

NAMES = 22


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean over decisions, with equal weight for each set and a 95 % interval over the sets.

    Decisions on one set share its rows and its fits, so they are one cluster. `low` and `high` are
    None where there are fewer than two sets; `value` is None over no decision.
    """

    value: float | None
    low: float | None
    high: float | None
    count: int

    def text(self, digits: int = 1) -> str:
        """Return it in points or per cent with half the width of its interval."""
        if self.value is None:
            return "-"
        shown = f"{100 * self.value:.{digits}f}"
        if self.high is None:
            return shown
        return f"{shown} ± {100 * (self.high - self.value):.{digits}f}"


def mean(values: Sequence[tuple[str, float]]) -> Mean:
    """Return the mean of (set, value) pairs."""
    by_set: dict[str, list[float]] = defaultdict(list)
    for name, value in values:
        by_set[name].append(value)
    means = [fmean(part) for part in by_set.values()]
    if not means:
        return Mean(None, None, None, 0)
    middle = fmean(means)
    if len(means) < 2:
        return Mean(middle, None, None, len(values))
    half = float(t.ppf(0.975, len(means) - 1)) * stdev(means) / sqrt(len(means))
    return Mean(middle, middle - half, middle + half, len(values))


@dataclass(frozen=True, slots=True)
class RuleTally:
    """The cost of a rule, and of the judge on the same decisions.

    Attributes:
        applies: share of the decisions in which the rule can choose.
        judged: excess regret of the judge where the rule applies.
        more: by how much the rule's excess regret is above the judge's.
    """

    applies: float
    needless: Mean
    excess: Mean
    strict_excess: Mean
    regret: Mean
    judged: Mean
    more: Mean


@dataclass(frozen=True, slots=True)
class Tally:
    """The figures of some decisions; shares of right ones by family and by candidate.

    `false_family` is the share in which a candidate of a wrong family is recommended; `clear` that
    in which unseen rows, twice as many, show a family ahead, and `open_though_clear` that in which
    such a decision is open.
    """

    decisions: int
    right: Mean
    family_right: Mean
    false_family: Mean
    abstained: Mean
    clear: Mean
    open_though_clear: Mean
    right_by_kind: dict[str, tuple[Mean, Mean]]
    right_by_word: dict[str, tuple[Mean, Mean]]
    rules: dict[str, RuleTally]

    def record(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return asdict(self)


def tally(grades: Sequence[Grade], rules: Iterable[str] = RULES) -> Tally:
    """Summarise grades, and the choices of these rules of thumb."""
    return Tally(
        decisions=len(grades),
        right=_over(grades, lambda g: g.right),
        family_right=_over(grades, lambda g: g.family_right),
        false_family=_over(grades, lambda g: g.recommends and not g.family_right),
        abstained=_over(grades, lambda g: not g.recommends),
        clear=_over(grades, lambda g: g.clear),
        open_though_clear=_over(grades, lambda g: g.clear and g.word == "open"),
        right_by_kind=_split(grades, lambda g: g.kind),
        right_by_word=_split(grades, lambda g: g.word),
        rules={rule: _rule(grades, rule) for rule in (JUDGE, *rules)},
    )


def _split(grades: Sequence[Grade], of: Callable[[Grade], str]) -> dict[str, tuple[Mean, Mean]]:
    """Return by kind or word how often the family is right, and how often the candidate."""
    parts = {p: [g for g in grades if of(g) == p] for p in sorted({of(grade) for grade in grades})}
    return {
        name: (_over(part, lambda g: g.family_right), _over(part, lambda g: g.right))
        for name, part in parts.items()
    }


def _over(grades: Sequence[Grade], of: Callable[[Grade], float]) -> Mean:
    return mean([(grade.set, float(of(grade))) for grade in grades])


def _rule(grades: Sequence[Grade], rule: str) -> RuleTally:
    there = [grade for grade in grades if rule in grade.choices]

    def over(of: Callable[[Choice], float]) -> Mean:
        return _over(there, lambda g: of(g.choices[rule]))

    return RuleTally(
        applies=len(there) / max(len(grades), 1),
        needless=over(lambda c: c.needless),
        excess=over(lambda c: c.excess),
        strict_excess=over(lambda c: c.strict_excess),
        regret=over(lambda c: c.regret),
        judged=_over(there, lambda g: g.choices[JUDGE].excess),
        more=_over(there, lambda g: g.choices[rule].excess - g.choices[JUDGE].excess),
    )


def missed(found: Tally) -> Iterator[str]:
    """Yield the targets that were not met, one sentence each."""
    mine, naive = found.rules[JUDGE], found.rules["highest score"]
    if _value(mine.excess) > EXCESS:
        yield _sentence("excess regret", mine.excess, "at most", EXCESS)
    if _value(mine.regret) > _value(naive.regret) + REGRET:
        yield _sentence("raw regret", mine.regret, "at most", _value(naive.regret) + REGRET)
    if _value(found.open_though_clear) > OPEN_THOUGH_CLEAR:
        yield f"open though clear: {found.open_though_clear.text()}, asked at most 10"
    goal = NEEDLESS_OF_HIGHEST * _value(naive.needless)
    if _value(mine.needless) >= max(goal, TINY):
        yield _sentence("needless cost", mine.needless, "less than", goal)


def _value(found: Mean) -> float:
    return found.value or 0.0


def _sentence(what: str, found: Mean, how: str, goal: float) -> str:
    return f"{what} of what is used: {found.text(digits=2)}, asked {how} {100 * goal:.2f}"


def lines(found: Tally, grades: Sequence[Grade], score: str = "accuracy") -> Iterator[str]:
    """Yield the report; `score` is what regret has points of."""
    yield f"Shares and needless cost in % of decisions, regret in points of {score}; ± is half a"
    yield "95 % interval over the sets, each of which is one cluster."
    yield ""
    yield f"{'right families':{NAMES}}{found.family_right.text():>14}"
    yield f"{'right candidates':{NAMES}}{found.right.text():>14}"
    yield f"{'false families':{NAMES}}{found.false_family.text():>14}"
    yield f"{'nothing recommended':{NAMES}}{found.abstained.text():>14}"
    yield f"{'clear on unseen rows':{NAMES}}{found.clear.text():>14}"
    yield f"{'open though clear':{NAMES}}{found.open_though_clear.text():>14}"
    yield ""
    yield f"{'':{NAMES}}{'given in':>14}{'family right':>14}{'candidate':>14}"
    for split in (found.right_by_kind, found.right_by_word):
        for name, (family, member) in split.items():
            given = f"{100 * family.count / found.decisions:.1f}"
            yield f"{name:{NAMES}}{given:>14}{family.text():>14}{member.text():>14}"
    yield ""
    yield from reliability.lines([Stated(g.chance, g.one, g.naive_one) for g in grades])
    yield ""
    yield from _rules(found)
    yield ""
    yield from _by_set(grades)


def _rules(found: Tally) -> Iterator[str]:
    heads = ("needless cost", "excess regret", "strictly", "raw regret", "excess - choose's")
    yield f"{'':{NAMES}}{'n':>6}" + "".join(f"{head:>18}" for head in heads)
    for name, rule in found.rules.items():
        regrets = (rule.excess, rule.strict_excess, rule.regret)
        shown = [rule.needless.text(), *(part.text(digits=2) for part in regrets)]
        shown.append("" if name == JUDGE else rule.more.text(digits=2))
        yield f"{name:{NAMES}}{rule.excess.count:>6}" + "".join(f"{s:>18}" for s in shown)
    yield "Strictly: the half that names the best also says whether it is ahead by more than the"
    yield "margin, so that the noise of the truth cannot raise the figure, but may lower it."


def _by_set(grades: Sequence[Grade]) -> Iterator[str]:
    heads = ("right", "open", "needless", "excess", "regret", "hs needless", "hs regret")
    yield f"{'':{NAMES}}{'n':>6}" + "".join(f"{head:>13}" for head in heads)
    for title, of in (
        ("", lambda g: g.set),
        ("pool ", lambda g: f"{g.size:,}"),
        ("rows asked ", lambda g: "100 to 199" if g.rows < 200 else "200 and more"),
        ("rows unseen ", lambda g: _band(g.unseen)),
        ("repetitions ", lambda g: "one" if g.repetitions == 1 else "several"),
    ):
        parts: dict[str, list[Grade]] = {}
        for grade in grades:
            parts.setdefault(of(grade), []).append(grade)
        for name, part in sorted(parts.items()):
            yield _row(f"{title}{name}", tally(part))


def _band(rows: int) -> str:
    """Return a range of the number of unseen rows: fewer rows make the truth noisier."""
    if rows < 400:
        return "under 400"
    return "from 400" if rows < 800 else "from 800"


def _row(name: str, found: Tally) -> str:
    mine, naive = found.rules[JUDGE], found.rules["highest score"]
    figures = (
        (found.right, 1),
        (found.abstained, 1),
        (mine.needless, 1),
        (mine.excess, 2),
        (mine.regret, 2),
        (naive.needless, 1),
        (naive.regret, 2),
    )
    shown = "".join(f"{100 * (m.value or 0.0):>13.{digits}f}" for m, digits in figures)
    return f"{name:{NAMES}}{found.decisions:>6}{shown}"


def contents(sets: Mapping[str, Answered]) -> Iterator[str]:
    """Yield a line for each set and size, each mean score in % with the number of its draws.

    The sets have the same candidates.
    """
    first = next(iter(sets.values()))
    title = f"Stored: % {'right' if first.metric is None else 'of fields'} (draws)"
    yield f"{title:24}" + "".join(f"{name:>15}" for name in first.kinds)
    for name, answered in sets.items():
        for size in answered.sizes:
            cells = "".join(f"{_score(answered, kind, size):>15}" for kind in answered.kinds)
            yield f"{name:17}{size:>7,}{cells}"


def _score(answered: Answered, candidate: str, size: int) -> str:
    fits = answered.fitted(candidate, size).values()
    if not fits:
        return "-"
    mean = float(np.mean([fit.scores[fit.asked].mean() for fit in fits]))
    return f"{100 * mean:.1f} ({len(fits)})"
