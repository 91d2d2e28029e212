"""The report of many replayed decisions as plain text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from replays.grading import JUDGE, Grade
from replays.tally import Tally, tally

NAMES = 22


def lines(found: Tally, grades: Sequence[Grade]) -> Iterator[str]:
    """Yield the report."""
    yield "Shares and needless cost in % of decisions, regret in points of accuracy; ± is half a"
    yield "95 % interval over the sets, each of which is one cluster."
    yield ""
    yield f"{'right verdicts':{NAMES}}{found.right.text():>14}"
    yield f"{'nothing recommended':{NAMES}}{found.abstained.text():>14}"
    yield ""
    yield f"{'':{NAMES}}{'given in':>14}{'right':>14}"
    for split in (found.right_by_kind, found.right_by_confidence):
        for name, right in split.items():
            given = f"{100 * right.count / found.decisions:.1f}"
            yield f"{name:{NAMES}}{given:>14}{right.text():>14}"
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
        ("labels ", lambda g: f"{g.size:,}"),
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
    """Return how many rows tell the truth: the fewer, the more its noise adds to every rule."""
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
