"""The next steps with their expected gain and cost.

A gain is the accuracy of the candidate used then minus that of the one used now. Deciding a
comparison gains only if the rival turns out to be ahead: the expectation of that part, under the
distribution that `least_loss` uses.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from math import ceil

import numpy as np

from choose.formatting import rounded
from choose.judge.decision.label_gates import audit_with_gain
from choose.judge.decision.more_labels import EVEN, LIKELY, lead_of_costlier, more_rows
from choose.judge.decision.rule import Case, deciding_difference, deciding_rival
from choose.judge.decision.verdict_gates import contenders_credible
from choose.judge.measures.cost_sheet import label_hours, label_usd
from choose.judge.measures.curve_forecast import REACH
from choose.judge.scores.joint_distribution import distribution_of_difference
from choose.judge.scores.score_tables import CLEAN, CandidateScores
from choose.schema.base import Interval
from choose.schema.costs import Move
from choose.schema.plan import REPETITIONS, Reason
from choose.types import Run

# Why planned repetitions did not run that a larger budget, or a higher --max-usd, would run.
LATE: tuple[Reason, ...] = ("out-of-time", "out-of-money")

# More labels are weighed by what twice as many would gain.
TIMES = 2.0

HUNDRED = 100

# A step names the first of these budgets, in minutes, that holds `SHARED` times the remaining work,
# because other trials run too, and `FIT_SHARE` times a fit that the last budget could not hold.
BUDGETS, SHARED, FIT_SHARE = (5, 10, 15, 30, 60, 120, 240), 3, 2

# Runs that a study needs to measure the variance between runs well.
ENOUGH_RUNS = 5


def next_actions(case: Case) -> tuple[Move, ...]:
    """Return the next steps, most gain per dollar first, unpriced ones last."""
    moves = [
        *_label_training_rows(case),
        *_check_labels(case),
        *_label_test_rows(case),
        *_repeat_runs(case),
        *_stronger_model(case),
    ]
    order = sorted(
        moves, key=lambda m: -m.points_per_100_usd if m.points_per_100_usd is not None else 1.0
    )
    return tuple(order)


def _label_training_rows(case: Case) -> Iterator[Move]:
    """Weigh twice the labels for the candidate that would gain most over the interim one."""
    contenders = case.contenders
    best: tuple[str, Interval] | None = None
    for name, ahead in contenders.curves.ahead.items():
        if name not in contenders.names or name in contenders.floors:
            continue
        column = round((ahead.shape[1] - 1) * np.log(TIMES) / np.log(REACH))
        now = contenders.curves.ahead.get(case.name)
        base = now[:, 0] if now is not None else contenders.accuracies[case.name].value
        low, value, high = np.quantile(ahead[:, column] - base, (0.025, 0.5, 0.975)).tolist()
        forecast_gain = Interval(
            value=value, low=low, high=high, estimand=f"{TIMES:g} times the training rows"
        )
        costlier = name in contenders.costlier(case.name)
        if costlier and value < contenders.margin(name, case.name):
            continue  # even then it would not be used
        if best is None or value > best[1].value:
            best = name, forecast_gain
    if best is not None and best[1].value > 0:
        labels = ceil((TIMES - 1) * contenders.panel[best[0]].pool)
        yield _labelling(case, "label-more", best[0], best[1], labels)


def _check_labels(case: Case) -> Iterator[Move]:
    relabelling = audit_with_gain(case)
    if relabelling is not None and relabelling.gain is not None:
        gain = relabelling.gain
        yield _labelling(case, "check-labels", gain.candidate, gain.gain, gain.rows)


def _label_test_rows(case: Case) -> Iterator[Move]:
    difference = lead_of_costlier(case.contenders, case.selection)
    if case.selection.chosen or difference is None:
        return
    more = more_rows(difference, case.deciding_margin, len(case.contenders.panel.rows.targets))
    if more is not None:
        rival = deciding_rival(case.contenders, case.selection)
        even, most = rounded(more.even), rounded(more.likely or more.even)
        chance = LIKELY if more.likely is not None else EVEN
        move = _labelling(case, "test-more", rival, _expected_switch(case, chance), most)
        yield move.model_copy(update={"labels_low": even})


def _repeat_runs(case: Case) -> Iterator[Move]:
    """Weigh more seeds where variance between runs is most of the error."""
    if not (few := runs_to_repeat(case)):
        return
    parts = [_seconds_of_run(c) for c in few]
    known = [
        (ENOUGH_RUNS - c.repetitions) * each
        for c, each in zip(few, parts, strict=True)
        if each is not None
    ]
    hours = sum(known) / 3600 if len(known) == len(few) else None
    price = case.contenders.rule.usd_per_machine_hour
    usd = hours * price if hours is not None and price is not None else None
    name = few[0].info.name if len(few) == 1 else None
    yield _priced(
        Move(
            action="repeat",
            candidate=name,
            gain=_expected_switch(case),
            machine_hours=hours,
            usd=usd,
        )
    )


def _stronger_model(case: Case) -> Iterator[Move]:
    """Suggest a stronger model, whose gain nothing measured here can estimate."""
    prompted = case.contenders.family(case.name) in ("prompting", "retrieval")
    if not prompted and contenders_credible(case).status == "unknown":
        yield Move(action="stronger-model")


def runs_to_repeat(case: Case) -> list[CandidateScores]:
    """Return the interim candidate and rivals with fewer than `ENOUGH_RUNS` runs.

    There is none where the question is decided, or variance between runs is not most of the error.
    """
    difference = deciding_difference(case.contenders, case.selection)
    names = (case.name, *case.selection.rivals)
    if case.selection.chosen or difference is None or difference.run_share < 0.5:
        return []
    return [
        c
        for c in case.contenders.order
        if c.repeats and c.repetitions < ENOUGH_RUNS and c.info.name in names
    ]


def budget_for(
    case: Case, rows: Mapping[str, int], runs: Mapping[str, int], fits: Collection[float]
) -> int:
    """Return the minutes of the one budget that every step names: the same command does all.

    Other trials, of which nothing is known here, get half an hour.

    Args:
        case: what was measured, and how long it took.
        rows: test rows that candidates have not answered.
        runs: planned trials of candidates that have not run.
        fits: forecast seconds of fits that the last budget could not hold.
    """
    if not (rows or runs or fits):
        return BUDGETS[3]
    panel = case.contenders.panel
    left = [_seconds_of_rest(panel[name], count) for name, count in rows.items()]
    left += [_seconds_of_runs(panel[name], trials) for name, trials in runs.items()]
    known = [seconds for seconds in left if seconds is not None]
    needed = max(SHARED * sum(known), FIT_SHARE * max(fits, default=0.0)) / 60
    unsure = len(known) < len(left) or bool(fits)
    return next((m for m in BUDGETS if m >= max(needed, BUDGETS[2] * unsure)), BUDGETS[-1])


def _seconds_of_rest(candidate: CandidateScores, rows: int) -> float | None:
    """Forecast the seconds of unanswered rows: of runs that ended early, and of others.

    A run that goes on is fitted again, and answers only what it lacks.
    """
    runs = candidate.main.runs if candidate.main else ()
    lacking = sum(run.unasked for run in runs)
    more, begun = max(0, rows - lacking), sum(len(r.asked[CLEAN]) + r.unasked for r in runs)
    others = _seconds_of_runs(candidate, more / begun * len(runs)) if more and begun else 0.0
    again = [_alone(run, run.unasked) for run in runs if run.unasked]
    known = [seconds for seconds in again if seconds is not None]
    return None if others is None or len(known) < len(again) or not runs else sum(known) + others


def _seconds_of_runs(candidate: CandidateScores, runs: float) -> float | None:
    """Forecast the seconds of so many runs, with all their rows, by the mean of those that ran."""
    ran = candidate.main.runs if candidate.main else ()
    spent = [_alone(run, len(run.asked[CLEAN]) + run.unasked) for run in ran]
    known = [seconds for seconds in spent if seconds is not None]
    return runs * sum(known) / len(known) if known else None


def _alone(run: Run, rows: int) -> float | None:
    """Return the seconds of a run if it answered so many rows; None where they are not known."""
    if run.seconds_alone is None:
        return None
    answered = len(run.asked[CLEAN])
    return run.seconds_alone + (run.predict_seconds or 0.0) * (rows / max(1, answered) - 1)


def planned_runs(case: Case) -> dict[str, int]:
    """Return by candidate the trials that would settle it and are planned, if any."""
    late = [one for one in case.left_out if one.reason in LATE and REPETITIONS in one.trials]
    left = {one.candidate: one.trials[REPETITIONS] for one in late}
    names = [candidate.info.name for candidate in runs_to_repeat(case)]
    return {name: left[name] for name in names if name in left}


def _seconds_of_run(candidate: CandidateScores) -> float | None:
    """Return the seconds of one run, all folds together."""
    if candidate.main is None or not candidate.repetitions:
        return None
    spent = [run.seconds_alone for run in candidate.main.runs]
    known = [seconds for seconds in spent if seconds is not None]
    return sum(known) / candidate.repetitions if len(known) == len(spent) else None


def _expected_switch(case: Case, chance: float = 1.0) -> Interval | None:
    """Return the expected gain from switching to the rival once the comparison is decided.

    A costlier rival is used if it gains the margin, a cheaper one if it is ahead; `chance` is the
    probability of a decision.
    """
    rival = deciding_rival(case.contenders, case.selection)
    difference = deciding_difference(case.contenders, case.selection)
    if rival is None or difference is None:
        return None
    least = case.deciding_margin if rival in case.contenders.costlier(case.name) else 0.0
    lead = distribution_of_difference(case.contenders.distribution, rival, case.name)
    value = chance * (lead.excess(least) + least * (1 - lead.below(least)))
    high = difference.high if difference.high > least else value
    return Interval(
        value=value, low=0.0, high=max(high, value), estimand=f"0 unless {rival} is to be used"
    )


def _labelling(
    case: Case, action: str, candidate: str | None, gain: Interval | None, labels: int
) -> Move:
    rule = case.contenders.rule
    hours = label_hours(labels, rule)
    facts = {"action": action, "candidate": candidate, "gain": gain, "labels": labels}
    return _priced(Move.model_validate({**facts, "hours": hours, "usd": label_usd(labels, rule)}))


def _priced(move: Move) -> Move:
    if move.gain is None or not move.usd:
        return move
    bought = 100 * move.gain.value * HUNDRED / move.usd
    return move.model_copy(update={"points_per_100_usd": bought})
