"""Written answers: which candidate lost by their format alone, and what other metrics say."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from choose.formatting import plural
from choose.judge.decision.rule import Case
from choose.judge.measures.text_metrics import format_gap, leads_by_other_metrics, only_cut
from choose.judge.scores.score_tables import MISSING
from choose.judge.stats.metrics import UNUSABLE
from choose.schema.base import Interval
from choose.schema.score_names import NAMES
from choose.schema.standings import Step


def behind_by_other_metrics(case: Case) -> Iterator[str]:
    """Say of written answers where another family leads by another metric."""
    contenders, own = case.contenders, case.contenders.panel[case.name].main
    if not case.written or own is None:
        return
    found = [
        (lead.other - lead.own, name, lead)
        for family, name in contenders.best.items()
        if family != case.family and (table := contenders.panel[name].main) is not None
        for lead in leads_by_other_metrics(own, table)[:1]
    ]
    if found and (most := max(found))[0] > case.margin:
        _, name, lead = most
        yield (
            f"Whether {case.words.score} tells what readers value: by "
            f"{NAMES.get(lead.metric, lead.metric)} {name} is ahead of {case.name} "
            f"({lead.other:.2f} against {lead.own:.2f} on {plural(lead.rows, 'shared row')})."
        )


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
