"""How far a verdict can be trusted, and what limits it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from choose.formatting import listed, number, plural, points, signed_points
from choose.judge.decision.contenders import best_of
from choose.judge.decision.label_gates import may_hide_success
from choose.judge.decision.rule import Case
from choose.judge.decision.verdict_gates import WORTH_ITS_COST as WORTH
from choose.judge.decision.verdict_kind import alone
from choose.judge.scores.joint_distribution import SPREAD
from choose.judge.stats.paired import Difference
from choose.judge.stats.two_way import independent_rows
from choose.schema.decision import Confidence, Gate
from choose.schema.score_names import scored
from choose.types import FAMILIES, Family

_LEVELS: tuple[Confidence, ...] = ("low", "medium", "high")


# Where one of these gates fails, a right comparison may still be the wrong decision. An unknown
# gate caps nothing: confidence is about the comparison made, and simulations calibrate it so.
_SOUND = ("labels clean enough", "task stable")

# Below these numbers of test rows, intervals themselves are rough.
ROUGH, TINY = 100, 30

# The chance that a family adopted with high confidence has of being the one to use. With less, high
# confidence was wrong wherever candidates are alike: only an error gets one of them adopted there.
LIKELY_RIGHT = 0.8

# Test rows worth fewer clusters of one size tell nothing of how groups or documents differ.
FEW_CLUSTERS = 2


def confidence_of(
    case: Case, gates: Sequence[Gate], looks: int
) -> tuple[Confidence, tuple[str, ...]]:
    """Return the confidence and a clause for each limit on it, the hardest first."""
    limits = [
        *_evidence_limits(case),
        *_contender_limits(case, gates),
        *_study_limits(case, gates, looks),
    ]
    level = min((cap for cap, _ in limits), default=2)
    return _LEVELS[level], tuple(why for _, why in sorted(limits, key=lambda limit: limit[0]))


def _evidence_limits(case: Case) -> list[tuple[int, str]]:
    limits = [*_incomplete(case)]
    if case.selection.chosen is None and case.selection.reachable:
        # An open question on part of the evidence is low: the rest may turn it.
        cap = 1 if family_chance(case) >= 0.5 and not limits else 0
        least = case.deciding_margin
        by = f" by the margin ({points(least)})" if least else ""
        shown = f"no family is shown to beat all others{by}"
        limits = [(cap, why) for _, why in limits] + [(cap, shown)]
    if case.selection.chosen and (right := chance_of_family(case)) < LIKELY_RIGHT:
        why = f"{case.family} is the right family with a chance of {int(100 * right)} % only"
        limits.append((1, f"{why} ({100 * LIKELY_RIGHT:g} % for high)"))
    for cap, few in ((0, with_too_few_runs(case)), (1, with_one_run(case))):
        if few:
            limits.append((cap, f"{_repeated(case, few)} (3 show how much runs vary)"))
    if case.selection.chosen and (fits := fits_that_may_fail(case)):
        once = "a second fit" if fits == 1 else "one more fit"
        limits.append((1, f"{case.name} would lose its lead if {once} failed"))
    rows = len(case.contenders.panel.rows.targets)
    if rows < ROUGH:
        verb = "is" if rows == 1 else "are"
        limits.append((0 if rows < TINY else 1, f"there {verb} only {plural(rows, 'test row')}"))
    if case.contenders.panel.rows.one_cluster:
        limits.append((0, f"all {rows:,} test rows are of one group or document"))
    clusters = case.contenders.panel.rows.clusters
    if clusters is not None and independent_rows(clusters) < FEW_CLUSTERS:
        most = max(Counter(clusters).values())
        limits.append((0, f"{most:,} of {rows:,} test rows are of one group or document"))
    return limits


def family_chance(case: Case) -> float:
    """Return the chance that the most accurate candidate is of the family that is used."""
    chances = case.contenders.outlook.probability_best
    return sum(chance for n, chance in chances.items() if case.contenders.family(n) == case.family)


def chance_of_family(case: Case) -> float:
    """Return the chance, by all answers together, that the named family is the one to use.

    It is if its best member leads each cheaper member of the others by the margin, and no costlier
    one leads it by more than that.
    """
    contenders = case.contenders
    if case.name in contenders.constants:
        return 1.0
    points, weights = contenders.distribution.points
    scores = dict(zip(contenders.distribution.names, points.T, strict=True))
    best = np.max([scores[name] for name in contenders.families[case.family]], axis=0)
    right, cheaper = np.ones(len(best), dtype=bool), contenders.cheaper(case.name)
    for other in contenders.names:
        if other not in contenders.constants and contenders.family(other) != case.family:
            margin = contenders.margin(case.name, other)
            right &= best - scores[other] > (margin if other in cheaper else -margin)
    return float(weights @ right)


def _incomplete(case: Case) -> list[tuple[int, str]]:
    """Return what was not measured and may still turn the answer; fewer of it never helps."""
    limits: list[tuple[int, str]] = []
    count = plural(len(case.contenders.names), "candidate")
    missing = could_still_win(case)
    if alone(case):
        reads = next(n for n in case.contenders.names if n not in case.contenders.constants)
        limits.append((0, f"{reads} is the only candidate that reads the text"))
    if missing:
        limits.append(
            (0, f"{listed(missing)} {'was' if len(missing) == 1 else 'were'} not measured")
        )
    partial = [_answered(case, name) for name in case.contenders.names if _partly(case, name)]
    if partial:
        main = case.contenders.panel[case.name].main
        tiny = main is not None and int(main.complete.sum()) < TINY
        limits.append((0 if tiny else 1, listed(partial)))
    cheap = case.contenders.families.get("baseline", ())
    if len(cheap) == 1 and case.family != "baseline":
        lead = case.contenders.gain(case.name, cheap[0])
        # Cheap classifiers often differ by ten points, so a smaller lead over one says little.
        cap = 1 if lead is not None and lead.low >= SPREAD else 0
        kind = f"the only cheap {case.words.baseline}"
        limits.append((cap, f"{cheap[0]} is {kind} among the {count} judged"))
    return limits


def could_still_win(case: Case) -> list[Family]:
    """Return the families that were not measured and could gain the margin.

    A candidate that leaves less than the margin to gain rules out what would cost more.
    """
    room = 1 - case.contenders.accuracies[case.name].value
    left_out = [family for family in case.words.families if family not in case.contenders.compared]
    if room >= case.margin:
        return left_out
    return [family for family in left_out if FAMILIES.index(family) < FAMILIES.index(case.family)]


def with_too_few_runs(case: Case) -> list[str]:
    """Return candidates with too few runs whose comparison a wider interval would change.

    A candidate far behind after one run needs no second one: its interval includes the assumed
    variance between runs. A variance measured on two runs, or that of the choice, counts twice.
    """
    names: list[str] = []
    for other, difference in _of_few_runs(case):
        once = _ran_once(case, other)
        if not _sure(case, other, difference, 0.0 if once else 1.0):
            names += [n for n in (case.name, other) if _repeats_little(case, n)]
    return list(dict.fromkeys(names))


def with_one_run(case: Case) -> list[str]:
    """Return candidates that one run rules out, but not if the assumed variance counted twice."""
    few = with_too_few_runs(case)
    return [
        other
        for other, difference in _of_few_runs(case)
        if other not in few and _ran_once(case, other) and not _sure(case, other, difference, 1.0)
    ]


def fits_that_may_fail(case: Case) -> int:
    """Return the fits of a fine-tuned winner whose lead one failed fit would use up, else 0.

    Training can lose its way altogether, and a few good fits say little of that: one study of three
    sees five good ones although every fifth fit fails. So an imaginary fit that scores like the
    constant answer is added to those that were made, as imaginary rows are to an interval. Each
    fold of each repetition is a fit of its own.
    """
    table = case.contenders.panel[case.name].main
    if case.family != "fine-tuning" or table is None:
        return 0
    scores = case.contenders.accuracies
    floor = max((scores[name].value for name in case.contenders.constants), default=0.0)
    fits = len(table.runs)
    lost = (scores[case.name].value - floor) / (fits + 1)
    for other in case.contenders.families:
        match = case.contenders.versus(case.family, other) if other != case.family else None
        costlier = case.contenders.named[other] in case.contenders.costlier(case.name)
        spare = case.contenders.margin(case.name, case.contenders.named[other]) if costlier else 0.0
        if match is not None and match.difference.low + spare <= lost:
            return fits
    return 0


def _of_few_runs(case: Case) -> Iterator[tuple[str, Difference]]:
    """Yield the candidates of other families, and what the chosen one gains, where runs are few.

    Another member of the family does not change which family is the answer.
    """
    for other in case.contenders.names:
        if case.contenders.family(other) != case.family:
            difference = case.contenders.gain(case.name, other)
            if difference is not None and difference.few_runs:
                yield other, difference


def _ran_once(case: Case, other: str) -> bool:
    """Return whether the variance between runs of the other one is assumed, and only that."""
    return case.contenders.panel[other].repetitions < 2 and not _repeats_little(case, case.name)


def _repeated(case: Case, names: Sequence[str]) -> str:
    by_runs: dict[int, list[str]] = {}
    for name in names:
        by_runs.setdefault(case.contenders.panel[name].repetitions, []).append(name)
    return listed(
        [
            f"{listed(some)} had only {plural(runs, 'run')}{' each' if len(some) > 1 else ''}"
            for runs, some in by_runs.items()
        ]
    )


def _repeats_little(case: Case, name: str) -> bool:
    candidate = case.contenders.panel[name]
    return candidate.repeats and candidate.repetitions < 3


def _sure(case: Case, other: str, difference: Difference, more: float) -> bool:
    """Return whether the comparison is decided with so many halves of the interval added to it."""
    low = difference.low - more * (difference.high - difference.low) / 2
    if other in case.contenders.cheaper(case.name):
        return low > 0
    return -low < case.contenders.margin(case.name, other)


def _contender_limits(case: Case, gates: Sequence[Gate]) -> list[tuple[int, str]]:
    limits: list[tuple[int, str]] = []
    against = case.family not in ("prompting", "retrieval")
    prompted = {"prompting", "retrieval"} & {*case.contenders.families}
    if (
        against
        and prompted
        and any(g.name == "contenders credible" and g.status != "pass" for g in gates)
    ):
        limits.append((1, _no_strong_model(case)))
    # That a whole family was not measured is said of the family.
    unmeasured = could_still_win(case)
    failed = [
        c.info.name
        for c in case.contenders.panel.candidates
        if c.failures
        or (
            c.main is None
            and c.info.name not in case.contenders.names
            and c.info.family not in unmeasured
        )
        if c.info.name not in case.cannot_win
    ]
    if failed:
        trials = sum(c.failures for c in case.contenders.panel.candidates if c.info.name in failed)
        # A candidate that did not start before the time limit has no failed trial.
        within = "within --max-usd" if case.unpaid.issuperset(failed) else "in time"
        why = plural(trials, "failed trial") if trials else f"no trial finished {within}"
        limits.append((1, f"{listed(failed)} did not finish ({why})"))
    if case.contenders.panel[case.name].info.warning:
        limits.append((1, f"{case.name} may have seen the test rows"))
    return limits


def _no_strong_model(case: Case) -> str:
    best = best_of(case.contenders, ("prompting", "retrieval"))
    assert best is not None
    tried = [family for family in ("prompting", "retrieval") if family in case.contenders.families]
    reached = scored(case.contenders.accuracies[best].value, case.noun)
    lead = case.contenders.gain(best, case.name)
    if lead is not None and (on := case.contenders.on_rows(lead)):
        # Its score on a part of the rows would stand below that of the named candidate on all.
        reached = f"{signed_points(lead.value)} points against {case.name}{on}"
    verb = "was" if len(tried) == 1 else "were"
    return f"{listed(tried)} {verb} tried with a small model only ({best}: {reached})"


def _answered(case: Case, name: str) -> str:
    table = case.contenders.panel[name].main
    answered = int(table.complete.sum()) if table else 0
    return (
        f"{name} answered {answered:,} of {plural(len(case.contenders.panel.rows.targets), 'row')}"
    )


def _partly(case: Case, name: str) -> bool:
    """Return whether it answered only part of the rows, and the other part could still matter.

    The rows that a stopped candidate did answer may be enough to rule it out.
    """
    contenders = case.contenders
    table = contenders.panel[name].main
    if table is None or table.complete.all():
        return False
    if contenders.family(name) == case.family:
        return name == case.name
    gap = contenders.gain(name, case.name)
    enough = contenders.margin(name, case.name) if name in contenders.costlier(case.name) else 0.0
    return gap is None or gap.high >= enough


def _study_limits(case: Case, gates: Sequence[Gate], looks: int) -> list[tuple[int, str]]:
    limits: list[tuple[int, str]] = []
    if looks > 1:
        often = f"these test rows were judged {looks} times with different settings"
        limits.append((1, f"{often}, and each extra look makes a winner by chance more likely"))
    if may_hide_success(case):
        limits.append((1, f"wrong {case.words.target}s may be why no candidate reaches the target"))
    if case.selection.target == "open":
        limits.append((1, "whether it reaches the target is open"))
    if case.long_answers is not None:
        unsure = (
            f"it is not shown that {case.words.score} follows what readers value of answers as "
            f"long as these ({number(case.long_answers)} words)"
        )
        limits.append((1, unsure))
    failed = [g.name for g in gates if g.name in _SOUND and g.status == "fail"]
    if failed:
        checks = listed([f"'{name}'" for name in failed])
        limits.append((1, f"the check {checks} failed"))
    pays = next((gate.status for gate in gates if gate.name == WORTH), "unknown")
    if pays == "fail":
        limits.append((1, "it costs more than it earns"))
    if pays == "unknown" and case.contenders.margins.derived:
        limits.append((1, "whether it pays off is open"))
    if any(gate.name == "robust" and gate.status == "fail" for gate in gates):
        limits.append((1, "the choice does not hold under all conditions"))
    return limits
