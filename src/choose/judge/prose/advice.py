"""Sentences on what would change the verdict, money included, and on the next steps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from choose.formatting import (
    dollars,
    gain,
    in_percent,
    interval,
    listed,
    measured,
    number,
    percent,
    plural,
    rough,
)
from choose.judge.decision.break_even import breakevens
from choose.judge.decision.next_steps import ENOUGH_RUNS, HUNDRED, runs_to_repeat
from choose.judge.decision.robust_choice import under_noise
from choose.judge.decision.rule import Case, deciding_difference, deciding_rival
from choose.judge.evidence import strong
from choose.judge.measures.build_scorecard import settings_of
from choose.judge.prose.labelling_advice import out_of_reach
from choose.judge.prose.reasons import closest_costlier
from choose.judge.scores.paired_comparison import compare, other_pool
from choose.judge.scores.score_tables import CandidateScores
from choose.schema.base import Interval
from choose.schema.costs import MONTHS, Breakeven, Move
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


def stale_facts(case: Case) -> Iterator[str]:
    """Say how often the candidate named gives old facts after documents changed."""
    drill = case.drill
    own = [o for o in drill.outcomes if o.candidate == case.name and not o.reads] if drill else []
    if drill is None or not own or (own[0].stale.low or 0.0) < STALE:
        return
    best = drill.outcomes[0]
    yield (
        f"Whether facts change: after {plural(drill.facts, 'fact')} changed in the documents, "
        f"{case.name} still gave the old answer to {in_percent(own[0].stale.value)} of "
        f"{plural(drill.rows, 'question')}, and {best.candidate} to "
        f"{in_percent(best.stale.value)}."
    )


def flips(case: Case) -> tuple[str, ...]:
    """Return what would change the verdict, with figures."""
    return (
        *_margin(case),
        *price_flips(case),
        *_model(case),
        *_fewer_labels(case),
        *filter(None, [_unreached(case)]),
        *_noise(case),
        *_settings(case),
    )


def _margin(case: Case) -> Iterator[str]:
    if case.selection.chosen is None:
        return
    most = closest_costlier(case)
    if most and most.difference.high > 0:
        high = measured(most.difference.high)
        yield f"With a margin of {high} or less, {most.a} could not be ruled out."


def _model(case: Case) -> Iterator[str]:
    prompted = [
        m.info for m in case.contenders.order if m.info.family in ("prompting", "retrieval")
    ]
    if any(strong(info) for info in prompted):
        return
    needed = case.contenders.accuracies[case.name].value + case.margin
    if needed > 1:
        return
    stronger = case.words.stronger
    yield (
        f"An {stronger.what} that scores above {amount(needed, case.noun)} on these rows may "
        f"become the recommendation. Try one with {stronger.flag} SPEC."
    )


def _fewer_labels(case: Case) -> Iterator[str]:
    """Yield the candidates that were certainly ahead with the fewest labels measured."""
    chosen = case.contenders.panel[case.name]
    for other in map(case.contenders.panel.__getitem__, case.contenders.names):
        shared = sorted(set(chosen.sizes) & set(other.sizes))
        if not shared or other is chosen:
            continue
        fewest = shared[0]
        difference = compare(
            other_pool(other, other.sizes[fewest]), other_pool(chosen, chosen.sizes[fewest])
        )
        if difference and difference.low > 0 and difference.value >= case.margin:
            labels = plural(fewest, case.words.label)
            yield f"With {labels}, {gain(other.info.name, case.name, difference)}."


def _noise(case: Case) -> Iterator[str]:
    _, reversal = under_noise(case.contenders, case.name)
    if reversal is not None and reversal.caused:
        yield reversal.sentence(case.name)


def _settings(case: Case) -> Iterator[str]:
    """Yield the settings that are certainly better than a candidate's own, on the same rows."""
    for candidate in case.contenders.order:
        name = candidate.info.name
        if name not in (case.name, *case.selection.rivals[:1]):
            continue
        for other in settings_of(candidate):
            change = other.change
            if change.low is not None and change.low > 0 and change.value >= case.margin:
                yield (
                    f"With the setting {other.setting}, {name} scores {measured(change.value)} "
                    f"higher than with its own ({interval(change)}, on the same "
                    f"{plural(other.rows, 'row')}). No setting is chosen on test rows: name it "
                    "in the study file and confirm it on other rows."
                )


def _unreached(case: Case) -> str:
    return "" if case.selection.target == "met" else out_of_reach(case.contenders)


# A volume more than this many times away from the study's is not reported.
FAR = 100


def price_flips(case: Case) -> Iterator[str]:
    """Yield the volumes from which another candidate would be used."""
    pairs = [pair for pair in breakevens(case.contenders) if case.name in (pair.a, pair.b)]
    yield from _volume(
        [p for p in pairs if p.a != case.name], [p for p in pairs if p.a == case.name]
    )


def _volume(others: Sequence[Breakeven], own: Sequence[Breakeven]) -> Iterator[str]:
    """Yield the volumes above and below which another candidate would pay off.

    Of several break-evens, the one closest to the volume of the study.
    """
    above = {
        p.requests.value: p
        for p in others
        if p.requests.value and p.expected < p.requests.value < FAR * p.expected
    }
    if above:
        pair = above[min(above)]
        yield (
            f"Above about {rough(pair.requests_per_month.value or 0.0)} answers a month"
            f"{_volume_ends(pair)}, {pair.a} would pay for itself within a year "
            f"compared with {pair.b}; the study assumes {rough(pair.expected / MONTHS)}."
        )
    below = {
        p.requests.value: p
        for p in own
        if p.requests.value and p.expected / FAR < p.requests.value <= p.expected
    }
    if below:
        pair = below[max(below)]
        yield (
            f"Below about {rough(pair.requests_per_month.value or 0.0)} answers a month"
            f"{_volume_ends(pair)}, {pair.b} would be enough: {pair.a} would not pay for itself "
            f"within a year; the study assumes {rough(pair.expected / MONTHS)}."
        )


def _volume_ends(pair: Breakeven) -> str:
    low, high = pair.requests_per_month.low, pair.requests_per_month.high
    if low is None:
        return ""
    upper = rough(high) if high is not None else "any number"
    return f" ({rough(low)} to {upper})"
