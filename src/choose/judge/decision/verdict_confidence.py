"""How far a verdict can be trusted, and what limits it."""

from __future__ import annotations

from collections.abc import Sequence

from choose.formatting import listed, of_100, plural, points
from choose.judge.decision.contenders import best_of
from choose.judge.decision.label_gates import may_hide_success
from choose.judge.decision.rule import Case
from choose.judge.decision.verdict_gates import WORTH_ITS_COST as WORTH
from choose.judge.stats.paired import Difference
from choose.schema.decision import Confidence, Gate

_LEVELS: tuple[Confidence, ...] = ("low", "medium", "high")


# Where one of these gates fails, a right comparison may still be the wrong decision. An unknown
# gate caps nothing: confidence is about the comparison made, and simulations calibrate it so.
_SOUND = ("labels clean enough", "task stable")

# Below these numbers of test rows, intervals themselves are rough.
ROUGH, TINY = 100, 30


def confidence_of(
    case: Case, gates: Sequence[Gate], looks: int
) -> tuple[Confidence, tuple[str, ...]]:
    """Return the confidence and a clause for each limit on it."""
    limits = [
        *_evidence_limits(case),
        *_contender_limits(case, gates),
        *_study_limits(case, gates, looks),
    ]
    level = min((cap for cap, _ in limits), default=2)
    return _LEVELS[level], tuple(why for cap, why in limits if cap == level)


def _evidence_limits(case: Case) -> list[tuple[int, str]]:
    limits: list[tuple[int, str]] = []
    if case.selection.chosen is None and case.selection.reachable:
        chance = case.contenders.outlook.probability_best.get(case.name, 0.0)
        shown = f"no candidate clearly leads by the margin of {points(case.deciding_margin)}"
        limits.append((1 if chance >= 0.5 else 0, shown))
    few = with_too_few_runs(case)
    if few:
        limits.append((0, f"{listed([_repeated(case, n) for n in few])} (3 needed)"))
    rows = len(case.contenders.panel.rows.targets)
    if rows < ROUGH:
        limits.append((0 if rows < TINY else 1, f"there are only {plural(rows, 'test row')}"))
    return limits


def with_too_few_runs(case: Case) -> list[str]:
    """Return candidates with too few runs whose comparison a wider interval would change.

    A candidate far behind after one run needs no second one: its interval includes the assumed
    variance between runs. A variance measured on two runs, or that of the choice, counts twice.
    """
    names = []
    for other in case.contenders.names:
        difference = case.contenders.gain(case.name, other) if other != case.name else None
        if difference is None or not difference.few_runs or _sure(case, other, difference):
            continue
        names += [n for n in (case.name, other) if _repeats_little(case, n)]
    return list(dict.fromkeys(names))


def _repeated(case: Case, name: str) -> str:
    return f"{name} had only {plural(case.contenders.panel[name].repetitions, 'run')}"


def _repeats_little(case: Case, name: str) -> bool:
    candidate = case.contenders.panel[name]
    return candidate.repeats and candidate.repetitions < 3


def _sure(case: Case, other: str, difference: Difference) -> bool:
    assumed = case.contenders.panel[other].repetitions < 2 and not _repeats_little(case, case.name)
    half = 0.0 if assumed else (difference.high - difference.low) / 2
    if other in case.contenders.cheaper(case.name):
        return difference.low - half > 0
    return -(difference.low - half) < case.contenders.margin(case.name, other)


def _contender_limits(case: Case, gates: Sequence[Gate]) -> list[tuple[int, str]]:
    limits: list[tuple[int, str]] = []
    count = len(case.contenders.names)
    against = case.contenders.family(case.name) not in ("prompting", "retrieval")
    if against and any(g.name == "contenders credible" and g.status != "pass" for g in gates):
        limits.append((1, _no_strong_model(case)))
    if not any(case.contenders.family(name) == "fine-tuning" for name in case.contenders.names):
        limits.append((1, f"fine-tuning is not among the {plural(count, 'candidate')} judged"))
    failed = [
        c.info.name
        for c in case.contenders.panel.candidates
        if c.failures or (c.main is None and c.info.name not in case.contenders.names)
    ]
    if failed:
        trials = sum(c.failures for c in case.contenders.panel.candidates if c.info.name in failed)
        # A candidate that did not start before the time limit has no failed trial.
        why = plural(trials, "failed trial") if trials else "no trial finished in time"
        limits.append((1, f"{listed(failed)} did not finish ({why})"))
    partial = [_answered(case, name) for name in case.contenders.names if _partly(case, name)]
    if partial:
        limits.append((1, listed(partial)))
    if case.contenders.panel[case.name].info.warning:
        limits.append((1, f"{case.name} may have seen the test rows"))
    return limits


def _no_strong_model(case: Case) -> str:
    best, count = best_of(case.contenders, ("prompting", "retrieval")), len(case.contenders.names)
    if best is None:
        return f"prompting and retrieval are not among the {count} candidates judged"
    right = of_100(case.contenders.accuracies[best].value)
    return f"prompting and retrieval were tried with a small model only ({best}: {right} right)"


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
    table = case.contenders.panel[name].main
    if table is None or table.complete.all():
        return False
    return name == case.name or name in case.selection.rivals


def _study_limits(case: Case, gates: Sequence[Gate], looks: int) -> list[tuple[int, str]]:
    limits: list[tuple[int, str]] = []
    if looks > 1:
        often = f"these test rows were judged {looks} times with different settings"
        limits.append((1, f"{often}, and each extra look makes a lucky winner more likely"))
    if may_hide_success(case):
        limits.append((1, "wrong labels may be why no candidate reaches the target"))
    if case.selection.target == "open":
        limits.append((1, "whether it reaches the target is open"))
    failed = [g.name for g in gates if g.name in _SOUND and g.status == "fail"]
    if failed:
        limits.append((1, f"the check failed: {listed(failed)}"))
    pays = next((gate.status for gate in gates if gate.name == WORTH), "unknown")
    if pays == "fail":
        limits.append((1, "it costs more than it earns"))
    if pays == "unknown" and case.contenders.margins.derived:
        limits.append((1, "whether it pays off is open"))
    if any(gate.name == "robust" and gate.status == "fail" for gate in gates):
        limits.append((1, "the choice does not hold under all conditions"))
    return limits
