"""How far a verdict can be trusted, and why no further."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from choose.formatting import listed, of_100, plural, points
from choose.judge.decision.contenders import best_of
from choose.judge.decision.gates import NAME as WORTH
from choose.judge.decision.label_gates import labels_limit, may_hide_success
from choose.judge.decision.more_labels import COARSE, nearest, rising, unknown
from choose.judge.decision.rows_needed import Case, asked_too_few, lead
from choose.judge.measures.curve_forecast import likely
from choose.judge.stats.intervals import wilson
from choose.judge.stats.paired import Difference
from choose.schema.decision import Confidence, Gate, Kind

_LEVELS: tuple[Confidence, ...] = ("low", "medium", "high")


# Where one of these fails, a right comparison may still be the wrong decision. What was not
# measured is said by its gate and caps nothing: confidence is about the comparison made, and on
# known worlds it is right as often as it claims without them.
_SOUND = ("labels clean enough", "task stable")


# Below these numbers of test rows, intervals themselves are rough.
ROUGH, TINY = 100, 30


def confidence_of(
    case: Case, gates: Sequence[Gate], looks: int
) -> tuple[Confidence, tuple[str, ...]]:
    """Return the confidence and a clause for each thing that holds it down."""
    limits = [*_evidence(case), *_contenders(case, gates), *_study(case, gates, looks)]
    level = min((cap for cap, _ in limits), default=2)
    return _LEVELS[level], tuple(why for cap, why in limits if cap == level)


def _evidence(case: Case) -> list[tuple[int, str]]:
    limits: list[tuple[int, str]] = []
    if case.settlement.chosen is None and case.settlement.reachable:
        chance = case.field.outlook.probability_best.get(case.name, 0.0)
        shown = f"no candidate clearly leads by the margin of {points(case.stake)}"
        limits.append((1 if chance >= 0.5 else 0, shown))
    few = thin(case)
    if few:
        limits.append((0, f"{listed([_repeated(case, n) for n in few])} (3 needed)"))
    rows = len(case.field.panel.rows.targets)
    if rows < ROUGH:
        limits.append((0 if rows < TINY else 1, f"there are only {plural(rows, 'test row')}"))
    return limits


def thin(case: Case) -> list[str]:
    """Return candidates with too few repetitions whose comparison would not survive more doubt.

    A candidate far behind after one repetition needs no second one: the luck that is assumed of it
    is in the interval. Luck measured on two, or that of the choice itself, is doubted twice.
    """
    names = []
    for other in case.field.names:
        found = case.field.gain(case.name, other) if other != case.name else None
        if found is None or not found.few or _sure(case, other, found):
            continue
        names += [n for n in (case.name, other) if _repeats_little(case, n)]
    return list(dict.fromkeys(names))


def _repeated(case: Case, name: str) -> str:
    return f"{name} had only {plural(case.field.panel[name].repetitions, 'run')}"


def _repeats_little(case: Case, name: str) -> bool:
    candidate = case.field.panel[name]
    return candidate.repeats and candidate.repetitions < 3


def _sure(case: Case, other: str, found: Difference) -> bool:
    assumed = case.field.panel[other].repetitions < 2 and not _repeats_little(case, case.name)
    half = 0.0 if assumed else (found.high - found.low) / 2
    if other in case.field.cheaper(case.name):
        return found.low - half > 0
    return -(found.low - half) < case.field.margin(case.name, other)


def _contenders(case: Case, gates: Sequence[Gate]) -> list[tuple[int, str]]:
    limits: list[tuple[int, str]] = []
    against = case.field.family(case.name) not in ("prompting", "retrieval")
    if against and any(g.name == "contenders credible" and g.status != "pass" for g in gates):
        limits.append((1, _no_strong_model(case)))
    if not any(case.field.family(name) == "fine-tuning" for name in case.field.names):
        limits.append(
            (1, f"fine-tuning is not among the {plural(len(case.field.names), 'candidate')} judged")
        )
    failed = [
        c.info.name
        for c in case.field.panel.candidates
        if c.failures or (c.main is None and c.info.name not in case.field.names)
    ]
    if failed:
        trials = sum(c.failures for c in case.field.panel.candidates if c.info.name in failed)
        # Nothing failed of one that the time did not reach.
        why = plural(trials, "failed trial") if trials else "no trial finished in time"
        limits.append((1, f"{listed(failed)} did not finish ({why})"))
    partial = [_answered(case, name) for name in case.field.names if _partly(case, name)]
    if partial:
        limits.append((1, listed(partial)))
    if case.field.panel[case.name].info.warning:
        limits.append((1, f"{case.name} may have seen the test rows"))
    return limits


def _no_strong_model(case: Case) -> str:
    best = best_of(case.field, ("prompting", "retrieval"))
    if best is None:
        return (
            f"prompting and retrieval are not among the {len(case.field.names)} candidates judged"
        )
    right = of_100(case.field.accuracies[best].value)
    return f"prompting and retrieval were tried with a small model only ({best}: {right} right)"


def _answered(case: Case, name: str) -> str:
    table = case.field.panel[name].main
    asked = int(table.kept.sum()) if table else 0
    return f"{name} answered {asked:,} of {plural(len(case.field.panel.rows.targets), 'row')}"


def _partly(case: Case, name: str) -> bool:
    """Return whether it answered only part of the rows, and the other part could still matter.

    Of a candidate that was dropped or cut off, the rows it did answer may settle that it is out.
    """
    table = case.field.panel[name].main
    if table is None or table.kept.all():
        return False
    return name == case.name or name in case.settlement.rivals


def _study(case: Case, gates: Sequence[Gate], looks: int) -> list[tuple[int, str]]:
    limits: list[tuple[int, str]] = []
    if looks > 1:
        often = f"these test rows were judged {looks} times with different settings"
        limits.append((1, f"{often}, and each extra look makes a lucky winner more likely"))
    if may_hide_success(case):
        limits.append((1, "wrong labels may be why no candidate reaches the target"))
    if case.settlement.target == "open":
        limits.append((1, "whether it reaches the target is open"))
    failed = [g.name for g in gates if g.name in _SOUND and g.status == "fail"]
    if failed:
        limits.append((1, f"the check failed: {listed(failed)}"))
    pays = next((gate.status for gate in gates if gate.name == WORTH), "unknown")
    if pays == "fail":
        limits.append((1, "it costs more than it earns"))
    if pays == "unknown" and case.field.margins.derived:
        limits.append((1, "whether it pays off is open"))
    if any(gate.name == "robust" and gate.status == "fail" for gate in gates):
        limits.append((1, "the choice does not hold under all conditions"))
    return limits


# Doublings of the labels within which a rising curve may be hoped to reach a target.
DOUBLINGS = 2


def kind_of(case: Case) -> Kind:
    """Return the verdict's kind."""
    settlement = case.settlement
    limited = conflicts_limit(case) is not None or labels_limit(case) is not None
    if limited and not _content(case):
        return "fix-labels"
    if not settlement.reachable:
        return "collect-labels" if may_grow(case) else "none-works"
    if settlement.chosen is None:
        return "collect-labels" if _too_few_labels(case) else "too-close"
    if case.field.panel[settlement.chosen].info.strategy == "majority":
        grows = rising(case.field, case.field.names) is not None
        return "collect-labels" if grows else "none-works"
    if settlement.target == "missed":
        return "too-close"
    measured = {case.field.family(name) for name in case.field.names}
    is_baseline = case.field.family(settlement.chosen) == "baseline"
    if is_baseline and settlement.target != "open" and len(measured) > 1:
        return "baseline-is-enough"
    return "adopt"


def _content(case: Case) -> bool:
    return case.settlement.chosen is not None and case.settlement.target in ("met", "none")


def conflicts_limit(case: Case) -> tuple[int, int] | None:
    """Return (errors on texts with two labels, errors) if those are most errors for certain."""
    table = case.field.panel[case.name].main
    assert table is not None
    exact = table.answers == table.rows.targets[table.kept][:, None]
    wrong = exact.mean(axis=1) < 0.5
    errors, conflicting = int(wrong.sum()), int((wrong & table.rows.conflicting[table.kept]).sum())
    if not errors or wilson(conflicting, errors)[0] <= 0.5:
        return None
    return conflicting, errors


def may_grow(case: Case) -> bool:
    """Return whether some candidate is likely to reach the target with more labels.

    Its fitted curve says so. Where none may be fitted, two more doublings like the last one decide:
    the gain since a pool of half the size is taken per doubling; curves flatten, so that this is a
    reason to look and no forecast.
    """
    target, best = case.field.rule.target, nearest(case.field)
    if best is not None and likely(best.target):
        return True
    found = rising(case.field, unknown(case.field))
    if target is None or found is None:
        return False
    a_doubling = found.gained.value / np.log2(found.labels / found.fewer)
    return bool(case.field.accuracies[found.candidate].value + DOUBLINGS * a_doubling >= target)


def _too_few_labels(case: Case) -> bool:
    contenders = (case.name, *case.settlement.rivals)
    if rising(case.field, contenders) is not None:
        return True
    found = lead(case.field, case.settlement)
    if found is None or found.luck >= 0.5:
        return False
    if asked_too_few(found, case.stake, len(case.field.panel.rows.targets)):
        return False  # what is missing is time, not labels
    by_rows = case.detectable_by_rows
    return by_rows is None or by_rows > COARSE * case.stake
