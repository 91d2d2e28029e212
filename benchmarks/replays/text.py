"""The report of many replayed decisions as plain text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from replays.grading import JUDGE, Grade
from replays.tally import Mean, Tally, tally

NAMES = 22


def lines(found: Tally, grades: Sequence[Grade]) -> Iterator[str]:
    """Yield the report."""
    yield "(a to b) is the 95 % interval over the sets, each of which is one cluster."
    yield "Needless cost and shares in % of decisions, regret in points of accuracy."
    yield ""
    yield f"right verdicts          {found.right.text()}"
    yield f"nothing recommended     {found.abstained.text()}"
    for title, split in (
        ("verdict", found.right_by_kind),
        ("confidence", found.right_by_confidence),
    ):
        for name, right in split.items():
            given = f"given in {100 * right.count / found.decisions:.1f}"
            yield f"{title} {name:{NAMES - 7}} {given:>14}, right {right.text()}"
    yield ""
    yield from _rules(found)
    yield ""
    yield from _by_set(grades)


def _rules(found: Tally) -> Iterator[str]:
    heads = (
        "needless cost",
        "excess regret",
        "strict excess",
        "raw regret",
        "excess over choose's",
    )
    yield f"{'':{NAMES}}{'n':>6}" + "".join(f"{head:>22}" for head in heads)
    for name, rule in found.rules.items():
        parts: list[Mean] = [rule.excess, rule.strict_excess, rule.regret]
        shown = [rule.needless.text(), *(part.text(digits=2) for part in parts)]
        shown.append("" if name == JUDGE else rule.more.text(digits=2))
        yield f"{name:{NAMES}}{rule.excess.count:>6}" + "".join(f"{s:>22}" for s in shown)


def _by_set(grades: Sequence[Grade]) -> Iterator[str]:
    heads = ("right", "nothing rec.", "needless", "excess", "regret", "hs needless", "hs regret")
    yield f"{'':{NAMES}}{'n':>6}" + "".join(f"{head:>14}" for head in heads)
    for title, of in (
        ("", lambda g: g.set),
        ("labels ", lambda g: f"{g.size:,}"),
        ("rows asked ", lambda g: "100 to 199" if g.rows < 200 else "200 and more"),
        ("repetitions ", lambda g: "one" if g.repetitions == 1 else "several"),
    ):
        parts: Mapping[str, list[Grade]] = {}
        for grade in grades:
            parts.setdefault(of(grade), []).append(grade)
        for name, part in sorted(parts.items()):
            yield _row(f"{title}{name}", tally(part))


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
    shown = "".join(f"{100 * (m.value or 0.0):>14.{digits}f}" for m, digits in figures)
    return f"{name:{NAMES}}{found.decisions:>6}{shown}"
