"""Why this candidate and not the others, in sentences that cite figures."""

from __future__ import annotations

from choose.formatting import (
    duration,
    gain,
    interval,
    listed,
    milliseconds,
    number,
    of_100,
    plural,
    points,
    right,
)
from choose.judge.decision.contenders import best_of
from choose.judge.decision.rule import Case
from choose.judge.prose.headline import best_cheaper
from choose.schema.decision import Rejected

# A margin above this fraction of the errors of the best baseline is called coarse.
COARSE = 4


def reasons(case: Case) -> tuple[str, ...]:
    """Return the reasons for the candidate that is adopted or used in the interim."""
    sentences = [
        _measured(case),
        _over_cheaper(case),
        _under_costlier(case),
        _target(case),
        _open(case),
        _cost(case),
        coarse(case),
    ]
    return tuple(sentence for sentence in sentences if sentence)


def _measured(case: Case) -> str:
    candidate = case.contenders.panel[case.name]
    assert candidate.main is not None
    rows = plural(int(candidate.main.complete.sum()), "row")
    times = (
        f" (mean of {plural(candidate.repetitions, 'run')})" if candidate.repetitions > 1 else ""
    )
    return f"{case.name}: {right(case.contenders.accuracies[case.name])}, on {rows}{times}."


def _over_cheaper(case: Case) -> str:
    rival = best_cheaper(case)
    difference = case.contenders.gain(case.name, rival) if rival else None
    if (
        rival is None
        or difference is None
        or case.contenders.relation(case.name, rival) != "better"
    ):
        return ""
    constant = case.contenders.panel[rival].info.constant
    what = "always guessing the most common label" if constant else "the best cheaper candidate"
    by = f"{points(difference.value)} ({interval(difference)})"
    return f"{case.name} beats {rival}, {what}, by {by}."


def _under_costlier(case: Case) -> str:
    most = closest_costlier(case)
    difference = case.contenders.gain(most, case.name) if most else None
    if case.selection.chosen is None or most is None or difference is None:
        return ""
    what = f"at most {points(difference.high)}" if difference.high > 0 else "nothing"
    closest = f"the closest, {most}, gains {what} (upper 95 % bound)"
    needed = case.contenders.margin(most, case.name)
    if not case.contenders.margins.derived:
        return f"No more expensive candidate can beat it by {points(needed)}: {closest}."
    return (
        f"No more expensive candidate can gain enough to pay for itself: {closest}, and "
        f"{_pays(needed)}."
    )


def _pays(needed: float) -> str:
    return f"{points(needed)} would pay for it" if needed < 1 else "no gain would pay for it"


def closest_costlier(case: Case) -> str | None:
    """Return the costlier candidate that comes closest to a gain that matters."""
    spare = {
        n: difference.high - case.contenders.margin(n, case.name)
        for n in case.contenders.costlier(case.name)
        if (difference := case.contenders.gain(n, case.name))
    }
    return max(spare, key=lambda n: spare[n], default=None)


def _target(case: Case) -> str:
    target = case.contenders.rule.target
    if target is None:
        return ""
    text = {
        "met": f"reaches the target of {of_100(target)}: its whole 95 % CI lies above it",
        "missed": f"stays below the target of {of_100(target)}: its whole 95 % CI lies below it",
        "open": f"may or may not reach the target of {of_100(target)}: its 95 % CI contains it",
    }[case.selection.target]
    return f"{case.name} {text}."


def _open(case: Case) -> str:
    if case.selection.chosen is not None or not case.selection.rivals:
        return ""
    rival = case.selection.rivals[0]
    difference = case.contenders.gain(rival, case.name)
    if difference is None:
        return f"{rival} and {case.name} share no test row."
    real = "whether that is real, or " if difference.low <= 0 <= difference.high else ""
    return (
        f"{gain(rival, case.name, difference)}. {plural(difference.rows, 'row')} cannot show "
        f"{real}whether it reaches the margin of {points(case.deciding_margin)}."
    )


def coarse(case: Case) -> str:
    """Warn of a margin that is large compared with the remaining errors; else empty."""
    contenders = case.contenders
    baseline = best_of(contenders, ("baseline",))
    if baseline is None:
        return ""
    errors = 1 - contenders.accuracies[baseline].value
    if errors <= 0 or case.margin <= errors / COARSE:
        return ""
    return (
        f"The margin of {points(case.margin)} is more than a quarter of the errors of {baseline}, "
        f"the best baseline ({of_100(errors)} wrong), so improvements that matter may be ignored; "
        "lower it with --margin."
    )


def _cost(case: Case) -> str:
    rival = best_cheaper(case) if case.selection.chosen else None
    rival = rival or (case.selection.rivals[0] if case.selection.rivals else None)
    names = [case.name] + ([rival] if rival else [])
    clocks = [text for name in names if (text := _clock(case, name))]
    return f"{'; '.join(clocks)}." if clocks else ""


def _clock(case: Case, name: str) -> str:
    cost = case.contenders.costs[name].record
    if cost.fit_seconds is None or cost.ms_per_item is None:
        return ""
    priced = f" (${number(cost.usd_per_1k, 4)} per 1,000)" if cost.usd_per_1k is not None else ""
    return (
        f"{name} takes {duration(cost.fit_seconds)} to train and "
        f"{milliseconds(cost.ms_per_item)} per answer{priced}"
    )


def rejected(case: Case) -> tuple[Rejected, ...]:
    """Return every other candidate with why it was not recommended, the best of them first."""
    others = sorted(
        (n for n in case.contenders.names if n != case.name),
        key=lambda n: -case.contenders.accuracies[n].value,
    )
    records = [Rejected(candidate=n, why=_against(case, n)) for n in others]
    outside = [
        c for c in case.contenders.panel.candidates if c.info.name not in case.contenders.names
    ]
    nothing = (
        f"It answered none of the {plural(len(case.contenders.panel.rows.targets), 'test row')}."
    )
    return (
        *records,
        *(
            Rejected(candidate=c.info.name, why=c.errors[0] if c.errors else nothing)
            for c in outside
        ),
    )


def _against(case: Case, name: str) -> str:
    difference = case.contenders.gain(name, case.name)
    if difference is None:
        return f"It shares no test row with {case.name}."
    shown = case.contenders.relation(name, case.name)
    if shown == "worse":
        return f"{gain(name, case.name, difference)}."
    costlier = name in case.contenders.costlier(case.name)
    if costlier and shown in ("equivalent", "not better"):
        gains = (
            f"gains at most {points(difference.high)}"
            if difference.high > 0
            else f"gains nothing ({interval(difference)})"
        )
        pays = f"; {_pays(case.contenders.margin(name, case.name))}"
        return (
            f"It costs more and {gains} over {case.name}"
            f"{pays if case.contenders.margins.derived else ''}."
        )
    rows = plural(difference.rows, "shared row")
    return f"{gain(name, case.name, difference)} on {rows}. Undecided."


def doubts(limits: tuple[str, ...], confidence: str) -> str:
    """Say what limits the confidence."""
    return f"Confidence is {confidence}: {listed(limits)}." if limits else ""
