"""The one budget that next steps name, and the runs that are worth repeating."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

from choose.judge.decision.rule import Case
from choose.judge.scores.score_tables import CLEAN, CandidateScores
from choose.schema.plan import REPETITIONS, Reason
from choose.types import Run

# Why planned repetitions did not run that a larger budget, or a higher --max-usd, would run.
LATE: tuple[Reason, ...] = ("out-of-time", "out-of-money")


# A step names the first of these budgets, in minutes, that holds `SHARED` times the remaining work,
# because other trials run too, and `FIT_SHARE` times a fit that the last budget could not hold, but
# at most `LONGER` times what was spent so far, which doubles rows and labels twice: fits are cut to
# the time they have.
BUDGETS, SHARED, FIT_SHARE, LONGER = (5, 10, 15, 30, 60, 120, 240), 3, 2, 4

# Runs that a study needs to measure the variance between runs well.
ENOUGH_RUNS = 5


def runs_to_repeat(case: Case) -> list[CandidateScores]:
    """Return the interim candidate and rivals with fewer than `ENOUGH_RUNS` runs.

    There is none where the question is decided, or variance between runs is not most of the error.
    """
    difference = case.lead
    names = (case.name, *case.selection.rivals)
    if case.selection.chosen or difference is None or difference.run_share < 0.5:
        return []
    return [
        c
        for c in case.contenders.order
        if c.repeats and c.repetitions < ENOUGH_RUNS and c.info.name in names
    ]


class Further(NamedTuple):
    """The minutes of a budget, and those of all remaining work where that takes longer."""

    minutes: int
    whole: float | None = None


def budget_for(
    case: Case, rows: Mapping[str, int], runs: Mapping[str, int], fits: Collection[float]
) -> Further:
    """Return the one budget that every step names: the same command does all.

    Other trials, of which nothing is known here, get half an hour.

    Args:
        case: what was measured, and how long it took.
        rows: test rows that candidates have not answered.
        runs: planned trials of candidates that have not run.
        fits: forecast seconds of fits that the last budget could not hold.
    """
    if not (rows or runs or fits):
        return Further(BUDGETS[3])
    panel = case.contenders.panel
    left = [_seconds_of_rest(panel[name], count) for name, count in rows.items()]
    left += [_seconds_of_runs(panel[name], trials) for name, trials in runs.items()]
    known = [seconds for seconds in left if seconds is not None]
    work = max(SHARED * sum(known), FIT_SHARE * max(fits, default=0.0)) / 60
    unsure = BUDGETS[2] if len(known) < len(left) or fits else 0
    needed = max(min(work, LONGER * _seconds_so_far(case) / 60), unsure)
    minutes = next((m for m in BUDGETS if m >= needed), BUDGETS[-1])
    return Further(minutes, work if work > minutes else None)


def _seconds_so_far(case: Case) -> float:
    """Return the seconds of all fits on clean rows, as if each had run alone."""
    tables = (t for c in case.contenders.panel.candidates for t in c.by_pool.values())
    return sum(run.seconds_alone or 0.0 for table in tables for run in table.runs)


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
