"""Sentences on what would change the verdict, and on the next steps."""

from __future__ import annotations

from collections.abc import Iterator

from choose.formatting import (
    dollars,
    gain,
    in_percent,
    interval,
    listed,
    number,
    per_100,
    plural,
    points,
    rounded,
)
from choose.judge.decision.contenders import best_of
from choose.judge.decision.label_gates import conflicts_fail, labels_limit
from choose.judge.decision.more_labels import (
    forecast_nearest_target,
    forecast_of_margin,
    steepest_gain,
)
from choose.judge.decision.next_steps import ENOUGH_RUNS, HUNDRED, with_few_runs
from choose.judge.decision.robust_choice import under_noise
from choose.judge.decision.rows_to_decide import answered_too_few, lead_of_costlier, more_rows
from choose.judge.decision.rule import Case, deciding_difference
from choose.judge.evidence import strong
from choose.judge.measures.build_scorecard import settings_of
from choose.judge.measures.cost_sheet import priced
from choose.judge.prose.failures import failure_steps, overlap_steps
from choose.judge.prose.labelling_advice import (
    more,
    out_of_reach,
    overtaken,
    relabel,
    toward_margin,
    toward_target,
)
from choose.judge.prose.prices import price_flips
from choose.judge.prose.reasons import closest_costlier
from choose.judge.scores.paired_comparison import compare, other_pool
from choose.schema.base import Interval
from choose.schema.costs import Move
from choose.schema.curves import CurveForecast, Needed
from choose.schema.decision import Gate


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
        f"{what}: about {points(move.gain.value)} ({_ends(move.action, move.gain)}) for "
        f"{dollars(move.usd)}{each}"
    )


def _ends(action: str, gain: Interval) -> str:
    """Explain the bounds of an expected gain; only those of more labels are an interval."""
    assert gain.low is not None
    assert gain.high is not None
    if action == "learn from more labels":
        return interval(gain)
    if action == "check doubted labels":
        return f"{per_100(gain.low)} if the fewest are wrong, {per_100(gain.high)} if all are"
    return f"on average; 0 to {per_100(gain.high)}"


def flips(case: Case) -> tuple[str, ...]:
    """Return what would change the verdict, with figures."""
    return (
        *_margin(case),
        *price_flips(case),
        *_model(case),
        *_fewer_labels(case),
        *overtaken(case.contenders, case.name),
        *filter(None, [_unreached(case)]),
        *_noise(case),
        *_settings(case),
    )


def _margin(case: Case) -> Iterator[str]:
    if case.selection.chosen is None:
        return
    most = closest_costlier(case)
    if most and most.difference.high > 0:
        high = points(most.difference.high)
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
    yield (
        f"An LLM that scores above {in_percent(needed)} on these rows would become the "
        "recommendation. Try one: choose compare DATA --model SPEC."
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
            yield f"With {plural(fewest, 'label')}, {gain(other.info.name, case.name, difference)}."


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
                    f"With the setting {other.setting}, {name} scores {points(change.value)} "
                    f"higher than with its own ({interval(change)}, on the same "
                    f"{plural(other.rows, 'row')}). No setting is chosen on test rows: name it "
                    "in the study file and confirm it on other rows."
                )


def next_steps(
    case: Case, gates: tuple[Gate, ...], moves: tuple[Move, ...], left_out: tuple[str, ...]
) -> tuple[str, ...]:
    """Return what to do next, the most useful first."""
    worth = [text] if (text := best_buy(moves)) else []
    steps = [*_repeat(case), *_unused(case), *_label(case), *_grow(case)]
    steps += [*_stronger(case, gates), *_clean(case)]
    steps = [*relabel(case), *steps] if labels_limit(case) else [*steps, *relabel(case)]
    steps += [*failure_steps(case.failures, case.margin), *overlap_steps(case.overlap, case.margin)]
    if left_out:
        finish = (
            f"Finish what was left out ({plural(len(left_out), 'item')}): rerun the same command "
            "with a larger --budget; it resumes from here."
        )
        hung, labelled = (
            lead_of_costlier(case.contenders, case.selection),
            len(case.contenders.panel.rows.targets),
        )
        first = hung is not None and answered_too_few(hung, case.deciding_margin, labelled)
        steps = [finish, *steps] if first else [*steps, finish]
    return (*worth, *steps)


def _repeat(case: Case) -> Iterator[str]:
    difference = deciding_difference(case.contenders, case.selection)
    if case.selection.chosen or difference is None or difference.run_share < 0.5:
        return
    few = [candidate.info.name for candidate in with_few_runs(case)]
    if few:
        yield (
            f"Repeat {listed(few)} with more seeds (--seeds {ENOUGH_RUNS}): variation between "
            f"training runs causes {100 * difference.run_share:.0f} % of the uncertainty."
        )


def _unused(case: Case) -> Iterator[str]:
    panel = case.contenders.panel
    if panel.training_rows < panel.pool:
        yield (
            f"Train on all {panel.pool:,} labelled rows of the pool: this study trained on "
            f"{panel.training_rows:,} of them (--sizes), so the value of the others is unknown."
        )


def _label(case: Case) -> Iterator[str]:
    difference = lead_of_costlier(case.contenders, case.selection)
    if case.selection.chosen or difference is None or not case.selection.reachable:
        return
    more = more_rows(difference, case.deciding_margin, len(case.contenders.panel.rows.targets))
    if more is None:
        return
    counts = [rounded(count) for count in more if count is not None]
    likely = f", {counts[1]:,} for 80 %" if len(counts) > 1 else ""
    yield (
        f"Separating {case.name} from {case.selection.rivals[0]} needs about {counts[0]:,} more "
        f"labelled rows for a 50 % chance{likely}{priced(case.contenders.rule, counts[-1])}."
    )


def _grow(case: Case) -> Iterator[str]:
    if case.selection.target in ("missed", "open") and (text := toward_target(case.contenders)):
        forecast = forecast_nearest_target(case.contenders)
        yield text + _hours(case, forecast, forecast.target if forecast else None)
    forecast = forecast_of_margin(case.contenders, (case.name, *case.selection.rivals))
    if forecast is not None:
        yield toward_margin(forecast) + _hours(case, forecast, forecast.margin)
        return
    growth = steepest_gain(case.contenders, case.contenders.names)
    if growth is not None:
        yield (
            f"More labels still help {growth.candidate}: from {growth.fewer:,} to "
            f"{plural(growth.labels, 'label')} it gained {points(growth.gained.value)} "
            f"({interval(growth.gained)})."
        )


def _unreached(case: Case) -> str:
    return "" if case.selection.target == "met" else out_of_reach(case.contenders)


def _hours(case: Case, forecast: CurveForecast | None, needed: Needed | None) -> str:
    ends = more(forecast, needed) if forecast and needed else None
    price = priced(case.contenders.rule, *ends) if ends else ""
    return f" That is{price.replace(' (', ' ', 1).removesuffix(')')}." if price else ""


def _stronger(case: Case, gates: tuple[Gate, ...]) -> Iterator[str]:
    gate = next(gate for gate in gates if gate.name == "contenders credible")
    if gate.status == "unknown" and case.contenders.family(case.name) not in (
        "prompting",
        "retrieval",
    ):
        prompted = best_of(case.contenders, ("prompting", "retrieval"))
        what = "a stronger LLM" if prompted else "an LLM"
        lead = case.contenders.gain(prompted, case.name) if prompted else None
        so_far = f"so far {gain(prompted, case.name, lead)}" if prompted and lead else ""
        level = f"on these rows {case.name} scored {_percent(case, case.name)}"
        yield f"Try {what} (choose compare DATA --model SPEC): {so_far or level}."


def _percent(case: Case, name: str) -> str:
    return in_percent(case.contenders.accuracies[name].value)


def _clean(case: Case) -> Iterator[str]:
    rows = case.contenders.panel.rows
    conflicting = int(rows.conflicting.sum())
    if conflicts_fail(conflicting, len(rows.targets)):
        yield (
            f"Decide on one label for each text that has two ({plural(conflicting, 'row')}); "
            "choose check DATA lists them."
        )
