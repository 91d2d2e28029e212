"""Why this candidate and not the others, and what its errors tell, in sentences with figures."""

from __future__ import annotations

from collections.abc import Iterator

from choose.formatting import (
    duration,
    gain,
    in_percent,
    measured,
    milliseconds,
    number,
    percent_interval,
    plural,
    points,
    size_in_points,
)
from choose.judge.decision.contenders import best_of
from choose.judge.decision.rule import Case
from choose.judge.scores.family_comparison import FamilyComparison
from choose.judge.scores.score_tables import CandidateScores
from choose.judge.stats.paired import Difference
from choose.schema.base import Interval
from choose.schema.decision import Rejected
from choose.schema.diagnosis import Cascade, Failures
from choose.schema.score_names import is_share, right

# A margin above this fraction of the errors of the best baseline is called coarse.
COARSE = 4


def reasons(case: Case) -> tuple[str, ...]:
    """Return the reasons for the candidate that is adopted or used in the interim."""
    sentences = [_measured(case), _target(case), _cost(case), coarse(case)]
    return tuple(sentence for sentence in sentences if sentence)


def _measured(case: Case) -> str:
    candidate = case.contenders.panel[case.name]
    assert candidate.main is not None
    rows = plural(int(candidate.main.complete.sum()), "row")
    times = (
        f" (mean of {plural(candidate.repetitions, 'run')})" if candidate.repetitions > 1 else ""
    )
    scored = right(case.contenders.accuracies[case.name], case.noun)
    return f"{case.name}: {scored}, on {rows}{times}."


def _pays(needed: float) -> str:
    return f"{points(needed)} would pay for it" if needed < 1 else "no gain would pay for it"


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


def _target(case: Case) -> str:
    target = case.contenders.rule.target
    if target is None:
        return ""
    text = {
        "met": f"reaches the target of {in_percent(target)}: its 95 % CI lies above it",
        "missed": f"stays below the target of {in_percent(target)}: its 95 % CI lies below it",
        "open": f"may or may not reach the target of {in_percent(target)}: its 95 % CI contains it",
    }[case.selection.target]
    return f"{case.name} {text}."


def coarse(case: Case) -> str:
    """Warn of a margin that is large compared with the remaining errors; else empty."""
    contenders = case.contenders
    baseline = best_of(contenders, ("baseline",))
    if baseline is None:
        return ""
    errors = 1 - contenders.accuracies[baseline].value
    if errors <= 0 or case.margin <= errors / COARSE:
        return ""
    rest = f"the errors of {baseline}, the best baseline ({in_percent(errors)} wrong)"
    if not is_share(case.noun):
        rest = (
            f"what {baseline}, the best baseline, lacks of the highest score ({measured(errors)})"
        )
    return (
        f"The margin of {points(case.margin)} is more than a quarter of {rest}, so gains that "
        "matter may be missed; lower it with --margin."
    )


def _cost(case: Case) -> str:
    names = (case.name, case.beside, *case.selection.rivals[:1])
    clocks = [text for name in names if name and (text := _clock(case, name))]
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
    """Return the candidates that were ruled out with the reason, the best of them first.

    What is undecided is not rejected: the verdict lists it as open.
    """
    others = [
        (difference.value, Rejected(candidate=name, why=why))
        for name in case.contenders.names
        if name != case.name and (difference := case.contenders.gain(name, case.name))
        if (why := _against(case, name, difference))
    ]
    others.sort(key=lambda other: -other[0])
    outside = [
        Rejected(candidate=c.info.name, why=_why_unmeasured(case, c))
        for c in case.contenders.panel.candidates
        if c.info.name not in case.contenders.names
    ]
    return (*(record for _, record in others), *outside)


def _why_unmeasured(case: Case, candidate: CandidateScores) -> str:
    if candidate.errors:
        return candidate.errors[0]
    rows = plural(len(case.contenders.panel.rows.targets), "test row")
    ended = ": --max-usd was used up" if candidate.info.name in case.unpaid else ""
    return f"It answered none of the {rows}{ended}."


def _against(case: Case, name: str, difference: Difference) -> str:
    """Say why a candidate was ruled out; empty where it was not."""
    shown, on = case.contenders.relation(name, case.name), case.contenders.on_rows(difference)
    if shown == "worse" or difference.high < 0:
        return f"{gain(name, case.name, difference)}{on}."
    costlier = name in case.contenders.costlier(case.name)
    if not costlier or shown not in ("equivalent", "not better"):
        return ""
    pays = f"; {_pays(case.contenders.margin(name, case.name))}"
    return (
        f"It costs more and gains at most {measured(difference.high)} over {case.name}{on}"
        f"{pays if case.contenders.margins.derived else ''}."
    )


# A cascade that takes at least this share of the strong candidate's time saves too little.
SAVES = 0.7


def failure_reasons(failures: Failures | None, by_rows: bool = True) -> Iterator[str]:
    """Say what training can fix, and what fine-tuning did."""
    if failures is None or failures.reachable is None or not failures.errors:
        return
    assert failures.fixable is not None
    yield (
        f"{failures.candidate} got {failures.errors:,} of {plural(failures.rows, 'row')} wrong. "
        f"{failures.supervised}, trained on your labels, gets {failures.fixes:,} of those right "
        f"and {failures.breaks:,} others wrong{_chance(failures)}, so training could remove about "
        f"{percent_interval(failures.fixable)} of these errors."
    )
    forecast = failures.forecast
    if forecast is not None and by_rows and _same_rows(failures.reachable, forecast.measured):
        yield (
            f"These errors put the ceiling for fine-tuning at {size_in_points(failures.reachable)} "
            f"above {failures.candidate}. {forecast.candidate} reached "
            f"{size_in_points(forecast.measured)}."
        )


def _same_rows(a: Interval, b: Interval) -> bool:
    """Return whether two figures are known to rest on the same rows, so that they compare."""
    return a.row_set is not None and a.row_set == b.row_set


def _chance(failures: Failures) -> str:
    if not failures.chance or failures.chance < 0.5:
        return ""
    return f" (chance alone would fix {number(failures.chance)})"


def failure_steps(failures: Failures | None, margin: float) -> Iterator[str]:
    """Yield a step for each kind of error that makes up the margin or more."""
    if failures is None or not failures.errors:
        return
    name, of = failures.candidate, f"of {plural(failures.errors, 'error')}"
    matter = {
        kind.name: kind.count
        for kind in failures.classes
        if kind.count and kind.count >= margin * failures.rows
    }
    if count := matter.get("format"):
        yield f"Constrain the output of {name}: {count:,} {of} are unusable answers."
    if count := matter.get("not covered"):
        yield (
            "Label more rows like those whose nearest labelled rows all have another label: "
            f"{count:,} {of} of {name}."
        )


def pays(cascade: Cascade, margin: float) -> bool:
    """Return whether a cascade is shown to beat both, or to keep the strong one's accuracy cheaper.

    It must gain the margin on the cheap candidate either way; else the cheap one alone will do.
    If the verdict names a third candidate, it must gain the margin on that one too.
    """
    if not _gains(cascade.over_cheap, margin):
        return False
    third = cascade.chosen not in (None, cascade.cheap, cascade.strong)
    if third and cascade.over_chosen is not None and not _gains(cascade.over_chosen, margin):
        return False
    if _gains(cascade.over_strong, margin):
        return True
    spent, alone = cascade.seconds_per_1k, cascade.strong_seconds_per_1k
    low = cascade.over_strong.low
    saves = spent is not None and alone is not None and spent < SAVES * alone
    return saves and low is not None and low > -margin


def _gains(change: Interval, margin: float) -> bool:
    return change.low is not None and change.low > 0 and change.value >= margin
