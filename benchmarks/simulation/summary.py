"""Shares over many simulated studies, the targets they must reach, and the report."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import isnan, sqrt
from statistics import fmean, stdev
from typing import Any

import reliability
from choose.judge.decision.more_labels import EVEN, LIKELY
from choose.stats.intervals import wilson
from reliability import Stated
from simulation.grading import Choice, Grade

LEVELS = ("sure", "likely", "open")

KINDS = (
    "adopt",
    "baseline-is-enough",
    "none-works",
    "incomplete",
    "collect-labels",
    "fix-labels",
    "too-close",
)

FALSE_FAMILY = 0.05

COVERED = 0.93

SURE_RIGHT, LIKELY_RIGHT = 0.95, 0.80

SURE_GIVEN, ABSTAINED = 0.60, 0.30

NEEDLESS_OF_HIGHEST = 0.5

EXCESS, REGRET = 0.003, 0.003

# Least share of right verdicts of each kind, and of intervals that hold the label error rate.
KIND_RIGHT, NOISE_COVERED = 0.75, 0.90

# Stated chances may be off by this much.
SLACK = 0.05

WIDTH = 22


@dataclass(frozen=True, slots=True)
class Share:
    """A share or mean over `count` studies with a 95 % Monte-Carlo interval; None over no study."""

    value: float | None
    low: float | None
    high: float | None
    count: int

    def text(self, scale: float = 100, digits: int = 1) -> str:
        """Return it as a report shows it."""
        if self.value is None:
            return "-"
        assert self.low is not None
        assert self.high is not None
        low, high = scale * self.low, scale * self.high
        return f"{scale * self.value:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def share(hits: Sequence[bool]) -> Share:
    """Return the share of hits that are true."""
    if not hits:
        return Share(None, None, None, 0)
    low, high = wilson(sum(hits), len(hits))
    return Share(sum(hits) / len(hits), low, high, len(hits))


def mean(values: Sequence[float]) -> Share:
    """Return the mean, NaN left out."""
    known = [value for value in values if not isnan(value)]
    if len(known) < 2:
        return Share(None, None, None, len(known))
    half = 1.96 * stdev(known) / sqrt(len(known))
    middle = fmean(known)
    return Share(middle, middle - half, middle + half, len(known))


@dataclass(frozen=True, slots=True)
class Rule:
    """The cost of one rule for choosing a candidate."""

    needless: Share
    excess: Share
    regret: Share


@dataclass(frozen=True, slots=True)
class Tally:
    """The figures of a world, or of all worlds.

    `false_winner`, `member_right_by_word` and the rules are about candidates, the others
    about families.

    `sure_given` and `abstained` are over studies whose true gap is at least twice the detectable
    one, the first only over those whose plan does not bar "sure". `fix_given` is over
    studies whose labels limit the best and that recommend nothing; `even`, `likely` and
    `recommends` are about the additional test rows of verdicts.
    """

    studies: int
    coverage: Share
    coverage_of_accuracy: Share
    false_family: Share
    false_winner: Share
    false_among_recommended: Share
    not_better: Share
    recommended: Share
    right_by_word: dict[str, Share]
    member_right_by_word: dict[str, Share]
    right_by_kind: dict[str, Share]
    right_recommending: Share
    right_open: Share
    given: dict[str, Share]
    sure_given: Share
    sure_given_of_all: Share
    abstained: Share
    meanwhile: Rule
    highest: Rule
    one_error: Rule
    fix_given: Share
    even: Share
    likely: Share
    recommends: Share
    skipped: int
    noise_covered: Share
    stored: int
    stated: tuple[Stated, ...] = ()

    def record(self) -> dict[str, Any]:
        """Return it as JSON can hold it, without each study's chance."""
        return {**asdict(self), "stated": len(self.stated)}


def tally(grades: Sequence[Grade]) -> Tally:
    """Summarise grades."""
    chosen = [g for g in grades if g.recommends]
    decisive = [g for g in grades if g.decisive]
    return Tally(
        studies=len(grades),
        coverage=mean([g.covered_pairs for g in grades]),
        coverage_of_accuracy=mean([g.covered_accuracies for g in grades]),
        false_family=share([g.false_family for g in grades]),
        false_winner=share([g.false_winner for g in grades]),
        false_among_recommended=share([g.false_family for g in chosen]),
        not_better=share([g.not_better for g in grades]),
        recommended=share([g.recommends for g in grades]),
        right_by_word=_by_word(grades, lambda g: g.family_right),
        member_right_by_word=_by_word(grades, lambda g: g.right),
        right_by_kind={k: share([g.family_right for g in grades if g.kind == k]) for k in KINDS},
        right_recommending=share([g.family_right for g in chosen]),
        right_open=share([g.family_right for g in grades if not g.recommends]),
        given={level: share([g.word == level for g in grades]) for level in LEVELS},
        sure_given=share([g.word == "sure" for g in decisive if g.may_be_sure]),
        sure_given_of_all=share([g.word == "sure" for g in decisive]),
        abstained=share([not g.recommends and g.kind != "none-works" for g in decisive]),
        meanwhile=_rule(grades, lambda g: g.meanwhile),
        highest=_rule(grades, lambda g: g.highest),
        one_error=_rule(grades, lambda g: g.one_error),
        fix_given=share([g.kind == "fix-labels" for g in grades if g.limited and not g.recommends]),
        even=_known(g.more.even for g in grades),
        likely=_known(g.more.likely for g in grades),
        recommends=_known(g.more.recommends for g in grades),
        skipped=sum(g.more.skipped for g in grades),
        noise_covered=_known(g.noise_covered for g in grades),
        stored=sum(g.stored for g in grades),
        stated=tuple(Stated(g.chance, g.one, g.naive_one) for g in grades),
    )


def _by_word(grades: Sequence[Grade], hit: Callable[[Grade], bool]) -> dict[str, Share]:
    return {level: share([hit(g) for g in grades if g.word == level]) for level in LEVELS}


def _known(hits: Iterable[bool | None]) -> Share:
    return share([hit for hit in hits if hit is not None])


def _rule(grades: Sequence[Grade], of: Callable[[Grade], Choice]) -> Rule:
    choices = [of(grade) for grade in grades]
    return Rule(
        needless=share([c.needless for c in choices]),
        excess=mean([c.excess for c in choices]),
        regret=mean([c.regret for c in choices]),
    )


def missed(worlds: Mapping[str, Tally], overall: Tally) -> tuple[str, ...]:
    """Return the targets that were not met, one sentence each."""
    return (*_missed_by_world(worlds), *_missed_overall(overall))


def _missed_by_world(worlds: Mapping[str, Tally]) -> Iterator[str]:
    for name, found in worlds.items():
        value = found.false_family.value
        if value is not None and value > FALSE_FAMILY:
            yield _sentence(f"{name}: false families", found.false_family, "at most", FALSE_FAMILY)
        wrong = reliability.false_sure(found.stated)
        if wrong > reliability.FALSE_SURE and found.studies >= reliability.ENOUGH:
            yield f"{name}: sure and wrong in {100 * wrong:.1f} %, asked at most 2 %"
        for what, covered in (
            ("differences", found.coverage),
            ("accuracies", found.coverage_of_accuracy),
        ):
            if covered.value is not None and covered.value < COVERED:
                yield _sentence(f"{name}: coverage of {what}", covered, "at least", COVERED)
        high = found.right_by_word["sure"]
        # Few cases would miss the target by chance alone.
        if high.high is not None and high.high < SURE_RIGHT:
            what = f"{name}: right family where it is called sure"
            yield _sentence(what, high, "at least", SURE_RIGHT)


def _missed_overall(found: Tally) -> Iterator[str]:
    for level, goal in (("sure", SURE_RIGHT), ("likely", LIKELY_RIGHT)):
        right = found.right_by_word[level]
        if right.value is not None and right.value < goal:
            yield _sentence(f"right where it is called {level}", right, "at least", goal)
    if (found.sure_given_of_all.value or 0.0) < SURE_GIVEN:
        given = found.sure_given_of_all
        yield _sentence("sure given at twice the detectable gap", given, "at least", SURE_GIVEN)
    for kind, right in found.right_by_kind.items():
        if right.high is not None and right.high < KIND_RIGHT:
            yield _sentence(f"right where it says {kind}", right, "at least", KIND_RIGHT)
    if found.noise_covered.high is not None and found.noise_covered.high < NOISE_COVERED:
        covered = found.noise_covered
        yield _sentence("coverage of the share of wrong labels", covered, "at least", NOISE_COVERED)
    if (found.abstained.value or 0.0) > ABSTAINED:
        yield _sentence("abstained at twice the detectable gap", found.abstained, "at most", 0.3)
    for what, came, said in (("an even", found.even, EVEN), ("a likely", found.likely, LIKELY)):
        if came.low is None or came.high is None:
            continue
        if came.high < said - SLACK or came.low > said + SLACK:
            yield _sentence(f"told apart by rows of {what} chance", came, "about", said)
    yield from reliability.missed(found.stated)
    yield from _missed_meanwhile(found)


def _missed_meanwhile(found: Tally) -> Iterator[str]:
    mine, naive = found.meanwhile, found.highest
    if _value(mine.needless) >= NEEDLESS_OF_HIGHEST * _value(naive.needless):
        goal = NEEDLESS_OF_HIGHEST * _value(naive.needless)
        yield _sentence("needless cost of use_meanwhile", mine.needless, "less than", goal)
    if _value(mine.excess) > EXCESS:
        yield _sentence("excess regret of use_meanwhile", mine.excess, "at most", EXCESS)
    if _value(mine.regret) > _value(naive.regret) + REGRET:
        goal = _value(naive.regret) + REGRET
        yield _sentence("raw regret of use_meanwhile", mine.regret, "at most", goal)


def _value(found: Share) -> float:
    return found.value or 0.0


def _sentence(what: str, found: Share, how: str, goal: float) -> str:
    return f"{what}: {found.text(digits=2)} %, asked {how} {100 * goal:.2f} %"


COLUMNS: tuple[tuple[str, Callable[[Tally], Share]], ...] = (
    ("f.family", lambda t: t.false_family),
    ("f.memb.", lambda t: t.false_winner),
    ("recom.", lambda t: t.recommended),
    ("f.of rec", lambda t: t.false_among_recommended),
    ("no gain", lambda t: t.not_better),
    ("cov.diff", lambda t: t.coverage),
    ("cov.acc", lambda t: t.coverage_of_accuracy),
    ("sure", lambda t: t.given["sure"]),
    ("s.right", lambda t: t.right_by_word["sure"]),
    ("s.memb.", lambda t: t.member_right_by_word["sure"]),
    ("l.right", lambda t: t.right_by_word["likely"]),
    ("2x.sure", lambda t: t.sure_given),
    ("2x.abst", lambda t: t.abstained),
)


def lines(worlds: Mapping[str, Tally], overall: Tally) -> Iterator[str]:
    """Yield the report."""
    yield "All figures in % of studies; (a to b) is the 95 % Monte-Carlo interval."
    yield "A family is represented by its best member. It is false if a cheaper one is within the"
    yield "margin or another is better by more. f.memb., s.memb.: the same of the candidate named."
    yield ""
    yield f"{'world':{WIDTH}}" + "".join(f"{name:>9}" for name, _ in COLUMNS)
    for name, found in (*worlds.items(), ("overall", overall)):
        yield f"{name:{WIDTH}}" + "".join(f"{_percent(of(found)):>9}" for _, of in COLUMNS)
    yield ""
    yield from _worst_lines(worlds)
    yield ""
    yield from _overall_lines(overall)


def _percent(found: Share) -> str:
    return "-" if found.value is None else f"{100 * found.value:.1f}"


def _worst_lines(worlds: Mapping[str, Tally]) -> Iterator[str]:
    for what, of, highest in (
        ("false families", lambda t: t.false_family, True),
        ("false members", lambda t: t.false_winner, True),
        ("coverage of differences", lambda t: t.coverage, False),
        ("coverage of accuracies", lambda t: t.coverage_of_accuracy, False),
        ("right where sure", lambda t: t.right_by_word["sure"], False),
        ("right where likely", lambda t: t.right_by_word["likely"], False),
    ):
        known = {name: of(t) for name, t in worlds.items() if of(t).value is not None}
        if known:
            pick = max if highest else min
            name = pick(known, key=lambda n: known[n].value or 0.0)
            yield f"worst world, {what}: {name}, {known[name].text()} of {known[name].count}"


def _overall_lines(found: Tally) -> Iterator[str]:
    yield f"coverage of differences    {found.coverage.text()}"
    yield f"coverage of accuracies     {found.coverage_of_accuracy.text()}"
    yield f"false families             {found.false_family.text()} of all, "
    yield f"                           {found.false_among_recommended.text()} of recommended"
    yield f"false members              {found.false_winner.text()} of all"
    for level in LEVELS:
        right, given = found.right_by_word[level], found.given[level]
        member = found.member_right_by_word[level]
        yield f"called {level:19} given {given.text()}, right {right.text()},"
        yield f"{'':27}right about the member too {member.text()}"
    for what, right in (
        ("recommend", found.right_recommending),
        ("leave it open", found.right_open),
    ):
        yield f"verdicts that {what:13} right {right.text()} of {right.count}"
    for kind in KINDS:
        right = found.right_by_kind[kind]
        yield f"kind {kind:21} right {right.text()} of {right.count}"
    fix = found.fix_given
    yield f"labels limit, no winner    fix-labels given {fix.text()} of {fix.count}"
    yield "rows that are asked for    tell the two apart"
    yield f"  with an even chance      {found.even.text()} of {found.even.count}"
    yield f"  four times in five       {found.likely.text()} of {found.likely.count};"
    yield f"{'':27}all rivals settled {found.recommends.text()}"
    yield f"{'':27}{found.skipped} numbers are above what is simulated"
    yield f"band of wrong labels       holds their share {found.noise_covered.text()}"
    yield f"{'':27}of {found.noise_covered.count} that have one"
    high, every = found.sure_given, found.sure_given_of_all
    yield f"gap twice the detectable   sure given {every.text()} of {every.count},"
    yield f"{'':27}where the plan allows it {high.text()} of {high.count},"
    yield f"{'':27}abstained {found.abstained.text()} of {found.abstained.count}"
    yield ""
    yield from reliability.lines(found.stated)
    yield ""
    yield "What a rule costs            needless cost        excess regret      raw regret (points)"
    yield _cost_line("use_meanwhile", found.meanwhile)
    yield _cost_line("highest score", found.highest)
    yield _cost_line("one standard error", found.one_error)


def _cost_line(name: str, rule: Rule) -> str:
    parts = (rule.needless.text(), rule.excess.text(digits=2), rule.regret.text(digits=2))
    return f"{name:22}" + "".join(f"{part:>23}" for part in parts)
