"""The verdict in one or two plain sentences."""

from __future__ import annotations

from choose.formatting import COUNTED, in_percent, listed, plural, points, rounded
from choose.judge.decision.more_labels import (
    answered_too_few,
    forecast_nearest_target,
    lead_of_costlier,
    more_rows,
    steepest_gain,
)
from choose.judge.decision.rule import Case, deciding_rival
from choose.judge.decision.verdict_kind import conflicts_limit
from choose.judge.measures.curve_forecast import likely
from choose.judge.prose.family_answer import DO, answer, beside_the_named, called, small_models
from choose.judge.prose.labelling_advice import limit_sentence, toward_target
from choose.schema.decision import Kind


def headline(case: Case, kind: Kind) -> str:
    """Say what to do."""
    text = {
        "adopt": _adopt,
        "baseline-is-enough": _baseline,
        "none-works": _none,
        "nothing-compared": _alone,
        "collect-labels": _collect,
        "fix-labels": _fix,
        "too-close": _close,
    }[kind](case)
    counted = COUNTED.get(case.contenders.rule.measure.metric)
    return text + _prompted(case) + (f" {counted}" if counted else "")


def score(case: Case, name: str) -> str:
    """Return ``probe gets 82 % right``."""
    return f"{name} gets {in_percent(case.contenders.accuracies[name].value)} {case.noun}"


def closest_family(case: Case) -> tuple[str, str, float] | None:
    """Return the best of the closest other family, the own best, and the lead of the own one."""
    contenders = case.contenders
    others = [family for family in contenders.families if family != case.family]
    matches = [m for family in others if (m := contenders.versus(case.family, family))]
    if not matches:
        return None
    match = min(matches, key=lambda m: m.difference.value)
    return match.b, match.a, match.difference.value


def _adopt(case: Case) -> str:
    closest = closest_family(case)
    if closest is None:
        text = f"{answer(case, 'adopt')} Of them, {score(case, case.name)}."
    else:
        other, own, lead = closest
        noun = called(case.contenders.family(other), other)
        of = "" if own == case.name else f" {own}"
        text = (
            f"{DO[case.family]}: {score(case, case.name)}. The closest other family, {noun}, is "
            f"{points(lead)} behind{of}."
        )
    return text + _target(case)


def _target(case: Case) -> str:
    if case.selection.target != "open":
        return ""
    assert case.contenders.rule.target is not None
    return f" Whether it reaches the target of {in_percent(case.contenders.rule.target)} is open."


def _baseline(case: Case) -> str:
    return (
        f"A cheap classifier is enough: {score(case, case.name)}, and no other measured family "
        f"{_gains(case)}{'' if case.contenders.margins.derived else ' or more'}.{_target(case)}"
    )


def _alone(case: Case) -> str:
    return (
        f"{case.family.capitalize()} measured: {score(case, case.name)}; nothing else was compared."
    )


def _gains(case: Case) -> str:
    if case.contenders.margins.derived:
        return "gains enough to pay for itself"
    return f"gains {points(case.margin)}"


def _none(case: Case) -> str:
    target, leader = case.contenders.rule.target, case.contenders.leader
    if target is not None and not case.selection.reachable:
        return (
            f"No candidate reaches {in_percent(target)} yet: the best, {leader}, gets "
            f"{in_percent(case.contenders.accuracies[leader].value)} {case.noun}."
        )
    if len(case.contenders.names) == 1:
        return f"No candidate works yet: only {case.name} finished, and it ignores the text."
    return (
        f"No candidate works yet: none {_gains(case)} over always guessing the most common label, "
        f"which gets {in_percent(case.contenders.accuracies[case.name].value)} {case.noun}."
    )


def _collect(case: Case) -> str:
    return f"Label more first: {_why_more(case)} {_meanwhile(case)}"


def _why_more(case: Case) -> str:
    best = forecast_nearest_target(case.contenders)
    if not case.selection.reachable and best is not None and likely(best.target):
        return toward_target(case.contenders)
    growth = steepest_gain(case.contenders, (case.name, *case.selection.rivals)) or steepest_gain(
        case.contenders, case.contenders.names
    )
    if growth is not None:
        return (
            f"{growth.candidate} still gained {points(growth.gained.value)} between "
            f"{growth.fewer:,} and {plural(growth.labels, 'label')}."
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


def _fix(case: Case) -> str:
    limit = conflicts_limit(case)
    if limit is None:
        return f"Fix the labels first: {limit_sentence(case)} Until then use {case.name}."
    return (
        f"Fix the labels first: {limit[0]} of {limit[1]} errors of {case.name} are on texts that "
        f"occur with another label too. Until then use {case.name}."
    )


def _close(case: Case) -> str:
    if case.selection.chosen and case.selection.target == "missed":
        assert case.contenders.rule.target is not None
        return (
            f"Too close to call: {case.name} is the best choice but stays below the target of "
            f"{in_percent(case.contenders.rule.target)}, which another candidate may reach. "
            f"{_meanwhile(case)}"
        )
    hung, labelled = (
        lead_of_costlier(case.contenders, case.selection),
        len(case.contenders.panel.rows.targets),
    )
    if hung and answered_too_few(hung, labelled):
        return (
            f"Too close to call between {_both(case)} on the {plural(hung.rows, 'row')} "
            f"of {labelled:,} that both answered; the same command with a larger budget evaluates "
            f"the rest. {_meanwhile(case)}"
        )
    return f"Too close to call between {_both(case)}. {_meanwhile(case)}"


def _both(case: Case) -> str:
    """Name the two whose comparison is open: the best of two families, or one and the floor."""
    contenders, rival = case.contenders, deciding_rival(case.contenders, case.selection)
    assert rival is not None
    if {rival, case.name} & {*contenders.constants}:
        return f"{case.name} and {rival}"
    match = contenders.versus(contenders.family(rival), case.family)
    own = match.b if match else case.name
    return f"{called(case.family, own)} and {called(contenders.family(rival), rival)}"


def _meanwhile(case: Case) -> str:
    correct = in_percent(case.contenders.accuracies[case.name].value)
    what = "correct" if case.contenders.rule.measure.by_rows else case.noun
    text = f"Until then use {case.name} ({correct} {what})."
    # A reader who looks for the highest score should see here why it was not taken.
    other = beside_the_named(case)
    lead = case.contenders.gain(other, case.name) if other else None
    if other and lead and lead.value > 0:
        text += f" {other} leads it by {points(lead.value)} and costs more."
    return text


def _prompted(case: Case) -> str:
    """Name the model if prompting was tried with a small one only."""
    models = small_models(case.contenders)
    return f" Prompting was tried with {listed(models)} only." if models else ""
