"""The report of many studies as plain text."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from known_worlds.tally import KINDS, LEVELS, Rule, Share, Tally

WIDTH = 22

COLUMNS: tuple[tuple[str, Callable[[Tally], Share]], ...] = (
    ("false", lambda t: t.false_winner),
    ("recom.", lambda t: t.recommended),
    ("f.of rec", lambda t: t.false_among_recommended),
    ("no gain", lambda t: t.not_better),
    ("cov.diff", lambda t: t.coverage),
    ("cov.acc", lambda t: t.coverage_of_accuracy),
    ("high", lambda t: t.given["high"]),
    ("h.right", lambda t: t.right_by_confidence["high"]),
    ("m.right", lambda t: t.right_by_confidence["medium"]),
    ("2x.high", lambda t: t.high_given),
    ("2x.abst", lambda t: t.abstained),
)


def lines(worlds: Mapping[str, Tally], overall: Tally) -> Iterator[str]:
    """Yield the report."""
    yield "All figures in % of studies; (a to b) is the 95 % Monte-Carlo interval."
    yield ""
    yield f"{'world':{WIDTH}}" + "".join(f"{name:>9}" for name, _ in COLUMNS)
    for name, found in (*worlds.items(), ("overall", overall)):
        yield f"{name:{WIDTH}}" + "".join(f"{_bare(of(found)):>9}" for _, of in COLUMNS)
    yield ""
    yield from _worst(worlds)
    yield ""
    yield from _overall(overall)


def _bare(found: Share) -> str:
    return "-" if found.value is None else f"{100 * found.value:.1f}"


def _worst(worlds: Mapping[str, Tally]) -> Iterator[str]:
    for what, of, highest in (
        ("false winners", lambda t: t.false_winner, True),
        ("coverage of differences", lambda t: t.coverage, False),
        ("coverage of accuracies", lambda t: t.coverage_of_accuracy, False),
        ("right where high", lambda t: t.right_by_confidence["high"], False),
        ("right where medium", lambda t: t.right_by_confidence["medium"], False),
    ):
        known = {name: of(t) for name, t in worlds.items() if of(t).value is not None}
        if known:
            pick = max if highest else min
            name = pick(known, key=lambda n: known[n].value or 0.0)
            yield f"worst world, {what}: {name}, {known[name].text()} of {known[name].count}"


def _overall(found: Tally) -> Iterator[str]:
    yield f"coverage of differences    {found.coverage.text()}"
    yield f"coverage of accuracies     {found.coverage_of_accuracy.text()}"
    yield f"false winners              {found.false_winner.text()} of all, "
    yield f"                           {found.false_among_recommended.text()} of recommended"
    for level in LEVELS:
        right, given = found.right_by_confidence[level], found.given[level]
        yield f"confidence {level:15} given {given.text()}, right {right.text()}"
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
    high, every = found.high_given, found.high_given_of_all
    yield f"gap twice the detectable   high given {every.text()} of {every.count},"
    yield f"{'':27}where the plan allows it {high.text()} of {high.count},"
    yield f"{'':27}abstained {found.abstained.text()} of {found.abstained.count}"
    yield ""
    yield "What a rule costs            needless cost        excess regret      raw regret (points)"
    yield _costs("use_meanwhile", found.meanwhile)
    yield _costs("highest score", found.highest)
    yield _costs("one standard error", found.one_error)


def _costs(name: str, rule: Rule) -> str:
    parts = (rule.needless.text(), rule.excess.text(digits=2), rule.regret.text(digits=2))
    return f"{name:22}" + "".join(f"{part:>23}" for part in parts)
