"""Which member of the family to use, how accurate it is, and what this verdict rests on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from choose.formatting import (
    gain,
    in_points,
    listed,
    measured,
    plural,
    points,
    rounded,
    size_in_points,
)
from choose.judge.decision.contenders import Contenders
from choose.judge.decision.rule import Case
from choose.judge.decision.verdict_kind import conflicts_limit
from choose.judge.measures.cost_comparison import costs_less, costs_more
from choose.judge.measures.curve_forecast import horizon
from choose.judge.measures.text_metrics import format_gap, leads_by_other_metrics, only_cut
from choose.judge.prose.family_answer import (
    ahead_on_all_rows,
    also_named,
    called,
    charted,
    interim_reason,
    may_be_behind,
)
from choose.judge.prose.headline import too_early
from choose.judge.prose.labelling_advice import limit_sentence, why_more
from choose.judge.prose.loss_sentences import limit_of_documents
from choose.judge.scores.score_tables import MISSING
from choose.judge.stats.metrics import UNUSABLE
from choose.schema.base import Interval
from choose.schema.decision import Kind
from choose.schema.score_names import COUNTED, NAMES, amount, right, scored
from choose.schema.standings import Step


def because(case: Case, kind: Kind) -> str:
    """Say which member of the family it is, how accurate it is, and why that one."""
    name, contenders = case.name, case.contenders
    constant = name in contenders.constants
    use = f"Use {name}, {right(contenders.accuracies[name], case.noun)}{contenders.answered(name)}."
    if too_early(case, kind):
        use = f"So far, {name} is {use.removeprefix(f'Use {name}, ')}"
    if constant:
        use = f"{name} always gives {case.words.constant}, and nothing beats that yet."
    parts = (
        "" if kind == "none-works" else use,
        format_sentence(case),
        _basis(case, kind),
        "" if interim_reason(case, kind) else _why_member(case, kind),
        COUNTED.get(contenders.rule.measure.metric, ""),
    )
    return " ".join(filter(None, parts))


def why_in_the_interim(case: Case, kind: Kind) -> str:
    """Say why the interim candidate is the one to use: its family first, then the member."""
    reason = interim_reason(case, kind)
    return " ".join(filter(None, (reason, _why_member(case, kind)))) if reason else ""


def _why_member(case: Case, kind: Kind) -> str:
    silent = case.name in case.contenders.constants or kind == "none-works"
    beside = None if silent else also_named(case)
    return _beside(case, beside) if beside else ""


def _basis(case: Case, kind: Kind) -> str:
    """Say what makes this kind of verdict; empty where the answer says it."""
    if kind == "none-works":
        return _none(case)
    if kind == "collect-labels":
        return why_more(case)
    if kind == "fix-labels":
        return _wrong(case)
    if kind in ("fix-documents", "fix-retrieval"):
        return limit_of_documents(case, kind)
    if kind == "adopt":
        return _closest(case) + _target(case)
    if kind == "baseline-is-enough":
        gains = f"gains {points(case.margin)} or more" if case.margin else "gains anything"
        if case.contenders.margins.derived:
            gains = "gains enough to pay for itself"
        return f"No other measured family {gains}.{_target(case)}"
    if kind == "too-close" and case.selection.chosen:
        assert case.contenders.rule.target is not None
        target = amount(case.contenders.rule.target, case.noun)
        return f"It stays below the target of {target}, which another candidate may reach."
    return ""


def _closest(case: Case) -> str:
    """Name the closest other family, and how far it is behind."""
    matches = [
        match
        for family in case.contenders.families
        if family != case.family and (match := case.contenders.versus(family, case.family))
    ]
    if not matches:
        return ""
    found = charted(case, max(matches, key=lambda match: match.difference.value))
    noun = called(case, case.contenders.family(found.a), found.a)
    of = "" if found.b == case.name else f" {found.b}"
    return f"The closest other family, {noun}, is {measured(-found.difference.value)} behind{of}."


def _target(case: Case) -> str:
    if case.selection.target != "open":
        return ""
    assert case.contenders.rule.target is not None
    target = amount(case.contenders.rule.target, case.noun)
    return f" Whether it reaches the target of {target} is open."


def _none(case: Case) -> str:
    target, leader = case.contenders.rule.target, case.contenders.leader
    if target is not None and not case.selection.reachable:
        best = scored(case.contenders.accuracies[leader].value, case.noun)
        return f"The best, {leader}, gets {best}."
    if case.contenders.only_guesses:
        verb = "it ignores" if len(case.contenders.names) == 1 else "they ignore"
        return f"Only {listed(case.contenders.names)} finished, and {verb} the text."
    guess = scored(case.contenders.accuracies[case.name].value, case.noun)
    return f"Always guessing {case.words.constant} gets {guess}."


def _wrong(case: Case) -> str:
    limit = conflicts_limit(case)
    if limit is None:
        sentence = limit_sentence(case)
        return f"{sentence[0].upper()}{sentence[1:]}"
    errors = f"{limit[0]} of {limit[1]} errors of {case.name}"
    return f"{errors} are on texts that occur with another label too."


def _beside(case: Case, other: str) -> str:
    """Say why this member was named and not the other, which may be as accurate."""
    contenders, name = case.contenders, case.name
    difference = contenders.gain(other, name)
    if difference is None:
        return f"{other} shares no test row with it."
    if difference.value <= 0:
        shown = f"{gain(other, name, difference)}{contenders.on_rows(difference)}"
        if other not in contenders.cheaper(name):
            return f"{shown}, and {other} {costs_more(contenders.costs, name, other)}."
        matters, less = contenders.margin(name, other), costs_less(contenders.costs, other, name)
        if -difference.value >= matters:
            lower = f"scored {points(matters)} or more lower" if matters else "scored lower"
            lower = lower if difference.value else "is expected to score lower"
            return f"{shown}; {other} {less}, but {lower}."
        if risk := may_be_behind(contenders, name, other, difference.negated()):
            return f"{shown}; {other} {less}, but {risk}."
        return f"{shown}; {other} {less}, and is not more than {points(matters)} behind."
    chance = ", which may be chance" if difference.low <= 0 else ""
    both = f"{chance} and" if chance else ", which"
    lead = f"{gain(other, name, difference)}{contenders.on_rows(difference)}"
    matters = contenders.margin(other, name)
    if not matters or other in contenders.cheaper(name):
        return f"{lead}{chance}. {ahead_on_all_rows(contenders, name, other)}."
    costs = f"{name} {costs_less(contenders.costs, name, other)}"
    if difference.value < matters:
        return f"{lead}{both} is below the {points(matters)} that matter; {costs}."
    return f"{lead}{chance}. A lead of {points(matters)} is not to be expected, and {costs}."


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


def format_sentence(case: Case) -> str:
    """Say that a candidate lost by the format of its answers alone; empty if none did."""
    lost = lost_by_format(case)
    if lost is None:
        return ""
    how = "did not end; scored as far as they go" if lost.cut else "cannot be read; repaired"
    return (
        f"{lost.candidate} lost by its format: {lost.unusable:,} of its "
        f"{plural(lost.answers, 'answer')} {how}, they would gain it "
        f"{in_points(lost.gap)}, which is level with {case.name}."
    )


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


def below_floor(case: Case) -> Iterator[str]:
    """Say which candidates are worse than a constant answer, and how many rows they would need."""
    contenders = case.contenders
    if contenders.panel.rows.labels:
        return
    floor = max(contenders.constants, key=lambda n: contenders.accuracies[n].value, default=None)
    for name in contenders.names if floor else ():
        gap = contenders.gain(floor, name) if floor and name != floor else None
        if gap is None or gap.low <= 0 or name in contenders.constants:
            continue
        worse = f"{name} is worse than {floor}, which gives every row the same answer, by "
        by = f"{size_in_points(gap)}{contenders.on_rows(gap)}"
        yield f"{worse}{by}{_too_few(case, name, floor)}."


def _too_few(case: Case, name: str, floor: str | None) -> str:
    """Say that a candidate that trains had too few rows, and how many more it needs if known."""
    contenders, candidate = case.contenders, case.contenders.panel[name]
    if floor is None or candidate.info.family != "fine-tuning":
        return ""
    learnt = contenders.panel.training_rows
    few = f": {plural(learnt, 'row')} were too few to train it"
    needed = rows_to_reach(contenders, name, contenders.accuracies[floor].value)
    if needed is None:
        return f"{few}; how many would do is unknown (--sizes 0.5,1 measures it)"
    return f"{few}; label about {rounded(needed - learnt):,} more before you try it again"


def rows_to_reach(contenders: Contenders, name: str, score: float) -> int | None:
    """Return the training rows at which a learning curve reaches a score; None if not seen to."""
    points = contenders.curves.points[name]
    if isinstance(points, str):
        return None
    sizes = horizon(points)
    reached = sizes[contenders.curves.general[name].means(sizes) >= score]
    return int(reached[0]) if len(reached) and reached[0] > points.sizes[-1] else None
