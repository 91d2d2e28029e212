"""How far a verdict can be trusted, and why no further."""

from __future__ import annotations

from collections.abc import Sequence

from choose.judge.gates import Case
from choose.judge.paired import Difference
from choose.judge.record import Confidence, Gate
from choose.judge.words import listed, plural

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
        limits.append((1 if chance >= 0.5 else 0, "nothing was shown to be the right choice"))
    few = thin(case)
    if few:
        limits.append((0, f"{listed(few)} had fewer than three repetitions"))
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


def _repeats_little(case: Case, name: str) -> bool:
    candidate = case.field.panel[name]
    return candidate.repeats and candidate.repetitions < 3


def _sure(case: Case, other: str, found: Difference) -> bool:
    assumed = case.field.panel[other].repetitions < 2 and not _repeats_little(case, case.name)
    half = 0.0 if assumed else (found.high - found.low) / 2
    if other in case.field.cheaper(case.name):
        return found.low - half > 0
    return -(found.low - half) < case.margin


def _contenders(case: Case, gates: Sequence[Gate]) -> list[tuple[int, str]]:
    limits: list[tuple[int, str]] = []
    against = case.field.family(case.name) not in ("prompting", "retrieval")
    if against and any(g.name == "contenders credible" and g.status != "pass" for g in gates):
        limits.append((1, "prompting and retrieval were not tried with a strong model"))
    if not any(case.field.family(name) == "fine-tuning" for name in case.field.names):
        limits.append((1, "fine-tuning was not measured"))
    failed = [
        c.info.name
        for c in case.field.panel.candidates
        if c.failures or (c.main is None and c.info.name not in case.field.names)
    ]
    if failed:
        limits.append((1, f"{listed(failed)} did not finish"))
    partial = [name for name in case.field.names if _partly(case, name)]
    if partial:
        limits.append((1, f"{listed(partial)} answered only part of the rows"))
    if case.field.panel[case.name].info.warning:
        limits.append((1, f"{case.name} may have seen the test rows"))
    return limits


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
        limits.append((1, f"these test rows were judged {looks} times, each on another grid"))
    if case.settlement.target == "open":
        limits.append((1, "whether the target is reached is not settled"))
    failed = [g.name for g in gates if g.name in _SOUND and g.status == "fail"]
    if failed:
        limits.append((1, f"not given: {listed(failed)}"))
    if any(gate.name == "robust" and gate.status == "fail" for gate in gates):
        limits.append((1, "the choice does not stand under all conditions"))
    return limits
