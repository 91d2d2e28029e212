"""Which member of the family to use, how accurate it is, and what this verdict rests on."""

from __future__ import annotations

from choose.formatting import gain, plural, points, rounded
from choose.judge.decision.more_labels import (
    forecast_nearest_target,
    lead_of_costlier,
    more_rows,
    steepest_gain,
)
from choose.judge.decision.rule import Case, deciding_rival
from choose.judge.decision.verdict_kind import conflicts_limit
from choose.judge.measures.curve_forecast import likely
from choose.judge.prose.family_answer import (
    ahead_on_all_rows,
    beside_the_named,
    called,
    cheaper_by,
    may_be_behind,
)
from choose.judge.prose.labelling_advice import limit_sentence, toward_target
from choose.judge.prose.loss_sentences import limit_of_documents
from choose.schema.decision import Kind
from choose.schema.words import COUNTED, amount, right, scored


def because(case: Case, kind: Kind) -> str:
    """Say which member of the family it is, how accurate it is, and why that one."""
    name, contenders = case.name, case.contenders
    constant = name in contenders.constants
    use = f"Use {name}, {right(contenders.accuracies[name], case.noun)}."
    if constant:
        use = f"{name} always gives {case.words.constant}, and nothing beats that yet."
    beside = None if constant or kind == "none-works" else beside_the_named(case)
    parts = (
        "" if kind == "none-works" else use,
        _basis(case, kind),
        _beside(case, beside) if beside else "",
        COUNTED.get(contenders.rule.measure.metric, ""),
    )
    return " ".join(filter(None, parts))


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
        gains = f"gains {points(case.margin)} or more"
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
    closest = closest_family(case)
    if closest is None:
        return ""
    other, own, lead = closest
    noun = called(case, case.contenders.family(other), other)
    of = "" if own == case.name else f" {own}"
    return f"The closest other family, {noun}, is {points(lead)} behind{of}."


def closest_family(case: Case) -> tuple[str, str, float] | None:
    """Return the best of the closest other family, the own best, and the lead of the own one."""
    contenders = case.contenders
    others = [family for family in contenders.families if family != case.family]
    matches = [m for family in others if (m := contenders.versus(case.family, family))]
    if not matches:
        return None
    match = min(matches, key=lambda m: m.difference.value)
    return match.b, match.a, match.difference.value


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
    if len(case.contenders.names) == 1:
        return f"Only {case.name} finished, and it ignores the text."
    guess = scored(case.contenders.accuracies[case.name].value, case.noun)
    return f"Always guessing {case.words.constant} gets {guess}."


def why_more(case: Case) -> str:
    """Say why more labels are needed, and how many where that is known."""
    best = forecast_nearest_target(case.contenders)
    if not case.selection.reachable and best is not None and likely(best.target):
        return toward_target(case.contenders)
    growth = steepest_gain(case.contenders, (case.name, *case.selection.rivals)) or steepest_gain(
        case.contenders, case.contenders.names
    )
    if growth is not None:
        return (
            f"{growth.candidate} still gained {points(growth.gained.value)} between "
            f"{growth.fewer:,} and {plural(growth.labels, case.words.label)}."
        )
    hung = lead_of_costlier(case.contenders, case.selection)
    more = (
        more_rows(hung, case.deciding_margin, len(case.contenders.panel.rows.targets))
        if hung
        else None
    )
    rows = plural(len(case.contenders.panel.rows.targets), "test row")
    text = f"{rows} cannot separate {_both(case)}"
    if more is None:
        return f"{text}."
    surer = f", about {rounded(more.likely):,} with 80 %" if more.likely is not None else ""
    return f"{text}; about {rounded(more.even):,} more would with a 50 % chance{surer}."


def _wrong(case: Case) -> str:
    limit = conflicts_limit(case)
    if limit is None:
        sentence = limit_sentence(case)
        return f"{sentence[0].upper()}{sentence[1:]}"
    errors = f"{limit[0]} of {limit[1]} errors of {case.name}"
    return f"{errors} are on texts that occur with another label too."


def _both(case: Case) -> str:
    """Name the two whose comparison is open: the best of two families, or one and the floor."""
    contenders, rival = case.contenders, deciding_rival(case.contenders, case.selection)
    assert rival is not None
    if {rival, case.name} & {*contenders.constants}:
        return f"{case.name} and {rival}"
    match = contenders.versus(contenders.family(rival), case.family)
    own = match.b if match else case.name
    return f"{called(case, case.family, own)} and {called(case, contenders.family(rival), rival)}"


def _beside(case: Case, other: str) -> str:
    """Say why this member was named and not the other, which may be as accurate."""
    contenders, name = case.contenders, case.name
    difference = contenders.gain(other, name)
    if difference is None:
        return f"{other} shares no test row with it."
    if difference.value <= 0:
        shown = f"{gain(other, name, difference)}"
        if other not in contenders.cheaper(name):
            return f"{shown}, and {other} does not cost less."
        matters = contenders.margin(name, other)
        if -difference.value >= matters:
            return f"{shown}; {other} costs less, but scored {points(matters)} or more lower."
        if risk := may_be_behind(contenders, name, other, difference.negated()):
            return f"{shown}; {other} costs less, but {risk}."
        return f"{shown}; {other} costs less, and is not more than {points(matters)} behind."
    chance = ", which may be chance" if difference.low <= 0 else ""
    lead, matters = gain(other, name, difference), contenders.margin(other, name)
    if other in contenders.cheaper(name):
        return f"{lead}{chance}. {ahead_on_all_rows(contenders, name, other)}."
    costs = f"{name} costs less{cheaper_by(contenders, name, other)}"
    if difference.value < matters:
        shown = f"The lead as measured is below the {points(matters)} that matter"
        return f"{lead}{chance}. {shown}, and {costs}."
    return f"{lead}{chance}. A lead of {points(matters)} is not to be expected, and {costs}."
