"""The verdict in one or two plain sentences."""

from __future__ import annotations

from choose.formatting import (
    COUNTED,
    in_percent,
    listed,
    number,
    of_100,
    plural,
    points,
    rounded,
    short_model,
)
from choose.judge.decision.more_labels import forecast_nearest_target, steepest_gain
from choose.judge.decision.rows_to_decide import answered_too_few, lead_of_costlier, more_rows
from choose.judge.decision.rule import Case
from choose.judge.decision.verdict_kind import conflicts_limit
from choose.judge.evidence import strong
from choose.judge.measures.curve_forecast import likely
from choose.judge.prose.labelling_advice import limit_sentence, toward_target
from choose.schema.decision import Kind

_DO = {
    "prompting": "Prompt",
    "retrieval": "Retrieve examples",
    "fine-tuning": "Fine-tune",
    "baseline": "Use a cheap classifier",
}


def headline(case: Case, kind: Kind) -> str:
    """Say what to do."""
    text = {
        "adopt": _adopt,
        "baseline-is-enough": _baseline,
        "none-works": _none,
        "collect-labels": _collect,
        "fix-labels": _fix,
        "too-close": _close,
    }[kind](case)
    counted = COUNTED.get(case.contenders.rule.measure.metric)
    return text + _prompted(case) + (f" {counted}" if counted else "")


def score(case: Case, name: str) -> str:
    """Return ``probe gets 82 of 100 right``."""
    return f"{name} gets {of_100(case.contenders.accuracies[name].value)} right"


def best_cheaper(case: Case) -> str | None:
    """Return the most accurate candidate that costs less."""
    return max(
        case.contenders.cheaper(case.name),
        key=lambda name: case.contenders.accuracies[name].value,
        default=None,
    )


def _adopt(case: Case) -> str:
    do = _DO[case.contenders.family(case.name)]
    rival = best_cheaper(case)
    difference = case.contenders.gain(case.name, rival) if rival else None
    if len(case.contenders.names) == 1:
        text = f"{do}: {score(case, case.name)}; no other candidate was measured."
    elif difference is None:
        text = f"{do}: {score(case, case.name)}, and no more expensive candidate {_gains(case)}."
    else:
        text = (
            f"{do}: {score(case, case.name)}, {points(difference.value)} more than {rival}, "
            "the best cheaper candidate."
        )
    if case.selection.target == "open":
        assert case.contenders.rule.target is not None
        text += f" Whether it reaches the target of {of_100(case.contenders.rule.target)} is open."
    return text


def _baseline(case: Case) -> str:
    return (
        f"A cheap classifier is enough: {score(case, case.name)}, and no more expensive candidate "
        f"{_gains(case)}{'' if case.contenders.margins.derived else ' or more'}."
    )


def _gains(case: Case) -> str:
    if case.contenders.margins.derived:
        return "gains enough to pay for itself"
    return f"gains {points(case.margin)}"


def _none(case: Case) -> str:
    target, leader = case.contenders.rule.target, case.contenders.leader
    if target is not None and not case.selection.reachable:
        return (
            f"No candidate reaches {of_100(target)} yet: the best, {leader}, gets "
            f"{of_100(case.contenders.accuracies[leader].value)} right."
        )
    if len(case.contenders.names) == 1:
        return f"No candidate works yet: only {case.name} finished, and it ignores the text."
    return (
        f"No candidate works yet: none {_gains(case)} over always guessing the most common label, "
        f"which is right for {of_100(case.contenders.accuracies[case.name].value)} rows."
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
    text = f"{rows} cannot separate {case.name} from {case.selection.rivals[0]}"
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
            f"{of_100(case.contenders.rule.target)}, which another candidate may reach. "
            f"{_meanwhile(case)}"
        )
    rival = case.selection.rivals[0]
    hung, labelled = (
        lead_of_costlier(case.contenders, case.selection),
        len(case.contenders.panel.rows.targets),
    )
    if hung and answered_too_few(hung, case.deciding_margin, labelled):
        return (
            f"Too close to call between {case.name} and {rival} on the {plural(hung.rows, 'row')} "
            f"of {labelled:,} that both answered; the same command with a larger budget evaluates "
            f"the rest. {_meanwhile(case)}"
        )
    return f"Too close to call between {case.name} and {rival}. {_meanwhile(case)}"


def _meanwhile(case: Case) -> str:
    correct = in_percent(case.contenders.accuracies[case.name].value)
    text = f"Until then use {case.name} ({correct} correct)."
    leader = case.contenders.leader
    difference = case.contenders.gain(leader, case.name)
    # A reader who looks for the highest score should see here why it was not taken.
    if (
        difference is None
        or leader not in case.contenders.costlier(case.name)
        or difference.low > 0
    ):
        return text
    if difference.value <= 0:
        return f"{text} No more expensive candidate scored higher on the same rows."
    return f"{text} {leader}'s {number(100 * difference.value)}-point lead may be chance."


def _prompted(case: Case) -> str:
    """Name the model if prompting was tried with a small one only."""
    prompted = [
        m.info for m in case.contenders.order if m.info.family in ("prompting", "retrieval")
    ]
    if not prompted or any(strong(info) for info in prompted):
        return ""
    models = sorted({short_model(info.model) for info in prompted if info.model})
    if not models:
        return ""
    return f" Prompting was tried with {listed(models)} only."
