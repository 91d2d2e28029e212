"""Written answers: which candidate lost by their format alone, and what other metrics say."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from choose.formatting import plural
from choose.judge.decision.rule import Case
from choose.judge.measures.text_metrics import format_gap, only_cut
from choose.judge.scores.score_tables import MISSING
from choose.judge.stats.metrics import UNUSABLE
from choose.schema.base import Interval
from choose.schema.standings import Step


class LostByFormat(NamedTuple):
    """A candidate whose unusable answers, repaired, would bring it level with the chosen one."""

    candidate: str
    gap: Interval
    unusable: int
    answers: int
    cut: bool


def lost_by_format(case: Case) -> LostByFormat | None:
    """Return the candidate that lost by the format of its answers alone, if there is one."""
    contenders, pick = case.contenders, case.name
    if contenders.panel.rows.labels:
        return None
    found: list[tuple[float, LostByFormat]] = []
    for name in contenders.names:
        table = contenders.panel[name].main
        if name == pick or table is None or (gap := format_gap(table)) is None:
            continue
        lead = contenders.gain(name, pick)  # level only once its answers are repaired
        if lead is None or not lead.value <= -case.margin <= lead.value + gap.value:
            continue
        unusable = int((table.outputs == UNUSABLE).sum())
        answers = int((table.outputs != MISSING).sum())
        lost = LostByFormat(name, gap, unusable, answers, only_cut(table))
        found.append((lead.value + gap.value, lost))
    return max(found, key=lambda one: one[0])[1] if found else None


def text_steps(case: Case) -> Iterator[Step]:
    """Yield what to do about unreadable answers."""
    if (lost := lost_by_format(case)) is not None:
        how = "did not end. Allow longer answers, or stop those that repeat themselves."
        if not lost.cut:
            how = "cannot be read. Show it an example of the form, or use a schema at an endpoint."
        yield Step(
            kind="fix-format",
            text=f"Mend the output of {lost.candidate} before you believe that it lost: "
            f"{lost.unusable:,} of {plural(lost.answers, 'answer')} {how}",
            question=f"whether {lost.candidate} is as good as {case.name}",
            value=lost.gap,
        )
