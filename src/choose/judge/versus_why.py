"""Why the verdict of a second study is, or is not, that of the first: in sentences with figures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from choose.judge.frozen import Interval
from choose.judge.record import Decision
from choose.judge.versus import Change, Shift
from choose.judge.words import number, of_100, plural, points

# The level at which a change is said to be shown, after correction for all candidates.
LEVEL = 0.05


def same_verdict(before: Decision, after: Decision) -> bool:
    """Return whether both say the same of the same candidate."""
    a, b = before.verdict, after.verdict
    return (a.kind, a.recommended, a.use_meanwhile) == (b.kind, b.recommended, b.use_meanwhile)


def why(
    before: Decision, after: Decision, shifts: Sequence[Shift], changes: Sequence[Change]
) -> tuple[str, ...]:
    """Return what moved the verdict, or what did not move it."""
    return (
        *_confidence(before, after),
        *_rule(before, after),
        *_field(before, after),
        *_picks(before, after, shifts),
        *_gates(before, after),
        *_rest(before, after, shifts, changes),
    )


def moved(shift: Shift) -> str:
    """Return ``probe went from 70 to 77 of 100 right (7 points more, 95 % interval 2 to 12)``."""
    same = shift.before == shift.after
    name = shift.after if same else f"the pick ({shift.before} before, {shift.after} now)"
    start = f"{name} went from {of_100(shift.accuracy_before)} to {of_100(shift.accuracy_after)}"
    gap = shift.difference
    if shift.same_fits:
        return f"{name} is unchanged at {of_100(shift.accuracy_after)}: the very same fits"
    word = "more" if gap.value >= 0 else "less"
    return f"{start} right ({points(abs(gap.value))} {word}, 95 % interval {_ends(gap)})"


def shown(shift: Shift) -> bool:
    """Return whether a candidate is shown to have changed, all candidates considered."""
    return shift.p_holm is not None and shift.p_holm < LEVEL


def _ends(gap: Interval) -> str:
    assert gap.low is not None
    assert gap.high is not None
    return f"{number(100 * gap.low)} to {number(100 * gap.high)}"


def _confidence(before: Decision, after: Decision) -> Iterator[str]:
    if before.verdict.confidence != after.verdict.confidence:
        yield f"Confidence was {before.verdict.confidence} and is {after.verdict.confidence}."


def _rule(before: Decision, after: Decision) -> Iterator[str]:
    if before.rule != after.rule:
        yield f"The decision rule was version {before.rule} and is version {after.rule}."
    # Older records do not say: they counted every row the same.
    usual = {"metric": "accuracy", "error_costs": {}}
    counted = [side.goal.get("measure") or usual for side in (before, after)]
    if counted[0] != counted[1]:
        was, now = (measure["metric"] for measure in counted)
        other = " at other costs" if was == now else ""
        yield (
            f"“Right” was counted by {was} and is counted by {now}{other}; figures here are by "
            f"{now}."
        )
    for key, name in (("target", "The target"), ("margin", "The smallest gain that matters")):
        old, new = before.goal.get(key), after.goal.get(key)
        if old != new:
            yield f"{name} was {_share(old)} and is {_share(new)}."


def _share(value: object) -> str:
    return points(value) if isinstance(value, float) else "not set"


def _field(before: Decision, after: Decision) -> Iterator[str]:
    for first, second, there in ((after, before, "first"), (before, after, "second")):
        pick = first.verdict.recommended or first.verdict.use_meanwhile
        if pick not in {c.candidate for c in second.scorecards if c.accuracy}:
            yield f"{pick} was not measured in the {there} study."


def _picks(before: Decision, after: Decision, shifts: Sequence[Shift]) -> Iterator[str]:
    picks = {d.verdict.recommended or d.verdict.use_meanwhile for d in (before, after)}
    for shift in shifts:
        if {shift.before, shift.after} <= picks:
            yield f"On the {plural(shift.rows, 'common row')} {moved(shift)}."


def _gates(before: Decision, after: Decision) -> Iterator[str]:
    old = {gate.name: gate.status for gate in before.gates}
    for gate in after.gates:
        if gate.name in old and old[gate.name] != gate.status:
            yield f"The check “{gate.name}” was {old[gate.name]}, is {gate.status}: {gate.evidence}"


def _rest(
    before: Decision, after: Decision, shifts: Sequence[Shift], changes: Sequence[Change]
) -> Iterator[str]:
    if same_verdict(before, after) or any(map(shown, shifts)):
        return
    listed = f" ({plural(len(changes), 'entry')})".replace("entrys", "entries") if changes else ""
    yield (
        "No candidate is shown to have changed on the common rows: the verdict moved with other "
        f"rows, other candidates, chance, or what differs between the studies{listed}."
    )
