"""What weighs beside the answer, and what would change it: codes with names and figures."""

from __future__ import annotations

from collections.abc import Iterator

from choose.judge.decision.contenders import best_of
from choose.judge.decision.rule import Case
from choose.judge.measures.build_scorecard import settings_of
from choose.judge.measures.drift_and_new_class import drop_of, losses_by_source
from choose.judge.measures.text_metrics import leads_by_other_metrics
from choose.judge.scores.family_comparison import FamilyComparison
from choose.schema.base import Interval, above_0
from choose.schema.decision import Remark, RemarkCode

# A margin above this fraction of the errors of the best baseline is called coarse.
COARSE = 4

_TARGET: dict[str, RemarkCode] = {"met": "target-met", "missed": "target-missed"}


def remarks_of(case: Case) -> tuple[Remark, ...]:
    """Return what weighs beside the answer first, then what would change it."""
    return tuple(_remarks(case))


def _remarks(case: Case) -> Iterator[Remark]:
    if (target := _TARGET.get(case.selection.target)) is not None:
        yield Remark(code=target, names=(case.name,), share=case.contenders.rule.target)
    yield from _coarse(case)
    yield from other_metric(case)
    if case.long_answers is not None and case.splits:
        yield Remark(code="long-answers")
    yield from _searched(case)
    yield from _other_source(case)
    yield from _margin(case)
    yield from _settings(case)


def _searched(case: Case) -> Iterator[Remark]:
    """Yield what each search for a prompt gains over where it starts, on the test rows."""
    panel = case.contenders.panel
    scored = {c.info.name for c in panel.scored}
    for info in (c.info for c in panel.scored if c.info.starts in scored):
        if (gain := case.contenders.gain(info.name, info.starts)) is not None:
            names, value = (info.name, info.starts), Interval.of(gain)
            yield Remark(code="searched", names=names, value=value, rows=gain.rows)


def _other_source(case: Case) -> Iterator[Remark]:
    """Yield what the named candidate loses on a source that it has not seen, with the worst one."""
    candidate = case.contenders.panel[case.name]
    loss, sources = drop_of(candidate, "source"), losses_by_source(candidate)
    if loss is not None and sources:
        yield Remark(
            code="other-source",
            names=(case.name,),
            what=sources[0].source,
            share=-sources[0].loss.value,
            value=Interval.of(loss.negated()),
            rows=loss.rows,
        )


def _coarse(case: Case) -> Iterator[Remark]:
    """Yield that the margin is large against what the best baseline lacks of the highest score."""
    if (baseline := best_of(case.contenders, ("baseline",))) is None:
        return
    lacks = 1 - case.contenders.accuracies[baseline].value
    if 0 < lacks < COARSE * case.margin:
        yield Remark(code="coarse-margin", names=(baseline,), share=lacks)


def other_metric(case: Case) -> Iterator[Remark]:
    """Yield the best of another family that leads by another metric, where answers are texts."""
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
        yield Remark(
            code="other-metric",
            names=(name, case.name),
            what=lead.metric,
            value=Interval(value=lead.other - lead.own),
            rows=lead.rows,
        )


def closest_costlier(case: Case) -> FamilyComparison | None:
    """Return the costlier family that comes closest to a gain that matters, against the chosen."""
    contenders = case.contenders
    if case.name in contenders.floors:
        return None
    costlier = [
        match
        for family, best in contenders.best.items()
        if family != case.family and best in contenders.costlier(case.name)
        if (gain := contenders.gain(best, case.name))
        if (match := FamilyComparison(best, case.name, gain))
    ]
    return max(
        costlier,
        key=lambda match: match.difference.high - contenders.margin(match.a, case.name),
        default=None,
    )


def _margin(case: Case) -> Iterator[Remark]:
    most = closest_costlier(case) if case.selection.chosen else None
    if most and most.difference.high > 0:
        yield Remark(code="margin", names=(most.a,), share=most.difference.high)


def _settings(case: Case) -> Iterator[Remark]:
    """Yield the settings that are certainly better than a candidate's own, on the same rows."""
    for name in (case.name, *case.selection.rivals[:1]):
        for other in settings_of(case.contenders.panel[name]):
            if above_0(other.change) and other.change.value >= case.margin:
                yield Remark(
                    code="setting",
                    names=(name,),
                    what=other.setting,
                    value=other.change,
                    rows=other.rows,
                )
