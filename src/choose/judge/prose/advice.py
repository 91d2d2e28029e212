"""Sentences on what would change the verdict, money included, and on the next steps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from choose.formatting import (
    dollars,
    interval,
    listed,
    measured,
    number,
    percent,
    plural,
)
from choose.judge.decision.next_steps import ENOUGH_RUNS, HUNDRED, runs_to_repeat
from choose.judge.decision.rule import Case, deciding_difference, deciding_rival
from choose.judge.scores.score_tables import CandidateScores
from choose.schema.base import Interval
from choose.schema.costs import Move
from choose.schema.score_names import amount
from choose.schema.standings import Step

# A candidate is said to keep old facts if it surely gives them in this share of answers.
STALE = 0.2

# How a study goes on that its dollars ended; the command says how many the rest takes.
PAY, PLAN = (
    "The same command with a higher --max-usd goes on from here and pays for no answer twice; "
    "choose plan says what the rest costs.",
    "choose plan -c STUDY",
)


def best_buy(moves: tuple[Move, ...]) -> str:
    """Say where the next $100 buys the most; empty if no priced step gains."""
    priced = [m for m in moves if (m.points_per_100_usd or 0.0) > 0]
    if not priced:
        return ""
    steps = "; then ".join(_step(move) for move in priced)
    return f"The next $100 buys the most if you {steps}."


def _step(move: Move) -> str:
    assert move.gain is not None
    assert move.usd is not None
    what = {
        "learn from more labels": f"label {plural(move.labels or 0, 'row')} for {move.candidate}",
        "check doubted labels": f"check {plural(move.labels or 0, 'suspected label')}",
        "ask more rows": f"label {plural(move.labels or 0, 'more test row')}",
        "repeat": f"repeat {move.candidate or 'the contenders'} up to {ENOUGH_RUNS} times",
    }[move.action]
    each = f", {number(move.points_per_100_usd or 0.0, 2)} per $100" if move.usd > HUNDRED else ""
    return (
        f"{what}: about {measured(move.gain.value)} ({_ends(move.action, move.gain)}) for "
        f"{dollars(move.usd)}{each}"
    )


def _ends(action: str, gain: Interval) -> str:
    """Explain the bounds of an expected gain; only those of more labels are an interval."""
    assert gain.low is not None
    assert gain.high is not None
    if action == "learn from more labels":
        return interval(gain)
    if action == "check doubted labels":
        return f"{percent(gain.low)} if the fewest are wrong, {percent(gain.high)} if all are"
    return f"on average; 0.0 to {percent(gain.high)}"


def add_families(case: Case) -> Iterator[Step]:
    """Yield the step that makes it a comparison, where only one family was measured."""
    if len(case.contenders.families) != 1:
        return
    measured = amount(case.contenders.accuracies[case.name].value, case.noun)
    yield Step(
        kind="add-candidate",
        text=f"Compare it with the other families: so far only {listed(case.contenders.names)} ran "
        f"({case.name}: {measured}). -s all adds those that are installed and keeps these results.",
        question="whether another family does better",
        command="choose compare -c STUDY -s all",
    )


def between(case: Case) -> str:
    """Return the question which of the two nearest candidates is better; empty without another."""
    other = deciding_rival(case.contenders, case.selection)
    near = case.selection.near
    if not case.selection.rivals and near:
        other = near[0]
    return f"whether {case.name} or {other} is better" if other else ""


def repeat_runs(case: Case, planned: Mapping[str, int], minutes: int) -> Iterator[Step]:
    """Yield more runs of candidates in question.

    Runs that the study plans and had no time for need a larger budget, not more seeds.
    """
    if not (few := runs_to_repeat(case)):
        return
    few = [candidate for candidate in few if candidate.info.name in planned] or few
    names = listed([candidate.info.name for candidate in few])
    why = _why_repeat(case, few)
    if planned:
        text = f"Repeat {names}: {why}. The runs are planned, and"
        if case.unpaid.issuperset(planned):
            text = f"{text} --max-usd was used up before them. {PAY}"
            yield Step(kind="more-runs", text=text, question=between(case), command=PLAN)
            return
        yield Step(
            kind="more-runs",
            text=f"{text} the budget ended before them; the same command with --budget {minutes}m "
            "goes on from here.",
            question=between(case),
            minutes=float(minutes),
            command=f"choose compare -c STUDY --budget {minutes}m",
        )
        return
    yield Step(
        kind="more-runs",
        text=f"Repeat {names} with more seeds (--seeds {ENOUGH_RUNS}): {why}.",
        question=between(case),
        command=f"choose compare -c STUDY --seeds {ENOUGH_RUNS}",
    )


def _why_repeat(case: Case, few: Sequence[CandidateScores]) -> str:
    difference = deciding_difference(case.contenders, case.selection)
    assert difference is not None
    share = f"{100 * difference.run_share:.0f} % of the uncertainty"
    if all(candidate.repetitions < 2 for candidate in few):
        return f"one run cannot tell how much runs vary, assumed to be {share}"
    return f"with so few runs, the variation between runs causes {share}"
